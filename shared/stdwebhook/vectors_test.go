package stdwebhook

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// vectors are the known answers that the vendor guide gives to vendors of any language.
type vectors struct {
	Sign []struct {
		Name, Secret, ID, Body, Signature string
		Timestamp                         int64
	}
	Verify []struct {
		Name, Secret, Body, Why  string
		Now                      int64
		ID, Timestamp, Signature *string
		Genuine                  bool
	}
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("../../testdata/standardwebhooks.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Sign) < 7 || len(v.Verify) < 27 {
		t.Fatalf("got %d and %d known answers, want at least 7 and 27", len(v.Sign), len(v.Verify))
	}
	return v
}

// TestKnownSignatures: this package and the Standard Webhooks project's library both give the published signatures.
func TestKnownSignatures(t *testing.T) {
	for _, v := range readVectors(t).Sign {
		at := time.Unix(v.Timestamp, 0)
		if got := Sign(v.ID, at, []byte(v.Body), []Secret{mustSecret(t, v.Secret)}); got != v.Signature {
			t.Errorf("%s: got %s, want %s", v.Name, got, v.Signature)
		}
		library, err := standardwebhooks.NewWebhook(v.Secret)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := library.Sign(v.ID, at, []byte(v.Body)); err != nil || got != v.Signature {
			t.Errorf("%s: the library: got %s, %v, want %s", v.Name, got, err, v.Signature)
		}
	}
}

// TestKnownVerdicts: every published message is taken or refused as the file says.
func TestKnownVerdicts(t *testing.T) {
	for _, v := range readVectors(t).Verify {
		header := http.Header{}
		for name, value := range map[string]*string{HeaderID: v.ID, HeaderTimestamp: v.Timestamp, HeaderSignature: v.Signature} {
			if value != nil {
				header.Set(name, *value)
			}
		}
		err := verdict(header, []byte(v.Body), mustSecret(t, v.Secret), time.Unix(v.Now, 0))
		if (err == nil) != v.Genuine {
			t.Errorf("%s: got %v, want genuine %v (%s)", v.Name, err, v.Genuine, v.Why)
		}
	}
}

func verdict(header http.Header, body []byte, secret Secret, now time.Time) error {
	message, err := ParseHeader(header.Get(HeaderID), header.Get(HeaderTimestamp), header.Get(HeaderSignature))
	if err != nil {
		return err
	}
	if err := message.CheckTime(now); err != nil {
		return err
	}
	return message.Verify(body, []Secret{secret})
}
