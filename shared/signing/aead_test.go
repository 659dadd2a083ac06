package signing_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/signing"
)

func TestDecryptVectors(t *testing.T) {
	for _, v := range loadVectors(t).AEAD {
		t.Run(v.Name, func(t *testing.T) {
			got, err := signing.Decrypt([]*signing.V3Key{mustV3Key(t, v.Key)}, v.Nonce, v.AssociatedData, v.Ciphertext)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != v.Plaintext {
				t.Errorf("got %q, want %q", got, v.Plaintext)
			}
			// The other direction, which the product never needs.
			if got := seal(t, v.Key, v.Nonce, v.AssociatedData, v.Plaintext); got != v.Ciphertext {
				t.Errorf("sealed: got %s, want %s", got, v.Ciphertext)
			}
		})
	}
}

func TestDecrypt(t *testing.T) {
	v := loadVectors(t).AEAD[0]
	key, other := mustV3Key(t, v.Key), mustV3Key(t, otherKey)
	sealed, err := base64.StdEncoding.DecodeString(v.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) string {
		b := append([]byte(nil), sealed...)
		b[i] ^= 1
		return base64.StdEncoding.EncodeToString(b)
	}
	type resource struct {
		keys                              []*signing.V3Key
		nonce, associatedData, ciphertext string
	}
	for _, tc := range []struct {
		name   string
		mutate func(*resource)
		want   error
	}{
		{"genuine", func(*resource) {}, nil},
		{"second key of two", func(r *resource) { r.keys = []*signing.V3Key{other, key} }, nil},
		{"first key of two", func(r *resource) { r.keys = []*signing.V3Key{key, other} }, nil},
		{"no keys", func(r *resource) { r.keys = nil }, signing.ErrUndecryptable},
		{"another key", func(r *resource) { r.keys = []*signing.V3Key{other} }, signing.ErrUndecryptable},
		{"no nonce", func(r *resource) { r.nonce = "" }, signing.ErrUndecryptable},
		{"nonce of 11 bytes", func(r *resource) { r.nonce = r.nonce[1:] }, signing.ErrUndecryptable},
		{"nonce of 13 bytes", func(r *resource) { r.nonce += "0" }, signing.ErrUndecryptable},
		{"nonce of 12 characters, 36 bytes", func(r *resource) { r.nonce = strings.Repeat("车", 12) }, signing.ErrUndecryptable},
		{"another nonce", func(r *resource) { r.nonce = "v" + r.nonce[1:] }, signing.ErrUndecryptable},
		{"no associated data", func(r *resource) { r.associatedData = "" }, signing.ErrUndecryptable},
		{"more associated data", func(r *resource) { r.associatedData += "\x00" }, signing.ErrUndecryptable},
		{"no ciphertext", func(r *resource) { r.ciphertext = "" }, signing.ErrUndecryptable},
		{"ciphertext of 15 bytes", func(r *resource) { r.ciphertext = base64.StdEncoding.EncodeToString(sealed[:15]) }, signing.ErrUndecryptable},
		{"ciphertext of 16 bytes", func(r *resource) { r.ciphertext = base64.StdEncoding.EncodeToString(sealed[:16]) }, signing.ErrUndecryptable},
		{"ciphertext cut", func(r *resource) { r.ciphertext = base64.StdEncoding.EncodeToString(sealed[:len(sealed)-1]) }, signing.ErrUndecryptable},
		{"forged ciphertext", func(r *resource) { r.ciphertext = flip(0) }, signing.ErrUndecryptable},
		{"forged tag, first byte", func(r *resource) { r.ciphertext = flip(len(sealed) - 16) }, signing.ErrUndecryptable},
		{"forged tag, last byte", func(r *resource) { r.ciphertext = flip(len(sealed) - 1) }, signing.ErrUndecryptable},
		{"not base64", func(r *resource) { r.ciphertext = "!" + r.ciphertext[1:] }, signing.ErrUndecryptable},
		{"no padding", func(r *resource) { r.ciphertext = strings.TrimRight(r.ciphertext, "=") }, signing.ErrUndecryptable},
		{"line end in base64", func(r *resource) { r.ciphertext = r.ciphertext[:4] + "\n" + r.ciphertext[4:] }, signing.ErrUndecryptable},
		{"stray bits in base64", func(r *resource) { r.ciphertext = strings.TrimSuffix(r.ciphertext, "I=") + "J=" }, signing.ErrUndecryptable},
		{"ciphertext of great length", func(r *resource) { r.ciphertext = strings.Repeat("AAAA", 1<<18) }, signing.ErrUndecryptable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := resource{[]*signing.V3Key{key}, v.Nonce, v.AssociatedData, v.Ciphertext}
			tc.mutate(&r)
			got, err := signing.Decrypt(r.keys, r.nonce, r.associatedData, r.ciphertext)
			if err != tc.want {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			switch {
			case err == nil && string(got) != v.Plaintext:
				t.Errorf("got %q, want %q", got, v.Plaintext)
			case err != nil && got != nil:
				t.Errorf("got %d bytes with an error", len(got))
			}
		})
	}
}

func TestDecryptEmptyPlaintext(t *testing.T) {
	v := loadVectors(t).AEAD[0]
	got, err := signing.Decrypt([]*signing.V3Key{mustV3Key(t, v.Key)}, v.Nonce, "", seal(t, v.Key, v.Nonce, "", ""))
	if err != nil || len(got) != 0 {
		t.Errorf("got %q, %v, want nothing", got, err)
	}
}

func TestNewV3Key(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		want      error
	}{
		{"32 letters and digits", testKey, nil},
		{"any 32 bytes", strings.Repeat("\x00\xff", 16), nil},
		{"empty", "", signing.ErrInvalidKey},
		{"16 bytes, another AES", testKey[:16], signing.ErrInvalidKey},
		{"24 bytes, another AES", testKey[:24], signing.ErrInvalidKey},
		{"31", testKey[1:], signing.ErrInvalidKey},
		{"33", testKey + "\n", signing.ErrInvalidKey},
		{"32 characters, 34 bytes", testKey[1:] + "车", signing.ErrInvalidKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key, err := signing.NewV3Key(tc.key)
			if !errors.Is(err, tc.want) {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			if (key == nil) != (tc.want != nil) {
				t.Errorf("got key %v with error %v", key, err)
			}
		})
	}
}

// FuzzDecrypt opens nothing but what was sealed.
func FuzzDecrypt(f *testing.F) {
	v := loadVectors(f).AEAD
	genuine := map[aeadVector]bool{}
	for _, v := range v {
		genuine[aeadVector{Nonce: v.Nonce, AssociatedData: v.AssociatedData, Ciphertext: v.Ciphertext}] = true
		f.Add(v.Nonce, v.AssociatedData, v.Ciphertext)
		f.Add(v.Nonce[1:], v.AssociatedData, v.Ciphertext)
		f.Add(v.Nonce, v.AssociatedData, v.Ciphertext[4:])
		f.Add(v.Nonce, v.AssociatedData, v.Ciphertext[:4]+"\r\n"+v.Ciphertext[4:])
	}
	keys := []*signing.V3Key{mustV3Key(f, otherKey), mustV3Key(f, v[0].Key)}
	f.Fuzz(func(t *testing.T, nonce, associatedData, ciphertext string) {
		plain, err := signing.Decrypt(keys, nonce, associatedData, ciphertext)
		want := genuine[aeadVector{Nonce: nonce, AssociatedData: associatedData, Ciphertext: ciphertext}]
		switch {
		case err == nil && !want:
			t.Fatalf("forged: nonce %q, associated data %q, ciphertext %q", nonce, associatedData, ciphertext)
		case err != nil && (want || err != signing.ErrUndecryptable || plain != nil):
			t.Fatalf("got %d bytes, %v", len(plain), err)
		}
	})
}

// seal encrypts as WeChat Pay does.
func seal(t testing.TB, key, nonce, associatedData, plaintext string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(aead.Seal(nil, []byte(nonce), []byte(plaintext), []byte(associatedData)))
}
