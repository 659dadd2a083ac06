package wechatpay_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"testing"
	"time"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/wechatpay"
)

// sealed returns an envelope around text, encrypted with the key and nonce of the vectors' mall transaction.
func sealed(t testing.TB, text string) wechatpay.Envelope {
	t.Helper()
	v := loadVectors(t).AEAD[1]
	aead := must(cipher.NewGCM(must(aes.NewCipher([]byte(v.Key)))))
	ciphertext := base64.StdEncoding.EncodeToString(aead.Seal(nil, []byte(v.Nonce), []byte(text), nil))
	e, _, err := wechatpay.ReadEnvelope(envelope(t, func(_, r map[string]any) { r["ciphertext"] = ciphertext }))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// vectorEnvelope returns an envelope around the n-th vector.
func vectorEnvelope(t testing.TB, n int) wechatpay.Envelope {
	t.Helper()
	v := loadVectors(t).AEAD[n]
	e, _, err := wechatpay.ReadEnvelope(envelope(t, func(_, r map[string]any) {
		r["ciphertext"], r["nonce"], r["associated_data"] = v.Ciphertext, v.Nonce, v.AssociatedData
	}))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// callback is a signed V3 callback with all that it takes to open it.
type callback struct {
	header http.Header
	body   []byte
	ring   signing.Keyring
	keys   []*signing.V3Key
}

func newCallback(t testing.TB) callback {
	t.Helper()
	body := envelope(t, nil)
	return callback{
		header: signV3(ownKey(), publicKeyID, occurred, string(body)), body: body, ring: keysV3().WeChatPay,
		keys: []*signing.V3Key{must(signing.NewV3Key(loadVectors(t).AEAD[1].Key))},
	}
}

// open gathers the headers, verifies, decodes, decrypts and decodes again.
func (c callback) open() error {
	h, err := wechatpay.SignatureHeader(func(name string) (string, int) {
		values := c.header[name]
		return values[0], len(values)
	})
	if err != nil {
		return err
	}
	if err := c.ring.Verify(h, c.body, occurred); err != nil {
		return err
	}
	e, _, err := wechatpay.ReadEnvelope(c.body)
	if err != nil {
		return err
	}
	_, err = e.Open(c.keys)
	return err
}

// stub answers every request with one verified 204, without a network.
type stub struct{ header http.Header }

func (s stub) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusNoContent, Header: s.header, Body: http.NoBody}, nil
}

// signedCall returns a call whose answer is a verified 204.
func signedCall() func() error {
	c, _ := client()
	c.Now = func() time.Time { return occurred }
	c.Transport = stub{signV3(ownKey(), publicKeyID, occurred, "")}
	keys := &functest.Source[wechatpay.V3Keys]{Value: keysV3()}
	return func() error { return c.SyncParking(context.Background(), keys, parking) }
}

func BenchmarkSignedCall(b *testing.B) {
	call := signedCall()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := functest.AtDepth(n%functest.Depths, call); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSignedCallFloor is one bare signature and one bare verification, below which no call can be.
func BenchmarkSignedCallFloor(b *testing.B) {
	key := ownKey()
	digest := sha256.Sum256([]byte("message"))
	signature := must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]))
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

func BenchmarkV3Callback(b *testing.B) {
	c := newCallback(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.open(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkV3CallbackFloor is one bare verification.
func BenchmarkV3CallbackFloor(b *testing.B) {
	c := newCallback(b)
	signature := must(base64.StdEncoding.DecodeString(c.header.Get("Wechatpay-Signature")))
	message := bytes.Join([][]byte{[]byte(c.header.Get("Wechatpay-Timestamp")), []byte(c.header.Get("Wechatpay-Nonce")), c.body, nil}, []byte("\n"))
	digest := sha256.Sum256(message)
	key := c.ring[publicKeyID]
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEntry(b *testing.B) {
	c, _ := client(successV2)
	c.Transport = xmlStub(signedXML(apiV2Key, entryAnswer))
	keys := &functest.Source[wechatpay.V2Keys]{Value: keysV2(apiV2Key)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.NotifyEntry(context.Background(), keys, entry); err != nil {
			b.Fatal(err)
		}
	}
}

// xmlStub answers every request with one V2 document.
type xmlStub string

func (s xmlStub) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(s)))}, nil
}

// BenchmarkSignedCallFloorHTTP is what net/http's own types cost a call: a request with its headers, made and answered by
// the stub, without any cryptography.
func BenchmarkSignedCallFloorHTTP(b *testing.B) {
	transport := stub{http.Header{}}
	body := must(parking.JSON())
	b.ReportAllocs()
	for b.Loop() {
		req := must(http.NewRequestWithContext(context.Background(), http.MethodPost, "https://api.mch.weixin.qq.com/v3/businesscircle/parkings", bytes.NewReader(body)))
		for _, name := range []string{"Accept", "Authorization", "Content-Type", "User-Agent", "Wechatpay-Serial"} {
			req.Header.Set(name, "value")
		}
		res := must(transport.RoundTrip(req))
		if _, err := io.ReadAll(res.Body); err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
}
