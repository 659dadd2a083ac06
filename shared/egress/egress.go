// Package egress posts events to addresses that strangers chose: a vendor's
// webhook_url may name anything, also the inside of the network that the
// gateway runs in, and whatever answers there may be hostile.
//
// A request goes to an https URL on port 443, to a host whose address is
// globally reachable. That is decided from the address that the socket is about
// to connect to, after the name was resolved (net.Dialer's Control): a name that
// changes its address between a check and its use gains nothing. TLS is 1.2 or
// later and the certificate is verified for the host. A network in which a
// global prefix leads inside (RFC 6052 lets an operator choose any prefix for
// NAT64) must close that way itself.
//
// The exchange is HTTP/1.1, made of net.Dialer, crypto/tls, http.Request.Write
// and http.ReadResponse. There is no proxy, redirect, cookie, decompression or
// stored body in it to be switched off. It does without http.Transport because
// that one prints what a server sends unasked to the standard logger, a plate for
// instance, and cannot be told not to; here nothing of an answer's text is kept
// or logged, and no goroutine outlives a call. An idle connection is just an open
// socket. docs/decisions.md weighs this.
//
// The sender of events may import it, and the tool that writes webhook_urls, for
// [Client.CheckURL]; it imports no other room. It knows no event, no vendor and
// no signature.
//
// Sources: the IANA special-purpose address registries (see address.go), RFC 9110
// for Retry-After, RFC 9112 for the exchange, RFC 3986 for the URL.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// The bounds of one request, which Options does not change.
const (
	// DefaultTimeout bounds a request from its name's resolution to its answer's
	// last header.
	DefaultTimeout = 10 * time.Second
	// MaxURL is the longest URL, in bytes.
	MaxURL = 2048
	// MaxResponseHeader bounds the status line and the headers of an answer, with
	// those of the interim (1xx) answers before it, in bytes.
	MaxResponseHeader = 32 << 10
	// MaxResponseBody is how much of an answer's body is read, and thrown away, so
	// that its connection can be used again, in bytes.
	MaxResponseBody = 4 << 10
	// MaxRetryAfter is the longest wait that an answer may ask for; a longer one
	// is cut to it.
	MaxRetryAfter = 24 * time.Hour
	// maxDrain bounds the wait for a body, of which nothing is needed.
	maxDrain = 500 * time.Millisecond
	// maxSendWait bounds the wait for the end of a request whose answer has come.
	maxSendWait = 50 * time.Millisecond
	// maxInterim is how many 1xx answers may come before the answer.
	maxInterim = 5
)

// Options chooses what differs between a function, the local stack and tests.
// The zero value is a function's.
type Options struct {
	// AllowLoopback admits loopback addresses too, over http as well, on any
	// port. It is for a receiver on the developer's own machine alone. Everything
	// else is still refused.
	AllowLoopback bool
	// Timeout replaces DefaultTimeout unless it is 0.
	Timeout time.Duration
	// Resolver resolves names, the system's when it is nil.
	Resolver *net.Resolver
	// RootCAs are the authorities trusted, the system's when it is nil.
	RootCAs *x509.CertPool
	// Now is the clock for idle connections and for a Retry-After that is a date,
	// time.Now when it is nil.
	Now func() time.Time
}

// Client posts to vendors. Its methods may be called concurrently.
type Client struct {
	allowLoopback bool
	timeout       time.Duration
	now           func() time.Time
	// dial connects to a host and port of a URL. Control in the dialer sees every
	// address first.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	tls  *tls.Config
	idle pool
}

// New returns a client with no connection yet.
func New(o Options) *Client {
	c := &Client{allowLoopback: o.AllowLoopback, timeout: o.Timeout, now: o.Now}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.tls = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	c.dial = (&net.Dialer{Resolver: o.Resolver, ControlContext: c.control}).DialContext
	return c
}

// Response is what is known of an answer.
type Response struct {
	// Status is the final status code, 101 or 200 to 999. A redirect (3xx) is an
	// answer like any other; its Location is not looked at.
	Status int
	// RetryAfter is the wait that the answer's Retry-After header asks for, as
	// seconds or as a date, from 0 to MaxRetryAfter. It is 0 when there is none
	// or it cannot be read.
	RetryAfter time.Duration
}

// Post sends body to rawURL with header, which must hold nothing of the
// connection's own (Host, Content-Length, Transfer-Encoding, Connection), and
// returns as soon as the status is known and the body's beginning is out of the
// way: nothing that happens within a body is a failure.
//
// The error is an [*Error], whose reason is one of [Reasons]. A request that
// failed may still have reached the vendor. One that fails on a kept connection
// before any byte of an answer is sent once more on a new one, because the other
// side closes such connections without a word: a vendor may then get it twice.
func (c *Client) Post(ctx context.Context, rawURL string, header http.Header, body []byte) (Response, error) {
	t, err := parse(rawURL, c.allowLoopback)
	if err != nil {
		return Response{}, err
	}
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	if kept := c.idle.take(t.key(), c.now()); kept != nil {
		head, err := c.exchange(within, kept, t, header, body)
		if err == nil {
			return c.response(head), nil
		}
		if !kept.silent() || over(within) {
			return Response{}, classify(ctx, within, err)
		}
	}
	fresh, err := c.connect(within, t)
	if err != nil {
		return Response{}, classify(ctx, within, err)
	}
	head, err := c.exchange(within, fresh, t, header, body)
	if err != nil {
		return Response{}, classify(ctx, within, err)
	}
	return c.response(head), nil
}

func (c *Client) response(head *http.Response) Response {
	return Response{
		Status:     head.StatusCode,
		RetryAfter: retryAfter(head.Header.Get("Retry-After"), c.now()),
	}
}

// CheckURL says whether Post would send to rawURL, as far as the URL itself
// tells: what a name resolves to is only known when it is sent. The error is an
// [*Error] of reason ErrBadURL, ErrNotHTTPS, ErrBadPort or, for an address in
// place of a name, ErrForbiddenAddress.
func (c *Client) CheckURL(rawURL string) error {
	_, err := parse(rawURL, c.allowLoopback)
	return err
}

// CloseIdle closes the connections that are not in use.
func (c *Client) CloseIdle() { c.idle.closeAll() }
