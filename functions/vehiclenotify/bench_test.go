package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/vendorapi"
)

// invocation returns one whole invocation: API Gateway's event read, the vendor authenticated, the body checked, the call
// signed, its answer verified, the log line and the answer written. Secrets, claims and WeChat Pay cost nothing.
func invocation(t testing.TB) (run func() error, payload []byte) {
	t.Helper()
	r := newRig(t)
	r.entries.client.Transport = functest.NewEcho(functest.Transport(r.sim))
	endpoint := &vendorapi.Endpoint{Name: "vehicle/notifications", Vendors: r.vendors, Claims: functest.Forgetful{}, Now: time.Now, Prepare: r.entries.prepare}
	a := &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: endpoint.Handle}, Failed: vendorapi.Failed, Now: time.Now, Logger: functest.Quiet(),
	}
	payload = r.event(fixture.VendorID, string(functest.Document(t, seedParking))).JSON(t)
	return functest.Benchmark(t.Context(), a, payload, 200), payload
}

func BenchmarkInvocation(b *testing.B) {
	invoke, _ := invocation(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := invoke(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInvocationFloor is encoding/json reading the event and its body, and the three bare HMACs: the vendor's, the
// call's and the answer's.
func BenchmarkInvocationFloor(b *testing.B) {
	_, payload := invocation(b)
	key := make([]byte, 32)
	var sum [sha256.Size]byte
	b.ReportAllocs()
	for b.Loop() {
		var e events.APIGatewayV2HTTPRequest
		var body map[string]any
		if json.Unmarshal(payload, &e) != nil || json.Unmarshal([]byte(e.Body), &body) != nil {
			b.Fatal("the event is not JSON")
		}
		for range 3 {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(e.Body))
			mac.Sum(sum[:0])
		}
	}
}
