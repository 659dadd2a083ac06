package signing_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/shared/signing"
)

// A pemSet is one key in every form that people paste.
type pemSet struct{ pkcs8, pkcs1, pkix, pkcs1Public, certificate string }

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

// newPEMSet writes an RSA or an ECDSA key. PKCS#1 is for RSA alone.
func newPEMSet(t *testing.T, private any) pemSet {
	t.Helper()
	var s pemSet
	var public any
	switch key := private.(type) {
	case *rsa.PrivateKey:
		public = &key.PublicKey
		s.pkcs1 = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
		s.pkcs1Public = block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey))
	case *ecdsa.PrivateKey:
		public = &key.PublicKey
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	s.pkcs8 = block("PRIVATE KEY", der)
	if der, err = x509.MarshalPKIXPublicKey(public); err != nil {
		t.Fatal(err)
	}
	s.pkix = block("PUBLIC KEY", der)
	template := &x509.Certificate{SerialNumber: big.NewInt(0x408B), NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2, 0)}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, public, private); err != nil {
		t.Fatal(err)
	}
	s.certificate = block("CERTIFICATE", der)
	return s
}

func TestParseKeys(t *testing.T) {
	private := vectorPrivateKey(t, loadVectors(t))
	good := newPEMSet(t, private)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := newPEMSet(t, short)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := newPEMSet(t, curve)

	parsePrivate := func(s string) (bool, error) {
		key, err := signing.ParsePrivateKey(s)
		return key != nil && key.Equal(private), err
	}
	parsePublic := func(s string) (bool, error) {
		key, err := signing.ParsePublicKey(s)
		return key != nil && key.Equal(&private.PublicKey), err
	}
	parseCertificate := func(s string) (bool, error) {
		certificate, err := signing.ParseCertificate(s)
		return certificate != nil && private.PublicKey.Equal(certificate.PublicKey), err
	}
	noLineEnds := strings.ReplaceAll(good.pkcs8, "\n", "")
	for _, tc := range []struct {
		name, text string
		parse      func(string) (bool, error)
		want       string // part of the error, "" for none
	}{
		{"private key, PKCS#8", good.pkcs8, parsePrivate, ""},
		{"private key, PKCS#1", good.pkcs1, parsePrivate, ""},
		{"private key, white space around", "\n  " + good.pkcs8 + " \r\n", parsePrivate, ""},
		{"private key, CRLF", strings.ReplaceAll(good.pkcs8, "\n", "\r\n"), parsePrivate, ""},
		{"private key, no last line end", strings.TrimSpace(good.pkcs8), parsePrivate, ""},
		{"public key, PKIX", good.pkix, parsePublic, ""},
		{"public key, PKCS#1", good.pkcs1Public, parsePublic, ""},
		{"certificate", good.certificate, parseCertificate, ""},

		{"private key, empty", "", parsePrivate, "not PEM"},
		{"private key, base64 alone", "MIIEvAIBADANBgkqhkiG9w0BAQEFAASC", parsePrivate, "-----BEGIN PRIVATE KEY-----"},
		{"private key, line ends lost", noLineEnds, parsePrivate, "it has line ends"},
		{"private key, line ends escaped", strings.ReplaceAll(good.pkcs8, "\n", `\n`), parsePrivate, "it has line ends"},
		{"private key, no end", strings.Split(good.pkcs8, "-----END")[0], parsePrivate, "not PEM"},
		{"private key, twice", good.pkcs8 + good.pkcs8, parsePrivate, "more than one PEM block"},
		{"private key, after one that cannot be read", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n" + good.pkcs8, parsePrivate, "more than one PEM block"},
		{"private key, encrypted the old way", strings.Replace(good.pkcs1, "-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1), parsePrivate, "has headers"},
		{"private key, text before", "key:\n" + good.pkcs8, parsePrivate, "not PEM"},
		{"private key, text after", good.pkcs8 + "key", parsePrivate, "more than one PEM block"},
		{"private key, a bit off", strings.Replace(good.pkcs8, "MIIEv", "MIIFv", 1), parsePrivate, "does not hold a valid private key"},
		{"private key, PKCS#1 labelled PKCS#8", strings.ReplaceAll(good.pkcs1, "RSA PRIVATE", "PRIVATE"), parsePrivate, "does not hold a valid private key"},
		{"private key, a public key", good.pkix, parsePrivate, "a PEM block PUBLIC KEY; want PRIVATE KEY"},
		{"private key, a certificate", good.certificate, parsePrivate, "a PEM block CERTIFICATE; want PRIVATE KEY"},
		{"private key, encrypted", block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), parsePrivate, "a PEM block ENCRYPTED PRIVATE KEY; want PRIVATE KEY"},
		{"private key, unknown label", block("MY HIDDEN WORD", []byte{1}), parsePrivate, "a PEM block of another kind; want PRIVATE KEY"},
		{"private key, empty block", block("PRIVATE KEY", nil), parsePrivate, "does not hold a valid private key"},
		{"private key, EC", ec.pkcs8, parsePrivate, "the private key is not RSA"},
		{"private key, 1024 bits, PKCS#8", weak.pkcs8, parsePrivate, "1024 bits; want at least 2048"},
		{"private key, 1024 bits, PKCS#1", weak.pkcs1, parsePrivate, "1024 bits; want at least 2048"},

		{"public key, empty", " ", parsePublic, "-----BEGIN PUBLIC KEY-----"},
		{"public key, a private key", good.pkcs8, parsePublic, "a PEM block PRIVATE KEY; want PUBLIC KEY"},
		{"public key, a certificate", good.certificate, parsePublic, "a PEM block CERTIFICATE; want PUBLIC KEY"},
		{"public key, a bit off", strings.Replace(good.pkix, "MIIBI", "MIIBJ", 1), parsePublic, "does not hold a valid public key"},
		{"public key, PKCS#1 a bit off", strings.Replace(good.pkcs1Public, "MIIB", "MIIC", 1), parsePublic, "does not hold a valid public key"},
		{"public key, EC", ec.pkix, parsePublic, "the public key is not RSA"},
		{"public key, 1024 bits", weak.pkix, parsePublic, "1024 bits; want at least 2048"},
		{"public key, 1024 bits, PKCS#1", weak.pkcs1Public, parsePublic, "1024 bits; want at least 2048"},

		{"certificate, empty", "", parseCertificate, "-----BEGIN CERTIFICATE-----"},
		{"certificate, a public key", good.pkix, parseCertificate, "a PEM block PUBLIC KEY; want CERTIFICATE"},
		{"certificate, a chain", good.certificate + good.certificate, parseCertificate, "more than one PEM block"},
		{"certificate, a bit off", strings.Replace(good.certificate, "MII", "MIJ", 1), parseCertificate, "does not hold a valid certificate"},
		{"certificate, EC", ec.certificate, parseCertificate, "the certificate's key is not RSA"},
		{"certificate, 1024 bits", weak.certificate, parseCertificate, "1024 bits; want at least 2048"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ok, err := tc.parse(tc.text)
			if tc.want == "" {
				if err != nil || !ok {
					t.Errorf("got the key: %v, error %v", ok, err)
				}
				return
			}
			if !errors.Is(err, signing.ErrInvalidKey) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got error %v, want ErrInvalidKey and %q", err, tc.want)
			}
			for _, secret := range []string{"MII", "HIDDEN"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds the document: %v", err)
				}
			}
		})
	}
}

// FuzzParsePEM looks for panics, and for a key beside an error.
func FuzzParsePEM(f *testing.F) {
	v := loadVectors(f)
	f.Add(v.V3.PrivateKeyPEM)
	f.Add(v.Responses[0].PublicKeyPEM)
	f.Add("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		private, err := signing.ParsePrivateKey(text)
		if (private == nil) == (err == nil) {
			t.Errorf("got private key %v, error %v", private != nil, err)
		}
		public, err := signing.ParsePublicKey(text)
		if (public == nil) == (err == nil) {
			t.Errorf("got public key %v, error %v", public != nil, err)
		}
		certificate, err := signing.ParseCertificate(text)
		if (certificate == nil) == (err == nil) {
			t.Errorf("got certificate %v, error %v", certificate != nil, err)
		}
	})
}
