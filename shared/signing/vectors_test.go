package signing_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/flatxml"
)

// vectors is testdata/wechatpay.json.
type vectors struct {
	V2 []v2Vector `json:"v2_hmac_sha256"`
	V3 struct {
		MchID         string          `json:"mchid"`
		SerialNo      string          `json:"serial_no"`
		PrivateKeyPEM string          `json:"private_key_pem"`
		Cases         []requestVector `json:"cases"`
	} `json:"v3_request"`
	Responses []responseVector `json:"v3_response"`
	AEAD      []aeadVector     `json:"aead_aes_256_gcm"`
}

type v2Vector struct {
	Name         string `json:"name"`
	Key          string `json:"api_v2_key"`
	Fields       fields `json:"fields"`
	StringToSign string `json:"string_to_sign"`
	Sign         string `json:"sign"`
}

// fields keeps the order of a JSON object, which is that of WeChat Pay's pages.
type fields flatxml.Document

func (f *fields) UnmarshalJSON(b []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(b))
	var texts []string
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if text, ok := token.(string); ok {
			texts = append(texts, text)
		}
	}
	for pair := range slices.Chunk(texts, 2) {
		*f = append(*f, flatxml.Element{Name: pair[0], Value: pair[1]})
	}
	return nil
}

// document returns the fields without a sign.
func (v v2Vector) document() flatxml.Document { return slices.Clone(flatxml.Document(v.Fields)) }

// signed returns the fields with the vector's sign.
func (v v2Vector) signed() flatxml.Document {
	return append(v.document(), flatxml.Element{Name: "sign", Value: v.Sign})
}

type requestVector struct {
	Name      string `json:"name"`
	Method    string `json:"method"`
	URI       string `json:"uri"`
	Timestamp string `json:"timestamp"`
	Nonce     string `json:"nonce"`
	Body      string `json:"body"`
	Message   string `json:"message"`
	Signature string `json:"signature"`
}

type responseVector struct {
	Name         string `json:"name"`
	Timestamp    string `json:"timestamp"`
	Nonce        string `json:"nonce"`
	Serial       string `json:"serial"`
	Body         string `json:"body"`
	Signature    string `json:"signature"`
	PublicKeyPEM string `json:"public_key_pem"`
}

type aeadVector struct {
	Name           string `json:"name"`
	Key            string `json:"api_v3_key"`
	Nonce          string `json:"nonce"`
	AssociatedData string `json:"associated_data"`
	Ciphertext     string `json:"ciphertext"`
	Plaintext      string `json:"plaintext"`
}

// loadVectors reads the vectors with the private key's PEM label made good: it
// stands as TESTING KEY in the file, so that secret scanners stay quiet.
func loadVectors(t testing.TB) vectors {
	t.Helper()
	v, err := readVectors()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readVectors() (vectors, error) {
	var v vectors
	b, err := os.ReadFile("../../testdata/wechatpay.json")
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, err
	}
	v.V3.PrivateKeyPEM = strings.ReplaceAll(v.V3.PrivateKeyPEM, "TESTING KEY", "PRIVATE KEY")
	return v, nil
}
