package signing_test

import (
	"bytes"
	cryptorand "crypto/rand"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"wechat-parking-gateway/shared/signing"
)

func TestNewNonce(t *testing.T) {
	counting := make([]byte, 64)
	for i := range counting {
		counting[i] = byte(i)
	}
	broken := errors.New("no randomness")
	for _, tc := range []struct {
		name string
		r    io.Reader
		want string
		err  error
	}{
		{"bytes in order", bytes.NewReader(counting), "0123456789ABCDEFGHIJKLMNOPQRSTUV", nil},
		{"a byte at a time", iotest.OneByteReader(bytes.NewReader(counting)), "0123456789ABCDEFGHIJKLMNOPQRSTUV", nil},
		{"bytes that would be unfair are left out", strings.NewReader("\xf8\xff\xf7" + strings.Repeat("\x00", 61)), "z" + strings.Repeat("0", 31), nil},
		{"as many as can be left out", strings.NewReader(strings.Repeat("\xff", 32) + strings.Repeat("\x01", 32)), strings.Repeat("1", 32), nil},
		{"one more", strings.NewReader(strings.Repeat("\xff", 33) + strings.Repeat("\x01", 31)), "", signing.ErrPoorRandomness},
		{"too few bytes", bytes.NewReader(counting[:63]), "", io.ErrUnexpectedEOF},
		{"none", bytes.NewReader(nil), "", io.EOF},
		{"broken", iotest.ErrReader(broken), "", broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := signing.NewNonce(tc.r)
			if !errors.Is(err, tc.err) {
				t.Errorf("got error %v, want %v", err, tc.err)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestNewNonceIsUnbiased counts letters over a fixed stream, so that it never
// fails by chance.
func TestNewNonceIsUnbiased(t *testing.T) {
	const nonces, letters = 20000, 62
	r := rand.NewChaCha8([32]byte{1})
	counts := map[rune]int{}
	for range nonces {
		nonce, err := signing.NewNonce(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(nonce) != signing.NonceLen {
			t.Fatalf("got %d characters, want %d", len(nonce), signing.NonceLen)
		}
		for _, c := range nonce {
			counts[c]++
		}
	}
	if len(counts) != letters {
		t.Errorf("got %d letters, want %d", len(counts), letters)
	}
	// Taken modulo 62 without care, the first 8 letters would be a quarter too
	// frequent. The spread of an honest count is 1 %.
	mean := nonces * signing.NonceLen / letters
	for c, n := range counts {
		if n < mean*95/100 || n > mean*105/100 {
			t.Errorf("%c: got %d, want about %d", c, n, mean)
		}
	}
}

func TestNewNonceDiffers(t *testing.T) {
	a, errA := signing.NewNonce(cryptorand.Reader)
	b, errB := signing.NewNonce(cryptorand.Reader)
	if errA != nil || errB != nil || a == b {
		t.Errorf("got %q, %v and %q, %v", a, errA, b, errB)
	}
}
