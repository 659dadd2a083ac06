package delivery

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/platestate"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/vendor"
)

var errDown = errors.New("switched off by the test")

// The secrets of the vendor acme. The first of them signs and verifies its requests.
const (
	requestSecret = "whsec_cmVxdWVzdCBzZWNyZXQ="
	newerSecret   = "whsec_bmV3ZXIgd2ViaG9vayBzZWNyZXQ="
	olderSecret   = "whsec_b2xkZXIgd2ViaG9vayBzZWNyZXQ="
)

// vendors is a document with one vendor, acme, that hears of plates.
const vendors = `{"vendors":{"acme":{"request_secrets":["` + requestSecret + `"],` +
	`"webhook_secrets":["` + newerSecret + `","` + olderSecret + `"],` +
	`"webhook_url":"https://vendor.example/hook","merchants":[{"sub_mchid":"1900000109"}]}}}`

func directory(t testing.TB, document string) *vendor.Directory {
	t.Helper()
	d, err := vendor.Parse([][]byte{[]byte(document)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// source is a cached list of vendors.
type source struct {
	mu        sync.Mutex
	value     *vendor.Directory
	next      *vendor.Directory // what Refresh brings
	down      func() bool
	refreshes int
}

func (s *source) Get(context.Context) (*vendor.Directory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil && s.down() {
		return nil, errDown
	}
	return s.value, nil
}

func (s *source) Refresh(context.Context) (*vendor.Directory, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshes++
	if s.down != nil && s.down() {
		return nil, false, errDown
	}
	changed := s.next != nil
	if changed {
		s.value, s.next = s.next, nil
	}
	return s.value, changed, nil
}

// seen is the record of events in memory, with leases, as package idempotency describes it.
type seen struct {
	now func() time.Time

	mu                                   sync.Mutex
	records                              map[idempotency.Key]*seenRecord
	claimDown, completeDown, releaseDown func() bool
	steps                                []string
}

type seenRecord struct {
	claim *idempotency.Claim
	lease time.Time
	done  bool
	print [32]byte
}

func newSeen(now func() time.Time) *seen {
	return &seen{now: now, records: map[idempotency.Key]*seenRecord{}}
}

func is(down func() bool) bool { return down != nil && down() }

func (s *seen) Claim(ctx context.Context, key idempotency.Key, print [32]byte, deadline time.Time) (idempotency.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, "claim")
	if is(s.claimDown) || ctx.Err() != nil {
		return idempotency.Result{}, idempotency.ErrUnavailable
	}
	r, now := s.records[key], s.now()
	switch {
	case r == nil || !r.done && !r.lease.After(now):
		claim := new(idempotency.Claim)
		s.records[key] = &seenRecord{claim: claim, lease: deadline.Add(idempotency.Margin), print: print}
		return idempotency.Result{Outcome: idempotency.Claimed, Claim: claim}, nil
	case r.print != print:
		return idempotency.Result{Outcome: idempotency.Mismatch}, nil
	case r.done:
		return idempotency.Result{Outcome: idempotency.Replay}, nil
	}
	return idempotency.Result{Outcome: idempotency.Running, RetryAfter: r.lease.Sub(now)}, nil
}

func (s *seen) Complete(ctx context.Context, claim *idempotency.Claim, a idempotency.Answer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, "complete "+strconv.Itoa(a.Status))
	if is(s.completeDown) || ctx.Err() != nil {
		return idempotency.ErrUnavailable
	}
	for _, r := range s.records {
		if r.claim == claim {
			r.done = true
			return nil
		}
	}
	return idempotency.ErrLostClaim
}

func (s *seen) Release(ctx context.Context, claim *idempotency.Claim) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, "release")
	if is(s.releaseDown) || ctx.Err() != nil {
		return idempotency.ErrUnavailable
	}
	for key, r := range s.records {
		if r.claim == claim && !r.done {
			delete(s.records, key)
		}
	}
	return nil
}

// plates is the record of plates in memory.
type plates struct {
	mu                     sync.Mutex
	newest                 map[platestate.Key]time.Time
	unreadable, unwritable func() bool
}

func (s *plates) Newest(_ context.Context, key platestate.Key) (time.Time, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is(s.unreadable) {
		return time.Time{}, false, platestate.ErrUnavailable
	}
	at, ok := s.newest[key]
	return at, ok, nil
}

func (s *plates) Advance(_ context.Context, key platestate.Key, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is(s.unwritable) {
		return platestate.ErrUnavailable
	}
	if at.After(s.newest[key]) {
		s.newest[key] = at
	}
	return nil
}

// post is one request that a vendor got.
type post struct {
	url    string
	header http.Header
	body   string
}

// receiver is a vendor's server.
type receiver struct {
	mu     sync.Mutex
	answer func(ctx context.Context, n int) Answer // to the n-th post, from 1 on
	posts  []post
}

func (r *receiver) Post(ctx context.Context, url string, header http.Header, body []byte) Answer {
	r.mu.Lock()
	r.posts = append(r.posts, post{url, header, string(body)})
	n := len(r.posts)
	r.mu.Unlock()
	return r.answer(ctx, n)
}

func always(a Answer) func(context.Context, int) Answer {
	return func(context.Context, int) Answer { return a }
}

// rig is a deliverer over stores in memory, with a clock that stands still and a vendor that takes everything.
type rig struct {
	clock
	deliverer *Deliverer
	vendors   *source
	vendor    *receiver
	seen      *seen
	plates    *plates
}

func newRig(t testing.TB) *rig {
	r := &rig{clock: clock{now: start.Add(time.Minute)}}
	r.vendors = &source{value: directory(t, vendors)}
	r.vendor = &receiver{answer: always(Answer{Status: http.StatusNoContent})}
	r.seen = newSeen(r.Now)
	r.plates = &plates{newest: map[platestate.Key]time.Time{}}
	r.deliverer = &Deliverer{
		Vendors: r.vendors, Sender: r.vendor, Seen: r.seen, States: r.plates,
		Circuit: NewCircuit(r.Now), Now: r.Now, Random: most,
	}
	return r
}

// until is a context with a deadline by the rig's clock, which nobody watches.
type until struct {
	context.Context
	deadline time.Time
}

func (u until) Deadline() (time.Time, bool) { return u.deadline, true }

// deliver calls Deliver at the beginning of an invocation of 30 s.
func (r *rig) deliver(t testing.TB, item Item) Decision {
	t.Helper()
	return r.deliverer.Deliver(until{t.Context(), r.now.Add(30 * time.Second)}, item)
}

// verify checks a post as the vendor does with one of its secrets, and fails the test when the signature is not there.
func verify(t testing.TB, p post, secret string, now time.Time) {
	t.Helper()
	m, err := stdwebhook.ParseHeader(p.header.Get("Webhook-Id"), p.header.Get("Webhook-Timestamp"), p.header.Get("Webhook-Signature"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := stdwebhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.CheckTime(now); err != nil {
		t.Error(err)
	}
	if err := m.Verify([]byte(p.body), []stdwebhook.Secret{parsed}); err != nil {
		t.Errorf("with the secret %s…: %v", strings.TrimPrefix(secret, "whsec_")[:4], err)
	}
}
