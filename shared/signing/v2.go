package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"

	"wechat-parking-gateway/shared/flatxml"
)

const (
	// SignTypeHMACSHA256 is the only sign_type that is signed or accepted. MD5,
	// the default of other V2 interfaces, is refused.
	SignTypeHMACSHA256 = "HMAC-SHA256"

	v2SignElement = "sign"
	v2KeyLen      = 32
	v2SignLen     = 2 * sha256.Size
)

// A V2Key is an APIv2 key, ready to sign and verify.
type V2Key struct {
	suffix string    // "&key=" and the key, the end of every string that is signed
	macs   sync.Pool // of *v2MAC
}

// A v2MAC is a keyed hash with its scratch memory. Keying costs six allocations
// and two blocks of SHA-256, so it is done once and kept.
type v2MAC struct {
	hash    hash.Hash
	message []byte
	sum     [sha256.Size]byte
	hex     [v2SignLen]byte // computed
	given   [v2SignLen]byte // to compare with
}

// NewV2Key takes an APIv2 key as the merchant console shows it: 32 characters,
// visible ASCII. The error wraps ErrInvalidKey.
func NewV2Key(key string) (*V2Key, error) {
	if len(key) != v2KeyLen {
		return nil, fmt.Errorf("%w: an APIv2 key has 32 characters, this one %d bytes", ErrInvalidKey, len(key))
	}
	if !isVisible(key) {
		return nil, fmt.Errorf("%w: an APIv2 key has letters and digits, this one white space or other characters", ErrInvalidKey)
	}
	k := &V2Key{suffix: "&key=" + key}
	k.macs.New = func() any { return &v2MAC{hash: hmac.New(sha256.New, []byte(key))} }
	return k, nil
}

// Format prints the type's name, whatever the verb, so that no key is printed by
// mistake.
func (k *V2Key) Format(f fmt.State, _ rune) { io.WriteString(f, "signing.V2Key") }

// Sign returns the value of the sign element for d: 64 upper-case hexadecimal
// digits of the HMAC-SHA256, keyed with the key, over the elements in the order
// of CanonicalV2 and "&key=" and the key once more. An element named sign and
// empty values are left out, so d may be signed before or after its sign is in.
func (k *V2Key) Sign(d flatxml.Document) string {
	m := k.macs.Get().(*v2MAC)
	defer k.macs.Put(m)
	return string(k.sign(m, d))
}

// sign returns the signature in memory of m.
func (k *V2Key) sign(m *v2MAC, d flatxml.Document) []byte {
	m.message = appendCanonicalV2(m.message[:0], d, nil)
	m.message = append(m.message, k.suffix...)
	m.hash.Reset()
	m.hash.Write(m.message)
	const digits = "0123456789ABCDEF"
	for i, b := range m.hash.Sum(m.sum[:0]) {
		m.hex[2*i], m.hex[2*i+1] = digits[b>>4], digits[b&0xF]
	}
	return m.hex[:]
}

// matches compares in constant time.
func (k *V2Key) matches(d flatxml.Document, sign string) bool {
	if len(sign) != v2SignLen {
		return false
	}
	m := k.macs.Get().(*v2MAC)
	defer k.macs.Put(m)
	copy(m.given[:], sign)
	return subtle.ConstantTimeCompare(k.sign(m, d), m.given[:]) == 1
}

// VerifyV2 checks the sign element of a message with each of keys and returns
// nil as soon as one matches. Every other element takes part, known or not. The
// signature is HMAC-SHA256 always: a sign_type that names anything else is
// ErrBadSignature, an absent or empty one is not (the answers of the vehicle
// interfaces carry none). A document without sign is ErrBadSignature, no keys is
// ErrUnknownKey, and a sign that starts WECHATPAY/SIGNTEST/ and fails for any
// reason is ErrProbe.
//
// The scheme signs names and values joined by = and &, without escapes. Whoever
// sees one signed message can therefore move an element into the value before it
// (a=1&b=2 as the single element a) and keep the signature. Check the form of
// every value that something depends on, and where an element may be absent, that
// no other value holds an ampersand in its place.
func VerifyV2(d flatxml.Document, keys []*V2Key) error {
	sign := d.Get(v2SignElement)
	if t := d.Get("sign_type"); t != "" && t != SignTypeHMACSHA256 {
		return orProbe(ErrBadSignature, sign)
	}
	if len(keys) == 0 {
		return orProbe(ErrUnknownKey, sign)
	}
	for _, k := range keys {
		if k.matches(d, sign) {
			return nil
		}
	}
	return orProbe(ErrBadSignature, sign)
}

// CanonicalV2 returns the string that a V2 signature is over, without the key at
// its end: name=value joined with &, sorted by name in byte order, values as they
// are. It leaves out the element sign, empty values, and the names in skip.
func CanonicalV2(d flatxml.Document, skip ...string) string {
	return string(appendCanonicalV2(nil, d, skip))
}

func appendCanonicalV2(b []byte, d flatxml.Document, skip []string) []byte {
	// Positions are sorted, not elements, by insertion: messages are short and
	// come nearly in order. An ordinary one stays off the heap.
	var few [32]int
	order := few[:0]
	for i := range d {
		if d[i].Value == "" || d[i].Name == v2SignElement || slices.Contains(skip, d[i].Name) {
			continue
		}
		order = append(order, i)
		at := len(order) - 1
		for ; at > 0 && d[i].Name < d[order[at-1]].Name; at-- {
			order[at] = order[at-1]
		}
		order[at] = i
	}
	for n, i := range order {
		if n > 0 {
			b = append(b, '&')
		}
		b = append(b, d[i].Name...)
		b = append(b, '=')
		b = append(b, d[i].Value...)
	}
	return b
}
