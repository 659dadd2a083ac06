package idempotency

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	start    = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	theKey   = Key{VendorID: "acme", Route: "businesscircle/parkings", ID: "visit-1-in"}
	request  = sha256.Sum256([]byte("one request"))
	request2 = sha256.Sum256([]byte("another request"))
	answer   = Answer{Status: 200, Body: []byte(`{"user_state":"NORMAL"}`)}
)

// world is a store over a fake table with a clock that stands still.
type world struct {
	*Store
	db  *fakeDynamoDB
	now time.Time
}

func newWorld() *world {
	w := &world{db: newFake(), now: start}
	w.Store = New(w.db, "ids", func() time.Time { return w.now }, rand.Reader)
	return w
}

func (w *world) claim(t *testing.T, fingerprint [32]byte) Result {
	t.Helper()
	r, err := w.Claim(t.Context(), theKey, fingerprint, w.now.Add(10*time.Second))
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return r
}

func (w *world) mustClaim(t *testing.T, fingerprint [32]byte) *Claim {
	t.Helper()
	r := w.claim(t, fingerprint)
	if r.Outcome != Claimed {
		t.Fatalf("Claim = %v, want claimed", r.Outcome)
	}
	return r.Claim
}

// TestClaim takes each row's steps from an empty table, then claims.
func TestClaim(t *testing.T) {
	tests := []struct {
		name        string
		steps       func(t *testing.T, w *world)
		fingerprint [32]byte
		want        Result
	}{
		{
			name:        "a new id",
			steps:       func(*testing.T, *world) {},
			fingerprint: request,
			want:        Result{Outcome: Claimed},
		},
		{
			name:        "running",
			steps:       func(t *testing.T, w *world) { w.mustClaim(t, request) },
			fingerprint: request,
			want:        Result{Outcome: Running, RetryAfter: 15 * time.Second},
		},
		{
			name: "running, rounded up to whole seconds",
			steps: func(t *testing.T, w *world) {
				w.mustClaim(t, request)
				w.now = w.now.Add(1100 * time.Millisecond)
			},
			fingerprint: request,
			want:        Result{Outcome: Running, RetryAfter: 14 * time.Second},
		},
		{
			name: "running until the last millisecond of the lease",
			steps: func(t *testing.T, w *world) {
				w.mustClaim(t, request)
				w.now = w.now.Add(15*time.Second - time.Millisecond)
			},
			fingerprint: request,
			want:        Result{Outcome: Running, RetryAfter: time.Second},
		},
		{
			name: "past the lease",
			steps: func(t *testing.T, w *world) {
				w.mustClaim(t, request)
				w.now = w.now.Add(15 * time.Second)
			},
			fingerprint: request,
			want:        Result{Outcome: Claimed},
		},
		{
			name:        "another request while running",
			steps:       func(t *testing.T, w *world) { w.mustClaim(t, request) },
			fingerprint: request2,
			want:        Result{Outcome: Mismatch},
		},
		{
			name: "another request past the lease",
			steps: func(t *testing.T, w *world) {
				w.mustClaim(t, request)
				w.now = w.now.Add(time.Hour)
			},
			fingerprint: request2,
			want:        Result{Outcome: Mismatch},
		},
		{
			name:        "done",
			steps:       func(t *testing.T, w *world) { w.complete(t, answer) },
			fingerprint: request,
			want:        Result{Outcome: Replay, Answer: answer},
		},
		{
			name:        "done without a body",
			steps:       func(t *testing.T, w *world) { w.complete(t, Answer{Status: 204}) },
			fingerprint: request,
			want:        Result{Outcome: Replay, Answer: Answer{Status: 204}},
		},
		{
			name:        "another request when done",
			steps:       func(t *testing.T, w *world) { w.complete(t, answer) },
			fingerprint: request2,
			want:        Result{Outcome: Mismatch},
		},
		{
			name: "done, in its last second",
			steps: func(t *testing.T, w *world) {
				w.complete(t, answer)
				w.now = w.now.Add(Kept - time.Nanosecond)
			},
			fingerprint: request,
			want:        Result{Outcome: Replay, Answer: answer},
		},
		{
			name: "expired and not deleted",
			steps: func(t *testing.T, w *world) {
				w.complete(t, answer)
				w.now = w.now.Add(Kept)
			},
			fingerprint: request,
			want:        Result{Outcome: Claimed},
		},
		{
			name: "another request, expired and not deleted",
			steps: func(t *testing.T, w *world) {
				w.mustClaim(t, request)
				w.now = w.now.Add(Kept)
			},
			fingerprint: request2,
			want:        Result{Outcome: Claimed},
		},
		{
			name: "released",
			steps: func(t *testing.T, w *world) {
				if err := w.Release(t.Context(), w.mustClaim(t, request)); err != nil {
					t.Fatal(err)
				}
			},
			fingerprint: request2,
			want:        Result{Outcome: Claimed},
		},
		{
			name:        "written, and the answer lost",
			steps:       func(_ *testing.T, w *world) { w.db.next = answerLost },
			fingerprint: request,
			want:        Result{Outcome: Claimed},
		},
		{
			name: "running, and the answer lost",
			steps: func(t *testing.T, w *world) {
				w.mustClaim(t, request)
				w.db.next = answerLost
			},
			fingerprint: request,
			want:        Result{Outcome: Running, RetryAfter: 15 * time.Second},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			tt.steps(t, w)
			got := w.claim(t, tt.fingerprint)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Result{}, "Claim"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Claim (-want +got):\n%s", diff)
			}
			if (got.Claim != nil) != (got.Outcome == Claimed) {
				t.Errorf("Claim = %v with a claim: %v", got.Outcome, got.Claim != nil)
			}
		})
	}
}

// complete claims and completes theKey.
func (w *world) complete(t *testing.T, a Answer) {
	t.Helper()
	if err := w.Complete(t.Context(), w.mustClaim(t, request), a); err != nil {
		t.Fatal(err)
	}
}

func TestKeepFor(t *testing.T) {
	const kept = 7 * 24 * time.Hour
	w := newWorld()
	w.Store = New(w.db, "ids", func() time.Time { return w.now }, rand.Reader, KeepFor(kept))
	w.complete(t, answer)
	w.now = start.Add(kept - time.Nanosecond)
	if got := w.claim(t, request).Outcome; got != Replay {
		t.Errorf("in its last second: Claim = %v, want replay", got)
	}
	w.now = start.Add(kept)
	w.mustClaim(t, request)
	w.now = start.Add(2*kept - time.Nanosecond)
	if got := w.claim(t, request2).Outcome; got != Mismatch {
		t.Errorf("another request in the claim's last second: Claim = %v, want mismatch", got)
	}
}

func TestKeysAreApart(t *testing.T) {
	w := newWorld()
	deadline := w.now.Add(time.Second)
	keys := []Key{
		theKey,
		{VendorID: "acme2", Route: theKey.Route, ID: theKey.ID},
		{VendorID: theKey.VendorID, Route: "vehicle/notifications", ID: theKey.ID},
		{VendorID: theKey.VendorID, Route: theKey.Route, ID: "visit-1-out"},
	}
	for _, k := range keys {
		r, err := w.Claim(t.Context(), k, request, deadline)
		if err != nil || r.Outcome != Claimed {
			t.Errorf("Claim(%v) = %v, %v, want claimed", k, r.Outcome, err)
		}
	}
}

func TestItem(t *testing.T) {
	w := newWorld()
	w.mustClaim(t, request)
	got := w.db.items["call#acme#businesscircle/parkings#visit-1-in"]
	want := item{
		"pk":          &types.AttributeValueMemberS{Value: "call#acme#businesscircle/parkings#visit-1-in"},
		"state":       &types.AttributeValueMemberS{Value: "running"},
		"owner":       got["owner"],
		"fingerprint": &types.AttributeValueMemberB{Value: request[:]},
		"lease":       &types.AttributeValueMemberN{Value: "1795341615000"},
		"expires_at":  &types.AttributeValueMemberN{Value: "1795600800"},
	}
	if diff := cmp.Diff(want, got, ignoreDocument); diff != "" {
		t.Errorf("running item (-want +got):\n%s", diff)
	}

	w = newWorld()
	c := w.mustClaim(t, request)
	w.now = w.now.Add(2 * time.Second)
	if err := w.Complete(t.Context(), c, answer); err != nil {
		t.Fatal(err)
	}
	got = w.db.items["call#acme#businesscircle/parkings#visit-1-in"]
	want = item{
		"pk":          want["pk"],
		"state":       &types.AttributeValueMemberS{Value: "done"},
		"owner":       got["owner"],
		"fingerprint": want["fingerprint"],
		"status":      &types.AttributeValueMemberN{Value: "200"},
		"body":        &types.AttributeValueMemberB{Value: answer.Body},
		"expires_at":  &types.AttributeValueMemberN{Value: "1795600802"},
	}
	if diff := cmp.Diff(want, got, ignoreDocument); diff != "" {
		t.Errorf("done item (-want +got):\n%s", diff)
	}
}

var ignoreDocument = cmpopts.IgnoreUnexported(
	types.AttributeValueMemberS{}, types.AttributeValueMemberN{}, types.AttributeValueMemberB{})

// TestOvertaken has a first claimant that outlives its lease, and a second one
// that took over.
func TestOvertaken(t *testing.T) {
	second := Answer{Status: 204}
	tests := []struct {
		name   string
		second func(ctx context.Context, w *world, c *Claim) error
		want   Result // of a claim at the end
	}{
		{"second running", func(context.Context, *world, *Claim) error { return nil },
			Result{Outcome: Running, RetryAfter: 15 * time.Second}},
		{"second done", func(ctx context.Context, w *world, c *Claim) error { return w.Complete(ctx, c, second) },
			Result{Outcome: Replay, Answer: second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			first := w.mustClaim(t, request)
			w.now = w.now.Add(time.Minute)
			if err := tt.second(t.Context(), w, w.mustClaim(t, request)); err != nil {
				t.Fatal(err)
			}
			if err := w.Complete(t.Context(), first, answer); err != ErrLostClaim {
				t.Errorf("Complete by the first: got error %v, want ErrLostClaim", err)
			}
			if err := w.Release(t.Context(), first); err != ErrLostClaim {
				t.Errorf("Release by the first: got error %v, want ErrLostClaim", err)
			}
			got := w.claim(t, request)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Claim at the end (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLateButNotOvertaken(t *testing.T) {
	w := newWorld()
	c := w.mustClaim(t, request)
	w.now = w.now.Add(time.Minute)
	if err := w.Complete(t.Context(), c, answer); err != nil {
		t.Fatalf("Complete past the lease: %v", err)
	}
	if got := w.claim(t, request); got.Outcome != Replay {
		t.Errorf("Claim = %v, want replay", got.Outcome)
	}
}

func TestEndsTwice(t *testing.T) {
	t.Run("complete", func(t *testing.T) {
		w := newWorld()
		c := w.mustClaim(t, request)
		w.db.next = answerLost
		if err := w.Complete(t.Context(), c, answer); err != nil {
			t.Errorf("Complete whose answer was lost: %v", err)
		}
		if err := w.Complete(t.Context(), c, answer); err != nil {
			t.Errorf("Complete again: %v", err)
		}
		if err := w.Release(t.Context(), c); err != ErrLostClaim {
			t.Errorf("Release of a completed claim: got error %v, want ErrLostClaim", err)
		}
		if got := w.claim(t, request); got.Outcome != Replay {
			t.Errorf("Claim = %v, want replay", got.Outcome)
		}
	})
	t.Run("release", func(t *testing.T) {
		w := newWorld()
		c := w.mustClaim(t, request)
		w.db.next = answerLost
		if err := w.Release(t.Context(), c); err != nil {
			t.Errorf("Release whose answer was lost: %v", err)
		}
		if err := w.Release(t.Context(), c); err != nil {
			t.Errorf("Release again: %v", err)
		}
		if err := w.Complete(t.Context(), c, answer); err != ErrLostClaim {
			t.Errorf("Complete of a released claim: got error %v, want ErrLostClaim", err)
		}
	})
}

// A put that its sender gave up on may arrive after the request was released, or
// answered by another claimant.
func TestLatePut(t *testing.T) {
	w := newWorld()
	w.db.next = neverArrived
	if _, err := w.Claim(t.Context(), theKey, request, w.now.Add(10*time.Second)); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("Claim: got error %v, want ErrUnavailable", err)
	}
	w.complete(t, answer)
	w.db.late[0]()
	want := Result{Outcome: Replay, Answer: answer}
	if diff := cmp.Diff(want, w.claim(t, request)); diff != "" {
		t.Errorf("Claim after the late put (-want +got):\n%s", diff)
	}
}

func TestTwins(t *testing.T) {
	w := newWorld()
	const twins = 32
	outcomes := make([]Outcome, twins)
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range twins {
		wg.Go(func() {
			<-begin
			r, err := w.Claim(t.Context(), theKey, request, w.now.Add(10*time.Second))
			if err != nil {
				t.Errorf("Claim: %v", err)
			}
			outcomes[i] = r.Outcome
		})
	}
	close(begin)
	wg.Wait()
	count := map[Outcome]int{}
	for _, o := range outcomes {
		count[o]++
	}
	if diff := cmp.Diff(map[Outcome]int{Claimed: 1, Running: twins - 1}, count); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestInvalidArgument(t *testing.T) {
	tests := []struct {
		name     string
		key      Key
		deadline time.Time
	}{
		{"no vendor", Key{Route: "r", ID: "1"}, start.Add(time.Second)},
		{"no route", Key{VendorID: "v", ID: "1"}, start.Add(time.Second)},
		{"no id", Key{VendorID: "v", Route: "r"}, start.Add(time.Second)},
		{"separator in the vendor", Key{VendorID: "v#r", Route: "r", ID: "1"}, start.Add(time.Second)},
		{"separator in the id", Key{VendorID: "v", Route: "r", ID: "r#1"}, start.Add(time.Second)},
		{"deadline now", theKey, start},
		{"no deadline", theKey, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if _, err := w.Claim(t.Context(), tt.key, request, tt.deadline); !errors.Is(err, ErrInvalidArgument) {
				t.Errorf("got error %v, want ErrInvalidArgument", err)
			}
			if len(w.db.items) != 0 {
				t.Errorf("%d items written, want none", len(w.db.items))
			}
		})
	}
}

func TestUnavailable(t *testing.T) {
	w := newWorld()
	c := w.mustClaim(t, request)
	calls := map[string]func() error{
		"Claim": func() error {
			_, err := w.Claim(t.Context(), theKey, request, w.now.Add(time.Second))
			return err
		},
		"Complete": func() error { return w.Complete(t.Context(), c, answer) },
		"Release":  func() error { return w.Release(t.Context(), c) },
	}
	for name, call := range calls {
		w.db.next = neverArrived
		if err := call(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errNetwork) {
			t.Errorf("%s: got error %v, want ErrUnavailable and its cause", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Claim(ctx, theKey, request, w.now.Add(time.Second))
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Claim: got error %v, want ErrUnavailable and context.Canceled", err)
	}
}

func TestNoRandomness(t *testing.T) {
	broken := errors.New("no entropy")
	s := New(newFake(), "ids", func() time.Time { return start }, iotest.ErrReader(broken))
	_, err := s.Claim(t.Context(), theKey, request, start.Add(time.Second))
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, broken) {
		t.Errorf("got error %v, want ErrUnavailable and its cause", err)
	}
}

// TestMalformedRecord changes one attribute of a valid item.
func TestMalformedRecord(t *testing.T) {
	str := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	num := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	tests := []struct {
		name, attribute string
		value           types.AttributeValue // nil removes it
		done            bool
	}{
		{"no state", "state", nil, false},
		{"unknown state", "state", str("paused"), false},
		{"no owner", "owner", nil, false},
		{"owner a number", "owner", num("1"), false},
		{"no fingerprint", "fingerprint", nil, false},
		{"fingerprint a string", "fingerprint", str("x"), false},
		{"no expires_at", "expires_at", nil, false},
		{"expires_at a string", "expires_at", str("1795600800"), false},
		{"expires_at not whole", "expires_at", num("1795600800.5"), false},
		{"no lease", "lease", nil, false},
		{"no status", "status", nil, true},
		{"no body", "body", nil, true},
		{"body a string", "body", str("{}"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			c := w.mustClaim(t, request)
			if tt.done {
				if err := w.Complete(t.Context(), c, answer); err != nil {
					t.Fatal(err)
				}
			}
			for _, i := range w.db.items {
				i[tt.attribute] = tt.value
				if tt.value == nil {
					delete(i, tt.attribute)
				}
			}
			_, err := w.Claim(t.Context(), theKey, request, w.now.Add(time.Second))
			if !errors.Is(err, ErrMalformedRecord) || !strings.HasSuffix(err.Error(), tt.attribute) {
				t.Errorf("got error %v, want ErrMalformedRecord naming %s", err, tt.attribute)
			}
		})
	}
}

// A table that refuses an expired item (none does) does not make it an answer.
func TestExpiredIsNeverReplayed(t *testing.T) {
	w := newWorld()
	w.complete(t, answer)
	old := w.db.items["call#acme#businesscircle/parkings#visit-1-in"]
	w.now = w.now.Add(Kept)
	s := New(refusing{w.db, old}, "ids", func() time.Time { return w.now }, bytes.NewReader(make([]byte, 16)))
	if _, err := s.Claim(t.Context(), theKey, request, w.now.Add(time.Second)); !errors.Is(err, ErrMalformedRecord) {
		t.Errorf("got error %v, want ErrMalformedRecord", err)
	}
}
