package signing_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/shared/signing"
)

// TestCanonicalAnswerV3: the text that people are shown is the one that a signature is checked against.
func TestCanonicalAnswerV3(t *testing.T) {
	v := loadVectors(t)
	key := vectorPrivateKey(t, v)
	at := time.Unix(1700000000, 0)
	for _, body := range []string{"", `{"id":"EV-1"}`} {
		digest := sha256.Sum256([]byte(signing.CanonicalAnswerV3("1700000000", "nonce", []byte(body))))
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		h := signing.Header{Timestamp: "1700000000", Nonce: "nonce", Signature: base64.StdEncoding.EncodeToString(signature), Serial: "key"}
		if err := (signing.Keyring{"key": &key.PublicKey}).Verify(h, []byte(body), at); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
	}
}

func TestAuthorizationVectors(t *testing.T) {
	v := loadVectors(t)
	signer, public := vectorSigner(t, v), &vectorPrivateKey(t, v).PublicKey
	for _, c := range v.V3.Cases {
		t.Run(c.Name, func(t *testing.T) {
			// The vector itself, apart from the code under test.
			signature, err := base64.StdEncoding.DecodeString(c.Signature)
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256([]byte(c.Message))
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
				t.Fatalf("the vector does not verify: %v", err)
			}
			got, err := signer.Authorization(c.Method, c.URI, []byte(c.Body), unix(t, c.Timestamp), c.Nonce)
			if err != nil {
				t.Fatal(err)
			}
			if got := signing.CanonicalRequestV3(c.Method, c.URI, c.Timestamp, c.Nonce, []byte(c.Body)); got != c.Message {
				t.Errorf("canonical text: got %q, want %q", got, c.Message)
			}
			want := fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",signature="%s",timestamp="%s",serial_no="%s"`,
				v.V3.MchID, c.Nonce, c.Signature, c.Timestamp, v.V3.SerialNo)
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestAuthorizationRefuses(t *testing.T) {
	v := loadVectors(t)
	key := vectorPrivateKey(t, v)
	type request struct {
		mchid, serialNo    string
		key                *rsa.PrivateKey
		method, uri, nonce string
	}
	for _, tc := range []struct {
		name   string
		mutate func(*request)
		want   error
	}{
		{"nothing", func(*request) {}, nil},
		{"no method", func(r *request) { r.method = "" }, signing.ErrMalformed},
		{"line end in the method", func(r *request) { r.method = "POST\n/v3/x" }, signing.ErrMalformed},
		{"no uri", func(r *request) { r.uri = "" }, signing.ErrMalformed},
		{"line end in the uri", func(r *request) { r.uri += "\n1" }, signing.ErrMalformed},
		{"space in the uri", func(r *request) { r.uri += " " }, signing.ErrMalformed},
		{"uri that is not escaped", func(r *request) { r.uri += "车" }, signing.ErrMalformed},
		{"no nonce", func(r *request) { r.nonce = "" }, signing.ErrMalformed},
		{"quote in the nonce", func(r *request) { r.nonce = `n",mchid="2` }, signing.ErrMalformed},
		{"NUL in the nonce", func(r *request) { r.nonce = "\x00" }, signing.ErrMalformed},
		{"no mchid", func(r *request) { r.mchid = "" }, signing.ErrMalformed},
		{"quote in the mchid", func(r *request) { r.mchid = `1"` }, signing.ErrMalformed},
		{"carriage return in the serial number", func(r *request) { r.serialNo += "\r\nX: y" }, signing.ErrMalformed},
		{"no key", func(r *request) { r.key = nil }, signing.ErrInvalidKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request{v.V3.MchID, v.V3.SerialNo, key, "POST", "/v3/businesscircle/parkings", "593BEC0C930BF1AFEB40B4A08C8FB242"}
			tc.mutate(&r)
			got, err := signing.NewSigner(r.mchid, r.serialNo, r.key).Authorization(r.method, r.uri, nil, time.Unix(1554208460, 0), r.nonce)
			if !errors.Is(err, tc.want) {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			if (got == "") != (tc.want != nil) {
				t.Errorf("got header %q with error %v", got, err)
			}
		})
	}
}

// TestAuthorizationOfGreatLength leaves the stack buffer for the heap.
func TestAuthorizationOfGreatLength(t *testing.T) {
	v := loadVectors(t)
	key := vectorPrivateKey(t, v)
	uri, body := "/v3/"+strings.Repeat("a", 4096), bytes.Repeat([]byte("粤"), 20<<10)
	header, err := vectorSigner(t, v).Authorization("POST", uri, body, time.Unix(1554208460, 0), "n")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(header, `signature="`)
	text, _, _ := strings.Cut(rest, `"`)
	signature, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("POST\n" + uri + "\n1554208460\nn\n" + string(body) + "\n"))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
}

func TestKeyringVectors(t *testing.T) {
	for _, v := range loadVectors(t).Responses {
		t.Run(v.Name, func(t *testing.T) {
			ring := signing.Keyring{v.Serial: mustPublicKey(t, v.PublicKeyPEM)}
			h := signing.Header{Timestamp: v.Timestamp, Nonce: v.Nonce, Signature: v.Signature, Serial: v.Serial}
			if err := ring.Verify(h, []byte(v.Body), unix(t, v.Timestamp)); err != nil {
				t.Errorf("got error %v", err)
			}
			if err := ring.Verify(h, []byte(v.Body+"\n"), unix(t, v.Timestamp)); err != signing.ErrBadSignature {
				t.Errorf("a line end more: got %v, want %v", err, signing.ErrBadSignature)
			}
		})
	}
}

func TestKeyringVerify(t *testing.T) {
	v := loadVectors(t)
	response := v.Responses[0]
	private := vectorPrivateKey(t, v)
	sent := unix(t, response.Timestamp)
	ring := signing.Keyring{
		response.Serial:   mustPublicKey(t, response.PublicKeyPEM),
		"PUB_KEY_ID_TEST": &private.PublicKey,
		"EMPTY":           nil,
	}
	type message struct {
		signing.Header
		body string
		now  time.Time
	}
	const probe = "WECHATPAY/SIGNTEST/"
	for _, tc := range []struct {
		name   string
		mutate func(*message)
		want   error
	}{
		{"genuine", func(*message) {}, nil},
		{"300 s later", func(m *message) { m.now = sent.Add(300 * time.Second) }, nil},
		{"300.9 s later", func(m *message) { m.now = sent.Add(300*time.Second + 900*time.Millisecond) }, nil},
		{"300 s earlier", func(m *message) { m.now = sent.Add(-300 * time.Second) }, nil},

		{"no timestamp", func(m *message) { m.Timestamp = "" }, signing.ErrMissingHeader},
		{"no nonce", func(m *message) { m.Nonce = "" }, signing.ErrMissingHeader},
		{"no signature", func(m *message) { m.Signature = "" }, signing.ErrMissingHeader},
		{"no serial", func(m *message) { m.Serial = "" }, signing.ErrMissingHeader},
		{"header before time", func(m *message) { m.Nonce = ""; m.now = time.Time{} }, signing.ErrMissingHeader},

		{"timestamp with a sign", func(m *message) { m.Timestamp = "+" + m.Timestamp }, signing.ErrMalformed},
		{"timestamp with a zero in front", func(m *message) { m.Timestamp = "0" + m.Timestamp }, signing.ErrMalformed},
		{"timestamp with a fraction", func(m *message) { m.Timestamp += ".0" }, signing.ErrMalformed},
		{"timestamp with a space", func(m *message) { m.Timestamp += " " }, signing.ErrMalformed},
		{"timestamp in other digits", func(m *message) { m.Timestamp = "１７２２" }, signing.ErrMalformed},
		{"timestamp of great length", func(m *message) { m.Timestamp = strings.Repeat("9", 1<<16) }, signing.ErrMalformed},
		{"timestamp that wraps", func(m *message) { m.Timestamp = "18446744075432402037" }, signing.ErrMalformed},
		{"timestamp in milliseconds", func(m *message) { m.Timestamp += "000" }, signing.ErrMalformed},
		{"line end in the nonce", func(m *message) { m.Nonce += "\n" }, signing.ErrMalformed},
		{"nonce that takes the body", func(m *message) { m.Nonce += "\n" + m.body; m.body = "" }, signing.ErrMalformed},
		{"NUL in the nonce", func(m *message) { m.Nonce += "\x00" }, signing.ErrMalformed},

		{"301 s later", func(m *message) { m.now = sent.Add(301 * time.Second) }, signing.ErrStale},
		{"301 s earlier", func(m *message) { m.now = sent.Add(-301 * time.Second) }, signing.ErrFuture},
		{"no clock", func(m *message) { m.now = time.Time{} }, signing.ErrFuture},
		{"1970", func(m *message) { m.Timestamp = "1" }, signing.ErrStale},
		{"far ahead", func(m *message) { m.Timestamp = "999999999999" }, signing.ErrFuture},
		{"time before key", func(m *message) { m.Serial = "X"; m.now = sent.Add(time.Hour) }, signing.ErrStale},
		{"time before probe", func(m *message) { m.Signature = probe; m.now = sent.Add(time.Hour) }, signing.ErrStale},

		{"unknown serial", func(m *message) { m.Serial = "PUB_KEY_ID_1" }, signing.ErrUnknownKey},
		{"serial in lower case", func(m *message) { m.Serial = strings.ToLower(m.Serial) }, signing.ErrUnknownKey},
		{"serial without a key", func(m *message) { m.Serial = "EMPTY" }, signing.ErrUnknownKey},
		{"key before base64", func(m *message) { m.Serial = "X"; m.Signature = "!" }, signing.ErrUnknownKey},

		{"not base64", func(m *message) { m.Signature = "!" + m.Signature[1:] }, signing.ErrBadBase64},
		{"no padding", func(m *message) { m.Signature = strings.TrimRight(m.Signature, "=") }, signing.ErrBadBase64},
		{"too much padding", func(m *message) { m.Signature += "=" }, signing.ErrBadBase64},
		{"line end in base64", func(m *message) { m.Signature = m.Signature[:76] + "\n" + m.Signature[76:] }, signing.ErrBadBase64},
		{"carriage return after base64", func(m *message) { m.Signature += "\r" }, signing.ErrBadBase64},
		{"space before base64", func(m *message) { m.Signature = " " + m.Signature }, signing.ErrBadBase64},
		{"URL base64", func(m *message) { m.Signature = strings.ReplaceAll(m.Signature, "+", "-") }, signing.ErrBadBase64},
		{"stray bits in base64", func(m *message) { m.Signature = strings.TrimSuffix(m.Signature, "A==") + "B==" }, signing.ErrBadBase64},
		{"two signatures", func(m *message) { m.Signature += "," + m.Signature }, signing.ErrBadBase64},

		{"changed body", func(m *message) { m.body = strings.Replace(m.body, "1", "2", 1) }, signing.ErrBadSignature},
		{"no body", func(m *message) { m.body = "" }, signing.ErrBadSignature},
		{"another nonce", func(m *message) { m.Nonce = "e" + m.Nonce[1:] }, signing.ErrBadSignature},
		{"another timestamp", func(m *message) { m.Timestamp = "1722850422" }, signing.ErrBadSignature},
		{"another known key", func(m *message) { m.Serial = "PUB_KEY_ID_TEST" }, signing.ErrBadSignature},
		{"forged signature", func(m *message) { m.Signature = "A" + m.Signature[1:] }, signing.ErrBadSignature},
		{"signature cut", func(m *message) { m.Signature = m.Signature[:4] }, signing.ErrBadSignature},
		{"signature longer than the key", func(m *message) { m.Signature = "AAAA" + m.Signature }, signing.ErrBadSignature},
		{"signature of great length", func(m *message) { m.Signature = strings.Repeat("AAAA", 1<<18) }, signing.ErrBadSignature},
		{"signature of zeros", func(m *message) { m.Signature = strings.Repeat("A", 342) + "==" }, signing.ErrBadSignature},

		{"probe, unknown serial", func(m *message) { m.Signature = probe + m.Signature; m.Serial = "X" }, signing.ErrProbe},
		{"probe, bad base64", func(m *message) { m.Signature = probe + m.Signature }, signing.ErrProbe},
		{"probe, bad signature", func(m *message) { m.Signature = probe + "A" + m.Signature[20:] }, signing.ErrProbe},
		{"probe in the middle", func(m *message) { m.Signature = "A" + probe + m.Signature[20:] }, signing.ErrBadSignature},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := message{
				signing.Header{Timestamp: response.Timestamp, Nonce: response.Nonce, Signature: response.Signature, Serial: response.Serial},
				response.Body, sent,
			}
			tc.mutate(&m)
			if got := ring.Verify(m.Header, []byte(m.body), m.now); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestEmptyKeyring(t *testing.T) {
	c := newCallback(t)
	if got, want := signing.Keyring(nil).Verify(c.header, c.body, c.now), signing.ErrUnknownKey; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// FuzzKeyringVerify accepts the genuine messages alone.
func FuzzKeyringVerify(f *testing.F) {
	ring := signing.Keyring{}
	type message struct{ timestamp, nonce, serial, body string }
	genuine := map[message]bool{}
	for _, v := range loadVectors(f).Responses {
		ring[v.Serial] = mustPublicKey(f, v.PublicKeyPEM)
		genuine[message{v.Timestamp, v.Nonce, v.Serial, v.Body}] = true
		f.Add(v.Timestamp, v.Nonce, v.Signature, v.Serial, []byte(v.Body))
		f.Add(v.Timestamp, v.Nonce, "WECHATPAY/SIGNTEST/"+v.Signature[:20], v.Serial, []byte(v.Body))
		f.Add(v.Timestamp, v.Nonce+"\n"+v.Body, v.Signature, v.Serial, []byte{})
	}
	now := time.Unix(1722850421, 0)
	f.Fuzz(func(t *testing.T, timestamp, nonce, signature, serial string, body []byte) {
		err := ring.Verify(signing.Header{Timestamp: timestamp, Nonce: nonce, Signature: signature, Serial: serial}, body, now)
		switch err {
		case nil:
			if !genuine[message{timestamp, nonce, serial, string(body)}] {
				t.Fatalf("a forged message verifies: %q %q %q", timestamp, nonce, body)
			}
		case signing.ErrProbe:
			if !strings.HasPrefix(signature, "WECHATPAY/SIGNTEST/") {
				t.Fatalf("%q is called a probe", signature)
			}
		case signing.ErrMissingHeader, signing.ErrMalformed, signing.ErrStale, signing.ErrFuture:
		case signing.ErrUnknownKey, signing.ErrBadBase64, signing.ErrBadSignature:
			if strings.HasPrefix(signature, "WECHATPAY/SIGNTEST/") {
				t.Fatalf("got %v, want %v", err, signing.ErrProbe)
			}
		default:
			t.Fatalf("got error %v", err)
		}
	})
}
