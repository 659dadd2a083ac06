package signing

import (
	"errors"
	"fmt"
	"io"
)

// NonceLen is the length of a nonce, the most that nonce_str may have.
const NonceLen = 32

const nonceAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var errPoorRandomness = errors.New("signing: the random source is not random")

// NewNonce returns 32 letters and digits, each of the 62 as likely as any other,
// from r, which is crypto/rand.Reader outside tests. It reads 64 bytes once.
func NewNonce(r io.Reader) (string, error) {
	var random [2 * NonceLen]byte
	if _, err := io.ReadFull(r, random[:]); err != nil {
		return "", fmt.Errorf("signing: reading randomness: %w", err)
	}
	// A byte at or above the largest multiple of 62 would favour the first
	// letters. One in 32 is; that more than half of 64 are has a chance of
	// 2^-100, unless the source is broken.
	const limit = 256 / len(nonceAlphabet) * len(nonceAlphabet)
	nonce := make([]byte, 0, NonceLen)
	for _, b := range random {
		if int(b) < limit {
			nonce = append(nonce, nonceAlphabet[int(b)%len(nonceAlphabet)])
		}
		if len(nonce) == NonceLen {
			return string(nonce), nil
		}
	}
	return "", errPoorRandomness
}
