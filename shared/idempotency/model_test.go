package idempotency

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// modelRecord is what one key should hold, in the words of the package comment.
type modelRecord struct {
	owner       int // number of the claim
	done        bool
	fingerprint int
	lease       time.Time
	expires     time.Time
	answer      Answer
}

// modelClaim is one call of Claim that was Claimed.
type modelClaim struct {
	number   int
	key      int
	worker   int
	live     *Claim
	deadline time.Time // by its worker's clock
	ended    bool      // Complete or Release was called
	answer   Answer
	kept     time.Time // until when its first Complete keeps the answer
}

// promise is an answer that Complete said it recorded.
type promise struct {
	answer      Answer
	fingerprint int
	until       time.Time
}

// machine drives several workers, each with its own clock, over one table, and
// a model of it. Each step is one call, which is what DynamoDB makes of a race:
// some order of the calls.
type machine struct {
	db       *fakeDynamoDB
	workers  []*Store
	skews    []time.Duration
	now      time.Time
	records  map[int]modelRecord
	claims   []*modelClaim
	promises map[int]promise
	late     []func() // what the calls in db.late do to the model
	count    int
	// exclusive tells that the clocks agree well enough for the guarantee that
	// two claimants never work at a time.
	exclusive bool
}

const (
	modelKeys     = 2
	modelRequests = 2
)

func newMachine(t *rapid.T, maxSkew time.Duration) *machine {
	m := &machine{
		db:        newFake(),
		now:       start,
		records:   map[int]modelRecord{},
		promises:  map[int]promise{},
		exclusive: maxSkew <= Margin/2,
	}
	for i := range 3 {
		skew := time.Duration(rapid.Int64Range(-int64(maxSkew), int64(maxSkew)).Draw(t, "skew"))
		m.skews = append(m.skews, skew)
		m.workers = append(m.workers, New(m.db, "ids", func() time.Time { return m.clock(i) }, rand.Reader))
	}
	return m
}

func (m *machine) clock(worker int) time.Time { return m.now.Add(m.skews[worker]) }

func modelFingerprint(request int) [32]byte {
	return sha256.Sum256([]byte(strconv.Itoa(request)))
}

// drawFault chooses what happens to the next call and tells the fake.
func (m *machine) drawFault(t *rapid.T) fault {
	due := rapid.SampledFrom([]fault{noFault, noFault, noFault, answerLost, allLost, neverArrived}).Draw(t, "fault")
	m.db.next = due
	return due
}

// carry applies step to the model as the fault says. It reports whether the
// caller hears an outcome; otherwise the step may yet arrive late.
func (m *machine) carry(due fault, step func()) (heard bool) {
	switch due {
	case allLost:
		step()
		m.late = append(m.late, step)
		return false
	case neverArrived:
		m.late = append(m.late, step)
		return false
	}
	step()
	return true
}

// wanted is the outcome that the model gives a claim, and the record it leaves.
func (m *machine) wanted(key, fingerprint int, now, deadline time.Time, number int) (Result, modelRecord) {
	old, exists := m.records[key]
	taken := modelRecord{
		owner: number, fingerprint: fingerprint,
		lease: deadline.Add(Margin), expires: now.Add(Kept).Truncate(time.Second),
	}
	switch {
	case !exists, !now.Before(old.expires):
		return Result{Outcome: Claimed}, taken
	case old.fingerprint != fingerprint:
		return Result{Outcome: Mismatch}, old
	case old.done:
		return Result{Outcome: Replay, Answer: old.answer}, old
	case !now.Truncate(time.Millisecond).Before(old.lease):
		return Result{Outcome: Claimed}, taken
	default:
		return Result{Outcome: Running}, old
	}
}

func (m *machine) claim(t *rapid.T) {
	key := rapid.IntRange(0, modelKeys-1).Draw(t, "key")
	request := rapid.IntRange(0, modelRequests-1).Draw(t, "request")
	worker := rapid.IntRange(0, len(m.workers)-1).Draw(t, "worker")
	now := m.clock(worker)
	deadline := now.Add(time.Duration(rapid.Int64Range(1, int64(20*time.Second)).Draw(t, "time left")))
	m.count++
	number := m.count
	due := m.drawFault(t)

	var want Result
	heard := m.carry(due, func() {
		result, record := m.wanted(key, request, now, deadline, number)
		if want.Outcome == 0 {
			want = result
		}
		m.records[key] = record
	})
	got, err := m.workers[worker].Claim(t.Context(), modelKey(key), modelFingerprint(request), deadline)
	if !heard {
		if !errors.Is(err, ErrUnavailable) {
			t.Fatalf("Claim: got error %v, want ErrUnavailable", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Result{}, "Claim", "RetryAfter"), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("Claim by worker %d (-want +got):\n%s", worker, diff)
	}
	if got.Outcome == Running && !now.Add(got.RetryAfter).After(m.records[key].lease.Add(-time.Millisecond)) {
		t.Fatalf("RetryAfter = %v, but the lease ends in %v", got.RetryAfter, m.records[key].lease.Sub(now))
	}
	m.checkPromise(t, key, request, got)
	if got.Outcome != Claimed {
		return
	}
	m.checkExclusive(t, key)
	m.claims = append(m.claims, &modelClaim{
		number: number, key: key, worker: worker, live: got.Claim, deadline: deadline,
		answer: Answer{Status: 200, Body: fmt.Append(nil, "answer ", number)},
	})
}

// checkPromise holds a claim against what Complete promised, without the model.
// The promise ends by the clock that is furthest ahead.
func (m *machine) checkPromise(t *rapid.T, key, request int, got Result) {
	p, ok := m.promises[key]
	if !ok || !m.now.Add(slices.Max(m.skews)).Before(p.until) {
		return
	}
	want := Result{Outcome: Replay, Answer: p.answer}
	if p.fingerprint != request {
		want = Result{Outcome: Mismatch}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Claim while an answer is promised (-want +got):\n%s", diff)
	}
}

// checkExclusive fails when somebody may still be working on the key.
func (m *machine) checkExclusive(t *rapid.T, key int) {
	if !m.exclusive {
		return
	}
	for _, c := range m.claims {
		if c.key == key && !c.ended && m.clock(c.worker).Before(c.deadline) {
			t.Fatalf("claim %d is still at work", c.number)
		}
	}
}

func modelKey(key int) Key {
	return Key{VendorID: "acme", Route: "vehicle/notifications", ID: strconv.Itoa(key)}
}

// drawClaim returns any claim so far: live, past its lease, overtaken or ended;
// nil when there is none. A claim that is never drawn is a claimant that crashed.
func (m *machine) drawClaim(t *rapid.T) *modelClaim {
	if len(m.claims) == 0 {
		return nil
	}
	return rapid.SampledFrom(m.claims).Draw(t, "claim")
}

func (m *machine) complete(t *rapid.T) {
	c := m.drawClaim(t)
	if c == nil {
		return
	}
	expires := m.clock(c.worker).Add(Kept).Truncate(time.Second)
	if c.kept.IsZero() || expires.Before(c.kept) {
		c.kept = expires
	}
	due := m.drawFault(t)
	c.ended = true
	var want error
	heard := m.carry(due, func() {
		old, ok := m.records[c.key]
		if !ok || old.owner != c.number {
			want = ErrLostClaim
			return
		}
		m.records[c.key] = modelRecord{
			owner: c.number, done: true, fingerprint: old.fingerprint, expires: expires, answer: c.answer,
		}
	})
	err := m.workers[c.worker].Complete(t.Context(), c.live, c.answer)
	m.checkEnd(t, "Complete", heard, err, want)
	if err == nil {
		m.promises[c.key] = promise{answer: c.answer, fingerprint: m.records[c.key].fingerprint, until: c.kept}
	}
}

func (m *machine) release(t *rapid.T) {
	c := m.drawClaim(t)
	if c == nil {
		return
	}
	due := m.drawFault(t)
	c.ended = true
	var want error
	heard := m.carry(due, func() {
		old, ok := m.records[c.key]
		switch {
		case !ok:
		case old.owner == c.number && !old.done:
			delete(m.records, c.key)
		default:
			want = ErrLostClaim
		}
	})
	err := m.workers[c.worker].Release(t.Context(), c.live)
	m.checkEnd(t, "Release", heard, err, want)
}

func (m *machine) checkEnd(t *rapid.T, call string, heard bool, got, want error) {
	if !heard {
		if !errors.Is(got, ErrUnavailable) {
			t.Fatalf("%s: got error %v, want ErrUnavailable", call, got)
		}
		return
	}
	if got != want {
		t.Fatalf("%s: got error %v, want %v", call, got, want)
	}
}

// arrive delivers one call whose sender gave up.
func (m *machine) arrive(t *rapid.T) {
	if len(m.late) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.late)-1).Draw(t, "late call")
	m.late[i]()
	m.db.late[i]()
	m.late = slices.Delete(m.late, i, i+1)
	m.db.late = slices.Delete(m.db.late, i, i+1)
}

func (m *machine) pass(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.OneOf(
		rapid.Int64Range(1, int64(time.Second)),
		rapid.Int64Range(int64(time.Second), int64(30*time.Second)),
		rapid.Int64Range(int64(Kept-time.Minute), int64(Kept+time.Minute)),
	).Draw(t, "time")))
}

// timeToLive deletes what has expired, which DynamoDB does some day.
func (m *machine) timeToLive(t *rapid.T) {
	before := m.now.Add(-Kept)
	maps.DeleteFunc(m.records, func(_ int, r modelRecord) bool { return r.expires.Before(before) })
	maps.DeleteFunc(m.db.items, func(_ string, i item) bool {
		r, err := parseRecord(i)
		if err != nil {
			t.Fatalf("the table holds an item that cannot be read: %v", err)
		}
		return r.expiresAt < before.Unix() || r.expiresAt == before.Unix() && before.Nanosecond() > 0
	})
}

func TestAgainstModel(t *testing.T) {
	for name, maxSkew := range map[string]time.Duration{
		"same clock":    0,
		"within margin": Margin / 2,
		"clocks adrift": time.Minute,
		"a day apart":   24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newMachine(t, maxSkew)
				t.Repeat(map[string]func(*rapid.T){
					"claim":    m.claim,
					"claim2":   m.claim,
					"complete": m.complete,
					"release":  m.release,
					"arrive":   m.arrive,
					"pass":     m.pass,
					"ttl":      m.timeToLive,
					"":         m.agree,
				})
			})
		})
	}
}

// roundUp returns the first whole millisecond that is not before t.
func roundUp(t time.Time) time.Time {
	whole := t.Truncate(time.Millisecond)
	if whole.Before(t) {
		return whole.Add(time.Millisecond)
	}
	return whole
}

// agree compares the table with the model after every step.
func (m *machine) agree(t *rapid.T) {
	if got, want := len(m.db.items), len(m.records); got != want {
		t.Fatalf("the table holds %d items, want %d", got, want)
	}
	for key, want := range m.records {
		pk, err := modelKey(key).pk()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseRecord(m.db.items[pk])
		if err != nil {
			t.Fatalf("the table holds an item that cannot be read: %v", err)
		}
		fingerprint := modelFingerprint(want.fingerprint)
		switch {
		case (got.state == done) != want.done:
			t.Fatalf("key %d is %s, want done: %v", key, got.state, want.done)
		case string(got.fingerprint) != string(fingerprint[:]):
			t.Fatalf("key %d has another fingerprint", key)
		case got.expiresAt != want.expires.Unix():
			t.Fatalf("key %d expires at %d, want %d", key, got.expiresAt, want.expires.Unix())
		case !want.done && got.lease != roundUp(want.lease).UnixMilli():
			t.Fatalf("key %d has a lease to %d, want %d", key, got.lease, roundUp(want.lease).UnixMilli())
		case want.done && !cmp.Equal(got.answer, want.answer):
			t.Fatalf("key %d has answer %q, want %q", key, got.answer.Body, want.answer.Body)
		}
	}
}
