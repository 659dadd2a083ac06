package signing

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// minRSABits is the length of every RSA key of the V3 scheme, whose name says
// RSA2048. Longer ones are accepted.
const minRSABits = 2048

// ParsePrivateKey reads a merchant's private key: one PEM block, PKCS#8 (as in
// apiclient_key.pem) or PKCS#1, RSA of at least 2048 bits. The error wraps
// ErrInvalidKey and says what was found and what is expected.
func ParsePrivateKey(text string) (*rsa.PrivateKey, error) {
	block, err := onlyBlock(text, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, unexpectedBlock(block.Type, "PRIVATE KEY")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the block %s does not hold a valid private key", ErrInvalidKey, block.Type)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, notRSA("private key")
	}
	if err := checkBits(&private.PublicKey); err != nil {
		return nil, err
	}
	return private, nil
}

// ParsePublicKey reads a WeChat Pay public key: one PEM block, PUBLIC KEY (as in
// pub_key.pem) or PKCS#1, RSA of at least 2048 bits. The error wraps
// ErrInvalidKey and says what was found and what is expected.
func ParsePublicKey(text string) (*rsa.PublicKey, error) {
	block, err := onlyBlock(text, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, unexpectedBlock(block.Type, "PUBLIC KEY")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the block %s does not hold a valid public key", ErrInvalidKey, block.Type)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, notRSA("public key")
	}
	if err := checkBits(public); err != nil {
		return nil, err
	}
	return public, nil
}

// ParseCertificate reads a platform certificate: one PEM block with an RSA key of
// at least 2048 bits. Neither its chain nor its dates are checked: WeChat Pay
// names the certificate of each message by its serial number, and trust comes
// from whoever put it into the configuration. The error wraps ErrInvalidKey and
// says what was found and what is expected.
func ParseCertificate(text string) (*x509.Certificate, error) {
	block, err := onlyBlock(text, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	if block.Type != "CERTIFICATE" {
		return nil, unexpectedBlock(block.Type, "CERTIFICATE")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: the block CERTIFICATE does not hold a valid certificate", ErrInvalidKey)
	}
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, notRSA("certificate's key")
	}
	if err := checkBits(public); err != nil {
		return nil, err
	}
	return certificate, nil
}

// onlyBlock reads the one PEM block of text, with nothing around it.
func onlyBlock(text, want string) (*pem.Block, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "-----BEGIN ") {
		return nil, fmt.Errorf("%w: not PEM, which begins with -----BEGIN %s-----", ErrInvalidKey, want)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("%w: not PEM; it has line ends after -----BEGIN %s----- and before -----END %[2]s-----, and base64 between", ErrInvalidKey, want)
	}
	// Decode passes over a block that it cannot read, so a second one is counted.
	if len(rest) > 0 || strings.Count(text, "-----BEGIN ") > 1 {
		return nil, fmt.Errorf("%w: there is more than one PEM block; want one block %s", ErrInvalidKey, want)
	}
	if len(block.Headers) > 0 {
		return nil, fmt.Errorf("%w: the PEM block has headers, as encrypted keys have; want a plain block %s", ErrInvalidKey, want)
	}
	return block, nil
}

func checkBits(key *rsa.PublicKey) error {
	if n := key.N.BitLen(); n < minRSABits {
		return fmt.Errorf("%w: an RSA key of %d bits; want at least %d", ErrInvalidKey, n, minRSABits)
	}
	return nil
}

func notRSA(what string) error {
	return fmt.Errorf("%w: the %s is not RSA; want RSA", ErrInvalidKey, what)
}

// unexpectedBlock names the block that was found only when its label is one that
// people mix up; any other label is the document's own text.
func unexpectedBlock(found, want string) error {
	switch found {
	case "CERTIFICATE", "PUBLIC KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY",
		"RSA PUBLIC KEY", "RSA PRIVATE KEY", "CERTIFICATE REQUEST":
	default:
		found = "of another kind"
	}
	return fmt.Errorf("%w: a PEM block %s; want %s", ErrInvalidKey, found, want)
}
