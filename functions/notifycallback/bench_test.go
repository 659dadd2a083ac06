package main

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/httpapi"
)

// forgetful is a queue that accepts everything and keeps nothing.
type forgetful struct{}

func (forgetful) Send(context.Context, []event.Message) error { return nil }

// invocations returns the whole invocations of both routes: API Gateway's event read, the callback verified, decrypted and
// put on a queue that costs nothing, the log line and the answer written.
func invocations(t testing.TB) (plateState, businessCircle func() error) {
	t.Helper()
	r := newRig(t)
	c := &callbacks{merchants: r.merchants, vendors: r.vendors, queue: forgetful{}, now: time.Now}
	a := &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{plateStateRoute: c.plateState, businessCircleRoute: c.businessCircle},
		Failed: failed, Now: time.Now, Logger: functest.Quiet(),
	}
	v2, v3 := arrival(r.plate(), fixture.VendorID), arrival(r.transaction(), "")
	return functest.Benchmark(t.Context(), a, v2.JSON(t), 200), functest.Benchmark(t.Context(), a, v3.JSON(t), 204)
}

func BenchmarkPlateState(b *testing.B) {
	invoke, _ := invocations(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := invoke(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlateStateFloor is encoding/json reading the event, encoding/xml walking the body's tokens and one bare HMAC.
func BenchmarkPlateStateFloor(b *testing.B) {
	r := newRig(b)
	payload := arrival(r.plate(), fixture.VendorID).JSON(b)
	key := make([]byte, 32)
	var sum [sha256.Size]byte
	b.ReportAllocs()
	for b.Loop() {
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(payload, &e); err != nil {
			b.Fatal(err)
		}
		for d := xml.NewDecoder(strings.NewReader(e.Body)); ; {
			if _, err := d.RawToken(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(e.Body))
		mac.Sum(sum[:0])
	}
}

func BenchmarkBusinessCircle(b *testing.B) {
	_, invoke := invocations(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := invoke(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBusinessCircleFloor is one bare verification.
func BenchmarkBusinessCircleFloor(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}
