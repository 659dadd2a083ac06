package merchant_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/strictjson"
)

const (
	pubKey = "PUB_KEY_ID_0117654321002024101100397200000006"
	// A serial number whose first digit is a zero, which some tools leave out.
	serial = "0D4F5B1A2C3E4D5F60718293A4B5C6D7E8F90A1B"
)

// The keys are made when the tests run; none is ever written down.
var (
	v2Key = must(signing.NewNonce(rand.Reader))
	v2Old = must(signing.NewNonce(rand.Reader))
	v3Key = must(signing.NewNonce(rand.Reader))

	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	shortKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func publicPEM() string {
	return pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(rsaKey().Public())))
}

func pkcs8PEM(key any) string {
	return pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
}

func certificatePEM(serial string, notBefore time.Time) string {
	n, _ := new(big.Int).SetString(serial, 16)
	template := &x509.Certificate{SerialNumber: n, NotBefore: notBefore, NotAfter: notBefore.AddDate(5, 0, 0)}
	return pemOf("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, rsaKey().Public(), rsaKey())))
}

type object = map[string]any

var day = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// validDocument returns a document with everything in it, for tests to mutate.
func validDocument() object {
	return object{
		"mode":            "partner",
		"mchid":           "1900000100",
		"appid":           "wxcbda96de0b165486",
		"api_v2_keys":     []any{v2Key, v2Old},
		"api_v3_keys":     []any{v3Key},
		"wechatpay_keys":  object{pubKey: publicPEM(), serial: certificatePEM(serial, day)},
		"response_key_id": serial,
		"log_hash_key":    "any text at all",
	}
}

func text(document any) []byte { return must(json.Marshal(document)) }

func TestParse(t *testing.T) {
	m, err := merchant.Parse([][]byte{text(validDocument())})
	if err != nil {
		t.Fatal(err)
	}
	if m.Mode != merchant.Partner || m.MchID != "1900000100" || m.AppID != "wxcbda96de0b165486" {
		t.Errorf("got %s %s %s, want partner 1900000100 wxcbda96de0b165486", m.Mode, m.MchID, m.AppID)
	}
	if len(m.V2Keys) != 2 || len(m.V3Keys) != 1 {
		t.Errorf("got %d V2 and %d V3 keys, want 2 and 1", len(m.V2Keys), len(m.V3Keys))
	}
	if newest := must(signing.NewV2Key(v2Key)); m.V2Keys[0].Sign(nil) != newest.Sign(nil) {
		t.Error("the first V2 key is not the document's first")
	}
	for _, id := range []string{pubKey, serial} {
		if key := m.WeChatPayKeys[id]; key == nil || !key.Equal(rsaKey().Public()) {
			t.Errorf("key %s: got another key or none", id)
		}
	}
	if m.ResponseKeyID != serial {
		t.Errorf("response key id: got %q, want %q", m.ResponseKeyID, serial)
	}
	if got, want := string(m.LogHashKey), "any text at all"; got != want {
		t.Errorf("log hash key: got %q, want %q", got, want)
	}
}

func TestParseNeedsThreeFieldsOnly(t *testing.T) {
	m, err := merchant.Parse([][]byte{[]byte(`{"mode":"direct","mchid":"1900000100","appid":"wxcbda96de0b165486"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if m.Mode != merchant.Direct || len(m.V2Keys)+len(m.V3Keys)+len(m.WeChatPayKeys)+len(m.LogHashKey) != 0 || m.ResponseKeyID != "" {
		t.Errorf("got %+v and some keys, want mode direct and no key", m)
	}
}

func TestResponseKeyID(t *testing.T) {
	const second, third = "1A", "2B"
	for _, tt := range []struct {
		name  string
		keys  object
		given string
		want  string
	}{
		{"no key", object{}, "", ""},
		{"one public key", object{pubKey: publicPEM()}, "", pubKey},
		{"the last public key by its id", object{"PUB_KEY_ID_2": publicPEM(), "PUB_KEY_ID_10": publicPEM(), "PUB_KEY_ID_3": publicPEM()}, "", "PUB_KEY_ID_3"},
		{"a public key before newer certificates", object{pubKey: publicPEM(), serial: certificatePEM(serial, day)}, "", pubKey},
		{"one certificate", object{serial: certificatePEM(serial, day)}, "", serial},
		{"the certificate valid last", object{
			serial: certificatePEM(serial, day), second: certificatePEM(second, day.AddDate(0, 0, 2)), third: certificatePEM(third, day.AddDate(0, 0, 1)),
		}, "", second},
		{"of certificates valid since the same time the last by name", object{
			third: certificatePEM(third, day), second: certificatePEM(second, day),
		}, "", third},
		{"as given", object{pubKey: publicPEM(), serial: certificatePEM(serial, day)}, serial, serial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := validDocument()
			d["wechatpay_keys"] = tt.keys
			delete(d, "response_key_id")
			if tt.given != "" {
				d["response_key_id"] = tt.given
			}
			m, err := merchant.Parse([][]byte{text(d)})
			if err != nil {
				t.Fatal(err)
			}
			if m.ResponseKeyID != tt.want {
				t.Errorf("got %q, want %q", m.ResponseKeyID, tt.want)
			}
		})
	}
}

// Each row makes one mutation of a valid document.
func TestParseRefuses(t *testing.T) {
	set := func(name string, value any) func(object) {
		return func(d object) { d[name] = value }
	}
	without := func(name string) func(object) {
		return func(d object) { delete(d, name) }
	}
	key := func(name, value string) func(object) {
		return func(d object) { d["wechatpay_keys"].(object)[name] = value }
	}
	const (
		wantMode  = `want "partner" or "direct"`
		wantMchID = "want 1 to 32 digits"
		wantAppID = "want 1 to 32 letters, digits, hyphens and underscores, such as wx and 16 more"
		wantName  = "want as a name PUB_KEY_ID_ and its number, or a certificate's serial number"
		other     = "5E"
	)
	for _, tt := range []struct {
		name    string
		mutate  func(object)
		pointer string
		reason  string // "" where another package words it
		cause   error  // nil where this package decides
	}{
		{"mode missing", without("mode"), "/mode", wantMode, nil},
		{"mode unknown", set("mode", "service-provider"), "/mode", wantMode, nil},
		{"mode in capitals", set("mode", "PARTNER"), "/mode", wantMode, nil},
		{"mode of wrong type", set("mode", 1), "/mode", "The value must be a string, not a number.", &strictjson.Error{}},
		{"mode null", set("mode", nil), "/mode", "The field must have a value or be left out, not be null.", &strictjson.Error{}},
		{"mchid missing", without("mchid"), "/mchid", wantMchID, nil},
		{"mchid a number", set("mchid", 1900000100), "/mchid", "The value must be a string, not a number.", &strictjson.Error{}},
		{"mchid not digits", set("mchid", `1900000100"x`), "/mchid", wantMchID, nil},
		{"mchid too long", set("mchid", strings.Repeat("9", 33)), "/mchid", wantMchID, nil},
		{"appid missing", without("appid"), "/appid", wantAppID, nil},
		{"appid too long", set("appid", "wx"+strings.Repeat("9", 31)), "/appid", wantAppID, nil},
		{"appid with a space", set("appid", "wxcbda96de0b165486 "), "/appid", wantAppID, nil},
		{"unknown member", set("apiv2_keys", []any{v2Key}), "/apiv2_keys", "No such field is known here.", &strictjson.Error{}},
		{"member in other case", set("Mode", "partner"), "/Mode", "No such field is known here.", &strictjson.Error{}},
		{"V2 keys not a list", set("api_v2_keys", v2Key), "/api_v2_keys", "The value must be an array, not a string.", &strictjson.Error{}},
		{"second V2 key too short", set("api_v2_keys", []any{v2Key, v2Old[:31]}), "/api_v2_keys/1", "", signing.ErrInvalidKey},
		{"V3 key too long", set("api_v3_keys", []any{v3Key + "0"}), "/api_v3_keys/0", "", signing.ErrInvalidKey},
		{"V3 key empty", set("api_v3_keys", []any{""}), "/api_v3_keys/0", "", signing.ErrInvalidKey},
		{"public key not PEM", key(pubKey, "bm90IGEga2V5IGF0IGFsbA=="), "/wechatpay_keys/" + pubKey, "", signing.ErrInvalidKey},
		{"certificate under a public key's id", key(pubKey, certificatePEM(serial, day)), "/wechatpay_keys/" + pubKey, "", signing.ErrInvalidKey},
		{"public key under a serial number", key(serial, publicPEM()), "/wechatpay_keys/" + serial, "", signing.ErrInvalidKey},
		{"serial number too long", key(strings.Repeat("0", 65), certificatePEM(serial, day)), "/wechatpay_keys/" + strings.Repeat("0", 65), wantName, nil},
		{"name to be escaped", key("a/b~c", publicPEM()), "/wechatpay_keys/a~1b~0c", wantName, nil},
		{"name without end", key(strings.Repeat("g", 300), publicPEM()), "/wechatpay_keys", wantName, nil},
		{"response key id unknown", set("response_key_id", "PUB_KEY_ID_404"), "/response_key_id", "want one of the names in wechatpay_keys", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := validDocument()
			tt.mutate(d)
			_, err := merchant.Parse([][]byte{text(d)})
			wantError(t, err, tt.pointer, tt.reason, tt.cause)
			wantNoValue(t, err, d)
		})
	}
}

func TestParseRefusesWhatIsNoSingleDocument(t *testing.T) {
	valid := text(validDocument())
	twice := []byte(strings.Replace(string(valid), `{`, `{"mode":"direct",`, 1))
	for _, tt := range []struct {
		name    string
		docs    [][]byte
		pointer string
		reason  string
		cause   error
	}{
		{"no document", nil, "", "want one document, got 0", nil},
		{"two documents", [][]byte{valid, valid}, "", "want one document, got 2", nil},
		{"empty", [][]byte{{}}, "", "The document is empty.", &strictjson.Error{}},
		{"null", [][]byte{[]byte("null")}, "", "The field must have a value or be left out, not be null.", &strictjson.Error{}},
		{"a list", [][]byte{[]byte("[]")}, "", "The value must be an object, not an array.", &strictjson.Error{}},
		{"cut off", [][]byte{valid[:len(valid)-1]}, "", "", &strictjson.Error{}},
		{"more after it", [][]byte{append(valid[:len(valid):len(valid)], "{}"...)}, "", "", &strictjson.Error{}},
		{"member twice", [][]byte{twice}, "/mode", "The object names this member twice.", &strictjson.Error{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := merchant.Parse(tt.docs)
			wantError(t, err, tt.pointer, tt.reason, tt.cause)
			wantNoValue(t, err, validDocument())
		})
	}
}

func TestParseKey(t *testing.T) {
	for _, tt := range []struct{ name, pem string }{
		{"PKCS#8", pkcs8PEM(rsaKey())},
		{"PKCS#1", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := merchant.ParseKey([][]byte{text(object{"merchant_serial_no": serial, "merchant_private_key": tt.pem})})
			if err != nil {
				t.Fatal(err)
			}
			if k.SerialNo != serial || !k.PrivateKey.Equal(rsaKey()) {
				t.Errorf("got serial number %s or another key, want %s", k.SerialNo, serial)
			}
		})
	}
}

func TestParseKeyRefuses(t *testing.T) {
	const (
		serialField, keyField = "merchant_serial_no", "merchant_private_key"
		wantSerial            = "want the API certificate's serial number, as the merchant console shows it"
	)
	set := func(name string, value any) func(object) {
		return func(d object) { d[name] = value }
	}
	without := func(name string) func(object) {
		return func(d object) { delete(d, name) }
	}
	for _, tt := range []struct {
		name    string
		mutate  func(object)
		pointer string
		reason  string
		cause   error
	}{
		{"serial number missing", without(serialField), "/" + serialField, wantSerial, nil},
		{"serial number with colons", set(serialField, "0D:4F:5B"), "/" + serialField, wantSerial, nil},
		{"serial number too long", set(serialField, strings.Repeat("0", 65)), "/" + serialField, wantSerial, nil},
		{"key missing", without(keyField), "/" + keyField, "", signing.ErrInvalidKey},
		{"key a certificate", set(keyField, certificatePEM(serial, day)), "/" + keyField, "", signing.ErrInvalidKey},
		{"key not RSA", set(keyField, pkcs8PEM(ecKey())), "/" + keyField, "", signing.ErrInvalidKey},
		{"key of 1024 bits", set(keyField, pkcs8PEM(shortKey())), "/" + keyField, "", signing.ErrInvalidKey},
		{"key on one line", set(keyField, strings.ReplaceAll(pkcs8PEM(rsaKey()), "\n", " ")), "/" + keyField, "", signing.ErrInvalidKey},
		{"key a number", set(keyField, 1), "/" + keyField, "The value must be a string, not a number.", &strictjson.Error{}},
		{"unknown member", set("mchid", "1900000100"), "/mchid", "No such field is known here.", &strictjson.Error{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := object{serialField: serial, keyField: pkcs8PEM(rsaKey())}
			tt.mutate(d)
			_, err := merchant.ParseKey([][]byte{text(d)})
			wantError(t, err, tt.pointer, tt.reason, tt.cause)
			wantNoValue(t, err, d)
		})
	}
	if _, err := merchant.ParseKey(nil); err == nil || err.Error() != "merchant document: want one document, got 0" {
		t.Errorf("no document: got %v, want it named", err)
	}
}

func TestErrorTellsWhere(t *testing.T) {
	_, err := merchant.Parse([][]byte{[]byte(`{"mode":"partner"}`)})
	if want := "merchant document: /mchid: want 1 to 32 digits"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPrintingShowsNoKey(t *testing.T) {
	m, err := merchant.Parse([][]byte{text(validDocument())})
	if err != nil {
		t.Fatal(err)
	}
	k := merchant.Key{SerialNo: serial, PrivateKey: rsaKey()}
	for _, tt := range []struct {
		name       string
		value      any
		want       string
		mustNotHas []string
	}{
		{"Merchant", *m, "merchant.Merchant{partner 1900000100}", []string{v2Key, v3Key, "any text at all", "YW55IHRleHQgYXQgYWxs"}},
		{"*Merchant", m, "merchant.Merchant{partner 1900000100}", []string{v2Key, v3Key, "any text at all", "YW55IHRleHQgYXQgYWxs"}},
		{"Key", k, "merchant.Key{" + serial + "}", []string{rsaKey().D.String()}},
		{"*Key", &k, "merchant.Key{" + serial + "}", []string{rsaKey().D.String()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
				if got := fmt.Sprintf(verb, tt.value); got != tt.want {
					t.Errorf("%s: got %q, want %q", verb, got, tt.want)
				}
			}
			var log strings.Builder
			slog.New(slog.NewJSONHandler(&log, nil)).Info("", "value", tt.value)
			for _, secret := range tt.mustNotHas {
				if strings.Contains(log.String(), secret) {
					t.Errorf("JSON log: got %s, want it without the key", log.String())
				}
			}
		})
	}
}

// wantError compares err's place and, where reason is not empty, its reason;
// cause is an error that err must wrap, or a *strictjson.Error for any such.
func wantError(t *testing.T, err error, pointer, reason string, cause error) {
	t.Helper()
	got, ok := errors.AsType[*merchant.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *merchant.Error at %q", err, pointer)
	}
	if got.Pointer != pointer {
		t.Errorf("pointer: got %q, want %q", got.Pointer, pointer)
	}
	if reason == "" {
		reason = got.Unwrap().Error()
		if e, ok := got.Unwrap().(*strictjson.Error); ok {
			reason = e.Detail
		}
	}
	if got.Reason != reason {
		t.Errorf("reason: got %q, want %q", got.Reason, reason)
	}
	switch cause.(type) {
	case nil:
		if got.Unwrap() != nil {
			t.Errorf("cause: got %v, want none", got.Unwrap())
		}
	case *strictjson.Error:
		if _, ok := got.Unwrap().(*strictjson.Error); !ok {
			t.Errorf("cause: got %v, want a *strictjson.Error", got.Unwrap())
		}
	default:
		if !errors.Is(err, cause) {
			t.Errorf("cause: got %v, want %v", got.Unwrap(), cause)
		}
	}
}

// wantNoValue looks for every text of the document, and for every line of it,
// in the error. Names are not values.
func wantNoValue(t *testing.T, err error, value any) {
	t.Helper()
	const worthHiding = 8 // bytes; shorter ones are words of the error itself
	switch value := value.(type) {
	case object:
		for _, v := range value {
			wantNoValue(t, err, v)
		}
	case []any:
		for _, v := range value {
			wantNoValue(t, err, v)
		}
	case string:
		for line := range strings.Lines(value) {
			line = strings.TrimSpace(line)
			if len(line) < worthHiding || strings.HasPrefix(line, "-----") || line == serial {
				continue
			}
			if strings.Contains(err.Error(), line) {
				t.Errorf("got error %q, want it without the value %q", err, line)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text(validDocument()))
	f.Add([]byte(`{"mode":"direct","mchid":"1900000100","appid":"wxcbda96de0b165486"}`))
	f.Add([]byte(`{"mode":"direct","mchid":"1","appid":"a","api_v2_keys":["x"]}`))
	f.Add([]byte(`{"wechatpay_keys":{"PUB_KEY_ID_1":"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := merchant.Parse([][]byte{doc})
		if err != nil {
			if _, ok := err.(*merchant.Error); !ok || m != nil {
				t.Fatalf("got %v, %T, want nil and a *merchant.Error", m, err)
			}
			return
		}
		if m.Mode != merchant.Partner && m.Mode != merchant.Direct {
			t.Errorf("got mode %q", m.Mode)
		}
		if m.MchID == "" || m.AppID == "" {
			t.Error("got an empty mchid or appid")
		}
		if (m.ResponseKeyID == "") != (len(m.WeChatPayKeys) == 0) {
			t.Errorf("got response key id %q with %d keys", m.ResponseKeyID, len(m.WeChatPayKeys))
		}
		if m.ResponseKeyID != "" && m.WeChatPayKeys[m.ResponseKeyID] == nil {
			t.Errorf("got response key id %q, which is no key", m.ResponseKeyID)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(text(object{"merchant_serial_no": serial, "merchant_private_key": pkcs8PEM(rsaKey())}))
	f.Add([]byte(`{"merchant_serial_no":"1A","merchant_private_key":"-----BEGIN PRIVATE KEY-----\n"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		k, err := merchant.ParseKey([][]byte{doc})
		if err != nil {
			if _, ok := err.(*merchant.Error); !ok || k != nil {
				t.Fatalf("got %v, %T, want nil and a *merchant.Error", k, err)
			}
			return
		}
		if k.SerialNo == "" || k.PrivateKey == nil || k.PrivateKey.N.BitLen() < 2048 {
			t.Errorf("got an incomplete key %v", k)
		}
	})
}
