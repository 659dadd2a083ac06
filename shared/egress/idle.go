package egress

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// maxIdleTime is how long an idle connection stays usable. A sandbox that was
	// frozen for longer wakes with connections that the other side has closed.
	maxIdleTime = 20 * time.Second
	// maxIdle bounds the idle connections to all hosts; the oldest goes first.
	maxIdle = 64
)

// pool keeps connections between exchanges, the newest last. Nothing waits on
// them: what became of one is looked up when it is wanted.
type pool struct {
	mu    sync.Mutex
	conns []*connection
}

// take returns the newest connection with key that still stands, or nil. It
// closes those that were idle for too long.
func (p *pool) take(key string, now time.Time) *connection {
	for {
		conn := p.pick(key, now)
		if conn == nil || conn.quiet() {
			return conn
		}
		conn.Close()
	}
}

func (p *pool) pick(key string, now time.Time) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropOld(now)
	for i, conn := range slices.Backward(p.conns) {
		if conn.key == key {
			p.conns = slices.Delete(p.conns, i, i+1)
			return conn
		}
	}
	return nil
}

func (p *pool) put(conn *connection, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropOld(now)
	if len(p.conns) >= maxIdle {
		p.conns[0].Close()
		p.conns = slices.Delete(p.conns, 0, 1)
	}
	// Without the monotonic reading, which may stand still while a sandbox is
	// frozen.
	conn.since = now.Round(0)
	p.conns = append(p.conns, conn)
}

func (p *pool) dropOld(now time.Time) {
	p.conns = slices.DeleteFunc(p.conns, func(conn *connection) bool {
		idle := now.Round(0).Sub(conn.since)
		old := idle >= maxIdleTime || idle < 0
		if old {
			conn.Close()
		}
		return old
	})
}

func (p *pool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}

// quiet tells that nothing has come on an idle connection, neither its end nor
// bytes that were not asked for and would be taken for the next answer: first in
// the buffers of this process, then in the kernel's.
func (c *connection) quiet() bool {
	c.meter.allow(1)
	c.SetReadDeadline(time.Unix(1, 0))
	_, err := c.in.Peek(1)
	c.SetReadDeadline(time.Time{})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	return !readable(c.socket())
}
