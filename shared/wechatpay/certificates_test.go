package wechatpay_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/wechatpay"
)

// TestDownloadCertificates plays the download against the simulator, with what the merchant knows before and with what can
// go wrong.
func TestDownloadCertificates(t *testing.T) {
	// The clock of these tests begins with the year 2000.
	began := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	current := must(wechatpaysim.GenerateCertificate(rand.Reader, began, began.AddDate(5, 0, 0)))
	renewed := must(wechatpaysim.GenerateCertificate(rand.Reader, began.AddDate(0, 1, 0), began.AddDate(5, 1, 0)))
	public := must(signing.ParseCertificate(current.PEM)).PublicKey.(*rsa.PublicKey)
	for name, row := range map[string]struct {
		known func(signing.Keyring, *wechatpaysim.Identity) // changes what the merchant knows
		keys  func(*wechatpaysim.Keys)
		fault wechatpaysim.Fault
		times int
		kind  wechatpay.Kind // 0 for success
		code  string
		why   error
		tries int
	}{
		"signed with a known certificate":       {tries: 1},
		"the first download":                    {known: func(k signing.Keyring, _ *wechatpaysim.Identity) { clear(k) }, tries: 1},
		"signed with a certificate that is new": {keys: func(k *wechatpaysim.Keys) { k.Certificates = []*wechatpaysim.Certificate{renewed, current} }, tries: 1},
		"the known key is another": {
			known: func(k signing.Keyring, i *wechatpaysim.Identity) { k[current.Serial] = k[i.PublicKeyID] },
			kind:  wechatpay.Unverified, why: signing.ErrBadSignature, tries: 3,
		},
		"unsigned":                     {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultNoSignature}, kind: wechatpay.Unverified, why: signing.ErrMissingHeader, tries: 3},
		"unsigned, once":               {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultNoSignature}, times: 1, tries: 2},
		"unsigned, the first download": {known: func(k signing.Keyring, _ *wechatpaysim.Identity) { clear(k) }, fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultNoSignature}, kind: wechatpay.Unverified, why: signing.ErrMissingHeader, tries: 3},
		"wrong signature":              {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultWrongSignature}, kind: wechatpay.Unverified, why: signing.ErrBadSignature, tries: 3},
		"wrong signature, the first download": {
			known: func(k signing.Keyring, _ *wechatpaysim.Identity) { clear(k) },
			fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultWrongSignature}, kind: wechatpay.Unverified, why: signing.ErrBadSignature, tries: 3,
		},
		"a signer that is nowhere":     {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultUnknownSerial}, kind: wechatpay.Unverified, tries: 3},
		"stale":                        {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultStale}, kind: wechatpay.Unverified, why: signing.ErrStale, tries: 3},
		"a probe":                      {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultProbe}, kind: wechatpay.Unverified, why: signing.ErrProbe, tries: 3},
		"cut off":                      {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultTruncated}, kind: wechatpay.Unknown, tries: 3},
		"a proxy's page":               {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultStatus, Status: 200}, kind: wechatpay.Unverified, tries: 3},
		"WeChat Pay is out":            {fault: wechatpaysim.Fault{Kind: wechatpaysim.FaultSystemError}, kind: wechatpay.Unavailable, code: "SYSTEM_ERROR", tries: 3},
		"the public key alone":         {keys: func(k *wechatpaysim.Keys) { k.Certificates = nil }, kind: wechatpay.Refused, code: wechatpay.NoCertificates, tries: 1},
		"our certificate is not valid": {keys: func(k *wechatpaysim.Keys) { clear(k.MerchantKeys) }, kind: wechatpay.SignatureRejected, code: "SIGN_ERROR", tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := functest.NewWorld(t)
			synctest.Test(t, func(t *testing.T) {
				p := newPlay(t, w)
				use := func(k *wechatpaysim.Keys) { k.Certificates = []*wechatpaysim.Certificate{current} }
				if err := p.simulator.ChangeKeys(use); err != nil {
					t.Fatal(err)
				}
				if row.keys != nil {
					if err := p.simulator.ChangeKeys(row.keys); err != nil {
						t.Fatal(err)
					}
				}
				keys := must(p.v3.Get(t.Context()))
				keys.WeChatPay[current.Serial] = public
				if row.known != nil {
					row.known(keys.WeChatPay, w.Identity)
				}
				if row.fault.Kind != "" {
					row.fault.Times = row.times
					if err := p.simulator.Inject(row.fault); err != nil {
						t.Fatal(err)
					}
				}
				got, err := p.client.DownloadCertificates(t.Context(), keys, p.merchant.V3Keys)
				if n := len(p.simulator.Requests()); n != row.tries {
					t.Errorf("got %d tries, want %d", n, row.tries)
				}
				if row.kind != 0 {
					if e := failure(t, err); e.Kind != row.kind || e.Code != row.code || row.why != nil && !errors.Is(err, row.why) {
						t.Errorf("got %v, want kind %d, %s, %v", err, row.kind, row.code, row.why)
					}
					if len(got.Usable) > 0 {
						t.Errorf("got %d certificates with an error", len(got.Usable))
					}
					return
				}
				if err != nil || len(got.Unusable) > 0 {
					t.Fatalf("got %v and %v", err, got.Unusable)
				}
				listed := p.simulator.Keys().Certificates
				if len(got.Usable) != len(listed) {
					t.Fatalf("got %d certificates, want %d", len(got.Usable), len(listed))
				}
				for i, c := range got.Usable {
					if c.SerialNo != listed[i].Serial || c.PEM != listed[i].PEM {
						t.Errorf("got certificate %s, want %s", c.SerialNo, listed[i].Serial)
					}
				}
			})
		})
	}
	t.Run("without an APIv3 key", func(t *testing.T) {
		p := newPlay(t, functest.NewWorld(t))
		if _, err := p.client.DownloadCertificates(t.Context(), must(p.v3.Get(t.Context())), nil); !errors.Is(err, wechatpay.ErrNoAPIv3Key) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("encrypted with another key", func(t *testing.T) {
		p := newPlay(t, functest.NewWorld(t))
		if err := p.simulator.Inject(wechatpaysim.Fault{Kind: wechatpaysim.FaultEncryption}); err != nil {
			t.Fatal(err)
		}
		got, err := p.client.DownloadCertificates(t.Context(), must(p.v3.Get(t.Context())), p.merchant.V3Keys)
		if err != nil || len(got.Usable) != 0 || len(got.Unusable) != 1 || !errors.Is(got.Unusable[0], signing.ErrUndecryptable) {
			t.Errorf("got %d usable, %v, %v", len(got.Usable), got.Unusable, err)
		}
	})
}

// The certificates of these tests are encrypted with one key, which they choose.
const listKey = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"

func sealList(key, data, plain string) (nonce, ciphertext string) {
	const fixed = "uluk4a9R25RW"
	gcm := must(cipher.NewGCM(must(aes.NewCipher([]byte(key)))))
	return fixed, base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(fixed), []byte(plain), []byte(data)))
}

// item is one certificate of a list, good unless edited.
type item struct {
	serial, algorithm, data, nonce, ciphertext string
}

func newItem(serial, text string) item {
	i := item{serial: serial, algorithm: "AEAD_AES_256_GCM", data: "certificate"}
	i.nonce, i.ciphertext = sealList(listKey, i.data, text)
	return i
}

func listOf(items ...item) []byte {
	data := []any{}
	for _, i := range items {
		data = append(data, map[string]any{
			"serial_no": i.serial, "effective_time": "2026-01-01T00:00:00+08:00", "expire_time": "2031-01-01T00:00:00+08:00",
			"encrypt_certificate": map[string]string{
				"algorithm": i.algorithm, "associated_data": i.data, "nonce": i.nonce, "ciphertext": i.ciphertext,
			},
		})
	}
	return must(json.Marshal(map[string]any{"data": data}))
}

func certificateOf(key crypto.Signer, serial string, from, to time.Time) string {
	number, _ := new(big.Int).SetString(serial, 16)
	template := &x509.Certificate{SerialNumber: number, NotBefore: from, NotAfter: to}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

var listNow = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func TestParseCertificates(t *testing.T) {
	const serial = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
	yesterday, tomorrow := listNow.AddDate(0, 0, -1), listNow.AddDate(0, 0, 1)
	good := certificateOf(ownKey(), serial, yesterday, tomorrow)
	keys := []*signing.V3Key{must(signing.NewV3Key(strings.Repeat("x", 32))), must(signing.NewV3Key(listKey))}
	edited := func(edit func(*item)) item {
		i := newItem(serial, good)
		edit(&i)
		return i
	}
	for name, row := range map[string]struct {
		item item
		want error // nil for usable
	}{
		"good":                             {newItem(serial, good), nil},
		"a zero in front":                  {newItem("0A"+serial[2:], certificateOf(ownKey(), "0A"+serial[2:], yesterday, tomorrow)), nil},
		"another serial number":            {newItem("5A"+serial[2:], good), wechatpay.ErrOtherSerial},
		"no serial number":                 {newItem("", good), wechatpay.ErrOtherSerial},
		"a serial number in words":         {newItem("PUB_KEY_ID_1", good), wechatpay.ErrOtherSerial},
		"a serial number with a sign":      {newItem("+"+serial, good), wechatpay.ErrOtherSerial},
		"expired":                          {newItem(serial, certificateOf(ownKey(), serial, yesterday.AddDate(-5, 0, 0), yesterday)), wechatpay.ErrExpired},
		"not valid yet":                    {newItem(serial, certificateOf(ownKey(), serial, tomorrow, tomorrow.AddDate(5, 0, 0))), wechatpay.ErrNotYetValid},
		"a short key":                      {newItem(serial, certificateOf(must(rsa.GenerateKey(rand.Reader, 1024)), serial, yesterday, tomorrow)), signing.ErrInvalidKey},
		"no RSA key":                       {newItem(serial, certificateOf(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), serial, yesterday, tomorrow)), signing.ErrInvalidKey},
		"no PEM":                           {newItem(serial, "certificate"), signing.ErrInvalidKey},
		"two PEM blocks":                   {newItem(serial, good+good), signing.ErrInvalidKey},
		"a key in the certificate's place": {newItem(serial, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&ownKey().PublicKey))}))), signing.ErrInvalidKey},
		"another algorithm":                {edited(func(i *item) { i.algorithm = "AEAD_SM4_GCM" }), wechatpay.ErrEncryption},
		"other associated data":            {edited(func(i *item) { i.data = "x"; i.nonce, i.ciphertext = sealList(listKey, "x", good) }), wechatpay.ErrEncryption},
		"another APIv3 key":                {edited(func(i *item) { i.nonce, i.ciphertext = sealList(strings.Repeat("y", 32), i.data, good) }), signing.ErrUndecryptable},
		"a short nonce":                    {edited(func(i *item) { i.nonce = "x" }), signing.ErrUndecryptable},
		"no base64":                        {edited(func(i *item) { i.ciphertext = "%" }), signing.ErrUndecryptable},
		"no ciphertext":                    {edited(func(i *item) { i.ciphertext = "" }), signing.ErrUndecryptable},
	} {
		t.Run(name, func(t *testing.T) {
			// One that is bad does not stand in the way of another.
			other := certificateOf(ownKey(), "77", yesterday, tomorrow)
			got, err := wechatpay.ParseCertificates(listOf(row.item, newItem("77", other)), keys, listNow)
			if err != nil {
				t.Fatal(err)
			}
			if row.want == nil {
				if len(got.Usable) != 2 || got.Usable[0].SerialNo != row.item.serial || len(got.Unusable) != 0 {
					t.Errorf("got %d usable, %v", len(got.Usable), got.Unusable)
				}
				return
			}
			if len(got.Usable) != 1 || got.Usable[0].SerialNo != "77" || len(got.Unusable) != 1 || !errors.Is(got.Unusable[0], row.want) {
				t.Errorf("got %d usable, %v, want %v", len(got.Usable), got.Unusable, row.want)
			}
		})
	}
	for name, body := range map[string]string{
		"empty": "", "no JSON": "<html>", "no list": "{}", "null": `{"data":null}`, "another type": `{"data":{}}`, "an item of another type": `{"data":[1]}`,
		"a member twice": `{"data":[],"data":[]}`, "more behind": `{"data":[]} x`,
	} {
		if _, err := wechatpay.ParseCertificates([]byte(body), keys, listNow); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if got, err := wechatpay.ParseCertificates([]byte(`{"data":[],"new":1}`), keys, listNow); err != nil || len(got.Usable) != 0 {
		t.Errorf("an empty list with a member that is new: got %v", err)
	}
}

// TestEmptyList: a list without certificates, signed with a key that is not known, is nobody's.
func TestEmptyList(t *testing.T) {
	body := `{"data":[]}`
	h := signV3(ownKey(), "5A", time.Now(), body)
	c, _ := client(func(req *http.Request) (*http.Response, error) {
		a, err := answer(200, body)(req)
		a.Header = h
		return a, err
	})
	keys := keysV3()
	if _, err := c.DownloadCertificates(t.Context(), keys, []*signing.V3Key{must(signing.NewV3Key(listKey))}); failure(t, err).Kind != wechatpay.Unverified {
		t.Errorf("got %v", err)
	}
}

// FuzzParseCertificates: whatever a list holds, what comes out usable is a valid RSA certificate of the number that the
// list gives.
func FuzzParseCertificates(f *testing.F) {
	key := []*signing.V3Key{must(signing.NewV3Key(listKey))}
	const serial = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
	good := certificateOf(ownKey(), serial, listNow.AddDate(0, 0, -1), listNow.AddDate(0, 0, 1))
	f.Add(listOf(newItem(serial, good)), serial, []byte(good))
	f.Add([]byte(`{"data":[{"serial_no":"","encrypt_certificate":null}]}`), "0", []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(`{"data":[]}`), "+1", []byte(good+good))
	f.Fuzz(func(t *testing.T, body []byte, serial string, plain []byte) {
		for _, b := range [][]byte{body, listOf(newItem(serial, string(plain)))} {
			got, err := wechatpay.ParseCertificates(b, key, listNow)
			if err != nil && len(got.Usable)+len(got.Unusable) > 0 {
				t.Fatal("got certificates and an error")
			}
			for _, c := range got.Usable {
				number, ok := new(big.Int).SetString(c.SerialNo, 16)
				public, isRSA := c.Certificate.PublicKey.(*rsa.PublicKey)
				if !ok || number.Cmp(c.Certificate.SerialNumber) != 0 || !isRSA || public.N.BitLen() < 2048 ||
					listNow.Before(c.Certificate.NotBefore) || listNow.After(c.Certificate.NotAfter) {
					t.Fatalf("got %q as usable", c.SerialNo)
				}
			}
		}
	})
}
