package stdwebhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// SecretPrefix begins every secret in its written form.
const SecretPrefix = "whsec_"

// secretSize is the number of random bytes in a new secret; the specification
// asks for 24 to 64.
const secretSize = 32

// The ways in which a written secret can be wrong. None of them quotes it.
var (
	ErrSecretPrefix = errors.New(`stdwebhook: the secret does not begin with "whsec_"`)
	ErrSecretBase64 = errors.New("stdwebhook: the secret is not standard base64 with padding after its prefix")
	ErrSecretEmpty  = errors.New("stdwebhook: the secret holds no bytes")
)

// Secret is one key that both sides share. Its zero value signs nothing and
// verifies nothing. Printing a Secret, alone or inside another value, never
// shows the key.
type Secret struct {
	// key is behind a function because fmt cannot call Format on a Secret in
	// somebody's unexported field, and would print a slice, and with some verbs
	// the target of a pointer; of a function it has only an address.
	key func() []byte
}

// ParseSecret reads "whsec_" followed by strict standard base64 of at least one
// byte.
func ParseSecret(s string) (Secret, error) {
	encoded, ok := strings.CutPrefix(s, SecretPrefix)
	if !ok {
		return Secret{}, ErrSecretPrefix
	}
	key, ok := decodeBase64(encoded)
	if !ok {
		return Secret{}, ErrSecretBase64
	}
	if len(key) == 0 {
		return Secret{}, ErrSecretEmpty
	}
	return Secret{key: func() []byte { return key }}, nil
}

// NewSecret returns a new secret of 32 bytes from r in its written form, which
// ParseSecret reads.
func NewSecret(r io.Reader) (string, error) {
	key := make([]byte, secretSize)
	if _, err := io.ReadFull(r, key); err != nil {
		return "", fmt.Errorf("stdwebhook: reading random bytes: %w", err)
	}
	return SecretPrefix + base64.StdEncoding.EncodeToString(key), nil
}

// Equal reports whether both secrets hold the same key. The time that it takes
// depends on the keys' lengths only.
func (s Secret) Equal(other Secret) bool {
	if s.key == nil || other.key == nil {
		return s.key == nil && other.key == nil
	}
	return subtle.ConstantTimeCompare(s.key(), other.key()) == 1
}

// Format prints a fixed text in place of the key, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String())
}

// String returns a fixed text in place of the key.
func (s Secret) String() string { return SecretPrefix + "[redacted]" }

// mac appends the HMAC-SHA256 over "id.timestamp.body" to dst.
func (s Secret) mac(dst []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, s.key())
	prefix := make([]byte, 0, 128)
	prefix = append(prefix, id...)
	prefix = append(prefix, '.')
	prefix = append(prefix, timestamp...)
	prefix = append(prefix, '.')
	_, _ = h.Write(prefix)
	_, _ = h.Write(body)
	return h.Sum(dst)
}

func unixText(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// decodeBase64 reads standard base64 with its padding and with zero bits at
// its end. encoding/base64 skips line breaks even when it is strict; here they
// are refused, so that each value is written in one way.
func decodeBase64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}
