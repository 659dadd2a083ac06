//go:build !race

package signing_test

import (
	"testing"
	"time"
)

// The race detector allocates on its own and empties pools at random, so the
// budgets hold without it alone.
func TestAllocationBudgets(t *testing.T) {
	document, key := entryDocument(t)
	body, keys := callbackBody(t)
	v := loadVectors(t)
	signer, request := vectorSigner(t, v), v.V3.Cases[3]
	requestBody, now := []byte(request.Body), unix(t, request.Timestamp)
	callback := newCallback(t)
	for _, tc := range []struct {
		name   string
		budget float64
		run    func() error
	}{
		{"V2 build and sign", 6, func() error {
			_, err := buildAndSign(document, key)
			return err
		}},
		{"V2 parse and verify", 8, func() error { return parseAndVerify(body, keys) }},
		{"V3 Authorization header", 8, func() error {
			_, err := signer.Authorization(request.Method, request.URI, requestBody, now, request.Nonce)
			return err
		}},
		{"V3 callback: verify, decrypt, decode", 45, callback.open},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var err error
			got := testing.AllocsPerRun(100, func() {
				if e := tc.run(); e != nil {
					err = e
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if got > tc.budget {
				t.Errorf("got %v allocations, want at most %v", got, tc.budget)
			}
		})
	}
}

// TestRefusalsAreCheap bounds what a stranger's message costs before its key is
// found: no copy of the body, no work in proportion to it.
func TestRefusalsAreCheap(t *testing.T) {
	c := newCallback(t)
	stale, unknown := c.header, c.header
	stale.Timestamp = "1"
	unknown.Serial = "PUB_KEY_ID_1"
	got := testing.AllocsPerRun(100, func() {
		if c.ring.Verify(stale, c.body, c.now) == nil || c.ring.Verify(unknown, c.body, time.Unix(1722850421, 0)) == nil {
			t.Fatal("a bad header verifies")
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}
