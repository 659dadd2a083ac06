package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/merchant"
)

func noMerchant(context.Context) (*merchant.Merchant, error) { return nil, errors.New("none") }

// answering answers every request alike, after reading it.
func answering(status int, header http.Header, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for name := range header {
			w.Header().Set(name, header.Get(name))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// exchange sends one request through a handler and returns what came, and what was recorded of both messages.
func exchange(t *testing.T, recorder *traffic.Recorder, handler http.Handler, method, path, body string, header http.Header) (int, []traffic.Message) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	req, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	status := 0
	if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		status = res.StatusCode
	}
	server.Close()
	// The handler of a connection that was taken from the server may outlive it.
	for {
		messages, changed := recorder.Since(0)
		if over(messages) {
			recorder.Close()
			messages, _ = recorder.Since(0)
			return status, messages
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("the exchange does not end: %v", glances(messages))
		}
	}
}

// over tells whether every request that has an answer has got it.
func over(messages []traffic.Message) bool {
	waiting := 0
	for _, m := range messages {
		switch {
		case m.Kind == traffic.Answer:
			waiting--
		case m.To != traffic.Queue:
			waiting++
		}
	}
	return waiting == 0
}

// glance is what a row shows of a message.
func glance(m traffic.Message) string {
	return fmt.Sprintf("%s>%s %s [%s] %d %s %s", m.From, m.To, m.Subject, m.Note, m.Status, m.Verdict, m.Reason)
}

func glances(messages []traffic.Message) map[int64]string {
	rows := map[int64]string{}
	for _, m := range messages {
		rows[m.ID] = glance(m)
	}
	return rows
}

// TestVerdicts: what the gateway, a queue or a function answers decides what is said of the request.
func TestVerdicts(t *testing.T) {
	const callBody = `{"state":"IN","plate_number":"粤B888888"}`
	type tap func(*traffic.Recorder, http.Handler) http.Handler
	front := func(r *traffic.Recorder, h http.Handler) http.Handler { return r.Front(h, noMerchant) }
	sends := func(r *traffic.Recorder, h http.Handler) http.Handler {
		return r.Sends(h, "eventdelivery", "http://aws/dead")
	}
	for _, tc := range []struct {
		name, path string
		header     http.Header
		body       string
		tap        tap
		handler    http.Handler
		want       map[int64]string
	}{
		{
			"a call that is taken", "/v1/vendors/v/businesscircle/parkings", nil, callBody, front, answering(204, nil, ""),
			map[int64]string{1: "vendor>gateway parkings [IN 粤B888888] 0 verified ", 2: "gateway>vendor answer [] 204 accepted "},
		},
		{
			"a replayed answer", "/v1/vendors/v/businesscircle/parkings", nil, callBody, front, answering(204, http.Header{"Idempotency-Replayed": {"true"}}, ""),
			map[int64]string{1: "vendor>gateway parkings [IN 粤B888888] 0 verified ", 2: "gateway>vendor answer [Idempotency-Replayed] 204 accepted "},
		},
		{
			"a forged call", "/v1/vendors/v/vehicle/notifications", nil, callBody, front, answering(401, nil, `{"code":"not_authenticated"}`),
			map[int64]string{1: "vendor>gateway entry [IN 粤B888888] 0 refused not_authenticated", 2: "gateway>vendor answer [] 401 refused not_authenticated"},
		},
		{
			"a genuine call with a mistake", "/v1/vendors/v/vehicle/notifications", nil, `{`, front, answering(400, nil, `{"code":"malformed_json"}`),
			map[int64]string{1: "vendor>gateway entry [] 0 verified ", 2: "gateway>vendor answer [] 400 refused malformed_json"},
		},
		{
			"WeChat Pay is out", "/v1/vendors/v/vehicle/notifications", nil, callBody, front, answering(503, nil, `{"code":"wechatpay_unavailable"}`),
			map[int64]string{1: "vendor>gateway entry [IN 粤B888888] 0 verified ", 2: "gateway>vendor answer [] 503 failed wechatpay_unavailable"},
		},
		{
			"no such route", "/elsewhere", nil, "", front, answering(404, nil, `{"message":"Not Found"}`),
			map[int64]string{1: "vendor>gateway call [POST /elsewhere] 0 refused Not Found", 2: "gateway>vendor answer [] 404 refused Not Found"},
		},
		{
			"a V2 callback that is taken", "/v1/callbacks/vehicle/v", nil, `<xml><vehicle_event_type>BLOCKED</vehicle_event_type><plate_number>粤B888888</plate_number></xml>`, front,
			answering(200, nil, `<xml><return_code>SUCCESS</return_code></xml>`),
			map[int64]string{1: "wechatpay>gateway plate_state [BLOCKED 粤B888888] 0 verified ", 2: "gateway>wechatpay answer [] 200 accepted "},
		},
		{
			"a V2 callback that is refused with 200", "/v1/callbacks/vehicle/v", nil, `<xml>`, front,
			answering(200, nil, `<xml><return_code>FAIL</return_code><return_msg>bad_signature</return_msg></xml>`),
			map[int64]string{1: "wechatpay>gateway plate_state [] 0 refused bad_signature", 2: "gateway>wechatpay answer [] 200 refused bad_signature"},
		},
		{
			"a V3 callback, the queue is out", "/v1/callbacks/businesscircle", nil, `{}`, front, answering(500, nil, `{"code":"FAIL","message":"queue_unavailable"}`),
			map[int64]string{1: "wechatpay>gateway circle_event [] 0 failed queue_unavailable", 2: "gateway>wechatpay answer [] 500 failed queue_unavailable"},
		},
		{
			"an event for the queue", "/", http.Header{"X-Amz-Target": {"AmazonSQS.SendMessageBatch"}},
			`{"QueueUrl":"http://aws/events","Entries":[{"MessageBody":"{\"type\":\"a\"}"},{"MessageBody":"{\"type\":\"b\"}"}]}`, sends, answering(200, nil, `{}`),
			map[int64]string{1: "gateway>queue enqueue [a, b] 200 accepted "},
		},
		{
			"a batch that SQS does not take", "/", http.Header{"X-Amz-Target": {"AmazonSQS.SendMessageBatch"}}, `{"Entries":[{"MessageBody":"{}"}]}`, sends,
			answering(200, nil, `{"Failed":[{"Id":"0"}]}`),
			map[int64]string{1: "gateway>queue enqueue [] 200 failed 1 not taken"},
		},
		{
			"an event that waits", "/", http.Header{"X-Amz-Target": {"AmazonSQS.SendMessage"}},
			`{"QueueUrl":"http://aws/events","MessageBody":"{\"type\":\"a\",\"data\":{\"state\":\"BLOCKED\"}}","DelaySeconds":4,"MessageAttributes":{"last_reason":{"StringValue":"http_503"}}}`,
			sends, answering(200, nil, `{}`),
			map[int64]string{1: "gateway>queue delay [a BLOCKED] 200 accepted +4 s http_503"},
		},
		{
			"a dead letter", "/", http.Header{"X-Amz-Target": {"AmazonSQS.SendMessage"}},
			`{"QueueUrl":"http://aws/dead","MessageBody":"{\"type\":\"a\"}","MessageAttributes":{"reason":{"StringValue":"gone"}}}`, sends, answering(200, nil, `{}`),
			map[int64]string{1: "gateway>queue park [a] 200 accepted gone"},
		},
		{"another AWS call", "/", http.Header{"X-Amz-Target": {"DynamoDB_20120810.GetItem"}}, `{}`, sends, answering(200, nil, `{}`), map[int64]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			recorder := traffic.New(100, time.Now)
			_, messages := exchange(t, recorder, tc.tap(recorder, tc.handler), "POST", tc.path, tc.body, tc.header)
			if diff := cmp.Diff(tc.want, glances(messages)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEndedConnection: a fault that resets the connection still does so through a tap, and is shown as no answer.
func TestEndedConnection(t *testing.T) {
	world, err := fixture.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []wechatpaysim.FaultKind{wechatpaysim.FaultResetBeforeRead, wechatpaysim.FaultResetAfterRead} {
		t.Run(string(kind), func(t *testing.T) {
			simulator, err := wechatpaysim.New(world.WeChatPay)
			if err != nil {
				t.Fatal(err)
			}
			if err := simulator.Inject(wechatpaysim.Fault{Kind: kind}); err != nil {
				t.Fatal(err)
			}
			recorder := traffic.New(100, time.Now)
			status, messages := exchange(t, recorder, recorder.WeChatPay(simulator, noMerchant), "POST", wechatpaysim.RouteParkings, `{"state":"OUT"}`, nil)
			if status != 0 {
				t.Errorf("got status %d, want a connection that is reset", status)
			}
			rows := glances(messages)
			if got, want := rows[2], "wechatpay>gateway answer [] 0 failed no answer"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestNilRecorder: without a recorder, handlers are what they were.
func TestNilRecorder(t *testing.T) {
	var none *traffic.Recorder
	none.Heading("step", "Step")
	none.Close()
	for name, handler := range map[string]http.Handler{
		"front": none.Front(answering(204, nil, ""), noMerchant), "WeChat Pay": none.WeChatPay(answering(204, nil, ""), noMerchant),
		"webhooks": none.Webhooks(answering(204, nil, ""), "v"), "queue": none.Sends(answering(204, nil, ""), "f", ""),
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
		if w.Code != 204 {
			t.Errorf("%s: got %d, want 204", name, w.Code)
		}
	}
	traffic.From(t.Context()).Judge(traffic.Refused, "nobody asks")
}

// TestDetail: headers and body are there, a body no longer than what is kept, and what looks like a secret is not.
func TestDetail(t *testing.T) {
	recorder := traffic.New(100, time.Now)
	long := strings.Repeat("x", 100<<10)
	_, messages := exchange(t, recorder, recorder.Front(answering(200, http.Header{"X-Answer": {"42"}}, long), noMerchant), "POST",
		"/v1/vendors/v/vehicle/notifications", long, http.Header{
			"Webhook-Id": {"id"}, "Webhook-Timestamp": {"1"}, "Webhook-Signature": {"v1,abc"}, "X-Amz-Security-Token": {"token"},
		})
	for _, m := range messages {
		if got, want := len(m.Detail.Body), 64<<10; got != want || !m.Detail.Cut {
			t.Errorf("%s: kept %d bytes, cut %v, want %d and true", m.Kind, got, m.Detail.Cut, want)
		}
	}
	byKind := map[traffic.Kind]traffic.Detail{}
	for _, m := range messages {
		byKind[m.Kind] = m.Detail
	}
	if c := byKind[traffic.Request].Canonical; c == nil || !strings.HasPrefix(c.Text, "id.1.xxx") || c.Signature != "v1,abc" {
		t.Errorf("got canonical text %.20v, want id.1.body", c)
	}
	if header := fmt.Sprint(byKind[traffic.Request].Header); strings.Contains(header, "token}") || !strings.Contains(header, "(not shown)") {
		t.Errorf("got %s, want the session token hidden", header)
	}
	if header := fmt.Sprint(byKind[traffic.Answer].Header); !strings.Contains(header, "{X-Answer 42}") {
		t.Errorf("got %s, want the answer's header", header)
	}
}

// TestSince: a reader who goes on from a revision gets what is new and what has changed, and no more than is kept.
func TestSince(t *testing.T) {
	recorder := traffic.New(3, time.Now)
	recorder.Heading("a", "A")
	first, changed := recorder.Since(0)
	if len(first) != 1 || first[0].Step != "a" {
		t.Fatalf("got %v, want the first step", first)
	}
	select {
	case <-changed:
		t.Fatal("told of a change before there was one")
	default:
	}
	for _, step := range []string{"b", "c", "d"} {
		recorder.Heading(step, step)
	}
	<-changed
	var got []string
	fresh, _ := recorder.Since(first[0].Revision)
	for _, m := range fresh {
		got = append(got, m.Step)
	}
	if want := []string{"b", "c", "d"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, kept := recorder.Message(1); kept {
		t.Error("the oldest message is kept beyond the recorder's size")
	}
	if all, _ := recorder.Since(0); len(all) != 3 {
		t.Errorf("got %d messages, want the 3 that are kept", len(all))
	}
}
