package explain

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"

	"wechat-parking-gateway/shared/signing"
)

// named is one symmetric key, by its place in the secrets.
type named struct{ name, text string }

// Keys are the keys at hand. Printing them shows none.
type Keys struct {
	v2, v3 []named

	wechatPay map[string]*rsa.PublicKey
	// merchantNamed are the ids under which a certificate stands that has the mchid for a name.
	merchantNamed map[string]bool

	mchID, merchantSerial string
	merchant              *rsa.PublicKey

	vendors map[string]*vendorKeys
}

type vendorKeys struct{ request, webhook []named }

// Format prints the type's name, whatever the verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "explain.Keys") }

// Documents are the secrets' documents; those that are not at hand are empty.
type Documents struct {
	Merchant, MerchantKey []byte
	Vendors               [][]byte
}

// NewKeys takes the keys out of documents. What cannot be read is left out and told of in remarks: a message is often
// looked at because a secret is not in order.
func NewKeys(documents Documents) (keys Keys, remarks []string) {
	keys.wechatPay, keys.merchantNamed, keys.vendors = map[string]*rsa.PublicKey{}, map[string]bool{}, map[string]*vendorKeys{}
	remark := func(format string, args ...any) { remarks = append(remarks, fmt.Sprintf(format, args...)) }

	var merchant struct {
		MchID         string            `json:"mchid"`
		APIv2Keys     []string          `json:"api_v2_keys"`
		APIv3Keys     []string          `json:"api_v3_keys"`
		WeChatPayKeys map[string]string `json:"wechatpay_keys"`
	}
	if len(documents.Merchant) > 0 && json.Unmarshal(documents.Merchant, &merchant) != nil {
		remark("the merchant's secret cannot be read: run `parkctl secret check`")
	}
	keys.mchID = merchant.MchID
	for i, text := range merchant.APIv2Keys {
		keys.v2 = append(keys.v2, named{fmt.Sprintf("api_v2_keys/%d", i), text})
	}
	for i, text := range merchant.APIv3Keys {
		keys.v3 = append(keys.v3, named{fmt.Sprintf("api_v3_keys/%d", i), text})
	}
	for _, id := range slices.Sorted(maps.Keys(merchant.WeChatPayKeys)) {
		text := merchant.WeChatPayKeys[id]
		if certificate, err := signing.ParseCertificate(text); err == nil {
			keys.wechatPay[id] = certificate.PublicKey.(*rsa.PublicKey)
			keys.merchantNamed[id] = merchant.MchID != "" && certificate.Subject.CommonName == merchant.MchID
		} else if public, err := signing.ParsePublicKey(text); err == nil {
			keys.wechatPay[id] = public
		} else {
			remark("wechatpay_keys/%s cannot be read: run `parkctl secret check`", id)
		}
	}

	var key struct {
		SerialNo   string `json:"merchant_serial_no"`
		PrivateKey string `json:"merchant_private_key"`
	}
	if len(documents.MerchantKey) > 0 {
		private, err := (*rsa.PrivateKey)(nil), json.Unmarshal(documents.MerchantKey, &key)
		if err == nil {
			private, err = signing.ParsePrivateKey(key.PrivateKey)
		}
		if err != nil {
			remark("the private key's secret cannot be read: run `parkctl secret check`")
		} else {
			keys.merchantSerial, keys.merchant = key.SerialNo, &private.PublicKey
		}
	}

	for _, document := range documents.Vendors {
		var d struct {
			Vendors map[string]struct {
				RequestSecrets []string `json:"request_secrets"`
				WebhookSecrets []string `json:"webhook_secrets"`
			} `json:"vendors"`
		}
		if json.Unmarshal(document, &d) != nil {
			remark("a vendors secret cannot be read: run `parkctl secret check`")
			continue
		}
		for id, v := range d.Vendors {
			keys.AddVendor(id, v.RequestSecrets, v.WebhookSecrets)
		}
	}
	return keys, remarks
}

// AddVendor adds a vendor's secrets, for instance those of a hand-over file.
func (k *Keys) AddVendor(id string, request, webhook []string) {
	if k.vendors == nil {
		k.vendors = map[string]*vendorKeys{}
	}
	v := k.vendors[id]
	if v == nil {
		v = &vendorKeys{}
		k.vendors[id] = v
	}
	for _, text := range request {
		v.request = append(v.request, named{fmt.Sprintf("%s/request_secrets/%d", id, len(v.request)), text})
	}
	for _, text := range webhook {
		v.webhook = append(v.webhook, named{fmt.Sprintf("%s/webhook_secrets/%d", id, len(v.webhook)), text})
	}
}

// ids returns the ids of WeChat Pay's keys in order.
func (k Keys) ids() []string { return slices.Sorted(maps.Keys(k.wechatPay)) }

// similar returns the id at hand of which one is the beginning or the end of the other: one of the two was cut short.
func similar(id string, all []string) string {
	const shortest = 6
	for _, other := range all {
		short, long := id, other
		if len(short) > len(long) {
			short, long = long, short
		}
		bare := strings.TrimPrefix(short, "PUB_KEY_ID_")
		if short == long || len(bare) < shortest {
			continue
		}
		if strings.HasPrefix(long, short) || strings.HasSuffix(long, bare) {
			return other
		}
	}
	return ""
}

// sha256Info and sha1Info stand in front of a hash in what RSA PKCS #1 v1.5 signs (RFC 8017, section 9.2).
var (
	sha256Info = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	sha1Info   = []byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}
)

// opened is what an RSA signature holds.
type opened struct {
	hash []byte
	sha1 bool
}

// open opens a signature with a public key. It succeeds exactly for signatures of that key, whatever was signed: the hash
// in it is of what the signer had before it.
func open(key *rsa.PublicKey, signature []byte) (opened, bool) {
	if key == nil || len(signature) != key.Size() {
		return opened{}, false
	}
	number := new(big.Int).SetBytes(signature)
	if number.Cmp(key.N) >= 0 {
		return opened{}, false
	}
	padded := number.Exp(number, big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, key.Size()))
	rest, ok := bytes.CutPrefix(padded, []byte{0, 1})
	if !ok {
		return opened{}, false
	}
	rest = bytes.TrimLeft(rest, "\xff")
	if rest, ok = bytes.CutPrefix(rest, []byte{0}); !ok {
		return opened{}, false
	}
	if hash, ok := bytes.CutPrefix(rest, sha256Info); ok && len(hash) == 32 {
		return opened{hash: hash}, true
	}
	if hash, ok := bytes.CutPrefix(rest, sha1Info); ok && len(hash) == 20 {
		return opened{hash: hash, sha1: true}, true
	}
	return opened{}, false
}

// decoded returns the bytes of a Standard Webhooks secret, nil if it is none.
func decoded(text string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	if err != nil || len(key) == 0 {
		return nil
	}
	return key
}
