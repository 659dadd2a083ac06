package wechatpay

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/signing"
)

// certificatesPath is the route of 下载平台证书.
const certificatesPath = "/v3/certificates"

// What every item of the list must say of its encryption.
const (
	certificateAlgorithm = "AEAD_AES_256_GCM"
	certificateData      = "certificate"
)

// NoCertificates is WeChat Pay's code for a merchant that has no platform certificates, because it was given a WeChat Pay
// public key from the start or has moved to one.
const NoCertificates = "RESOURCE_NOT_EXISTS"

// PlatformCertificate is a certificate that WeChat Pay signs with.
type PlatformCertificate struct {
	SerialNo    string // as WeChat Pay writes it, in Wechatpay-Serial too
	PEM         string // as it was decrypted
	Certificate *x509.Certificate
}

// Certificates is what a download brought.
type Certificates struct {
	Usable []PlatformCertificate
	// Unusable says why others cannot be used, each by its serial number.
	Unusable []error
}

// The ways in which a downloaded certificate is not to be used.
var (
	ErrEncryption    = errors.New("it is encrypted in another way than is documented")
	ErrOtherSerial   = errors.New("the certificate has another serial number than the list says")
	ErrExpired       = errors.New("it has expired")
	ErrNotYetValid   = errors.New("it is not valid yet")
	ErrNoAPIv3Key    = errors.New("wechatpay: the merchant's secret holds no APIv3 key, with which the certificates are encrypted")
	errNotReadable   = errors.New("the list of certificates is not the documented JSON")
	errUnknownLister = errors.New("the list of certificates is signed with a key that is neither known nor on it")
)

// DownloadCertificates downloads the platform certificates that WeChat Pay signs with, now or soon. What it returns is
// WeChat Pay's: the list's signature verifies with a key of keys.WeChatPay, and each certificate was encrypted with one of
// the merchant's APIv3 keys. Where the list is signed with a key that is not known, as at the first download, the
// certificate that it names is taken from the list itself, on the strength of TLS and of that encryption; the signature has
// to verify with it.
//
// Every failure is an *Error, whose Code is NoCertificates where the merchant has none, or ErrNoAPIv3Key.
func (c *Client) DownloadCertificates(ctx context.Context, keys V3Keys, apiV3Keys []*signing.V3Key) (Certificates, error) {
	if len(apiV3Keys) == 0 {
		return Certificates{}, ErrNoAPIv3Key
	}
	// The request names no key: which certificates we hold may be out of date, and WeChat Pay refuses one that it no longer
	// knows.
	keys.ResponseKeyID = ""
	var list Certificates
	err := c.retry(ctx, func(ctx context.Context, n int) (bool, *Error) {
		r, err := c.sendV3(ctx, keys, http.MethodGet, c.host(n)+certificatesPath, nil)
		if err != nil {
			return true, transportError(err)
		}
		if r.status != http.StatusOK {
			e := judgeV3(r)
			return e.Kind == Unavailable, e
		}
		if list, err = c.readCertificates(r, keys.WeChatPay, apiV3Keys); err != nil {
			return true, &Error{Kind: Unverified, HTTPStatus: r.status, cause: err}
		}
		return false, nil
	})
	return list, err
}

// readCertificates reads a list and holds its signature against the known keys, or against its own.
func (c *Client) readCertificates(r reply, known signing.Keyring, apiV3Keys []*signing.V3Key) (Certificates, error) {
	verified := verifyReply(known, r, c)
	if verified != nil && !errors.Is(verified, signing.ErrUnknownKey) {
		return Certificates{}, verified
	}
	list, err := ParseCertificates(r.body, apiV3Keys, c.Now())
	if err != nil || verified == nil {
		return list, err
	}
	own := make(signing.Keyring, len(list.Usable))
	for _, p := range list.Usable {
		own[p.SerialNo] = p.Certificate.PublicKey.(*rsa.PublicKey)
	}
	switch err := verifyReply(own, r, c); {
	case errors.Is(err, signing.ErrUnknownKey):
		return Certificates{}, errUnknownLister
	case err != nil:
		return Certificates{}, err
	}
	return list, nil
}

// ParseCertificates reads the body of a list of certificates: decrypts each, and looks whether it is what the list says, an
// RSA key of at least 2048 bits, and valid at now. One that is not is among the unusable, since another may well be. What
// signed the body is the caller's to know. The error says that the body is not a list at all.
func ParseCertificates(body []byte, apiV3Keys []*signing.V3Key, now time.Time) (Certificates, error) {
	var list struct {
		Data []listedCertificate `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil || list.Data == nil {
		return Certificates{}, errNotReadable
	}
	var all Certificates
	for _, item := range list.Data {
		p, err := item.open(apiV3Keys, now)
		if err != nil {
			all.Unusable = append(all.Unusable, fmt.Errorf("certificate %s: %w", cleanSerial(item.SerialNo), err))
			continue
		}
		all.Usable = append(all.Usable, p)
	}
	return all, nil
}

type listedCertificate struct {
	SerialNo  string `json:"serial_no"`
	Encrypted struct {
		Algorithm      string `json:"algorithm"`
		Nonce          string `json:"nonce"`
		AssociatedData string `json:"associated_data"`
		Ciphertext     string `json:"ciphertext"`
	} `json:"encrypt_certificate"`
}

func (l listedCertificate) open(apiV3Keys []*signing.V3Key, now time.Time) (PlatformCertificate, error) {
	e := l.Encrypted
	if e.Algorithm != certificateAlgorithm || e.AssociatedData != certificateData {
		return PlatformCertificate{}, ErrEncryption
	}
	text, err := signing.Decrypt(apiV3Keys, e.Nonce, e.AssociatedData, e.Ciphertext)
	if err != nil {
		return PlatformCertificate{}, err
	}
	certificate, err := signing.ParseCertificate(string(text))
	if err != nil {
		return PlatformCertificate{}, err
	}
	// By number: a zero in front is written or not.
	serial, isHex := new(big.Int).SetString(l.SerialNo, 16)
	switch {
	case !isHex || cleanSerial(l.SerialNo) != l.SerialNo || serial.Cmp(certificate.SerialNumber) != 0:
		return PlatformCertificate{}, ErrOtherSerial
	case now.After(certificate.NotAfter):
		return PlatformCertificate{}, ErrExpired
	case now.Before(certificate.NotBefore):
		return PlatformCertificate{}, ErrNotYetValid
	}
	return PlatformCertificate{SerialNo: l.SerialNo, PEM: string(text), Certificate: certificate}, nil
}

// cleanSerial returns what can be shown of a serial number as it came.
func cleanSerial(s string) string {
	if !charset.Fits(s, 64, charset.Digits+"ABCDEFabcdef") {
		return "without a serial number"
	}
	return s
}
