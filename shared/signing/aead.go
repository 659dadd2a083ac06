package signing

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
)

const v3KeyLen = 32

// A V3Key is an APIv3 key, ready to decrypt.
type V3Key struct{ aead cipher.AEAD }

// NewV3Key takes an APIv3 key as it is set in the merchant console: 32 bytes,
// used as they are. The error wraps ErrInvalidKey.
func NewV3Key(key string) (*V3Key, error) {
	if len(key) != v3KeyLen {
		return nil, fmt.Errorf("%w: an APIv3 key has 32 bytes, this one %d", ErrInvalidKey, len(key))
	}
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	return &V3Key{aead: aead}, nil
}

// Format prints the type's name, whatever the verb.
func (k *V3Key) Format(f fmt.State, _ rune) { io.WriteString(f, "signing.V3Key") }

// Decrypt opens the resource of a V3 callback (AEAD_AES_256_GCM) with the first
// of keys that fits. The nonce and the associated data are the text of the JSON
// as it is, 12 bytes and any number; the ciphertext is strict base64 of the
// encrypted bytes and their 16-byte tag. Whatever is wrong, the error is
// ErrUndecryptable and no plaintext is returned.
func Decrypt(keys []*V3Key, nonce, associatedData, ciphertext string) ([]byte, error) {
	sealed, ok := decodeBase64(ciphertext)
	if !ok {
		return nil, ErrUndecryptable
	}
	for _, k := range keys {
		// Open panics on a nonce of another length.
		if len(nonce) != k.aead.NonceSize() || len(sealed) < k.aead.Overhead() {
			return nil, ErrUndecryptable
		}
		// Apart from sealed, which the next key needs whole.
		plain := make([]byte, 0, len(sealed)-k.aead.Overhead())
		if plain, err := k.aead.Open(plain, []byte(nonce), sealed, []byte(associatedData)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrUndecryptable
}
