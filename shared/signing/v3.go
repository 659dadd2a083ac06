package signing

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a message's timestamp may lie from the clock, either way
// and inclusive. WeChat Pay holds requests to the same five minutes.
const Tolerance = 300 * time.Second

// A Signer signs V3 requests with a merchant's API certificate key.
type Signer struct {
	mchID, serialNo string
	key             *rsa.PrivateKey
}

// NewSigner returns a Signer for the calling mchid. The serial number is that of
// the merchant API certificate, which belongs to key.
func NewSigner(mchid, serialNo string, key *rsa.PrivateKey) *Signer {
	return &Signer{mchID: mchid, serialNo: serialNo, key: key}
}

// Format prints the type's name, whatever the verb.
func (s *Signer) Format(f fmt.State, _ rune) { io.WriteString(f, "signing.Signer") }

// Authorization returns the value of a request's Authorization header. The uri
// is the path and, if there is one, ? and the query, exactly as sent; body is
// exactly what is sent, empty for none; the nonce is NewNonce's, never used
// before. It returns ErrMalformed when a part cannot stand in a header line.
func (s *Signer) Authorization(method, uri string, body []byte, now time.Time, nonce string) (string, error) {
	for _, part := range [...]string{method, uri, nonce, s.mchID, s.serialNo} {
		if part == "" || !isVisible(part) || strings.IndexByte(part, '"') >= 0 {
			return "", ErrMalformed
		}
	}
	if s.key == nil {
		return "", fmt.Errorf("%w: no private key to sign with", ErrInvalidKey)
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	digest := digestLines(body, method, uri, timestamp, nonce)
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("signing: the private key does not sign: %w", err)
	}
	const scheme = "WECHATPAY2-SHA256-RSA2048 "
	b := make([]byte, 0, 640)
	b = append(b, scheme+`mchid="`...)
	b = append(b, s.mchID...)
	b = append(b, `",nonce_str="`...)
	b = append(b, nonce...)
	b = append(b, `",signature="`...)
	b = base64.StdEncoding.AppendEncode(b, signature)
	b = append(b, `",timestamp="`...)
	b = append(b, timestamp...)
	b = append(b, `",serial_no="`...)
	b = append(b, s.serialNo...)
	b = append(b, '"')
	return string(b), nil
}

// CanonicalRequestV3 returns the text that a request's signature is over, for people who look into it: five lines, each
// ended by \n. The parts are those of Authorization.
func CanonicalRequestV3(method, uri, timestamp, nonce string, body []byte) string {
	return canonicalLines(body, method, uri, timestamp, nonce)
}

// CanonicalAnswerV3 returns the text that the signature of WeChat Pay's answers and callbacks is over, for people who look
// into it: three lines, each ended by \n, the last of them empty where there is no body.
func CanonicalAnswerV3(timestamp, nonce string, body []byte) string {
	return canonicalLines(body, timestamp, nonce)
}

func canonicalLines(body []byte, lines ...string) string {
	return strings.Join(lines, "\n") + "\n" + string(body) + "\n"
}

// digestLines hashes the lines and the body, each ended by \n, without joining them: a body is not copied.
func digestLines(body []byte, lines ...string) [sha256.Size]byte {
	var head [512]byte
	b := head[:0]
	for _, line := range lines {
		b = append(append(b, line...), '\n')
	}
	h := sha256.New()
	h.Write(b)
	h.Write(body)
	h.Write([]byte{'\n'})
	var digest [sha256.Size]byte
	h.Sum(digest[:0])
	return digest
}

// A Keyring holds the keys that WeChat Pay signs with, by the Wechatpay-Serial
// that names them: PUB_KEY_ID_… for a WeChat Pay public key, the serial number
// for a platform certificate. Both kinds are live at once while a merchant moves
// from one to the other.
type Keyring map[string]*rsa.PublicKey

// A Header holds the values of the four headers that sign a V3 answer or
// callback: Wechatpay-Timestamp, -Nonce, -Signature and -Serial.
type Header struct{ Timestamp, Nonce, Signature, Serial string }

// Verify checks that WeChat Pay signed body, within Tolerance of now. The body
// is raw, as received; an answer without one (204) has an empty body and is
// signed all the same. It checks in this order and returns the first failure:
// headers (ErrMissingHeader, ErrMalformed), time (ErrStale, ErrFuture), key
// (ErrUnknownKey), base64 (ErrBadBase64), signature (ErrBadSignature). A
// signature that starts WECHATPAY/SIGNTEST/ takes the same path, and ErrProbe
// stands in for the last three.
func (k Keyring) Verify(h Header, body []byte, now time.Time) error {
	if h.Timestamp == "" || h.Nonce == "" || h.Signature == "" || h.Serial == "" {
		return ErrMissingHeader
	}
	// A line end in the nonce would let it take the start of the body.
	if !isVisible(h.Nonce) {
		return ErrMalformed
	}
	if err := checkTime(h.Timestamp, now); err != nil {
		return err
	}
	if err := k.verify(h, body); err != nil {
		return orProbe(err, h.Signature)
	}
	return nil
}

func (k Keyring) verify(h Header, body []byte) error {
	key := k[h.Serial]
	if key == nil {
		return ErrUnknownKey
	}
	signature, ok := decodeBase64(h.Signature)
	if !ok {
		return ErrBadBase64
	}
	digest := digestLines(body, h.Timestamp, h.Nonce)
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
		return ErrBadSignature
	}
	return nil
}

// checkTime reads Unix seconds in plain decimal, 1 to 12 digits, without a sign
// or a zero in front, and compares whole seconds.
func checkTime(timestamp string, now time.Time) error {
	if len(timestamp) > 12 || timestamp[0] == '0' {
		return ErrMalformed
	}
	var seconds int64
	for i := range len(timestamp) {
		c := timestamp[i]
		if c < '0' || c > '9' {
			return ErrMalformed
		}
		seconds = 10*seconds + int64(c-'0')
	}
	const tolerance = int64(Tolerance / time.Second)
	switch age := now.Unix() - seconds; {
	case age > tolerance:
		return ErrStale
	case age < -tolerance:
		return ErrFuture
	}
	return nil
}
