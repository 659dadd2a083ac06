// Package preconnect opens connections before they are needed. A function that calls a service connects to it in Lambda's
// init phase, beside the fetch of its secrets, so that the first request waits neither for the TLS handshake nor for the
// system's certificates to be read. Nothing is sent over a connection before a request takes it.
package preconnect

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

// Dialer dials for an http.Transport, and gives it first what Open has opened. It is safe for concurrent use.
type Dialer struct {
	// Timeout bounds a connection, and once more its TLS handshake.
	Timeout time.Duration
	// MaxIdle is how long an opened connection may wait for its request by the wall clock: a sandbox that was frozen for
	// longer wakes with connections that the other side has closed.
	MaxIdle time.Duration
	Now     func() time.Time
	// TLS is the configuration of TLS connections; nil is Go's own.
	TLS *tls.Config

	mu     sync.Mutex
	opened map[string]opened // by network address
}

type opened struct {
	conn net.Conn
	at   time.Time
}

// Open connects to the host of an https or http URL and keeps the connection for the next dial to that host. A second call
// for the same host replaces the first one's connection.
func (d *Dialer) Open(ctx context.Context, rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("preconnect: %q has no host", rawURL)
	}
	dial, port := d.dialTLS, "443"
	if u.Scheme == "http" {
		dial, port = d.dial, "80"
	}
	if u.Port() != "" {
		port = u.Port()
	}
	address := net.JoinHostPort(u.Hostname(), port)
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("preconnect: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, found := d.opened[address]; found {
		_ = old.conn.Close()
	}
	if d.opened == nil {
		d.opened = make(map[string]opened)
	}
	// Round(0) strips the monotonic reading, which may stop with the sandbox.
	d.opened[address] = opened{conn, d.Now().Round(0)}
	return nil
}

// DialContext is for http.Transport.DialContext.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if conn := d.take(address); conn != nil {
		return conn, nil
	}
	return d.dial(ctx, network, address)
}

// DialTLSContext is for http.Transport.DialTLSContext. The certificate is always verified for the host.
func (d *Dialer) DialTLSContext(ctx context.Context, network, address string) (net.Conn, error) {
	if conn := d.take(address); conn != nil {
		return conn, nil
	}
	return d.dialTLS(ctx, network, address)
}

// take returns the connection that was opened for address, or nil where there is none that is young enough.
func (d *Dialer) take(address string) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, found := d.opened[address]
	if !found {
		return nil
	}
	delete(d.opened, address)
	if idle := d.Now().Round(0).Sub(o.at); idle >= d.MaxIdle || idle < 0 {
		_ = o.conn.Close()
		return nil
	}
	return o.conn
}

func (d *Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	// No keep-alive probes: a connection is idle for less time than the first one would wait.
	return (&net.Dialer{Timeout: d.Timeout, KeepAlive: -1}).DialContext(ctx, network, address)
}

func (d *Dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	raw, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{}
	if d.TLS != nil {
		config = d.TLS.Clone()
	}
	config.ServerName = host
	conn := tls.Client(raw, config)
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}
