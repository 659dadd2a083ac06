package telemetry

import (
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Meter writes metrics to a function's standard output in CloudWatch's Embedded Metric Format: JSON documents of one line
// each, from which CloudWatch Logs makes metrics without a call of ours. A document stands beside the log line of its
// request and not in it. So the logger's level and format cannot lose or break a metric, and a document holds nothing but
// numbers and words of closed lists. It is safe for concurrent use. A nil Meter writes nothing.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type Meter struct {
	out      io.Writer
	now      func() time.Time
	function []byte // as JSON text

	mu       sync.Mutex
	buf      []byte
	samples  []sample
	began    time.Time
	init     time.Duration // how long the init phase took
	answered bool
}

// NewMeter returns a meter for the function of that name, whose init phase begins now.
func NewMeter(out io.Writer, now func() time.Time, function string) *Meter {
	if function == "" {
		function = "unknown" // a dimension may not be empty
	}
	quoted, err := jsontext.AppendQuote(nil, function)
	if err != nil {
		quoted = []byte(`"unknown"`)
	}
	return &Meter{out: out, now: now, function: quoted, began: now(), buf: make([]byte, 0, 1024)}
}

// Ready ends the init phase.
func (m *Meter) Ready() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init = m.now().Sub(m.began)
}

// Write writes what was counted and measured for one request, which took that long. The first one in a sandbox has
// [FirstAnswer] as well.
func (m *Meter) Write(l *Line, took time.Duration) {
	if m == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples[:0], l.samples...)
	if !m.answered {
		m.answered = true
		m.samples = append(m.samples, sample{metric: FirstAnswer, value: (m.init + took).Milliseconds()})
	}
	m.write()
}

// Count writes a metric that belongs to no request.
func (m *Meter) Count(metric Metric) {
	s := sample{metric: metric, value: 1}
	if m == nil || !s.defined() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples[:0], s)
	m.write()
}

// write writes m.samples in as few documents as hold them: one document has one Reason and one value of each metric.
func (m *Meter) write() {
	for rest := m.samples; len(rest) > 0; {
		n, reason := choose(rest)
		m.buf = m.document(m.buf[:0], rest[:n], reason)
		// Nobody is left to tell that standard output cannot be written.
		_, _ = m.out.Write(m.buf)
		rest = rest[n:]
	}
}

// choose moves to the front the samples that fit into one document, and returns how many they are and their reason.
func choose(samples []sample) (n int, reason string) {
	for i, s := range samples {
		if has(samples[:n], s.metric) || s.reason != "" && reason != "" && s.reason != reason {
			continue
		}
		if s.reason != "" {
			reason = s.reason
		}
		samples[n], samples[i] = s, samples[n]
		n++
	}
	return n, reason
}

func has(samples []sample, metric Metric) bool {
	for _, s := range samples {
		if s.metric == metric {
			return true
		}
	}
	return false
}

// document appends the document that holds samples. Names, units and reasons need no escaping.
func (m *Meter) document(b []byte, samples []sample, reason string) []byte {
	b = append(b, `{"_aws":{"Timestamp":`...)
	b = strconv.AppendInt(b, m.now().UnixMilli(), 10)
	b = append(b, `,"CloudWatchMetrics":[`...)
	start := len(b)
	b = directive(b, samples, false, `["`+FunctionNameDimension+`"]`)
	if len(b) > start && reason != "" {
		b = append(b, ',')
	}
	b = directive(b, samples, true, `["`+FunctionNameDimension+`"],["`+FunctionNameDimension+`","`+ReasonDimension+`"]`)
	b = append(b, `]},"`+FunctionNameDimension+`":`...)
	b = append(b, m.function...)
	if reason != "" {
		b = append(b, `,"`+ReasonDimension+`":"`...)
		b = append(b, reason...)
		b = append(b, '"')
	}
	for _, s := range samples {
		b = append(b, `,"`...)
		b = append(b, s.metric...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, s.value, 10)
	}
	return append(b, "}\n"...)
}

// directive appends what tells CloudWatch of the samples with a reason, or of those without, if there are any.
func directive(b []byte, samples []sample, reasons bool, dimensions string) []byte {
	first := true
	for _, s := range samples {
		if (s.reason != "") != reasons {
			continue
		}
		if first {
			b = append(b, `{"Namespace":"`+Namespace+`","Dimensions":[`...)
			b = append(b, dimensions...)
			b = append(b, `],"Metrics":[`...)
			first = false
		} else {
			b = append(b, ',')
		}
		b = append(b, `{"Name":"`...)
		b = append(b, s.metric...)
		b = append(b, `","Unit":"`...)
		b = append(b, definitions[s.metric].unit...)
		b = append(b, `"}`...)
	}
	if !first {
		b = append(b, `]}`...)
	}
	return b
}
