package delivery

import (
	"sync"
	"time"
)

const (
	// OpenAfter is how many failures in a row open a vendor's circuit.
	OpenAfter = 3
	// OpenFor is how long an open circuit lets nothing through.
	OpenFor = 30 * time.Second
)

// Circuit keeps one vendor that fails from taking the time of the others. After [OpenAfter] failures in a row a vendor's
// circuit is open for [OpenFor]: nothing is sent to it. Then one event at a time is let through as a probe; its failure
// opens the circuit again, and any success closes it.
//
// A try that gets no answer takes the time of its whole invocation. From the first such one until the vendor answers, every
// try is therefore one that needs the right to probe, see [Pass.Probe], also while the circuit is closed.
//
// It lives in the memory of one sandbox, by the wall clock, which goes on while the sandbox is frozen. What it knows is
// lost with the sandbox and not shared with others: it saves time, and nothing else depends on it. That several sandboxes
// do not probe at one time is up to its user. It is safe for concurrent use.
type Circuit struct {
	now func() time.Time

	mu      sync.Mutex
	vendors map[string]*breaker // of vendors that failed last
}

type breaker struct {
	failures int  // in a row, up to OpenAfter
	silent   bool // the last of them had no answer
	opened   time.Time
	probing  bool
}

// NewCircuit returns circuits that are all closed.
func NewCircuit(now func() time.Time) *Circuit {
	return &Circuit{now: now, vendors: make(map[string]*breaker)}
}

// Pass is the right to one try. It must be given back by Leave, after Success or Failure where the try says something
// about the vendor.
type Pass struct {
	circuit  *Circuit
	vendorID string
	probe    *breaker // set for a probe that has not ended
	doubtful bool     // the circuit is closed, and the last try had no answer
}

// Enter returns a pass, or nil and the time until it is worth asking again.
func (c *Circuit) Enter(vendorID string) (*Pass, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.vendors[vendorID]
	if b == nil || b.failures < OpenAfter {
		return &Pass{circuit: c, vendorID: vendorID, doubtful: b != nil && b.silent}, 0
	}
	// A clock that was set back makes an age negative, and no reason to wait.
	if age := c.wallClock().Sub(b.opened); age >= 0 && age < OpenFor {
		return nil, OpenFor - age
	}
	if b.probing {
		return nil, Timeout
	}
	b.probing = true
	return &Pass{circuit: c, vendorID: vendorID, probe: b}, 0
}

// Force returns a pass past an open circuit, for an event that would otherwise never be tried.
func (c *Circuit) Force(vendorID string) *Pass {
	return &Pass{circuit: c, vendorID: vendorID}
}

// Probe reports whether the try must wait until no other sandbox probes the vendor.
func (p *Pass) Probe() bool { return p.probe != nil || p.doubtful }

// Postpone gives a probe's pass back unused, because another is under way in some sandbox, and returns the time until it is
// worth asking again. A circuit that was open stays open for that time.
func (p *Pass) Postpone() time.Duration {
	p.circuit.mu.Lock()
	defer p.circuit.mu.Unlock()
	if p.probe != nil {
		p.probe.probing, p.probe.opened = false, p.circuit.wallClock().Add(Timeout-OpenFor)
		p.probe = nil
	}
	return Timeout
}

// Success closes the vendor's circuit.
func (p *Pass) Success() {
	p.circuit.mu.Lock()
	defer p.circuit.mu.Unlock()
	p.probe = nil
	delete(p.circuit.vendors, p.vendorID)
}

// Failure counts a failed try that had an answer. One that began before the circuit opened, and ends after, changes
// nothing.
func (p *Pass) Failure() { p.fail(false) }

// Silence counts a failed try, as Failure does, that had no answer.
func (p *Pass) Silence() { p.fail(true) }

func (p *Pass) fail(silent bool) {
	c := p.circuit
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.vendors[p.vendorID]
	if b == nil {
		b = &breaker{}
		c.vendors[p.vendorID] = b
	}
	b.silent = silent
	if b == p.probe {
		b.probing, b.opened = false, c.wallClock()
	}
	p.probe = nil
	if b.failures == OpenAfter {
		return
	}
	if b.failures++; b.failures == OpenAfter {
		b.opened = c.wallClock()
	}
}

// Leave gives the pass back. A probe that ended without a word about the vendor leaves the next event to be the probe.
func (p *Pass) Leave() {
	p.circuit.mu.Lock()
	defer p.circuit.mu.Unlock()
	if p.probe != nil {
		p.probe.probing = false
		p.probe = nil
	}
}

// wallClock strips the monotonic reading, which stands still while a sandbox is frozen.
func (c *Circuit) wallClock() time.Time { return c.now().Round(0) }
