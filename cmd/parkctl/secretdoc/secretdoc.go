// Package secretdoc knows what the gateway's secrets hold: it makes their documents from the files that the merchant
// console gives out, and it checks documents, those that are about to be stored and those that are. A check finds what the
// functions would refuse, and also what they put up with although it will not work: a certificate under another's name, a
// key that expired, one secret for two vendors.
//
// A finding names the field, says why and what to do, and never shows a value. Only cmd/parkctl may import it.
package secretdoc

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"wechat-parking-gateway/shared/signing"
)

// Merchant is the document of the secret MERCHANT_SECRET_ID.
type Merchant struct {
	Mode          string            `json:"mode"`
	MchID         string            `json:"mchid"`
	AppID         string            `json:"appid"`
	APIv2Keys     []string          `json:"api_v2_keys"`
	APIv3Keys     []string          `json:"api_v3_keys"`
	WeChatPayKeys map[string]string `json:"wechatpay_keys"`
	ResponseKeyID string            `json:"response_key_id,omitzero"`
	LogHashKey    string            `json:"log_hash_key,omitzero"`
}

// Format prints no key, whatever the verb.
func (m Merchant) Format(f fmt.State, _ rune) { fmt.Fprint(f, "secretdoc.Merchant") }

// MerchantKey is the document of the secret MERCHANT_KEY_SECRET_ID.
type MerchantKey struct {
	SerialNo   string `json:"merchant_serial_no"`
	PrivateKey string `json:"merchant_private_key"`
}

// Format prints no key, whatever the verb.
func (m MerchantKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "secretdoc.MerchantKey") }

// JSON writes a document as it is stored.
func JSON(document any) ([]byte, error) {
	b, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, errors.New("the document cannot be encoded")
	}
	return b, nil
}

// publicKeyPrefix begins the id of every WeChat Pay public key.
const publicKeyPrefix = "PUB_KEY_ID_"

// publicKeyDigits is how many digits follow in every id that WeChat Pay's pages and merchants show.
const publicKeyDigits = 34

// Serial returns a certificate's serial number as WeChat Pay writes it.
func Serial(c *x509.Certificate) string { return fmt.Sprintf("%X", c.SerialNumber) }

// MakeKey makes the document of the private key from apiclient_key.pem and apiclient_cert.pem, which must belong together.
func MakeKey(privateKey, certificate string) (MerchantKey, *x509.Certificate, error) {
	key, err := signing.ParsePrivateKey(privateKey)
	if err != nil {
		return MerchantKey{}, nil, fmt.Errorf("the private key: %w", err)
	}
	cert, err := signing.ParseCertificate(certificate)
	if err != nil {
		return MerchantKey{}, nil, fmt.Errorf("the merchant's certificate: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey.(*rsa.PublicKey)) {
		return MerchantKey{}, nil, ErrNotAPair
	}
	return MerchantKey{SerialNo: Serial(cert), PrivateKey: strings.TrimSpace(privateKey) + "\n"}, cert, nil
}

// ErrNotAPair says that the private key is not the certificate's.
var ErrNotAPair = errors.New("the private key is not the certificate's; take apiclient_key.pem and apiclient_cert.pem from one download")

// MakePublicKey makes an entry of wechatpay_keys from a public key's id and pub_key.pem.
func MakePublicKey(id, text string) error {
	digits, ok := strings.CutPrefix(id, publicKeyPrefix)
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return errors.New("the id of a WeChat Pay public key is PUB_KEY_ID_ and digits, as the merchant console shows it (账户中心 → API安全)")
	}
	if len(digits) != publicKeyDigits {
		return fmt.Errorf("the id of a WeChat Pay public key has %d digits after PUB_KEY_ID_, this one %d; copy it whole from the merchant console", publicKeyDigits, len(digits))
	}
	if _, err := signing.ParsePublicKey(text); err != nil {
		return fmt.Errorf("the WeChat Pay public key: %w", err)
	}
	return nil
}
