package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/vendorapi"
)

// invocation returns one whole invocation: API Gateway's event read, the vendor authenticated, the body checked, the call
// signed, its answer verified, the log line and the answer written. Secrets, claims and WeChat Pay cost nothing.
func invocation(t testing.TB) func() error {
	t.Helper()
	r := newRig(t)
	h := &parkings{merchants: r.merchants, keys: r.handler.keys, now: time.Now, client: r.handler.client}
	h.client.Transport = functest.NewEcho(functest.Transport(r.sim))
	endpoint := &vendorapi.Endpoint{Name: "businesscircle/parkings", Vendors: r.vendors, Claims: functest.Forgetful{}, Now: time.Now, Prepare: h.prepare}
	a := &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: endpoint.Handle}, Failed: vendorapi.Failed, Now: time.Now, Logger: functest.Quiet(),
	}
	payload := r.event(fixture.VendorID, string(functest.Document(t, seed))).JSON(t)
	return functest.Benchmark(t.Context(), a, payload, 204)
}

func BenchmarkInvocation(b *testing.B) {
	invoke := invocation(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := functest.AtDepth(n%functest.Depths, invoke); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInvocationFloor is one bare signature and one bare verification.
func BenchmarkInvocationFloor(b *testing.B) {
	block, _ := pem.Decode([]byte(functest.NewWorld(b).MerchantKey.PrivateKey))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		b.Fatal(err)
	}
	key := parsed.(*rsa.PrivateKey)
	digest := sha256.Sum256([]byte("message"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	bare := func() error {
		if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
			return err
		}
		return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := functest.AtDepth(n%functest.Depths, bare); err != nil {
			b.Fatal(err)
		}
	}
}
