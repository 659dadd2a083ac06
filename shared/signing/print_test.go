package signing_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestKeysAreNotPrinted prints keys in the ways in which they reach a log by
// mistake.
func TestKeysAreNotPrinted(t *testing.T) {
	v := loadVectors(t)
	private := vectorPrivateKey(t, v)
	for _, tc := range []struct {
		name   string
		key    any
		secret []string
	}{
		{"signing.V2Key", mustV2Key(t, testKey), []string{testKey, fmt.Sprintf("%x", testKey)}},
		{"signing.V3Key", mustV3Key(t, testKey), []string{testKey, fmt.Sprintf("%x", testKey)}},
		{"signing.Signer", vectorSigner(t, v), []string{private.D.String(), fmt.Sprintf("%x", private.D)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				if got := fmt.Sprintf(verb, tc.key); got != tc.name {
					t.Errorf("%s: got %q, want %q", verb, got, tc.name)
				}
			}
			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", tc.key, "keys", []any{tc.key})
			slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", tc.key, "keys", []any{tc.key})
			fmt.Fprintf(&log, "%+v", struct{ Key any }{tc.key})
			encoded, err := json.Marshal(tc.key)
			if err != nil {
				t.Fatal(err)
			}
			log.Write(encoded)
			for _, secret := range tc.secret {
				if strings.Contains(strings.ToLower(log.String()), strings.ToLower(secret)) {
					t.Errorf("%q is in %s", secret, log.String())
				}
			}
		})
	}
}
