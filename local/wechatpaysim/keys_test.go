package wechatpaysim

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// download is a request for the platform certificates that is good unless edited.
func download(t testing.TB) *parking {
	p := goodParking(t, "")
	p.method, p.uri = http.MethodGet, RouteCertificates
	p.header.Del("Content-Type")
	return p
}

func newTestCertificate(t testing.TB) *Certificate {
	t.Helper()
	c, err := GenerateCertificate(rand.Reader, testNow.Add(-time.Hour), testNow.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func change(t testing.TB, s *Simulator, do func(*Keys)) {
	t.Helper()
	if err := s.ChangeKeys(do); err != nil {
		t.Fatal(err)
	}
}

func TestCertificates(t *testing.T) {
	cfg := testConfig(t)
	s := newSim(t, cfg)
	renewed := newTestCertificate(t)
	change(t, s, func(k *Keys) { k.Certificates = append(k.Certificates, renewed) })
	w := serve(s, download(t).request(t, ""))
	if w.Code != 200 || !last(t, s).Accepted {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if err := verifyPlatform(t, cfg.Identity, w.Header(), w.Body.Bytes()); err != nil {
		t.Error(err)
	}
	var list struct {
		Data []struct {
			SerialNo    string `json:"serial_no"`
			ExpireTime  string `json:"expire_time"`
			Certificate struct {
				Algorithm, Nonce, Ciphertext string
				AssociatedData               string `json:"associated_data"`
			} `json:"encrypt_certificate"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Data) != 2 {
		t.Fatalf("got %d certificates, %v", len(list.Data), err)
	}
	for i, want := range []*Certificate{cfg.Identity.certificate, renewed} {
		got := list.Data[i]
		plain, err := openGCM(t, v3Key, got.Certificate.Nonce, got.Certificate.AssociatedData, got.Certificate.Ciphertext)
		if err != nil || string(plain) != want.PEM || got.SerialNo != want.Serial || got.Certificate.Algorithm != "AEAD_AES_256_GCM" ||
			got.Certificate.AssociatedData != "certificate" || got.ExpireTime != want.NotAfter.In(beijing).Format(time.RFC3339) {
			t.Errorf("certificate %d: got %+v, %v", i, got, err)
		}
	}
}

func TestCertificatesRefused(t *testing.T) {
	for name, row := range map[string]struct {
		keys   func(*Keys)
		edit   func(*parking)
		status int
		code   string
	}{
		"a merchant with the public key alone": {func(k *Keys) { k.Certificates = nil }, func(*parking) {}, 404, "RESOURCE_NOT_EXISTS"},
		"no APIv3 key":                         {func(k *Keys) { k.APIv3Key = "" }, func(*parking) {}, 400, "INVALID_REQUEST"},
		"a body":                               {func(*Keys) {}, func(p *parking) { p.body = "{}" }, 400, "PARAM_ERROR"},
		"a query":                              {func(*Keys) {}, func(p *parking) { p.uri += "?algorithm_type=ALL" }, 400, "PARAM_ERROR"},
		"POST":                                 {func(*Keys) {}, func(p *parking) { p.method = "POST" }, 404, "RESOURCE_NOT_EXISTS"},
		"another Content-Type":                 {func(*Keys) {}, func(p *parking) { p.header.Set("Content-Type", "text/plain") }, 400, "INVALID_REQUEST"},
		"no User-Agent":                        {func(*Keys) {}, func(p *parking) { p.header.Del("User-Agent") }, 400, "INVALID_REQUEST"},
		"another key's signature":              {func(*Keys) {}, func(p *parking) { p.key = keys()[1] }, 401, "SIGN_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, testConfig(t))
			change(t, s, row.keys)
			p := download(t)
			row.edit(p)
			w := serve(s, p.request(t, ""))
			if w.Code != row.status || !strings.Contains(w.Body.String(), row.code) || last(t, s).Accepted {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestFaultEncryption(t *testing.T) {
	s := newSim(t, testConfig(t))
	if err := s.Inject(Fault{Kind: FaultEncryption, Route: RouteParkings}); !errors.Is(err, ErrFault) {
		t.Errorf("on another route: got %v", err)
	}
	if err := s.Inject(Fault{Kind: FaultEncryption, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if w := serve(s, goodParking(t, parkingBody).request(t, "")); w.Code != 204 {
		t.Errorf("a call that has nothing encrypted: got %d", w.Code)
	}
	w := serve(s, download(t).request(t, ""))
	var list certificateList
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	e := list.Data[0].Encrypted
	if _, err := openGCM(t, v3Key, e.Nonce, e.AssociatedData, e.Ciphertext); err == nil {
		t.Error("it is encrypted with the merchant's key")
	}
}

// TestChangeKeys: what is set in the console counts at once, and what it replaces no longer does.
func TestChangeKeys(t *testing.T) {
	cfg := testConfig(t)
	s := newSim(t, cfg)
	renewed := newTestCertificate(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const newV2 = "newnewnewnewnewnewnewnewnewnew12"
	const newV3 = "newv3newv3newv3newv3newv3newv312"
	change(t, s, func(k *Keys) {
		*k = Keys{
			APIv2Keys: []string{newV2}, APIv3Key: newV3, MerchantKeys: map[string]*rsa.PublicKey{"NEW": &other.PublicKey},
			Certificates: []*Certificate{renewed},
		}
	})
	if w := serve(s, goodParking(t, parkingBody).request(t, "")); w.Code != 401 || w.Header().Get("Wechatpay-Serial") != renewed.Serial {
		t.Errorf("the revoked merchant certificate: got %d under %s", w.Code, w.Header().Get("Wechatpay-Serial"))
	}
	p := goodParking(t, parkingBody)
	p.key, p.serialNo = other, "NEW"
	p.header.Set("Wechatpay-Serial", renewed.Serial)
	if w := serve(s, p.request(t, "")); w.Code != 204 || w.Header().Get("Wechatpay-Serial") != renewed.Serial {
		t.Errorf("the new merchant certificate: got %d %s", w.Code, w.Body)
	}
	for _, named := range []string{cfg.Identity.PublicKeyID, cfg.Identity.CertificateSerial} {
		p := goodParking(t, parkingBody)
		p.key, p.serialNo = other, "NEW"
		p.header.Set("Wechatpay-Serial", named)
		if w := serve(s, p.request(t, "")); w.Code != 400 {
			t.Errorf("a key that is not in use is named: got %d, want 400", w.Code)
		}
	}
	if w := serve(s, goodEntry(t, lotScene).request(t)); !strings.Contains(w.Body.String(), "签名失败") {
		t.Errorf("the old APIv2 key: got %s", w.Body)
	}
	c, err := s.BuildMallTransaction("http://x", MallTransaction{})
	if err != nil || c.Header.Get("Wechatpay-Serial") != renewed.Serial {
		t.Fatalf("callback: got %s, %v", c.Header.Get("Wechatpay-Serial"), err)
	}
	var sent envelope
	if err := json.Unmarshal(c.Body, &sent); err != nil {
		t.Fatal(err)
	}
	if _, err := openGCM(t, newV3, sent.Resource.Nonce, sent.Resource.AssociatedData, sent.Resource.Ciphertext); err != nil {
		t.Error("the callback is not encrypted with the new key")
	}
	plate, err := s.BuildPlateState("http://x", PlateState{PlateNumber: "粤B888888"})
	if err != nil {
		t.Fatal(err)
	}
	if fields := answerFields(t, plate.Body); fields["sign"] != signV2(fields, newV2) {
		t.Error("the plate notice is not signed with the new key")
	}

	// A callback that was built before is renewed with what is in use then.
	change(t, s, func(k *Keys) { k.Certificates, k.PublicKey = nil, true })
	if c, err = s.Renew(c); err != nil || c.Header.Get("Wechatpay-Serial") != cfg.Identity.PublicKeyID {
		t.Errorf("renewed: got %s, %v", c.Header.Get("Wechatpay-Serial"), err)
	}
}

func TestCallbackShares(t *testing.T) {
	cfg := testConfig(t)
	s := newSim(t, cfg)
	change(t, s, func(k *Keys) {
		k.Callbacks = []CallbackShare{{cfg.Identity.PublicKeyID, 200}, {cfg.Identity.CertificateSerial, 800}}
	})
	got := map[string]int{}
	for range 500 {
		c, err := s.BuildMallTransaction("http://x", MallTransaction{})
		if err != nil {
			t.Fatal(err)
		}
		got[c.Header.Get("Wechatpay-Serial")]++
	}
	if n := got[cfg.Identity.PublicKeyID]; n < 50 || n > 170 || n+got[cfg.Identity.CertificateSerial] != 500 {
		t.Errorf("got %v, want about 100 by the public key and 400 by the certificate", got)
	}
	for name, bad := range map[string][]CallbackShare{
		"less than all":     {{cfg.Identity.PublicKeyID, 999}},
		"a key not in use":  {{"PUB_KEY_ID_1", 1000}},
		"less than nothing": {{cfg.Identity.PublicKeyID, 1001}, {cfg.Identity.CertificateSerial, -1}},
	} {
		if err := s.ChangeKeys(func(k *Keys) { k.Callbacks = bad }); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := s.ChangeKeys(func(k *Keys) { k.PublicKey, k.Certificates, k.Callbacks = false, nil, nil }); !errors.Is(err, ErrConfig) {
		t.Errorf("no key at all: got %v", err)
	}
}
