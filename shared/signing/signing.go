// Package signing is the cryptography of both WeChat Pay schemes: HMAC-SHA256
// over sorted elements for V2, RSA with SHA-256 and AES-256-GCM for V3, and the
// keys that they need. It knows bytes, keys and a clock that it is given; it
// opens no connection, reads no setting, and imports flatxml alone of this
// module. Whatever speaks to WeChat Pay, or hears from it, imports it.
//
// The rules come from WeChat Pay's own pages: V2, the security rules
// (pay.weixin.qq.com/wiki/doc/api/app/app.php?chapter=4_3); V3, signing a
// request (pay.weixin.qq.com/doc/v3/merchant/4012365336 and the pages after it)
// and verifying with the WeChat Pay public key
// (pay.weixin.qq.com/docs/merchant/development/interface-rules/signature-verification.html).
// The vectors of testdata/wechatpay.json hold the package to them.
//
// Everything here is safe for concurrent use. No error holds a key, a signature
// or a byte of a message, and printing a key type prints its name alone.
package signing

import (
	"encoding/base64"
	"errors"
	"strings"
)

// One error for each way in which a message fails. All but ErrInvalidKey are
// returned as they are, so errors.Is and == both tell them apart.
var (
	// ErrMissingHeader means that one of the four Wechatpay-* headers is absent
	// or empty.
	ErrMissingHeader = errors.New("signing: a Wechatpay header is missing")
	// ErrMalformed means that a part to be signed or verified has a form that
	// it never has: a timestamp that is no number, a nonce with a line end.
	ErrMalformed = errors.New("signing: a part of the message is malformed")
	// ErrStale means a timestamp more than Tolerance ago.
	ErrStale = errors.New("signing: the timestamp is too old")
	// ErrFuture means a timestamp more than Tolerance ahead.
	ErrFuture = errors.New("signing: the timestamp is in the future")
	// ErrUnknownKey means that the key which is named, or any key at all, is
	// not at hand.
	ErrUnknownKey = errors.New("signing: no such key")
	// ErrBadBase64 means a signature that is not strict standard base64.
	ErrBadBase64 = errors.New("signing: the signature is not base64")
	// ErrBadSignature means that the signature does not match.
	ErrBadSignature = errors.New("signing: the signature does not match")
	// ErrProbe means that a signature failed which WeChat Pay made wrong on
	// purpose, to see that it is refused. Refuse it like any other and do not
	// alarm (pay.weixin.qq.com/doc/v3/partner/4013053420).
	ErrProbe = errors.New("signing: the signature is a probe")
	// ErrUndecryptable means that no APIv3 key opens the ciphertext, or that
	// it is none.
	ErrUndecryptable = errors.New("signing: the resource cannot be decrypted")
	// ErrInvalidKey means a key that cannot be used; errors which wrap it say
	// what was expected.
	ErrInvalidKey = errors.New("signing: invalid key")
)

// probePrefix starts every signature that is wrong on purpose.
const probePrefix = "WECHATPAY/SIGNTEST/"

// orProbe returns err, the failure of signature, or ErrProbe in its place.
func orProbe(err error, signature string) error {
	if strings.HasPrefix(signature, probePrefix) {
		return ErrProbe
	}
	return err
}

// strictBase64 is standard base64 that refuses a second spelling of the same
// bytes. It skips line ends all the same; decodeBase64 does not.
var strictBase64 = base64.StdEncoding.Strict()

// decodeBase64 reads standard base64 with padding, in its only spelling.
func decodeBase64(s string) (b []byte, ok bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := strictBase64.DecodeString(s)
	return b, err == nil
}

// isVisible reports whether s is of visible ASCII alone, so that it cannot end a
// line of what is signed.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
