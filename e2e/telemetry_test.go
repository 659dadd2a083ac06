//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/cmd/parkctl/deadletter"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/emf"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/trace"
)

var traceStack = sync.OnceValues(func() (*gateway, error) { return start(nil, stack.Options{}) })

// TestTrace: a vendor's trace reaches WeChat Pay; a callback's reaches the vendor, over a retry, the dead-letter queue and a
// replay; and the hash of the plate, which no id can replace, joins the two.
func TestTrace(t *testing.T) {
	t.Parallel()
	g := get(t, traceStack)
	const id, parent = "0af7651916cd43dd8448eb211c80319c", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c := g.newCall(demovendor.Entry)
	c.set("notify_url", nil)
	c.signed = func(h http.Header) { h.Set("Traceparent", parent) }
	mark := g.heard.mark(g.entryURI)
	a := c.do(t)
	if a.status != http.StatusOK {
		t.Fatalf("got %d, want 200: %s", a.status, a.body)
	}
	sent := g.heard.since(g.entryURI, mark)[0].Header
	if got := sent.Get("Traceparent"); trace.Begin(got).ID() != id || got == parent {
		t.Errorf("WeChat Pay heard the traceparent %q, want the vendor's trace and a span of the gateway's", got)
	}
	for name := range sent {
		if !slices.Contains([]string{"Accept", "Accept-Encoding", "Content-Length", "Content-Type", "Traceparent", "User-Agent"}, name) {
			t.Errorf("WeChat Pay heard the header %s as well", name)
		}
	}
	entry := fieldsOf(t, suite.log.request(t, a.requestID()))
	if entry["trace_id"] != id || len(entry["plate_hash"]) != 16 || entry["wechatpay_request_id"] == "" {
		t.Errorf("logged %v, want the trace, the hash of the plate and WeChat Pay's own id", entry)
	}

	for _, status := range []int{500, 410} { // once for a retry, once for the dead-letter queue
		if err := g.Webhooks.Inject(demovendor.Fault{Kind: demovendor.FaultStatus, Status: status, Times: 1}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := g.WeChatPay.Send(t.Context(), plateState(fixture.VendorID, fixture.PlateState("BLOCKED", "OVERDUE", ""))(t, g))
	if err != nil || !d.Success {
		t.Fatalf("got %v, %v, want success", d, err)
	}
	callback := fieldsOf(t, suite.log.request(t, d.Header.Get("Request-Id")))
	if callback["plate_hash"] != entry["plate_hash"] || callback["trace_id"] == id || callback["wechatpay_request_id"] == "" {
		t.Errorf("logged %v, want the plate's hash as in %v, under another trace", callback, entry)
	}
	// An event's id is made of what WeChat Pay says: another stack's test may say the same in the same second.
	about := `"request_id":"` + callback["request_id"] + `"`
	g.heardBy(t, g.Webhooks, 2)
	suite.log.wait(t, about, `"decision":"parked"`)
	replay(t, g)
	heard := g.heardBy(t, g.Webhooks, 3)
	suite.log.wait(t, about, `"decision":"delivered"`)
	for i, h := range heard {
		if got := trace.Begin(h.Header.Get("Traceparent")).ID(); got != callback["trace_id"] || h.Header.Get("Request-Id") != callback["request_id"] {
			t.Errorf("webhook %d: got the trace %s and Request-Id %s, want the callback's", i, got, h.Header.Get("Request-Id"))
		}
	}
	decisions := ""
	for _, line := range suite.log.linesOf(t, about, `"decision":`) {
		if line["trace_id"] != callback["trace_id"] || line["event_id"] != callback["event_id"] || line["plate_hash"] != entry["plate_hash"] {
			t.Errorf("logged %v, want the callback's ids and the plate's hash", line)
		}
		decisions += line["decision"] + " "
	}
	if decisions != "delayed parked delivered " && decisions != "delayed delayed parked delivered " {
		t.Errorf("got the decisions %s, want each of the three", decisions)
	}
}

// recordlessStack has no DynamoDB for the function that delivers.
var recordlessStack = sync.OnceValues(func() (*gateway, error) {
	return start(nil, stack.Options{EnvFor: func(function string) map[string]string {
		if function != "EventDeliveryFunction" {
			return nil
		}
		return map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}
	}})
})

// TestOurFailureIsNoTry: while the record of events is out, an event stays on the queue, uncharged and counted.
func TestOurFailureIsNoTry(t *testing.T) {
	t.Parallel()
	g := get(t, recordlessStack)
	if d, err := g.WeChatPay.Send(t.Context(), payment(t, g)); err != nil || !d.Success {
		t.Fatalf("got %v, %v, want success", d, err)
	}
	suite.log.wait(t, "EventDeliveryFunction: ", `"decision":"failed"`, `"reason":"claim_unavailable"`, `"tries":0`)
	if n := len(g.Webhooks.Deliveries()); n != 0 {
		t.Errorf("the vendor got %d webhooks, want none without a record", n)
	}
	if n, err := g.DeadLetters(t.Context()); err != nil || n != 0 {
		t.Errorf("got %d dead letters, %v, want none", n, err)
	}
}

// replay sends every dead letter again.
func replay(t *testing.T, g *gateway) {
	t.Helper()
	events, dead := g.Stack.Queues()
	queues := deadletter.Queues{API: sqs.NewFromConfig(g.AWS), EventsURL: events, DeadLetterURL: dead}
	if err := queues.Walk(t.Context(), func(l deadletter.Letter) (bool, error) { return true, queues.Replay(t.Context(), l) }); err != nil {
		t.Fatal(err)
	}
}

// fieldsOf reads a function's line, its name in front.
func fieldsOf(t *testing.T, line string) map[string]string {
	t.Helper()
	_, text, _ := strings.Cut(line, ": ")
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatalf("a log line is not JSON: %v", err)
	}
	texts := make(map[string]string, len(fields))
	for name, v := range fields {
		texts[name] = fmt.Sprint(v)
	}
	return texts
}

// linesOf returns the lines that hold all of parts.
func (l *functionLog) linesOf(t *testing.T, parts ...string) (found []map[string]string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			found = append(found, fieldsOf(t, line))
		}
	}
	return found
}

// unmetMetrics are the metrics that no scenario meets, with the reason.
var unmetMetrics = map[telemetry.Metric]string{
	telemetry.Panics: "a panic is a fault in the code, and the run fails for each",
}

// checkMetrics holds every document of the run to CloudWatch's rules, and the run to the closed list: whatever an alarm
// watches was emitted by a real function, under the name of that function. A line that is no document must be one of the
// logger's, with the id of its trace wherever it is about a request or an event.
func (l *functionLog) checkMetrics(whole bool) (problems []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	met := map[telemetry.Metric]map[string]bool{}
	for _, line := range l.lines {
		function, text, _ := strings.Cut(line, ": ")
		if !emf.Is(text) {
			for _, message := range []string{`"message":"request"`, `"message":"event"`, `"message":"platform certificates"`} {
				if strings.Contains(text, message) && !strings.Contains(text, `"trace_id":"`) {
					problems = append(problems, fmt.Errorf("a line has no trace_id: %s", line))
				}
			}
			continue
		}
		values, err := emf.Read(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("CloudWatch would drop a document: %w: %s", err, line))
		}
		for _, v := range values {
			if v.Function != function {
				problems = append(problems, fmt.Errorf("%s emits a metric of %s: %s", function, v.Function, line))
			}
			if met[v.Metric] == nil {
				met[v.Metric] = map[string]bool{}
			}
			met[v.Metric][strings.ToLower(strings.TrimSuffix(function, "Function"))] = true
		}
	}
	for d := range telemetry.Metrics() {
		for function := range met[d.Metric] {
			if !slices.Contains(d.Functions, function) {
				problems = append(problems, fmt.Errorf("%s emits %s, whose definition does not say so", function, d.Metric))
			}
		}
		if whole && len(met[d.Metric]) == 0 && unmetMetrics[d.Metric] == "" {
			problems = append(problems, fmt.Errorf("metric %s: no scenario met it", d.Metric))
		}
	}
	return problems
}
