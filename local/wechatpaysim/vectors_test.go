package wechatpaysim

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

type vectors struct {
	V2 []struct {
		Name         string            `json:"name"`
		Key          string            `json:"api_v2_key"`
		Fields       map[string]string `json:"fields"`
		StringToSign string            `json:"string_to_sign"`
		Sign         string            `json:"sign"`
	} `json:"v2_hmac_sha256"`
	Request struct {
		MchID    string `json:"mchid"`
		SerialNo string `json:"serial_no"`
		Key      string `json:"private_key_pem"`
		Cases    []struct {
			Name, Method, URI, Timestamp, Nonce, Body, Message, Signature string
		} `json:"cases"`
	} `json:"v3_request"`
	Response []struct {
		Name, Timestamp, Nonce, Body, Signature string
		Key                                     string `json:"public_key_pem"`
	} `json:"v3_response"`
	AEAD []struct {
		Name           string `json:"name"`
		Key            string `json:"api_v3_key"`
		Nonce          string `json:"nonce"`
		AssociatedData string `json:"associated_data"`
		Ciphertext     string `json:"ciphertext"`
		Plaintext      string `json:"plaintext"`
	} `json:"aead_aes_256_gcm"`
}

func loadVectors(t testing.TB) (vectors, *rsa.PrivateKey) {
	t.Helper()
	b, err := os.ReadFile("../../testdata/wechatpay.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(strings.ReplaceAll(v.Request.Key, "TESTING KEY", "PRIVATE KEY")))
	if block == nil {
		t.Fatal("the vectors' key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return v, key.(*rsa.PrivateKey)
}

func TestVectorsV2(t *testing.T) {
	v, _ := loadVectors(t)
	for _, tc := range v.V2 {
		if got := stringToSign(tc.Fields, tc.Key); got != tc.StringToSign {
			t.Errorf("%s: got string %q, want %q", tc.Name, got, tc.StringToSign)
		}
		if got := signV2(tc.Fields, tc.Key); got != tc.Sign {
			t.Errorf("%s: got sign %s, want %s", tc.Name, got, tc.Sign)
		}
	}
}

func TestVectorsV3Request(t *testing.T) {
	v, key := loadVectors(t)
	for _, tc := range v.Request.Cases {
		message := tc.Method + "\n" + tc.URI + "\n" + tc.Timestamp + "\n" + tc.Nonce + "\n" + tc.Body + "\n"
		if message != tc.Message {
			t.Errorf("%s: got message %q", tc.Name, message)
		}
		if got, err := signRSA(key, message); err != nil || got != tc.Signature {
			t.Errorf("%s: got signature %s, %v", tc.Name, got, err)
		}
		if err := verifyRSA(&key.PublicKey, message, tc.Signature); err != nil {
			t.Errorf("%s: %v", tc.Name, err)
		}
		if err := verifyRSA(&key.PublicKey, message+" ", tc.Signature); err == nil {
			t.Errorf("%s: a changed message verifies", tc.Name)
		}
	}
}

func TestVectorsV3Response(t *testing.T) {
	v, key := loadVectors(t)
	for _, tc := range v.Response {
		block, _ := pem.Decode([]byte(tc.Key))
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		message := platformMessage(tc.Timestamp, tc.Nonce, []byte(tc.Body))
		if err := verifyRSA(public.(*rsa.PublicKey), message, tc.Signature); err != nil {
			t.Errorf("%s: %v", tc.Name, err)
		}
		if !key.PublicKey.Equal(public) {
			continue
		}
		if got, err := signRSA(key, message); err != nil || got != tc.Signature {
			t.Errorf("%s: got signature %s, %v", tc.Name, got, err)
		}
	}
}

func TestVectorsAEAD(t *testing.T) {
	v, _ := loadVectors(t)
	for _, tc := range v.AEAD {
		if got, err := sealGCM(tc.Key, tc.Nonce, tc.AssociatedData, []byte(tc.Plaintext)); err != nil || got != tc.Ciphertext {
			t.Errorf("%s: got %s, %v", tc.Name, got, err)
		}
	}
}

// TestVectorsAccepted sends the vectors of the two interfaces as a client would.
func TestVectorsAccepted(t *testing.T) {
	v, key := loadVectors(t)
	cfg := testConfig(t)
	cfg.MchID = v.Request.MchID
	cfg.MerchantKeys = map[string]*rsa.PublicKey{v.Request.SerialNo: &key.PublicKey}
	served := 0
	for _, tc := range v.Request.Cases {
		if tc.URI != RouteParkings {
			continue
		}
		at, err := strconv.ParseInt(tc.Timestamp, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Now = func() time.Time { return time.Unix(at, 0) }
		s := newSim(t, cfg)
		r := httptest.NewRequest(tc.Method, tc.URI, strings.NewReader(tc.Body))
		r.Header = http.Header{
			"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"test"},
			"Authorization": {`WECHATPAY2-SHA256-RSA2048 mchid="` + v.Request.MchID + `",nonce_str="` + tc.Nonce + `",signature="` +
				tc.Signature + `",timestamp="` + tc.Timestamp + `",serial_no="` + v.Request.SerialNo + `"`},
		}
		if w := serve(s, r); w.Code != 204 {
			t.Errorf("%s: got %d %s, want 204", tc.Name, w.Code, w.Body)
		}
		served++
	}
	for _, tc := range v.V2 {
		if tc.Fields["scene_info"] == "" {
			continue
		}
		s := newSim(t, testConfig(t))
		e := goodEntry(t, lotScene)
		e.fields = clone(tc.Fields)
		e.fields["sign"] = tc.Sign
		serve(s, e.request(t))
		if rec := last(t, s); !rec.Accepted {
			t.Errorf("%s: got %q, want accepted", tc.Name, rec.Reason)
		}
		served++
	}
	if served != 3 {
		t.Errorf("got %d vectors of these interfaces, want 3", served)
	}
}
