package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/platestate"
)

// plan is what rapid draws for one simulation.
type plan struct {
	Seed      uint64
	Events    int
	Sandboxes int // each with a circuit of its own
	Workers   int // of each sandbox
	// Faults are the chances in 1000 of each thing that goes wrong.
	SendFails, SendAnswerLost, DeleteLost, Crash, StoreDown, SecretsDown int
	// Phases are how the vendor behaves, one after the other; after the last it behaves as that.
	Phases []phase
}

type phase struct {
	For  time.Duration
	Does behaviour
}

type behaviour int

const (
	takes behaviour = iota
	refuses
	hangs
	asksToWait
	isGone
	flaps
	behaviours
)

func drawPlan(t *rapid.T) plan {
	chance := func(label string) int { return rapid.SampledFrom([]int{0, 0, 5, 50, 200}).Draw(t, label) }
	p := plan{
		Seed:      rapid.Uint64().Draw(t, "seed"),
		Events:    rapid.IntRange(1, 12).Draw(t, "events"),
		Sandboxes: rapid.IntRange(1, 3).Draw(t, "sandboxes"),
		Workers:   rapid.IntRange(1, 3).Draw(t, "workers"),
		SendFails: chance("send fails"), SendAnswerLost: chance("send's answer lost"), DeleteLost: chance("delete lost"),
		Crash: chance("crash"), StoreDown: chance("store down"), SecretsDown: chance("secrets down"),
	}
	for range rapid.IntRange(1, 4).Draw(t, "phases") {
		p.Phases = append(p.Phases, phase{
			For:  time.Duration(rapid.Int64Range(int64(time.Second), int64(40*time.Hour)).Draw(t, "for")),
			Does: behaviour(rapid.IntRange(0, int(behaviours)-1).Draw(t, "does")),
		})
	}
	return p
}

// copyOf is a message on the queue.
type copyOf struct {
	item    Item
	visible time.Time
}

const visibility = 180 * time.Second

// faultsEnd is when everything of ours works again, so that a simulation comes to an end.
const faultsEnd = 36 * time.Hour

// simulation is a queue, a dead-letter queue, a vendor and the stores, in the virtual time of a synctest bubble. What
// contradicts the package comment is collected in wrong.
type simulation struct {
	plan
	began time.Time
	seen  *seen
	state *plates

	mu        sync.Mutex
	random    *rand.Rand
	queue     []*copyOf
	twins     int // copies that were made because an answer was lost
	parked    map[string]int
	posting   map[string]int       // posts of an event under way
	firstPost map[string]time.Time // when the vendor first heard of an event
	failures  map[string]int       // posts that the vendor failed
	taken     map[string]int
	recorded  map[string]bool // a delivery that the store has
	wrong     []string
}

func (s *simulation) violation(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf("after %v: ", time.Since(s.began))+fmt.Sprintf(format, args...))
}

// happens says whether a fault with that chance strikes. The caller holds mu.
func (s *simulation) happens(chance int) bool {
	return time.Since(s.began) < faultsEnd && s.random.IntN(1000) < chance
}

// maxTwins bounds the copies of a simulation: each makes copies of its own, and there would be no end to them.
const maxTwins = 20

// loses says whether an answer of the queue's is lost, so that there is a copy more. The caller holds mu.
func (s *simulation) loses(chance int) bool {
	if s.twins == maxTwins || !s.happens(chance) {
		return false
	}
	s.twins++
	return true
}

func (s *simulation) locked(chance int) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.happens(chance)
	}
}

func (s *simulation) int64n(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.Int64N(n)
}

// behaves returns what the vendor does now.
func (s *simulation) behaves() behaviour {
	age := time.Since(s.began)
	for _, p := range s.Phases {
		if age < p.For {
			return p.Does
		}
		age -= p.For
	}
	return s.Phases[len(s.Phases)-1].Does
}

// Post is the vendor.
func (s *simulation) Post(ctx context.Context, _ string, h http.Header, body []byte) Answer {
	id := h.Get("Webhook-Id")
	s.mu.Lock()
	s.posting[id]++
	if s.posting[id] > 1 {
		s.violation("%s is tried twice at once", id)
	}
	if s.recorded[id] {
		s.violation("%s is sent again after its delivery was recorded", id)
	}
	if s.firstPost[id].IsZero() {
		s.firstPost[id] = time.Now()
	}
	does := s.behaves()
	if does == flaps {
		does = behaviour(s.random.IntN(int(isGone)))
	}
	takesTime := time.Duration(s.random.Int64N(int64(3 * time.Second)))
	crash := s.happens(s.Crash)
	s.mu.Unlock()

	answer := Answer{Status: http.StatusOK}
	switch does {
	case refuses:
		answer.Status = http.StatusInternalServerError
	case asksToWait:
		answer = Answer{Status: http.StatusTooManyRequests, RetryAfter: time.Duration(s.int64n(int64(8 * time.Hour)))}
	case isGone:
		answer.Status = http.StatusGone
	case hangs:
		takesTime, answer = Timeout, Answer{Failure: "timeout"}
	}
	time.Sleep(takesTime)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.posting[id]--
	if answer.Status == http.StatusOK {
		s.taken[id]++
	} else {
		s.failures[id]++
	}
	if ctx.Err() != nil {
		s.violation("%s: the invocation ended within a try", id)
	}
	if crash {
		panic("the sandbox crashed")
	}
	return answer
}

// Complete watches what the store of events records.
func (s *simulation) Complete(ctx context.Context, c *idempotency.Claim, a idempotency.Answer) error {
	err := s.seen.Complete(ctx, c, a)
	if err == nil {
		s.seen.mu.Lock()
		defer s.seen.mu.Unlock()
		for key, r := range s.seen.records {
			if r.claim == c {
				s.mu.Lock()
				s.recorded[key.ID] = true
				s.mu.Unlock()
			}
		}
	}
	return err
}

func (s *simulation) Claim(ctx context.Context, key idempotency.Key, print [32]byte, deadline time.Time) (idempotency.Result, error) {
	return s.seen.Claim(ctx, key, print, deadline)
}

func (s *simulation) Release(ctx context.Context, c *idempotency.Claim) error {
	return s.seen.Release(ctx, c)
}

// receive returns a visible message and hides it, or how long until there may be one; nil and 0 when the queue is empty.
func (s *simulation) receive() (*copyOf, Item, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	soonest := time.Minute
	s.random.Shuffle(len(s.queue), func(i, j int) { s.queue[i], s.queue[j] = s.queue[j], s.queue[i] })
	for _, c := range s.queue {
		if !c.visible.After(now) {
			c.visible = now.Add(visibility)
			return c, c.item, 0
		}
		soonest = min(soonest, c.visible.Sub(now))
	}
	if len(s.queue) == 0 {
		return nil, Item{}, 0
	}
	return nil, Item{}, soonest
}

// act does with a received copy what the decision says, with all that can go wrong on the way.
func (s *simulation) act(c *copyOf, before Item, d Decision, posts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := before.Message.ID
	switch d.Kind {
	case Delivered:
		if s.taken[id] == 0 {
			s.violation("%s counts as delivered, but the vendor never took it", id)
		}
	case Delay:
		s.checkTries(before, d, posts)
		if d.After <= 0 || d.After > MaxHop {
			s.violation("%s is delayed by %v", id, d.After)
		}
		if s.happens(s.SendFails) {
			return
		}
		s.queue = append(s.queue, &copyOf{item: d.Item, visible: time.Now().Add(d.After)})
		if s.loses(s.SendAnswerLost) {
			return
		}
	case Park:
		s.checkTries(before, d, posts)
		if strings.HasPrefix(d.Reason, reasonGaveUp) && time.Since(s.firstPost[id]) < Window {
			s.violation("%s is given up %v after its first try", id, time.Since(s.firstPost[id]))
		}
		if !strings.HasPrefix(d.Reason, reasonGaveUp) && d.Reason != ReasonGone {
			s.violation("%s is parked as %s", id, d.Reason)
		}
		if s.happens(s.SendFails) {
			return
		}
		s.parked[id]++
		if s.loses(s.SendAnswerLost) {
			return
		}
	case Ours:
		return
	}
	if s.loses(s.DeleteLost) {
		return
	}
	s.queue = slices.DeleteFunc(s.queue, func(other *copyOf) bool { return other == c })
}

// checkTries: a try is charged when the vendor failed one, and only then.
func (s *simulation) checkTries(before Item, d Decision, posts int) {
	id := before.Message.ID
	if got, want := d.Item.Tries, before.Tries+posts; got != want {
		s.violation("%s: %d tries are charged, want %d (%s)", id, got, want, d.Reason)
	}
	if d.Item.Tries > s.failures[id] {
		s.violation("%s: %d tries are charged, but the vendor failed %d", id, d.Item.Tries, s.failures[id])
	}
	if d.Item.Tries > 0 && d.Item.FirstTry.Before(s.firstPost[id]) {
		s.violation("%s: its first try is noted before the vendor heard of it", id)
	}
}

// counting counts the posts of one call of Deliver.
type counting struct {
	*simulation
	posts int
}

func (c *counting) Post(ctx context.Context, url string, h http.Header, body []byte) Answer {
	c.posts++
	return c.simulation.Post(ctx, url, h, body)
}

// work is one worker: invocations of one message each, one after the other, until the queue is empty.
func (s *simulation) work(ctx context.Context, vendors Vendors, circuit *Circuit) {
	for time.Since(s.began) < 10*24*time.Hour {
		c, item, wait := s.receive()
		if c == nil && wait == 0 {
			return
		}
		if c == nil {
			time.Sleep(wait)
			continue
		}
		sender := &counting{simulation: s}
		d := &Deliverer{
			Vendors: vendors, Sender: sender, Seen: s, States: s.state, Circuit: circuit, Now: time.Now, Random: s.int64n,
		}
		if decision, ok := invoke(ctx, d, item); ok {
			s.act(c, item, decision, sender.posts)
		}
	}
}

// invoke is one invocation; ok is false when it crashed.
func invoke(ctx context.Context, d *Deliverer, item Item) (decision Decision, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return d.Deliver(ctx, item), true
}

// run returns what went wrong.
func (p plan) run(t *testing.T) (wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{
			plan: p, began: time.Now(), random: rand.New(rand.NewPCG(p.Seed, 1)), seen: newSeen(time.Now),
			state:  &plates{newest: map[platestate.Key]time.Time{}},
			parked: map[string]int{}, posting: map[string]int{}, firstPost: map[string]time.Time{}, failures: map[string]int{},
			taken: map[string]int{}, recorded: map[string]bool{},
		}
		s.seen.claimDown, s.seen.completeDown, s.seen.releaseDown = s.locked(p.StoreDown), s.locked(p.StoreDown), s.locked(p.StoreDown)
		s.state.unreadable, s.state.unwritable = s.locked(p.StoreDown), s.locked(p.StoreDown)
		for i := range p.Events {
			m := plateMessage()
			m.ID = event.V2ID(fmt.Sprint(i), m.VendorID)
			s.queue = append(s.queue, &copyOf{item: Item{Message: m}, visible: s.began})
		}
		var wg sync.WaitGroup
		for range p.Sandboxes {
			cached := &source{value: directory(t, vendors), down: s.locked(p.SecretsDown)}
			circuit := NewCircuit(time.Now)
			for range p.Workers {
				wg.Go(func() { s.work(t.Context(), cached, circuit) })
			}
		}
		wg.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.queue) > 0 {
			s.violation("%d messages are still on the queue", len(s.queue))
		}
		for i := range p.Events {
			id := event.V2ID(fmt.Sprint(i), "acme")
			if s.taken[id] == 0 && s.parked[id] == 0 {
				s.violation("%s was neither delivered nor parked", id)
			}
			if p.faultless() && s.taken[id]+s.parked[id] != 1 {
				s.violation("%s was taken %d times and parked %d times though nothing went wrong", id, s.taken[id], s.parked[id])
			}
		}
		wrong = s.wrong
	})
	return wrong
}

// faultless tells that nothing of ours fails.
func (p plan) faultless() bool {
	return p.SendFails+p.SendAnswerLost+p.DeleteLost+p.Crash+p.StoreDown+p.SecretsDown == 0
}

// TestSimulation drives events through queue, workers and vendor for days of virtual time, with all that can go wrong,
// and holds what happens against the package comment.
func TestSimulation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		if wrong := p.run(t); len(wrong) > 0 {
			rt.Fatalf("%+v\n%d violations, the first of them:\n%s", p, len(wrong), strings.Join(wrong[:min(len(wrong), 5)], "\n"))
		}
	})
}

// TestSimulatedOutage pins what a vendor's outage costs: its events are delivered soon after it is over.
func TestSimulatedOutage(t *testing.T) {
	for _, does := range []behaviour{refuses, hangs} {
		p := plan{
			Seed: 1, Events: 12, Sandboxes: 2, Workers: 3,
			Phases: []phase{{For: 3 * time.Hour, Does: does}, {For: time.Hour, Does: takes}},
		}
		if wrong := p.run(t); len(wrong) > 0 {
			t.Errorf("behaviour %d: %s", does, strings.Join(wrong, "\n"))
		}
	}
}
