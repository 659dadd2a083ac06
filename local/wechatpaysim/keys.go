package wechatpaysim

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"time"
)

// Keys are what changes at WeChat Pay while a merchant is served: what is set in the merchant console, and what the
// platform signs with.
type Keys struct {
	// APIv2Keys and APIv3Key are as in Config. The console holds one key of each kind; setting another takes the former
	// away at once.
	APIv2Keys []string
	APIv3Key  string
	// MerchantKeys are the public keys of the merchant API certificates that are neither expired nor revoked, by serial
	// number.
	MerchantKeys map[string]*rsa.PublicKey
	// PublicKey tells whether the identity's WeChat Pay public key is in use. Without it no request may name it.
	PublicKey bool
	// Certificates are the platform certificates in use, of which the first signs the answers to requests that name no
	// key. GET /v3/certificates lists them; without any there is nothing to list.
	Certificates []*Certificate
	// Callbacks says who signs the callbacks. Without it that is the public key where there is one, and else the first
	// certificate.
	Callbacks []CallbackShare
}

// CallbackShare is a part of the callbacks, and the key that signs them. WeChat Pay moves a merchant from one key to another
// by parts: 0.1 %, 1 %, 5 %, 10 %, 20 %, 50 %, 100 %.
type CallbackShare struct {
	Serial string
	// PerMille are the callbacks of every thousand, drawn one by one. The shares add up to a thousand.
	PerMille int
}

// Certificate is a platform certificate with its private key.
type Certificate struct {
	// Serial is 40 upper-case hexadecimal digits.
	Serial, PEM         string
	NotBefore, NotAfter time.Time

	key *rsa.PrivateKey
}

// GenerateCertificate makes a platform certificate with a new 2048-bit key, valid for the given time.
func GenerateCertificate(random io.Reader, notBefore, notAfter time.Time) (*Certificate, error) {
	key, err := rsa.GenerateKey(random, 2048)
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: key of a platform certificate: %w", err)
	}
	return newCertificate(random, key, notBefore, notAfter)
}

func newCertificate(random io.Reader, key *rsa.PrivateKey, notBefore, notAfter time.Time) (*Certificate, error) {
	tail, err := randomText(random, requestIDDigits, 38)
	if err != nil {
		return nil, err
	}
	// The first byte keeps the serial positive and 40 digits long.
	c := &Certificate{Serial: "5A" + tail, NotBefore: notBefore.Truncate(time.Second), NotAfter: notAfter.Truncate(time.Second), key: key}
	serial, _ := new(big.Int).SetString(c.Serial, 16)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WeChat Pay simulator", Organization: []string{"wechatpaysim"}},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(random, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: platform certificate: %w", err)
	}
	c.PEM = pemText("CERTIFICATE", der)
	return c, nil
}

// Keys returns the keys in use now.
func (s *Simulator) Keys() Keys { return s.keys.Load().clone() }

// ChangeKeys changes the keys from now on, for requests that come in later and callbacks that are built or renewed later.
// One change is made at a time; change must not call the simulator.
func (s *Simulator) ChangeKeys(change func(*Keys)) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	k := s.Keys()
	change(&k)
	if err := k.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	total := 0
	for i, c := range k.Callbacks {
		if total += c.PerMille; c.PerMille < 0 || s.signs(&k, c.Serial) == nil {
			return fmt.Errorf("%w: field Callbacks[%d] has no share or names no key in use", ErrConfig, i)
		}
	}
	if len(k.Callbacks) > 0 && total != 1000 {
		return fmt.Errorf("%w: the shares of field Callbacks do not add up to 1000", ErrConfig)
	}
	s.keys.Store(&k)
	return nil
}

func (k Keys) clone() Keys {
	k.APIv2Keys = slices.Clone(k.APIv2Keys)
	k.MerchantKeys = maps.Clone(k.MerchantKeys)
	k.Certificates = slices.Clone(k.Certificates)
	k.Callbacks = slices.Clone(k.Callbacks)
	return k
}

func (k Keys) check() error {
	for i, key := range k.APIv2Keys {
		if len(key) != 32 || token(key, 32) != "" {
			return fmt.Errorf("field APIv2Keys[%d] must be 32 letters and digits", i)
		}
	}
	if k.APIv3Key != "" && len(k.APIv3Key) != 32 {
		return errors.New("field APIv3Key must have 32 bytes")
	}
	for _, key := range k.MerchantKeys {
		if key == nil {
			return errors.New("field MerchantKeys holds a nil key")
		}
	}
	for i, c := range k.Certificates {
		if c == nil || c.key == nil {
			return fmt.Errorf("field Certificates[%d] must come from GenerateCertificate", i)
		}
	}
	if !k.PublicKey && len(k.Certificates) == 0 {
		return errors.New("fields PublicKey and Certificates: the platform must have a key to sign with")
	}
	return nil
}

// signs returns the private key behind a Wechatpay-Serial that is in use, or nil.
func (s *Simulator) signs(k *Keys, serial string) *rsa.PrivateKey {
	if k.PublicKey && serial == s.cfg.Identity.PublicKeyID {
		return s.cfg.Identity.publicKey
	}
	for _, c := range k.Certificates {
		if c.Serial == serial {
			return c.key
		}
	}
	return nil
}

// answersWith is the key that signs the answers to requests that name none.
func (s *Simulator) answersWith(k *Keys) string {
	if len(k.Certificates) > 0 {
		return k.Certificates[0].Serial
	}
	return s.cfg.Identity.PublicKeyID
}

// callsWith draws the key that signs a callback.
func (s *Simulator) callsWith(k *Keys) (string, error) {
	if len(k.Callbacks) == 0 {
		if k.PublicKey {
			return s.cfg.Identity.PublicKeyID, nil
		}
		return k.Certificates[0].Serial, nil
	}
	digits, err := s.random(decimal, 3)
	if err != nil {
		return "", err
	}
	drawn := 100*int(digits[0]-'0') + 10*int(digits[1]-'0') + int(digits[2]-'0')
	for _, c := range k.Callbacks {
		if drawn -= c.PerMille; drawn < 0 {
			return c.Serial, nil
		}
	}
	return k.Callbacks[len(k.Callbacks)-1].Serial, nil
}

// other returns a private key of the platform's that does not belong to a Wechatpay-Serial.
func (id *Identity) other(serial string) *rsa.PrivateKey {
	if serial == id.PublicKeyID {
		return id.certificate.key
	}
	return id.publicKey
}
