package signing_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"testing"
	"time"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
)

// Each benchmark has a Floor beside it: the least that any implementation does,
// so that the two can be compared in one run.

// What is computed goes here, so that it is computed.
var (
	sinkBytes  []byte
	sinkString string
)

func BenchmarkV2BuildAndSign(b *testing.B) {
	d, key := entryDocument(b)
	b.ReportAllocs()
	for b.Loop() {
		out, err := buildAndSign(d, key)
		if err != nil {
			b.Fatal(err)
		}
		sinkBytes = out
	}
}

func BenchmarkV2BuildAndSignFloor(b *testing.B) {
	v := loadVectors(b).V2[1]
	message, mac := []byte(v.StringToSign), hmac.New(sha256.New, []byte(v.Key))
	var sum [sha256.Size]byte
	b.ReportAllocs()
	for b.Loop() {
		mac.Reset()
		mac.Write(message)
		mac.Sum(sum[:0])
	}
}

func BenchmarkV2ParseAndVerify(b *testing.B) {
	body, keys := callbackBody(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := parseAndVerify(body, keys); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkV2ParseAndVerifyFloor(b *testing.B) {
	v := loadVectors(b).V2[4]
	message, mac := []byte(v.StringToSign), hmac.New(sha256.New, []byte(v.Key))
	var sum [sha256.Size]byte
	b.ReportAllocs()
	for b.Loop() {
		mac.Reset()
		mac.Write(message)
		mac.Sum(sum[:0])
	}
}

func BenchmarkV3Authorization(b *testing.B) {
	v := loadVectors(b)
	signer, c := vectorSigner(b, v), v.V3.Cases[3]
	body, now := []byte(c.Body), unix(b, c.Timestamp)
	sign := func() (err error) {
		sinkString, err = signer.Authorization(c.Method, c.URI, body, now, c.Nonce)
		return err
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := functest.AtDepth(n%functest.Depths, sign); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkV3AuthorizationFloor(b *testing.B) {
	v := loadVectors(b)
	key := vectorPrivateKey(b, v)
	digest := sha256.Sum256([]byte(v.V3.Cases[3].Message))
	sign := func() (err error) {
		sinkBytes, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
		return err
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := functest.AtDepth(n%functest.Depths, sign); err != nil {
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

func BenchmarkV3CallbackFloor(b *testing.B) {
	c := newCallback(b)
	signature, err := base64.StdEncoding.DecodeString(c.header.Signature)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte(c.header.Timestamp + "\n" + c.header.Nonce + "\n" + string(c.body) + "\n"))
	key := c.ring[c.header.Serial]
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}

// buildAndSign is what a V2 call does: sign, append, write.
func buildAndSign(d flatxml.Document, key *signing.V2Key) ([]byte, error) {
	last := len(d) - 1
	d[last].Value = key.Sign(d[:last])
	return flatxml.Append(nil, d)
}

// parseAndVerify is what a V2 answer or callback needs.
func parseAndVerify(body []byte, keys []*signing.V2Key) error {
	d, err := flatxml.Parse(body)
	if err != nil {
		return err
	}
	return signing.VerifyV2(d, keys)
}

// entryDocument is the entry notification of a car park, with room for its sign.
func entryDocument(t testing.TB) (flatxml.Document, *signing.V2Key) {
	v := loadVectors(t).V2[1]
	return append(v.document(), flatxml.Element{Name: "sign"}), mustV2Key(t, v.Key)
}

// callbackBody is a plate-state callback as WeChat Pay writes it.
func callbackBody(t testing.TB) ([]byte, []*signing.V2Key) {
	t.Helper()
	v := loadVectors(t).V2[4]
	body := []byte("<xml>\n")
	for _, e := range v.signed() {
		body = append(body, "  <"+e.Name+">"+e.Value+"</"+e.Name+">\n"...)
	}
	return append(body, "</xml>\n"...), []*signing.V2Key{mustV2Key(t, v.Key)}
}

// A callback is a signed V3 callback with all that is needed to open it.
type callback struct {
	header signing.Header
	body   []byte
	now    time.Time
	ring   signing.Keyring
	keys   []*signing.V3Key
}

type envelope struct {
	ID         string `json:"id"`
	CreateTime string `json:"create_time"`
	EventType  string `json:"event_type"`
	Resource   struct {
		Algorithm      string `json:"algorithm"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
		Nonce          string `json:"nonce"`
	} `json:"resource"`
}

// newCallback puts the vector of a mall transaction into an envelope that is
// signed with the vectors' private key.
func newCallback(t testing.TB) callback {
	t.Helper()
	v := loadVectors(t)
	key := vectorPrivateKey(t, v)
	var e envelope
	e.ID = "EV-2018022511223320873"
	e.CreateTime = "2020-05-20T13:29:36+08:00"
	e.EventType = "MALL_TRANSACTION.SUCCESS"
	e.Resource.Algorithm = "AEAD_AES_256_GCM"
	e.Resource.Ciphertext = v.AEAD[1].Ciphertext
	e.Resource.Nonce = v.AEAD[1].Nonce
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	c := callback{
		header: signing.Header{Timestamp: "1722850421", Nonce: "d824f2e086d3c1df967785d13fcd22ef", Serial: "PUB_KEY_ID_TEST"},
		body:   body,
		now:    time.Unix(1722850421, 0),
		ring:   signing.Keyring{"PUB_KEY_ID_TEST": &key.PublicKey},
		keys:   []*signing.V3Key{mustV3Key(t, v.AEAD[1].Key)},
	}
	c.header.Signature = signResponse(t, key, c.header, body)
	return c
}

// open verifies, decodes, decrypts and decodes again.
func (c callback) open() error {
	if err := c.ring.Verify(c.header, c.body, c.now); err != nil {
		return err
	}
	var e envelope
	if err := json.Unmarshal(c.body, &e); err != nil {
		return err
	}
	plain, err := signing.Decrypt(c.keys, e.Resource.Nonce, e.Resource.AssociatedData, e.Resource.Ciphertext)
	if err != nil {
		return err
	}
	var transaction struct {
		MchID         string `json:"mchid"`
		OpenID        string `json:"openid"`
		Amount        int64  `json:"amount"`
		TransactionID string `json:"transaction_id"`
	}
	return json.Unmarshal(plain, &transaction)
}

// BenchmarkV2ParseAndVerifyFloorXML is encoding/xml walking the same document's tokens, without keeping anything.
func BenchmarkV2ParseAndVerifyFloorXML(b *testing.B) {
	body, _ := callbackBody(b)
	b.ReportAllocs()
	for b.Loop() {
		d := xml.NewDecoder(bytes.NewReader(body))
		for {
			if _, err := d.RawToken(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkV3CallbackFloorGCM is the bare decryption of the resource.
func BenchmarkV3CallbackFloorGCM(b *testing.B) {
	v := loadVectors(b).AEAD[1]
	block, err := aes.NewCipher([]byte(v.Key))
	if err != nil {
		b.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	sealed, err := base64.StdEncoding.DecodeString(v.Ciphertext)
	if err != nil {
		b.Fatal(err)
	}
	nonce, plain := []byte(v.Nonce), make([]byte, 0, len(sealed))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gcm.Open(plain, nonce, sealed, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkV3CallbackFloorJSON is encoding/json decoding the envelope and the resource.
func BenchmarkV3CallbackFloorJSON(b *testing.B) {
	c := newCallback(b)
	var e envelope
	if err := json.Unmarshal(c.body, &e); err != nil {
		b.Fatal(err)
	}
	plain, err := signing.Decrypt(c.keys, e.Resource.Nonce, e.Resource.AssociatedData, e.Resource.Ciphertext)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var e envelope
		var resource map[string]any
		if json.Unmarshal(c.body, &e) != nil || json.Unmarshal(plain, &resource) != nil {
			b.Fatal("the vectors are not JSON")
		}
	}
}
