package stdwebhook

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// interopBodies are signed as they are, so none of them needs to be JSON.
var interopBodies = []struct{ name, body string }{
	{"JSON", specBody},
	{"empty", ""},
	{"Chinese", `{"plate_number":"粤B888888"}`},
	{"full stops", "1.2.3"},
	{"not UTF-8", "\xff\x00\xfe"},
}

// TestInteropTheyVerify signs here and verifies with the Standard Webhooks
// project's own library.
func TestInteropTheyVerify(t *testing.T) {
	receiver, err := standardwebhooks.NewWebhook(specSecret)
	if err != nil {
		t.Fatal(err)
	}
	signedAt := time.Unix(1614265330, 0)
	ours := mustSecret(t, specSecret)
	for _, test := range interopBodies {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{}
			header.Set(HeaderID, specID)
			header.Set(HeaderTimestamp, strconv.FormatInt(signedAt.Unix(), 10))

			header.Set(HeaderSignature, Sign(specID, signedAt, []byte(test.body), []Secret{ours}))
			if err := receiver.VerifyIgnoringTimestamp([]byte(test.body), header); err != nil {
				t.Errorf("one secret: got %v, want none", err)
			}
			header.Set(HeaderSignature, Sign(specID, signedAt, []byte(test.body), []Secret{secretOf(t, 'b'), ours}))
			if err := receiver.VerifyIgnoringTimestamp([]byte(test.body), header); err != nil {
				t.Errorf("during rotation: got %v, want none", err)
			}
			header.Set(HeaderSignature, Sign(specID, signedAt, []byte(test.body), []Secret{secretOf(t, 'b')}))
			if err := receiver.VerifyIgnoringTimestamp([]byte(test.body), header); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
				t.Errorf("another secret: got %v, want %v", err, standardwebhooks.ErrNoMatchingSignature)
			}
		})
	}
}

// TestInteropWeVerify signs with the library and verifies here.
func TestInteropWeVerify(t *testing.T) {
	sender, err := standardwebhooks.NewWebhook(specSecret)
	if err != nil {
		t.Fatal(err)
	}
	signedAt := time.Unix(1614265330, 0)
	ours := mustSecret(t, specSecret)
	for _, test := range interopBodies {
		t.Run(test.name, func(t *testing.T) {
			signature, err := sender.Sign(specID, signedAt, []byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if want := Sign(specID, signedAt, []byte(test.body), []Secret{ours}); signature != want {
				t.Errorf("got %q from here, want %q as the library signs", want, signature)
			}
			message, err := ParseHeader(specID, strconv.FormatInt(signedAt.Unix(), 10), signature)
			if err != nil {
				t.Fatal(err)
			}
			if err := message.Verify([]byte(test.body), []Secret{secretOf(t, 'b'), ours}); err != nil {
				t.Errorf("got %v, want none", err)
			}
			if err := message.Verify([]byte(test.body+"x"), []Secret{ours}); !errors.Is(err, ErrBadSignature) {
				t.Errorf("another body: got %v, want %v", err, ErrBadSignature)
			}
		})
	}
}

// TestInteropNewSecret gives a secret made here to the library.
func TestInteropNewSecret(t *testing.T) {
	text, err := NewSecret(zeros{})
	if err != nil {
		t.Fatal(err)
	}
	sender, err := standardwebhooks.NewWebhook(text)
	if err != nil {
		t.Fatal(err)
	}
	signedAt := time.Unix(1614265330, 0)
	signature, err := sender.Sign(specID, signedAt, []byte(specBody))
	if err != nil {
		t.Fatal(err)
	}
	if got := Sign(specID, signedAt, []byte(specBody), []Secret{mustSecret(t, text)}); got != signature {
		t.Errorf("got %q, want %q as the library signs", got, signature)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
