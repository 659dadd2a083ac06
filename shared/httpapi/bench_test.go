package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/telemetry"
)

// invocation returns what it takes to serve an event whose handler does nothing: the event read, the answer and the log
// line written.
func invocation(t testing.TB) func() error {
	t.Helper()
	payload, err := os.ReadFile("testdata/vendor-call.json")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(context.Context, *httpapi.Request) httpapi.Response {
		return httpapi.Response{Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: []byte(`{"password_free_available":true}`)}
	}
	a := &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{}, Failed: answer, Now: time.Now,
		Logger: telemetry.NewLogger(slog.NewJSONHandler(io.Discard, nil)),
	}
	a.Routes[routeOf(t, payload)] = answer
	return func() error {
		_, err := a.Invoke(context.Background(), payload)
		return err
	}
}

func routeOf(t testing.TB, payload []byte) string {
	t.Helper()
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		t.Fatal(err)
	}
	return e.RouteKey
}

func BenchmarkAdapter(b *testing.B) {
	invoke := invocation(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := invoke(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdapterFloor is encoding/json reading the same event into aws-lambda-go's own type and writing an answer: what a
// function does that takes the event as the runtime's library offers it.
func BenchmarkAdapterFloor(b *testing.B) {
	payload, err := os.ReadFile("testdata/vendor-call.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(payload, &e); err != nil {
			b.Fatal(err)
		}
		if _, err := json.Marshal(events.APIGatewayV2HTTPResponse{
			StatusCode: 200, Headers: map[string]string{"Content-Type": "application/json", "Request-Id": e.RequestContext.RequestID},
			Body: `{"password_free_available":true}`,
		}); err != nil {
			b.Fatal(err)
		}
	}
}
