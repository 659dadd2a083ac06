package delivery

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time                { return c.now }
func (c *clock) advance(d time.Duration)       { c.now = c.now.Add(d) }
func newCircuit() (*Circuit, *clock)           { c := &clock{now: start}; return NewCircuit(c.Now), c }
func enter(c *Circuit, id string) *Pass        { p, _ := c.Enter(id); return p }
func wait(c *Circuit, id string) time.Duration { _, d := c.Enter(id); return d }

// fail makes n tries that fail, one after the other.
func fail(t *testing.T, c *Circuit, vendorID string, n int) {
	t.Helper()
	for range n {
		p := enter(c, vendorID)
		if p == nil {
			t.Fatal("the circuit is open")
		}
		p.Failure()
		p.Leave()
	}
}

func TestCircuit(t *testing.T) {
	tests := []struct {
		name  string
		steps func(t *testing.T, c *Circuit, clock *clock)
		wait  time.Duration // 0 when a pass is given
	}{
		{"new", func(*testing.T, *Circuit, *clock) {}, 0},
		{"three tries without an answer", func(t *testing.T, c *Circuit, _ *clock) {
			for range 3 {
				enter(c, "acme").Silence()
			}
		}, 30 * time.Second},
		{"two failures", func(t *testing.T, c *Circuit, _ *clock) { fail(t, c, "acme", 2) }, 0},
		{"three failures in a row", func(t *testing.T, c *Circuit, _ *clock) { fail(t, c, "acme", 3) }, 30 * time.Second},
		{"three failures with a success among them", func(t *testing.T, c *Circuit, _ *clock) {
			fail(t, c, "acme", 2)
			enter(c, "acme").Success()
			fail(t, c, "acme", 2)
		}, 0},
		{"passes that say nothing count for nothing", func(t *testing.T, c *Circuit, _ *clock) {
			fail(t, c, "acme", 2)
			enter(c, "acme").Leave()
			fail(t, c, "acme", 1)
		}, 30 * time.Second},
		{"another vendor's failures", func(t *testing.T, c *Circuit, _ *clock) { fail(t, c, "other", 3) }, 0},
		{"at its last moment", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor - time.Nanosecond)
		}, time.Nanosecond},
		{"half open", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
		}, 0},
		{"beside a probe", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			enter(c, "acme")
		}, Timeout},
		{"after a probe that said nothing", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			enter(c, "acme").Leave()
		}, 0},
		{"after a probe that was postponed", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			enter(c, "acme").Postpone()
		}, Timeout},
		{"long enough after a probe that was postponed", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			clock.advance(enter(c, "acme").Postpone())
		}, 0},
		{"postponing an ordinary try changes nothing", func(t *testing.T, c *Circuit, _ *clock) {
			fail(t, c, "acme", 2)
			enter(c, "acme").Postpone()
		}, 0},
		{"postponing twice does not end another's probe", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			first := enter(c, "acme")
			clock.advance(first.Postpone())
			enter(c, "acme")
			first.Postpone()
		}, Timeout},
		{"after a probe that failed", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			fail(t, c, "acme", 1)
		}, OpenFor},
		{"after a probe that succeeded", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			enter(c, "acme").Success()
			fail(t, c, "acme", 2)
		}, 0},
		{"a late success closes it", func(t *testing.T, c *Circuit, _ *clock) {
			late := enter(c, "acme")
			fail(t, c, "acme", 3)
			late.Success()
		}, 0},
		{"a late failure does not keep it open", func(t *testing.T, c *Circuit, clock *clock) {
			late := enter(c, "acme")
			fail(t, c, "acme", 3)
			clock.advance(OpenFor - time.Second)
			late.Failure()
		}, time.Second},
		{"a forced pass that failed changes nothing", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(time.Second)
			p := c.Force("acme")
			p.Failure()
			p.Leave()
		}, OpenFor - time.Second},
		{"a forced pass that succeeded closes it", func(t *testing.T, c *Circuit, _ *clock) {
			fail(t, c, "acme", 3)
			c.Force("acme").Success()
		}, 0},
		{"a probe that fails after a late success", func(t *testing.T, c *Circuit, clock *clock) {
			late := enter(c, "acme")
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			probe := enter(c, "acme")
			late.Success()
			probe.Failure()
			fail(t, c, "acme", 1)
		}, 0},
		{"leaving twice does not end another's probe", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
			first := enter(c, "acme")
			first.Leave()
			enter(c, "acme")
			first.Leave()
		}, Timeout},
		{"a clock set back", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(-time.Hour)
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, clock := newCircuit()
			tt.steps(t, c, clock)
			if got := wait(c, "acme"); got != tt.wait {
				t.Errorf("Enter says to wait %v, want %v", got, tt.wait)
			}
		})
	}
}

// TestProbe: who has to wait while others probe the vendor.
func TestProbe(t *testing.T) {
	tests := []struct {
		name  string
		steps func(t *testing.T, c *Circuit, clock *clock)
		want  bool
	}{
		{"new", func(*testing.T, *Circuit, *clock) {}, false},
		{"after an answer that was a failure", func(t *testing.T, c *Circuit, _ *clock) { fail(t, c, "acme", 1) }, false},
		{"after silence", func(_ *testing.T, c *Circuit, _ *clock) { enter(c, "acme").Silence() }, true},
		{"after silence and an answer that was a failure", func(t *testing.T, c *Circuit, _ *clock) {
			enter(c, "acme").Silence()
			fail(t, c, "acme", 1)
		}, false},
		{"after silence and a success", func(_ *testing.T, c *Circuit, _ *clock) {
			enter(c, "acme").Silence()
			enter(c, "acme").Success()
		}, false},
		{"after silence and a try that said nothing", func(_ *testing.T, c *Circuit, _ *clock) {
			enter(c, "acme").Silence()
			enter(c, "acme").Leave()
		}, true},
		{"after silence and a try that was postponed", func(_ *testing.T, c *Circuit, _ *clock) {
			enter(c, "acme").Silence()
			enter(c, "acme").Postpone()
		}, true},
		{"after another vendor's silence", func(_ *testing.T, c *Circuit, _ *clock) { enter(c, "other").Silence() }, false},
		{"half open", func(t *testing.T, c *Circuit, clock *clock) {
			fail(t, c, "acme", 3)
			clock.advance(OpenFor)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, clock := newCircuit()
			tt.steps(t, c, clock)
			if got := enter(c, "acme").Probe(); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
	c, _ := newCircuit()
	if c.Force("acme").Probe() {
		t.Error("a forced try is a probe")
	}
}

// TestOneProbe: of many that ask at one time, one gets the pass.
func TestOneProbe(t *testing.T) {
	c, clock := newCircuit()
	fail(t, c, "acme", 3)
	clock.advance(OpenFor)
	var mu sync.Mutex
	passes := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if enter(c, "acme") != nil {
				mu.Lock()
				defer mu.Unlock()
				passes++
			}
		})
	}
	wg.Wait()
	if passes != 1 {
		t.Errorf("got %d passes, want 1", passes)
	}
}

// TestCircuitNeverSticks: after any history whose passes all ended, a circuit lets somebody through within OpenFor.
func TestCircuitNeverSticks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, clock := newCircuit()
		var passes []*Pass
		end := func(p *Pass) {
			switch rapid.IntRange(0, 4).Draw(rt, "end") {
			case 0:
				p.Success()
			case 1:
				p.Failure()
			case 2:
				p.Silence()
			case 3:
				p.Postpone()
			}
			p.Leave()
		}
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				if p := enter(c, "acme"); p != nil {
					passes = append(passes, p)
				}
			case 1:
				if len(passes) > 0 {
					i := rapid.IntRange(0, len(passes)-1).Draw(rt, "pass")
					end(passes[i])
					passes = append(passes[:i], passes[i+1:]...)
				}
			case 2:
				clock.advance(time.Duration(rapid.Int64Range(0, int64(OpenFor)).Draw(rt, "time")))
			}
		}
		for _, p := range passes {
			end(p)
		}
		p, wait := c.Enter("acme")
		if p == nil && wait <= OpenFor {
			clock.advance(wait)
			p = enter(c, "acme")
		}
		if p == nil {
			rt.Fatalf("nobody is let through after %v", wait)
		}
	})
}
