// Package merchant says what the merchant's two secret documents mean: who
// calls WeChat Pay, and with which keys. It turns their bytes into typed keys
// or into an error that names a field; it fetches and caches nothing.
//
// The functions' rooms that talk with WeChat Pay may import it, and the
// operator's tool, which checks a document before it is stored. It imports the
// rooms of the cryptography and of strict JSON only.
//
// The private key has a document of its own, so that the function that parses
// what anybody may post, the callbacks, need not be able to read it.
//
// Source of what keys there are and how WeChat Pay names them:
// https://pay.weixin.qq.com/docs/partner/products/platform-certificate/update-pub-key.html.
package merchant

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/strictjson"
)

// Mode tells in which role the merchant calls WeChat Pay.
type Mode string

const (
	// Partner is a service provider (服务商), which calls for sub-merchants.
	Partner Mode = "partner"
	// Direct is a merchant (直连商户) that calls for itself.
	Direct Mode = "direct"
)

// publicKeyPrefix begins the id of every WeChat Pay public key. What has
// another id is the serial number of a platform certificate.
const publicKeyPrefix = "PUB_KEY_ID_"

// Lengths that documents are held to. The first two are WeChat Pay's limits of
// mch_id and appid.
const (
	maxMchID    = 32
	maxAppID    = 32
	maxKeyIDLen = 64
	maxPointer  = 256
)

// Merchant is the merchant's document, checked and ready to use. It is shared
// by all who read it from a cache, so nobody may change it. Printing it shows
// no key.
type Merchant struct {
	Mode  Mode
	MchID string
	// AppID is the merchant's own (the service provider's in mode partner).
	AppID string

	// V2Keys and V3Keys are newest first: the first signs, all verify or
	// decrypt. They may be empty, for a merchant that uses the other scheme
	// alone.
	V2Keys []*signing.V2Key
	V3Keys []*signing.V3Key

	// WeChatPayKeys verifies WeChat Pay's signatures.
	WeChatPayKeys signing.Keyring

	// Certificates are the platform certificates among WeChatPayKeys, by
	// serial number, for those who look at their dates. No date is checked
	// here.
	Certificates map[string]*x509.Certificate

	// ResponseKeyID is the id of the key that WeChat Pay is asked to sign its
	// answers with, by the header Wechatpay-Serial. It is "" when
	// WeChatPayKeys is empty, and otherwise one of them: the document's
	// response_key_id; or else the public key whose id comes last in the order
	// of bytes; or else the certificate that became valid last.
	ResponseKeyID string

	// LogHashKey keys the hashes that stand in logs for plates and openids. It
	// may be empty.
	LogHashKey []byte `json:"-"`
}

// Format prints the mode and mchid, whatever the verb.
func (m Merchant) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "merchant.Merchant{"+string(m.Mode)+" "+m.MchID+"}")
}

// Key is what the merchant signs V3 requests with. Printing it shows the serial
// number alone.
type Key struct {
	// SerialNo is the serial number of the merchant's API certificate.
	SerialNo   string
	PrivateKey *rsa.PrivateKey `json:"-"`
}

// Format prints the serial number, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "merchant.Key{"+k.SerialNo+"}")
}

// Error is the only error of this package.
type Error struct {
	// Pointer is the RFC 6901 pointer of the field at fault, "" for the whole
	// document.
	Pointer string
	// Reason says what is wrong and what is expected. It never holds a value
	// of the document.
	Reason string

	cause error
}

// Error returns the pointer and the reason.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return "merchant document: " + e.Reason
	}
	return "merchant document: " + e.Pointer + ": " + e.Reason
}

// Unwrap returns the *strictjson.Error or the error of package signing that
// caused e, or nil.
func (e *Error) Unwrap() error { return e.cause }

// document is the shape of the merchant's secret.
type document struct {
	Mode          string            `json:"mode"`
	MchID         string            `json:"mchid"`
	AppID         string            `json:"appid"`
	APIV2Keys     []string          `json:"api_v2_keys"`
	APIV3Keys     []string          `json:"api_v3_keys"`
	WeChatPayKeys map[string]string `json:"wechatpay_keys"`
	ResponseKeyID string            `json:"response_key_id"`
	LogHashKey    string            `json:"log_hash_key"`
}

// Parse reads the merchant's document, of which docs holds exactly one. Members
// that it does not know are refused; mode, mchid and appid must be there. The
// error is an *Error.
func Parse(docs [][]byte) (*Merchant, error) {
	var d document
	if err := decode(docs, &d); err != nil {
		return nil, err
	}
	switch {
	case d.Mode != string(Partner) && d.Mode != string(Direct):
		return nil, refuse("/mode", `want "partner" or "direct"`)
	case !isMchID(d.MchID):
		return nil, refuse("/mchid", "want 1 to 32 digits")
	case !isAppID(d.AppID):
		return nil, refuse("/appid", "want 1 to 32 letters, digits, hyphens and underscores, such as wx and 16 more")
	}
	v2Keys, err := each("/api_v2_keys", d.APIV2Keys, signing.NewV2Key)
	if err != nil {
		return nil, err
	}
	v3Keys, err := each("/api_v3_keys", d.APIV3Keys, signing.NewV3Key)
	if err != nil {
		return nil, err
	}
	keyring, certificates, newest, err := wechatPayKeys(d.WeChatPayKeys)
	if err != nil {
		return nil, err
	}
	if d.ResponseKeyID != "" {
		newest = d.ResponseKeyID
		if keyring[newest] == nil {
			return nil, refuse("/response_key_id", "want one of the names in wechatpay_keys")
		}
	}
	return &Merchant{
		Mode:          Mode(d.Mode),
		MchID:         d.MchID,
		AppID:         d.AppID,
		V2Keys:        v2Keys,
		V3Keys:        v3Keys,
		WeChatPayKeys: keyring,
		Certificates:  certificates,
		ResponseKeyID: newest,
		LogHashKey:    []byte(d.LogHashKey),
	}, nil
}

// keyDocument is the shape of the private key's secret.
type keyDocument struct {
	SerialNo   string `json:"merchant_serial_no"`
	PrivateKey string `json:"merchant_private_key"`
}

// ParseKey reads the document of the merchant's private key, of which docs
// holds exactly one. Both its members must be there and no other. The error is
// an *Error.
func ParseKey(docs [][]byte) (*Key, error) {
	var d keyDocument
	if err := decode(docs, &d); err != nil {
		return nil, err
	}
	if !isKeyID(d.SerialNo) {
		return nil, refuse("/merchant_serial_no", "want the API certificate's serial number, as the merchant console shows it")
	}
	key, err := signing.ParsePrivateKey(d.PrivateKey)
	if err != nil {
		return nil, refuseFor("/merchant_private_key", err)
	}
	return &Key{SerialNo: d.SerialNo, PrivateKey: key}, nil
}

func decode(docs [][]byte, v any) error {
	if len(docs) != 1 {
		return refuse("", fmt.Sprintf("want one document, got %d", len(docs)))
	}
	err := strictjson.Unmarshal(docs[0], v)
	if e, ok := err.(*strictjson.Error); ok {
		return &Error{Pointer: e.Pointer, Reason: e.Detail, cause: e}
	}
	return err
}

// each makes a key of every text.
func each[K any](pointer string, texts []string, parse func(string) (K, error)) ([]K, error) {
	keys := make([]K, 0, len(texts))
	for i, text := range texts {
		key, err := parse(text)
		if err != nil {
			return nil, refuseFor(fmt.Sprintf("%s/%d", pointer, i), err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// wechatPayKeys reads public keys and platform certificates, each by its name,
// and says which is the newest, as [Merchant.ResponseKeyID] has it.
func wechatPayKeys(texts map[string]string) (_ signing.Keyring, _ map[string]*x509.Certificate, newest string, _ error) {
	keyring := make(signing.Keyring, len(texts))
	certificates := make(map[string]*x509.Certificate)
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		pointer := string(jsontext.Pointer("/wechatpay_keys").AppendToken(id))
		switch {
		case !isKeyID(id):
			if len(pointer) > maxPointer {
				pointer = "/wechatpay_keys"
			}
			return nil, nil, "", refuse(pointer, "want as a name PUB_KEY_ID_ and its number, or a certificate's serial number")
		case strings.HasPrefix(id, publicKeyPrefix):
			key, err := signing.ParsePublicKey(texts[id])
			if err != nil {
				return nil, nil, "", refuseFor(pointer, err)
			}
			keyring[id], newest = key, id
		default:
			certificate, err := signing.ParseCertificate(texts[id])
			if err != nil {
				return nil, nil, "", refuseFor(pointer, err)
			}
			keyring[id] = certificate.PublicKey.(*rsa.PublicKey)
			certificates[id] = certificate
		}
	}
	if newest == "" && len(certificates) > 0 {
		newest = newestCertificate(certificates)
	}
	return keyring, certificates, newest, nil
}

// newestCertificate returns the name of the certificate that became valid last,
// and of several the last in the order of bytes. It panics on an empty map.
func newestCertificate(certificates map[string]*x509.Certificate) string {
	return slices.MaxFunc(slices.Collect(maps.Keys(certificates)), func(a, b string) int {
		return cmp.Or(certificates[a].NotBefore.Compare(certificates[b].NotBefore), strings.Compare(a, b))
	})
}

func isMchID(s string) bool {
	return charset.Fits(s, maxMchID, charset.Digits)
}

func isAppID(s string) bool { return isToken(s, maxAppID) }

// isKeyID tells whether s can name a key in WeChat Pay's headers. A serial number
// is upper-case hexadecimal there, but it is only ever compared, so one that is
// not harms nobody: it never matches.
func isKeyID(s string) bool { return isToken(s, maxKeyIDLen) }

func isToken(s string, limit int) bool {
	return charset.Fits(s, limit, charset.Alphanumeric+"_-")
}

func refuse(pointer, reason string) error {
	return &Error{Pointer: pointer, Reason: reason}
}

// refuseFor passes on why package signing refused a key; its errors hold
// nothing of the key.
func refuseFor(pointer string, err error) error {
	return &Error{Pointer: pointer, Reason: err.Error(), cause: err}
}
