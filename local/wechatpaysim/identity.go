package wechatpaysim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"
)

// Identity is the platform's side of the signatures: a WeChat Pay public key and a platform certificate,
// both live at once, as during WeChat Pay's own change from the one to the other.
type Identity struct {
	// PublicKeyID is PUB_KEY_ID_ and 34 digits; PublicKeyPEM is what a merchant downloads for it.
	PublicKeyID  string
	PublicKeyPEM string
	// CertificateSerial is 40 upper-case hexadecimal digits; CertificatePEM is the certificate.
	CertificateSerial string
	CertificatePEM    string

	publicKey   *rsa.PrivateKey
	certificate *Certificate
}

// GenerateIdentity makes a platform identity with two new 2048-bit keys. The certificate is valid for five
// years from a day before now. Since Go 1.26 key generation draws on the system's randomness whatever
// random is; ids and serial come from random.
func GenerateIdentity(random io.Reader, now time.Time) (*Identity, error) {
	publicKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: key of the public-key pair: %w", err)
	}
	certificateKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: key of the platform certificate: %w", err)
	}
	return NewIdentity(random, now, publicKey, certificateKey)
}

// NewIdentity is GenerateIdentity for keys that exist already. The two must differ.
func NewIdentity(random io.Reader, now time.Time, publicKey, certificateKey *rsa.PrivateKey) (*Identity, error) {
	if publicKey == nil || certificateKey == nil || publicKey.Equal(certificateKey) {
		return nil, errors.New("wechatpaysim: an identity needs two different keys")
	}
	spki, err := x509.MarshalPKIXPublicKey(&publicKey.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: public key: %w", err)
	}
	id, err := randomText(random, decimal, 32)
	if err != nil {
		return nil, err
	}
	certificate, err := newCertificate(random, certificateKey, now.Add(-24*time.Hour), now.AddDate(5, 0, 0))
	if err != nil {
		return nil, err
	}
	return &Identity{
		PublicKeyID:       "PUB_KEY_ID_00" + id,
		PublicKeyPEM:      pemText("PUBLIC KEY", spki),
		CertificateSerial: certificate.Serial,
		CertificatePEM:    certificate.PEM,
		publicKey:         publicKey,
		certificate:       certificate,
	}, nil
}

// WeChatPayKeys returns the `wechatpay_keys` of the merchant secret: PEM by id or serial.
func (id *Identity) WeChatPayKeys() map[string]string {
	return map[string]string{
		id.PublicKeyID:       id.PublicKeyPEM,
		id.CertificateSerial: id.CertificatePEM,
	}
}

// Certificate returns the identity's platform certificate.
func (id *Identity) Certificate() *Certificate { return id.certificate }

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
