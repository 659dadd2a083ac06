package secretdoc_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/cmd/parkctl/secretdoc"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/shared/signing"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// keys are made once: they take long.
var keys = sync.OnceValues(func() (*fixture.World, error) {
	return fixture.New(func() time.Time { return now })
})

// scene is a set of secrets that a test may spoil before it is checked.
type scene struct {
	t           *testing.T
	world       fixture.World
	certificate string
	at          time.Time
	// edit changes a document's JSON after all else, by the secret's kind.
	edit map[string]func(string) string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	shared, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, world: *shared, at: now, edit: map[string]func(string) string{}}
	// What tests change is copied.
	s.world.Merchant.APIv2Keys = append([]string{}, shared.Merchant.APIv2Keys...)
	s.world.Merchant.APIv3Keys = append([]string{}, shared.Merchant.APIv3Keys...)
	s.world.Merchant.WeChatPayKeys = shared.Identity.WeChatPayKeys()
	s.world.Vendors.Vendors = map[string]*fixture.Vendor{}
	for id, v := range shared.Vendors.Vendors {
		vendor := *v
		vendor.Merchants = append([]fixture.VendorMerchant{}, v.Merchants...)
		s.world.Vendors.Vendors[id] = &vendor
	}
	s.certificate = certificate(t, shared.MerchantKey.PrivateKey, fixture.MerchantSerial, fixture.MchID, now.AddDate(5, 0, 0))
	return s
}

// certificate makes a certificate for a key.
func certificate(t *testing.T, key, serial, name string, until time.Time) string {
	t.Helper()
	private, err := signing.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	number, _ := new(big.Int).SetString(serial, 16)
	template := &x509.Certificate{SerialNumber: number, Subject: pkix.Name{CommonName: name}, NotBefore: until.AddDate(-5, 0, -1), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (s *scene) check() secretdoc.Report {
	s.t.Helper()
	document := func(kind string, v any) secretdoc.Secret {
		b, err := json.Marshal(v)
		if err != nil {
			s.t.Fatal(err)
		}
		if edit := s.edit[kind]; edit != nil {
			b = []byte(edit(string(b)))
		}
		return secretdoc.Secret{Name: kind, Document: b}
	}
	return secretdoc.Check(secretdoc.Set{
		Merchant: document("merchant", s.world.Merchant), MerchantKey: document("merchant-key", s.world.MerchantKey),
		Vendors: []secretdoc.Secret{document("vendors", s.world.Vendors)}, Certificate: s.certificate,
	}, s.at)
}

// values are what no report may show.
func (s *scene) values() []string {
	values := append([]string{s.world.MerchantKey.PrivateKey, "secret-token", "-----BEGIN"}, s.world.Merchant.APIv2Keys...)
	values = append(values, s.world.Merchant.APIv3Keys...)
	for _, v := range s.world.Vendors.Vendors {
		for _, secret := range append(append([]string{}, v.RequestSecrets...), v.WebhookSecrets...) {
			values = append(values, strings.TrimPrefix(secret, "whsec_"))
		}
	}
	if len(s.world.Merchant.LogHashKey) > 10 {
		values = append(values, s.world.Merchant.LogHashKey)
	}
	return values
}

func (s *scene) vendor() *fixture.Vendor { return s.world.Vendors.Vendors[fixture.VendorID] }

// TestCheck: each row spoils one thing in secrets that are in order, and the check finds that one thing: which field, of
// what kind, how bad. No finding shows a value.
func TestCheck(t *testing.T) {
	const (
		e, w      = secretdoc.Error, secretdoc.Warning
		demo      = "/vendors/demo-parking"
		otherDemo = "/vendors/other-parking"
	)
	replace := func(old, with string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, with, 1) }
	}
	for _, row := range []struct {
		name   string
		spoil  func(s *scene)
		level  secretdoc.Level
		secret string
		field  string
		code   string
	}{
		{"nothing", func(*scene) {}, "", "", "", ""},

		{"a document that is no JSON", func(s *scene) { s.edit["merchant"] = replace("}", "") }, e, "merchant", "", "malformed"},
		{"an empty secret", func(s *scene) { s.edit["merchant-key"] = func(string) string { return "" } }, e, "merchant-key", "", "empty"},
		{"an unknown field", func(s *scene) { s.edit["merchant"] = replace(`"appid"`, `"appId"`) }, e, "merchant", "/appId", "unknown_field"},
		{"a field twice", func(s *scene) { s.edit["merchant"] = replace(`"appid"`, `"mchid":"1","appid"`) }, e, "merchant", "/mchid", "duplicate_key"},
		{"a field of another type", func(s *scene) { s.edit["merchant"] = replace(`"api_v2_keys":[`, `"api_v2_keys":[1,`) }, e, "merchant", "/api_v2_keys/0", "wrong_type"},
		{"an unknown field of a vendor", func(s *scene) { s.edit["vendors"] = replace(`"webhook_url"`, `"webhookurl"`) }, e, "vendors", demo + "/webhookurl", "refused"},
		{"no vendors", func(s *scene) { s.edit["vendors"] = func(string) string { return "{}" } }, e, "vendors", "/vendors", "refused"},

		{"a mode that does not exist", func(s *scene) { s.world.Merchant.Mode = "proxy" }, e, "merchant", "/mode", "refused"},
		{"a missing mchid", func(s *scene) { s.edit["merchant"] = replace(`"mchid":"10000098",`, "") }, e, "merchant", "/mchid", "refused"},
		{"an APIv2 key of 31", func(s *scene) { s.world.Merchant.APIv2Keys[0] = s.world.Merchant.APIv2Keys[0][1:] }, e, "merchant", "/api_v2_keys/0", "key_length"},
		{"an APIv2 key with a space", func(s *scene) { s.world.Merchant.APIv2Keys[0] = " " + s.world.Merchant.APIv2Keys[0][1:] }, e, "merchant", "/api_v2_keys/0", "key_length"},
		{"an APIv3 key of 33", func(s *scene) { s.world.Merchant.APIv3Keys[0] += "x" }, e, "merchant", "/api_v3_keys/0", "key_length"},
		{"one key for both versions", func(s *scene) { s.world.Merchant.APIv3Keys[0] = s.world.Merchant.APIv2Keys[0] }, w, "merchant", "/api_v3_keys/0", "same_key"},
		{"an APIv2 key twice", func(s *scene) {
			s.world.Merchant.APIv2Keys = append(s.world.Merchant.APIv2Keys, s.world.Merchant.APIv2Keys[0])
		}, w, "merchant", "/api_v2_keys/1", "twice"},
		{"no APIv2 key", func(s *scene) { s.world.Merchant.APIv2Keys = []string{} }, w, "merchant", "/api_v2_keys", "no_v2_key"},
		{"no APIv3 key", func(s *scene) { s.world.Merchant.APIv3Keys = []string{} }, w, "merchant", "/api_v3_keys", "no_v3_key"},
		{"no log_hash_key", func(s *scene) { s.world.Merchant.LogHashKey = "" }, w, "merchant", "/log_hash_key", "no_log_hash_key"},
		{"a short log_hash_key", func(s *scene) { s.world.Merchant.LogHashKey = "short" }, w, "merchant", "/log_hash_key", "short_log_hash_key"},

		{"no key of WeChat Pay", func(s *scene) {
			s.world.Merchant.WeChatPayKeys, s.world.Merchant.ResponseKeyID = map[string]string{}, ""
		}, w, "merchant", "/wechatpay_keys", "no_wechatpay_key"},
		{"a truncated PUB_KEY_ID", func(s *scene) {
			id := s.world.Identity.PublicKeyID
			s.world.Merchant.WeChatPayKeys[id[:30]] = s.world.Merchant.WeChatPayKeys[id]
			delete(s.world.Merchant.WeChatPayKeys, id)
			s.world.Merchant.ResponseKeyID = id[:30]
		}, w, "merchant", "/wechatpay_keys/PUB_KEY_ID_", "key_id_length"},
		{"a certificate under another serial", func(s *scene) {
			serial := s.world.Identity.CertificateSerial
			s.world.Merchant.WeChatPayKeys["5B"+serial[2:]] = s.world.Merchant.WeChatPayKeys[serial]
			delete(s.world.Merchant.WeChatPayKeys, serial)
		}, w, "merchant", "/wechatpay_keys/5B", "serial_differs"},
		{"a certificate under a small-letter serial", func(s *scene) {
			serial := s.world.Identity.CertificateSerial
			s.world.Merchant.WeChatPayKeys[strings.ToLower(serial)] = s.world.Merchant.WeChatPayKeys[serial]
			delete(s.world.Merchant.WeChatPayKeys, serial)
		}, w, "merchant", "/wechatpay_keys/5a", "serial_differs"},
		{"a certificate under a PUB_KEY_ID", func(s *scene) {
			s.world.Merchant.WeChatPayKeys[s.world.Identity.PublicKeyID] = s.world.Identity.CertificatePEM
		}, e, "merchant", "/wechatpay_keys/PUB_KEY_ID_", "bad_key"},
		{"a public key under a serial", func(s *scene) {
			s.world.Merchant.WeChatPayKeys[s.world.Identity.CertificateSerial] = s.world.Identity.PublicKeyPEM
		}, e, "merchant", "/wechatpay_keys/5A", "bad_certificate"},
		{"one key under two ids", func(s *scene) {
			id := s.world.Identity.PublicKeyID
			s.world.Merchant.WeChatPayKeys["PUB_KEY_ID_"+strings.Repeat("9", 34)] = s.world.Merchant.WeChatPayKeys[id]
		}, w, "merchant", "/wechatpay_keys/PUB_KEY_ID_9", "same_key"},
		{"an expired platform certificate", func(s *scene) {
			s.at, s.certificate = now.AddDate(5, 0, 1), ""
		}, w, "merchant", "/wechatpay_keys/5A", "certificate_expired"},
		{"a platform certificate near its end", func(s *scene) {
			s.at, s.certificate = now.AddDate(5, 0, -7), ""
		}, w, "merchant", "/wechatpay_keys/5A", "certificate_expires_soon"},
		{"nothing but an expired platform certificate", func(s *scene) {
			delete(s.world.Merchant.WeChatPayKeys, s.world.Identity.PublicKeyID)
			s.world.Merchant.ResponseKeyID = ""
			s.at, s.certificate = now.AddDate(5, 0, 1), ""
		}, e, "merchant", "/wechatpay_keys", "no_live_key"},
		{"the merchant's certificate for WeChat Pay's", func(s *scene) {
			s.world.Merchant.WeChatPayKeys[fixture.MerchantSerial] = s.certificate
		}, e, "merchant", "/wechatpay_keys/408B", "merchant_certificate"},
		{"a response_key_id that is not there", func(s *scene) { s.world.Merchant.ResponseKeyID = "PUB_KEY_ID_1" }, e, "merchant", "/response_key_id", "refused"},

		{"a private key that is not the certificate's", func(s *scene) {
			other, err := fixture.New(func() time.Time { return now })
			if err != nil {
				t.Fatal(err)
			}
			s.world.MerchantKey.PrivateKey = other.MerchantKey.PrivateKey
		}, e, "merchant-key", "/merchant_private_key", "not_a_pair"},
		{"a certificate in place of the private key", func(s *scene) { s.world.MerchantKey.PrivateKey = s.certificate }, e, "merchant-key", "/merchant_private_key", "bad_key"},
		{"another serial than the certificate's", func(s *scene) { s.world.MerchantKey.SerialNo = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C" }, e, "merchant-key", "/merchant_serial_no", "serial_differs"},
		{"a serial in small letters", func(s *scene) {
			s.world.MerchantKey.SerialNo, s.certificate = strings.ToLower(fixture.MerchantSerial), ""
		}, w, "merchant-key", "/merchant_serial_no", "serial_form"},
		{"a public key's id for the serial", func(s *scene) {
			s.world.MerchantKey.SerialNo, s.certificate = s.world.Identity.PublicKeyID, ""
		}, e, "merchant-key", "/merchant_serial_no", "public_key_id"},
		{"a platform certificate's serial", func(s *scene) {
			s.world.MerchantKey.SerialNo, s.certificate = s.world.Identity.CertificateSerial, ""
		}, e, "merchant-key", "/merchant_serial_no", "platform_serial"},
		{"no serial", func(s *scene) { s.world.MerchantKey.SerialNo, s.certificate = "", "" }, e, "merchant-key", "/merchant_serial_no", "refused"},
		{"an expired merchant certificate", func(s *scene) {
			s.certificate = certificate(s.t, s.world.MerchantKey.PrivateKey, fixture.MerchantSerial, fixture.MchID, now.AddDate(0, 0, -1))
		}, e, "merchant-key", "", "certificate_expired"},
		{"a merchant certificate near its end", func(s *scene) {
			s.certificate = certificate(s.t, s.world.MerchantKey.PrivateKey, fixture.MerchantSerial, fixture.MchID, now.AddDate(0, 0, 9))
		}, w, "merchant-key", "", "certificate_expires_soon"},

		{"a vendor without merchants", func(s *scene) { s.vendor().Merchants = []fixture.VendorMerchant{} }, w, "vendors", demo + "/merchants", "no_merchants"},
		{"a vendor without secrets", func(s *scene) { s.vendor().RequestSecrets = []string{} }, w, "vendors", demo + "/request_secrets", "no_request_secret"},
		{"a merchant without products", func(s *scene) { s.vendor().Merchants[0].Vehicle, s.vendor().Merchants[0].BusinessCircle = nil, nil }, w, "vendors", demo + "/merchants/0", "no_product"},
		{"a merchant without its number in mode partner", func(s *scene) { s.vendor().Merchants[0].SubMchID = "" }, w, "vendors", demo + "/merchants/0/sub_mchid", "mode"},
		{"a secret of 16 bytes", func(s *scene) { s.vendor().RequestSecrets = []string{"whsec_AAECAwQFBgcICQoLDA0ODw=="} }, w, "vendors", demo + "/request_secrets/0", "short_secret"},
		{"a secret without its prefix", func(s *scene) { s.vendor().RequestSecrets = []string{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"} }, e, "vendors", demo + "/request_secrets/0", "refused"},
		{"a secret of two vendors", func(s *scene) {
			s.vendor().RequestSecrets = s.world.Vendors.Vendors[fixture.OtherVendorID].RequestSecrets
		}, w, "vendors", otherDemo + "/request_secrets/0", "shared_secret"},
		{"a secret in both lists", func(s *scene) { s.vendor().WebhookSecrets = s.vendor().RequestSecrets }, e, "vendors", demo + "/webhook_secrets/0", "refused"},
		{"three secrets", func(s *scene) {
			s.vendor().RequestSecrets = []string{fixture.NewSecret(), fixture.NewSecret(), fixture.NewSecret()}
		}, w, "vendors", demo + "/request_secrets", "many_secrets"},
		{"a webhook_url without TLS", func(s *scene) { s.vendor().WebhookURL = "http://parking.example.com/hooks?secret-token" }, w, "vendors", demo + "/webhook_url", "webhook_url"},
		{"a webhook_url on another port", func(s *scene) { s.vendor().WebhookURL = "https://parking.example.com:8443/secret-token" }, w, "vendors", demo + "/webhook_url", "webhook_url"},
		{"a webhook_url of a private address", func(s *scene) { s.vendor().WebhookURL = "https://10.0.0.1/secret-token" }, w, "vendors", demo + "/webhook_url", "webhook_url"},
		{"a webhook_url and no secret", func(s *scene) { s.vendor().WebhookSecrets = []string{} }, w, "vendors", demo + "/webhook_secrets", "no_webhook_secret"},
		{"a secret that is nearly full", func(s *scene) { s.edit["vendors"] = func(d string) string { return d + strings.Repeat(" ", 60_000) } }, w, "vendors", "", "nearly_full"},
		{"a secret that is too large", func(s *scene) { s.edit["vendors"] = func(d string) string { return d + strings.Repeat(" ", 70_000) } }, e, "vendors", "", "too_large"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene(t)
			row.spoil(s)
			report := s.check()
			if row.code == "" {
				if len(report.Findings) != 0 {
					t.Errorf("got %+v, want nothing", report.Findings)
				}
				return
			}
			found := false
			for _, f := range report.Findings {
				found = found || f.Level == row.level && f.Secret == row.secret && f.Code == row.code &&
					(f.Field == row.field || strings.HasPrefix(row.field, "/wechatpay_keys/") && strings.HasPrefix(f.Field, row.field))
				if f.Why == "" || f.Do == "" {
					t.Errorf("got %+v, want why and what to do", f)
				}
			}
			if !found || row.level == w && report.Failed() {
				t.Errorf("got %+v, want %s %s %s %s", report.Findings, row.level, row.secret, row.field, row.code)
			}
			shown := fmt.Sprintf("%+v", report)
			for _, value := range s.values() {
				if strings.Contains(shown, value) {
					t.Errorf("the report shows a value: %s", shown)
				}
			}
		})
	}
}

// TestMissing: a secret that is not there is an error that says how to make it.
func TestMissing(t *testing.T) {
	report := secretdoc.Check(secretdoc.Set{
		Merchant: secretdoc.Secret{Name: "m", Missing: errors.New("there is no such secret")}, MerchantKey: secretdoc.Secret{Name: "k"},
		Vendors: []secretdoc.Secret{{Name: "v", Missing: errors.New("there is no such secret")}},
	}, now)
	if len(report.Findings) != 3 || !report.Failed() {
		t.Errorf("got %+v, want three errors", report.Findings)
	}
}

// TestMakeKey: only a pair makes a document, and its serial number is the certificate's.
func TestMakeKey(t *testing.T) {
	s := newScene(t)
	key, _, err := secretdoc.MakeKey(s.world.MerchantKey.PrivateKey, s.certificate)
	if err != nil || key.SerialNo != fixture.MerchantSerial {
		t.Errorf("got %s, %v, want the certificate's serial number", key.SerialNo, err)
	}
	if _, _, err := secretdoc.MakeKey(s.world.MerchantKey.PrivateKey, s.world.Identity.CertificatePEM); !errors.Is(err, secretdoc.ErrNotAPair) {
		t.Errorf("got %v, want %v", err, secretdoc.ErrNotAPair)
	}
	if _, _, err := secretdoc.MakeKey(s.certificate, s.certificate); !errors.Is(err, signing.ErrInvalidKey) {
		t.Errorf("got %v, want %v", err, signing.ErrInvalidKey)
	}
}

func ExampleMakePublicKey() {
	fmt.Println(secretdoc.MakePublicKey("PUB_KEY_ID_000000000000002410110039720000", ""))
	// Output:
	// the id of a WeChat Pay public key has 34 digits after PUB_KEY_ID_, this one 30; copy it whole from the merchant console
}
