package httpapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/trace"
)

const (
	parkingsRoute = "POST /v1/vendors/{vendor_id}/businesscircle/parkings"
	vehicleRoute  = "POST /v1/callbacks/vehicle/{vendor_id}"
	circleRoute   = "POST /v1/callbacks/businesscircle"
	requestID     = "LV7fzho-PHcEJPw="
	domain        = "aaaaaaaaaa.execute-api.us-west-2.amazonaws.com"
)

// adapterOf serves every route with h and logs to log.
func adapterOf(log *functest.Log, h httpapi.Handler) *httpapi.Adapter {
	return &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{parkingsRoute: h, vehicleRoute: h, circleRoute: h},
		Failed: func(_ context.Context, req *httpapi.Request) httpapi.Response {
			return httpapi.FromProblem(&problem.Problem{Code: problem.GatewayUnavailable, Detail: "failed", RetryAfter: 1500 * time.Millisecond}, req.ID)
		},
		Now: time.Now, Logger: log.Logger(), Meter: log.Meter(),
	}
}

func fixtureEvent(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// received hands an event to an adapter and returns the request that its handler got.
func received(t testing.TB, payload []byte) *httpapi.Request {
	t.Helper()
	var got *httpapi.Request
	adapter := adapterOf(functest.NewLog(t), func(_ context.Context, req *httpapi.Request) httpapi.Response {
		got = req
		return httpapi.Response{Status: 204}
	})
	if _, err := adapter.Invoke(t.Context(), payload); err != nil {
		t.Fatal(err)
	}
	if got == nil {
		t.Fatal("the handler was not called")
	}
	return got
}

// TestGoldenEvents reads events as API Gateway and its stand-ins send them. Each is also put through aws-lambda-go's own
// type and back, so that a fixture that is no payload 2.0 event would be seen.
func TestGoldenEvents(t *testing.T) {
	allBytes := make([]byte, 256)
	for i := range allBytes {
		allBytes[i] = byte(i)
	}
	for _, tc := range []struct {
		file, route string
		path        map[string]string
		header      map[string]string
		body        []byte
	}{
		{"vendor-call.json", parkingsRoute, map[string]string{"vendor_id": "acme"},
			map[string]string{"content-type": "application/json", "webhook-id": "fact-1", "webhook-signature": "v1,AAAA"},
			[]byte(`{"plate_number":"粤B888888","x":"<&>"}`)},
		{"canonical-header-names.json", parkingsRoute, map[string]string{"vendor_id": "acme"},
			map[string]string{"content-type": "application/json", "webhook-id": "fact-1", "webhook-timestamp": "1587481701", "webhook-signature": "v1,AAAA"},
			[]byte(`{"plate_number":"粤B888888"}`)},
		{"xml-callback.json", vehicleRoute, map[string]string{"vendor_id": "acme"},
			map[string]string{"content-type": "text/xml"}, []byte("<xml><a>1</a></xml>\n")},
		{"base64-callback.json", vehicleRoute, map[string]string{"vendor_id": "acme"},
			map[string]string{"content-type": ""}, []byte("<xml><plate_number><![CDATA[粤B888888]]></plate_number></xml>")},
		{"bytes-that-are-no-text.json", circleRoute, nil, map[string]string{"content-type": "application/octet-stream"}, allBytes},
		{"no-body.json", circleRoute, nil, map[string]string{"accept": "*/*"}, []byte{}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			payload := fixtureEvent(t, tc.file)
			got := received(t, payload)
			if got.ID != requestID || got.Route != tc.route || got.Domain != domain {
				t.Errorf("got id %q, route %q, domain %q, want %q, %q, %q", got.ID, got.Route, got.Domain, requestID, tc.route, domain)
			}
			if !maps.Equal(got.Path, tc.path) {
				t.Errorf("got path %v, want %v", got.Path, tc.path)
			}
			if string(got.Body) != string(tc.body) {
				t.Errorf("got body %q, want %q", got.Body, tc.body)
			}
			for name, want := range tc.header {
				value, count := got.Header.Get(name)
				if wantCount := min(len(want), 1); value != want || count != wantCount {
					t.Errorf("%s: got %q, %d times, want %q, %d times", name, value, count, want, wantCount)
				}
			}

			var typed events.APIGatewayV2HTTPRequest
			if err := json.Unmarshal(payload, &typed); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(typed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, received(t, again)); diff != "" {
				t.Errorf("through aws-lambda-go's type it differs (-got +again):\n%s", diff)
			}
		})
	}
}

// TestTwiceInBothSpellings holds that a header that comes in two spellings counts as two, whichever is read first.
func TestTwiceInBothSpellings(t *testing.T) {
	got := received(t, functest.Event{
		Route: circleRoute, Header: map[string]string{"Webhook-Id": "a", "webhook-id": "b", "WEBHOOK-ID": "c", "x": "1"},
	}.JSON(t))
	if _, count := got.Header.Get("webhook-id"); count != 3 {
		t.Errorf("got %d values, want 3", count)
	}
	if value, count := got.Header.Get("absent"); value != "" || count != 0 {
		t.Errorf("absent: got %q, %d times, want none", value, count)
	}
}

func TestNotAnHTTPEvent(t *testing.T) {
	valid := functest.Event{Route: circleRoute, RequestID: "r", Body: "粤B888888"}
	for name, payload := range map[string]string{
		"no JSON":              `粤B888888`,
		"nothing":              ``,
		"null":                 `null`,
		"another type":         `["粤B888888"]`,
		"an SQS event":         `{"Records":[{"messageId":"1","body":"粤B888888","eventSource":"aws:sqs"}]}`,
		"payload 1.0":          `{"version":"1.0","resource":"/v1/callbacks/businesscircle","path":"/","httpMethod":"POST","body":"粤B888888"}`,
		"headers of two types": strings.Replace(string(valid.JSON(t)), `"headers":null`, `"headers":{"a":["粤B888888"]}`, 1),
		"base64 that is none":  strings.Replace(string(valid.JSON(t)), `"isBase64Encoded":false`, `"isBase64Encoded":true`, 1),
		"cut short":            string(valid.JSON(t)[:100]),
	} {
		t.Run(name, func(t *testing.T) {
			log := functest.NewLog(t, "粤B888888")
			adapter := adapterOf(log, func(context.Context, *httpapi.Request) httpapi.Response {
				t.Error("the handler was called")
				return httpapi.Response{}
			})
			b, err := adapter.Invoke(t.Context(), []byte(payload))
			if err == nil || b != nil {
				t.Fatalf("got %s, %v, want an error alone", b, err)
			}
			if strings.Contains(err.Error(), "粤B888888") {
				t.Errorf("got error %q, want none of the payload in it", err)
			}
			if got := log.Last(t)["level"]; got != "ERROR" {
				t.Errorf("got a line of level %s, want ERROR", got)
			}
		})
	}
}

type private struct{ plate string }

// TestPanics holds that a panic becomes the failure answer, and that of what it said nothing but the runtime's own words
// is logged.
func TestPanics(t *testing.T) {
	const plate = "粤B888888"
	for name, tc := range map[string]struct {
		panics func()
		logged string
	}{
		"a string":         {func() { panic(plate) }, "string"},
		"an error":         {func() { panic(errors.New(plate)) }, "*errors.errorString"},
		"an error wrapped": {func() { panic(fmt.Errorf("parsing %s: %w", plate, errors.ErrUnsupported)) }, "*fmt.wrapError"},
		"a value":          {func() { panic(private{plate}) }, "httpapi_test.private"},
		"an index":         {func() { var s []int; _ = s[len(plate)] }, "runtime error: index out of range [10] with length 0"},
		"nil map":          {func() { var m map[string]int; m[plate] = 1 }, "assignment to entry in nil map"},
		"nil":              {func() { panic(nil) }, "panic called with nil argument"},
	} {
		t.Run(name, func(t *testing.T) {
			log := functest.NewLog(t, plate)
			adapter := adapterOf(log, func(context.Context, *httpapi.Request) httpapi.Response {
				tc.panics()
				return httpapi.Response{Status: 204}
			})
			got := functest.Run(t.Context(), t, adapter, functest.Event{Route: circleRoute, RequestID: "r-1", Body: plate})
			if got.Status != 503 || got.Header["Request-Id"] != "r-1" || got.Header["Retry-After"] != "2" {
				t.Errorf("got %d %v, want 503 with Request-Id and Retry-After", got.Status, got.Header)
			}
			if strings.Contains(got.Body, plate) {
				t.Errorf("got %s, want none of the panic in it", got.Body)
			}
			var line struct{ Panic, Stack, RequestID string }
			first, _, _ := strings.Cut(log.String(), "\n")
			if err := json.Unmarshal([]byte(strings.ReplaceAll(first, "request_id", "RequestID")), &line); err != nil {
				t.Fatal(err)
			}
			if line.Panic != tc.logged || line.RequestID != "r-1" || !strings.Contains(line.Stack, "httpapi_test.go") {
				t.Errorf("got panic %q of request %q, want %q of r-1 with the stack", line.Panic, line.RequestID, tc.logged)
			}
			if got := log.Last(t); got["status"] != "503" || got["level"] != "ERROR" {
				t.Errorf("got the request's line %v, want status 503 at level ERROR", got)
			}
		})
	}
}

func TestUnknownRoute(t *testing.T) {
	log := functest.NewLog(t)
	got := functest.Run(t.Context(), t, adapterOf(log, nil), functest.Event{Route: "GET /", RequestID: "r-1"})
	if got.Status != 503 || got.Header["Request-Id"] != "r-1" || got.Header["Content-Type"] != problem.ContentType {
		t.Errorf("got %d %v, want the failure answer", got.Status, got.Header)
	}
	if line := log.Last(t); line["reason"] != "the function has no such route" || line["route"] != "GET /" {
		t.Errorf("got the line %v, want the reason and the route", line)
	}
}

// TestAnswers reads answers back with aws-lambda-go's type, knowing all of their members.
func TestAnswers(t *testing.T) {
	shared := map[string]string{"Content-Type": "application/json"}
	for name, tc := range map[string]struct {
		response httpapi.Response
		want     events.APIGatewayV2HTTPResponse
		level    string
	}{
		"nothing but a status": {httpapi.Response{Status: 204},
			events.APIGatewayV2HTTPResponse{StatusCode: 204, Headers: map[string]string{"Request-Id": "r-1"}}, "INFO"},
		"a body": {httpapi.Response{Status: 200, Header: maps.Clone(shared), Body: []byte(`{"a":"<粤>\n"}`)},
			events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: `{"a":"<粤>\n"}`,
				Headers: map[string]string{"Content-Type": "application/json", "Request-Id": "r-1"}}, "INFO"},
		"a refusal": {httpapi.FromProblem(problem.New(problem.MissingHeader, "No header."), "r-1"),
			events.APIGatewayV2HTTPResponse{StatusCode: 401, Headers: map[string]string{"Content-Type": problem.ContentType, "Request-Id": "r-1"},
				Body: string(problem.New(problem.MissingHeader, "No header.").Body("r-1"))}, "INFO"},
		"a failure to be repeated": {httpapi.FromProblem(&problem.Problem{Code: problem.WeChatPayUnavailable, RetryAfter: 5 * time.Second}, "r-1"),
			events.APIGatewayV2HTTPResponse{StatusCode: 503, Body: string((&problem.Problem{Code: problem.WeChatPayUnavailable}).Body("r-1")),
				Headers: map[string]string{"Content-Type": problem.ContentType, "Request-Id": "r-1", "Retry-After": "5"}}, "ERROR"},
		"a Request-Id of its own is replaced": {httpapi.Response{Status: 204, Header: map[string]string{"Request-Id": "another"}},
			events.APIGatewayV2HTTPResponse{StatusCode: 204, Headers: map[string]string{"Request-Id": "r-1"}}, "INFO"},
	} {
		t.Run(name, func(t *testing.T) {
			log := functest.NewLog(t)
			adapter := adapterOf(log, func(context.Context, *httpapi.Request) httpapi.Response { return tc.response })
			b, err := adapter.Invoke(t.Context(), functest.Event{Route: circleRoute, RequestID: "r-1"}.JSON(t))
			if err != nil {
				t.Fatal(err)
			}
			decoder := json.NewDecoder(strings.NewReader(string(b)))
			decoder.DisallowUnknownFields()
			var got events.APIGatewayV2HTTPResponse
			if err := decoder.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if line := log.Last(t); line["level"] != tc.level || line["status"] != fmt.Sprint(tc.want.StatusCode) {
				t.Errorf("got the line %v, want level %s and the status", line, tc.level)
			}
		})
	}
}

// TestLine holds what the request's one line says without a handler's help.
func TestLine(t *testing.T) {
	log := functest.NewLog(t, "acme.example", "secret")
	times := []time.Time{time.Unix(0, 0), time.Unix(0, 0).Add(42 * time.Millisecond)}
	adapter := adapterOf(log, func(context.Context, *httpapi.Request) httpapi.Response { return httpapi.Response{Status: 204} })
	adapter.Now = func() time.Time {
		now := times[0]
		times = times[1:]
		return now
	}
	functest.Run(t.Context(), t, adapter, functest.Event{
		Route: circleRoute, RequestID: "r-1", Domain: "acme.example", Header: map[string]string{"authorization": "secret", "traceparent": parent}, Body: "secret",
	})
	got := log.Last(t)
	delete(got, "time")
	want := map[string]string{"level": "INFO", "msg": "request", "request_id": "r-1", "route": circleRoute, "status": "204", "duration_ms": "42",
		"trace_id": "0af7651916cd43dd8448eb211c80319c"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// parent is a caller's traceparent.
const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestTrace holds whose trace a request belongs to, and that the handler and every line have it.
func TestTrace(t *testing.T) {
	const (
		lambda  = "Root=1-11111111-aaaaaaaaaaaaaaaaaaaaaaaa;Parent=53995c3f42cd8ad8;Sampled=0"
		gateway = "Root=1-22222222-bbbbbbbbbbbbbbbbbbbbbbbb"
	)
	for name, tc := range map[string]struct {
		header map[string]string
		lambda string
		want   string // "" is a new one
	}{
		"the caller's":                 {map[string]string{"traceparent": parent, "x-amzn-trace-id": gateway}, lambda, "0af7651916cd43dd8448eb211c80319c"},
		"Lambda's":                     {map[string]string{"x-amzn-trace-id": gateway}, lambda, "11111111aaaaaaaaaaaaaaaaaaaaaaaa"},
		"Lambda's, the caller's is no": {map[string]string{"traceparent": parent + "," + parent}, lambda, "11111111aaaaaaaaaaaaaaaaaaaaaaaa"},
		"API Gateway's":                {map[string]string{"x-amzn-trace-id": gateway}, "", "22222222bbbbbbbbbbbbbbbbbbbbbbbb"},
		"none":                         {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := functest.NewLog(t)
			var inside trace.Trace
			adapter := adapterOf(log, func(ctx context.Context, _ *httpapi.Request) httpapi.Response {
				inside, _ = trace.From(ctx)
				panic("a line of its own")
			})
			ctx := context.WithValue(t.Context(), "x-amzn-trace-id", tc.lambda) //nolint:staticcheck // aws-lambda-go's own key
			functest.Run(ctx, t, adapter, functest.Event{Route: circleRoute, RequestID: "r-1", Header: tc.header})
			if tc.want != "" && inside.ID() != tc.want || len(inside.ID()) != 32 {
				t.Errorf("got the trace %s, want %s", inside.ID(), tc.want)
			}
			if lines, with := strings.Count(log.String(), "\n"), strings.Count(log.String(), `"trace_id":"`+inside.ID()+`"`); lines != 2 || with != 2 {
				t.Errorf("got the trace in %d of %d lines, want it in both:\n%s", with, lines, log)
			}
			if got := log.Counted(t); !maps.Equal(got, map[string]int64{"Panics": 1}) {
				t.Errorf("got the metrics %v, want one panic", got)
			}
		})
	}
}

func TestConcurrentInvocations(t *testing.T) {
	adapter := adapterOf(functest.NewLog(t), func(_ context.Context, req *httpapi.Request) httpapi.Response {
		return httpapi.Response{Status: 200, Body: req.Body}
	})
	done := make(chan string)
	for i := range 8 {
		go func() {
			want := fmt.Sprint("body ", i)
			b, err := adapter.Invoke(context.Background(), functest.Event{Route: circleRoute, RequestID: want, Body: want}.JSON(t))
			if err == nil && strings.Count(string(b), want) != 2 {
				err = errors.New("got another request's answer: " + string(b))
			}
			if err != nil {
				done <- err.Error()
				return
			}
			done <- ""
		}()
	}
	for range 8 {
		if failure := <-done; failure != "" {
			t.Error(failure)
		}
	}
}

// FuzzInvoke hands anything to an adapter: it never panics, answers with a Request-Id whatever it answers, and passes the
// body on byte for byte.
func FuzzInvoke(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"routeKey":"POST /v1/callbacks/businesscircle","headers":{"A":"\udc00","a":"1"},"body":"\ud800"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var seen *httpapi.Request
		adapter := adapterOf(&functest.Log{}, func(_ context.Context, req *httpapi.Request) httpapi.Response {
			seen = req
			return httpapi.Response{Status: 200, Body: []byte(base64.StdEncoding.EncodeToString(req.Body))}
		})
		b, err := adapter.Invoke(t.Context(), payload)
		if err != nil {
			if seen != nil {
				t.Fatal("a handler was called for what is no event")
			}
			return
		}
		var answer functest.Answer
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Fatalf("the answer is no JSON: %v", err)
		}
		if _, ok := answer.Header["Request-Id"]; !ok {
			t.Fatalf("got %v, want a Request-Id", answer.Header)
		}
		if seen == nil {
			return
		}
		if answer.Body != base64.StdEncoding.EncodeToString(seen.Body) {
			t.Fatal("the body that was answered is not the one that was sent")
		}
		for name := range seen.Header {
			if name != strings.ToLower(name) {
				t.Fatalf("got header %q, want it in lower case", name)
			}
		}
	})
}
