//go:build validate

package stackcheck

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/wechatpay"
)

// metric is one that an alarm or the dashboard looks at.
type metric struct {
	namespace, name string
	dimensions      map[string]string
}

func (m metric) String() string { return fmt.Sprint(m.namespace, " ", m.name, " ", m.dimensions) }

// awsMetrics are those of AWS's own metrics that this stack's resources have in both partitions, with the sets of
// dimensions under which CloudWatch keeps them. China lacks Lambda's metrics of event source mappings
// (PolledEventCount and the like) and of asynchronous invocations (AsyncEventAge and the like).
var awsMetrics = map[string]struct {
	page       string
	names      []string
	dimensions [][]string
}{
	"AWS/Lambda": {
		"docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html",
		[]string{"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"},
		[][]string{{"FunctionName"}, {"FunctionName", "Resource"}, {"ExecutedVersion", "FunctionName", "Resource"}},
	},
	"AWS/ApiGateway": {
		"docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html",
		[]string{"4xx", "5xx", "Count", "IntegrationLatency", "Latency", "DataProcessed"},
		[][]string{{"ApiId"}, {"ApiId", "Stage"}, {"ApiId", "Method", "Resource", "Stage"}},
	},
	"AWS/SQS": {
		"docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html",
		[]string{
			"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible",
			"ApproximateNumberOfMessagesDelayed", "NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfMessagesDeleted",
		},
		[][]string{{"QueueName"}},
	},
	"AWS/DynamoDB": {
		"docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html",
		[]string{"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"},
		[][]string{{"TableName"}},
	},
}

// alarms returns the metrics that each alarm looks at.
func (s *stack) alarms() map[string][]metric {
	all := map[string][]metric{}
	for _, id := range s.ofType("AWS::CloudWatch::Alarm") {
		all[id] = nil
		p := s.resources[id].Properties
		if p["MetricName"] != nil {
			all[id] = append(all[id], metricOf(p))
		}
		for _, item := range listed(p["Metrics"]) {
			if m := at(item, "MetricStat", "Metric"); m != nil {
				all[id] = append(all[id], metricOf(m))
			}
		}
	}
	return all
}

func metricOf(v any) metric {
	m := metric{fmt.Sprint(at(v, "Namespace")), fmt.Sprint(at(v, "MetricName")), map[string]string{}}
	for _, d := range listed(at(v, "Dimensions")) {
		m.dimensions[fmt.Sprint(at(d, "Name"))] = fmt.Sprint(at(d, "Value"))
	}
	return m
}

// unknown says why nothing ever arrives under a metric, or "".
func (s *stack) unknown(m metric, f *facts) string {
	dimensions := slices.Sorted(maps.Keys(m.dimensions))
	has := func(sets [][]string) bool {
		return slices.ContainsFunc(sets, func(set []string) bool { return slices.Equal(slices.Sorted(slices.Values(set)), dimensions) })
	}
	switch aws, ours := awsMetrics[m.namespace], m.namespace == telemetry.Namespace; {
	case ours:
		defined := slices.Collect(func(yield func(telemetry.Definition) bool) {
			telemetry.Metrics()(func(d telemetry.Definition) bool { return string(d.Metric) != m.name || yield(d) })
		})
		if len(defined) != 1 {
			return "the code emits none of that name"
		}
		if !has(defined[0].Dimensions) {
			return "the code emits it with other dimensions"
		}
		function := folder(strings.TrimSuffix(strings.Trim(m.dimensions[telemetry.FunctionNameDimension], "<>"), "Function"))
		if !slices.Contains(defined[0].Functions, function) {
			return "that function does not emit it"
		}
		if reason, counted := m.dimensions[telemetry.ReasonDimension]; counted && m.name == string(telemetry.CallbacksRefused) &&
			!slices.Contains(refusals(), reason) {
			return "there is no such reason"
		}
	case aws.names == nil || !slices.Contains(aws.names, m.name):
		return "it is not on the list of AWS's metrics"
	case !has(aws.dimensions):
		return "AWS keeps it with other dimensions"
	}
	for name, value := range m.dimensions {
		if !s.exists(name, value, m, f) {
			return "nothing is called " + name + " " + value
		}
	}
	return ""
}

// refusals are the reasons by which refused callbacks are counted: the others have metrics of their own.
func refusals() []string {
	var all []string
	for _, r := range wechatpay.Reasons() {
		switch r {
		case wechatpay.ReasonProbe, wechatpay.ReasonNotSubscribed, wechatpay.ReasonQueueUnavailable:
		default:
			all = append(all, string(r))
		}
	}
	return all
}

// exists tells whether a dimension's value is something of this stack.
func (s *stack) exists(name, value string, m metric, f *facts) bool {
	id := strings.Trim(value, "<>")
	switch name {
	case "FunctionName":
		return s.resources[id].Type == "AWS::Lambda::Function"
	case "ApiId":
		return s.resources[id].Type == "AWS::ApiGatewayV2::Api"
	case "TableName":
		return s.resources[id].Type == "AWS::DynamoDB::Table"
	case "QueueName":
		queue, ok := strings.CutSuffix(id, ".QueueName")
		return ok && s.resources[queue].Type == "AWS::SQS::Queue"
	case "Stage":
		return value == "$default"
	case "Method", "Resource":
		key := m.dimensions["Method"] + " " + m.dimensions["Resource"]
		for _, keys := range f.routes {
			if slices.Contains(keys, key) {
				return true
			}
		}
		return false
	case telemetry.ReasonDimension:
		return true
	}
	return false
}

// checkMetrics: an alarm on a metric that nobody emits is silent for ever.
func checkMetrics(s *stack, f *facts) []string {
	var b breaches
	for id, metrics := range s.alarms() {
		if len(metrics) == 0 {
			b.add("%s looks at no metric", id)
		}
		for _, m := range metrics {
			if why := s.unknown(m, f); why != "" {
				b.add("%s looks at %v: %s", id, m, why)
			}
		}
	}
	return b
}

// functionsOfMath are the words in a metric expression that are no ids.
var functionsOfMath = []string{"SUM", "MAX", "METRICS", "IF", "FILL", "AND"}

var idOfMath = regexp.MustCompile(`^[a-z]\w*$`)

var wordOfMath = regexp.MustCompile(`[A-Za-z_]\w*`)

// checkAlarms: each alarm says how urgent it is, tells whoever listens, and is one that CloudWatch takes.
func checkAlarms(s *stack, _ *facts) []string {
	var b breaches
	var topic any
	if s.has("AlarmTopicArn") {
		topic = []any{s.parameters["AlarmTopicArn"]}
	}
	for _, id := range s.ofType("AWS::CloudWatch::Alarm") {
		p := s.resources[id].Properties
		if urgency(s, id) == "" {
			b.add("%s: its description begins neither with wake nor with morning", id)
		}
		b.equal(id+": goes to", p["AlarmActions"], topic)
		b.equal(id+": over, goes to", p["OKActions"], topic)
		b.equal(id+": without data", p["TreatMissingData"], any("notBreaching"))
		for _, needed := range []string{"Threshold", "ComparisonOperator", "EvaluationPeriods", "DatapointsToAlarm"} {
			if p[needed] == nil {
				b.add("%s: has no %s", id, needed)
			}
		}
		period := number(p["Period"])
		metrics := listed(p["Metrics"])
		var ids, returned, used []string
		for _, m := range metrics {
			name := fmt.Sprint(at(m, "Id"))
			ids = append(ids, name)
			if !idOfMath.MatchString(name) || (at(m, "Expression") == nil) == (at(m, "MetricStat", "Metric") == nil) {
				b.add("%s: %s needs an id, and either an expression or a metric", id, name)
			}
			if at(m, "ReturnData") != false {
				returned = append(returned, name)
			}
			if at(m, "MetricStat") != nil {
				if at(m, "MetricStat", "Stat") == nil {
					b.add("%s: %s has no Stat", id, name)
				}
				if period = number(at(m, "MetricStat", "Period")); period == 0 {
					b.add("%s: %s has no Period", id, name)
				}
			}
			for _, word := range wordOfMath.FindAllString(fmt.Sprint(at(m, "Expression")), -1) {
				if at(m, "Expression") != nil && !slices.Contains(functionsOfMath, word) {
					used = append(used, word)
				}
			}
		}
		for _, word := range used {
			if !slices.Contains(ids, word) {
				b.add("%s: the expression knows no %s", id, word)
			}
		}
		if len(metrics) > 0 && len(returned) != 1 || len(metrics) > 11 { // ten metrics and the expression
			b.add("%s: an alarm compares one value, of at most ten metrics", id)
		}
		if metrics == nil && p["Statistic"] == nil {
			b.add("%s: has no Statistic", id)
		}
		window := period * number(p["EvaluationPeriods"])
		if period == 0 || period < 3600 && window > 24*3600 || window > 7*24*3600 {
			b.add("%s: CloudWatch does not look back over %v s in steps of %v s", id, window, period)
		}
	}
	return b
}

// urgency returns wake or morning, or "".
func urgency(s *stack, alarm string) string {
	word, _, found := strings.Cut(fmt.Sprint(s.property(alarm, "AlarmDescription")), ": ")
	if !found || word != "wake" && word != "morning" {
		return ""
	}
	return word
}

// checkWatched: what has to have an alarm has one.
func checkWatched(s *stack, _ *facts) []string {
	var b breaches
	watched := map[string]bool{}
	for _, metrics := range s.alarms() {
		for _, m := range metrics {
			watched[m.String()] = true
		}
	}
	need := func(namespace, name string, dimensions map[string]string) {
		if m := (metric{namespace, name, dimensions}); !watched[m.String()] {
			b.add("no alarm looks at %v", m)
		}
	}
	function := func(name string) map[string]string {
		return map[string]string{"FunctionName": "<" + name + "Function>"}
	}
	for _, name := range s.functions() {
		need("AWS/Lambda", "Errors", function(name))
		if name != "CertRefresh" { // nobody waits for it, and what it does not manage in time is an error
			need("AWS/Lambda", "Throttles", function(name))
			need("AWS/Lambda", "Duration", function(name))
		}
	}
	// Every function in the list of a metric that means trouble.
	for d := range telemetry.Metrics() {
		switch d.Metric {
		case telemetry.Panics, telemetry.SecretMalformed, telemetry.SecretServedStale, telemetry.SecretUnavailable,
			telemetry.CallbacksFailed, telemetry.CallbacksNotSubscribed, telemetry.WeChatPayUnverified,
			telemetry.WeChatPayRejectedOurSignature, telemetry.WeChatPayNoPermission, telemetry.EntryNotificationsSucceeded,
			telemetry.PlateStateCallbacksAccepted, telemetry.CertificateDaysLeft:
			for _, name := range s.functions() {
				if slices.Contains(d.Functions, folder(name)) {
					need(telemetry.Namespace, string(d.Metric), function(name))
				}
			}
		}
	}
	need(telemetry.Namespace, string(telemetry.FirstAnswer), function("NotifyCallback"))
	b.equal("CallbackSlowAlarm: a first answer, and later ones", len(s.alarms()["CallbackSlowAlarm"]), 2)
	for _, reason := range refusals() {
		dimensions := function("NotifyCallback")
		dimensions[telemetry.ReasonDimension] = reason
		need(telemetry.Namespace, string(telemetry.CallbacksRefused), dimensions)
	}
	for id, metrics := range s.alarms() {
		for _, m := range metrics {
			if m.name == string(telemetry.SignatureProbes) {
				b.add("%s looks at WeChat Pay's probes, which are no failures", id)
			}
		}
	}
	need("AWS/SQS", "ApproximateAgeOfOldestMessage", map[string]string{"QueueName": "<EventsQueue.QueueName>"})
	need("AWS/SQS", "ApproximateNumberOfMessagesVisible", map[string]string{"QueueName": "<EventsDeadLetterQueue.QueueName>"})
	need("AWS/ApiGateway", "5xx", map[string]string{"ApiId": "<HttpApi>"})
	return append(b, checkDivisors(s)...)
}

var divisor = regexp.MustCompile(`FILL\((\w+), 0\) / ([0-9]+)`)

// checkDivisors: the alarm on durations divides each by its function's timeout.
func checkDivisors(s *stack) []string {
	var b breaches
	got, want := map[string]string{}, map[string]string{}
	for _, m := range listed(s.property("DurationAlarm", "Metrics")) {
		for _, pair := range divisor.FindAllStringSubmatch(fmt.Sprint(at(m, "Expression")), -1) {
			got[pair[1]] = pair[2]
		}
		if name := strings.Trim(fmt.Sprint(at(m, "MetricStat", "Metric", "Dimensions", 0, "Value")), "<>"); at(m, "MetricStat") != nil {
			want[fmt.Sprint(at(m, "Id"))] = fmt.Sprint(s.property(name, "Timeout"))
		}
	}
	b.equal("DurationAlarm: divisors and timeouts", got, want)
	return b
}

// checkDashboard: the dashboard is JSON, and every metric on it exists, every alarm and every function is on it.
func checkDashboard(s *stack, f *facts) []string {
	var b breaches
	var body struct {
		Widgets []struct {
			Type          string
			Width, Height int
			Properties    struct {
				Title, Region, Stat string
				Alarms              []string
				Metrics             [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(fmt.Sprint(s.property("Dashboard", "DashboardBody"))), &body); err != nil {
		return append(b, "the body is no dashboard: "+err.Error())
	}
	functions := map[string]bool{}
	var shown []string
	for _, w := range body.Widgets {
		for _, arn := range w.Properties.Alarms {
			shown = append(shown, strings.TrimSuffix(strings.TrimPrefix(arn, "<"), ".Arn>"))
		}
		if w.Type == "metric" {
			if w.Properties.Region != s.values.Region || w.Properties.Stat == "" || w.Properties.Title == "" || len(w.Properties.Metrics) == 0 {
				b.add("widget %q lacks title, region, stat or metrics", w.Properties.Title)
			}
		}
		for _, row := range w.Properties.Metrics {
			m := metricOfRow(row)
			if why := s.unknown(m, f); why != "" {
				b.add("widget %q shows %v: %s", w.Properties.Title, m, why)
			}
			functions[strings.TrimSuffix(strings.Trim(m.dimensions["FunctionName"], "<>"), "Function")] = true
		}
	}
	slices.Sort(shown)
	b.equal("name", s.property("Dashboard", "DashboardName"), any("gateway"))
	b.equal("alarms on the dashboard and in the stack", shown, s.ofType("AWS::CloudWatch::Alarm"))
	for _, name := range s.functions() {
		if !functions[name] {
			b.add("%s is not on the dashboard", name)
		}
	}
	return b
}

// metricOfRow reads a row of a widget: namespace, name, dimensions in pairs, and perhaps how it is drawn.
func metricOfRow(row []any) metric {
	var texts []string
	for _, cell := range row {
		if text, ok := cell.(string); ok {
			texts = append(texts, text)
		}
	}
	if len(texts) < 2 || len(texts)%2 != 0 {
		return metric{name: fmt.Sprint(row)}
	}
	m := metric{texts[0], texts[1], map[string]string{}}
	for i := 2; i < len(texts); i += 2 {
		m.dimensions[texts[i]] = texts[i+1]
	}
	return m
}
