package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const event = `{"type":"vehicle.plate_state_changed","timestamp":"2026-11-22T09:00:00+08:00","data":{}}`

// TestPost sends over TLS and reads at the other end what was sent.
func TestPost(t *testing.T) {
	ca := newAuthority(t)
	var got received
	s := listen(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}, func(_ int64, conn net.Conn) {
		var err error
		if got, err = readRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		}
	})
	c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool, Resolver: vendorAt(t, "127.0.0.1")})
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"wechat-parking-gateway"}, "Webhook-Id": {"evt_1"}}
	response, err := c.Post(t.Context(), s.url("https", vendorName, "/hooks?shop=1"), header, []byte(event))
	if err != nil || response != (Response{Status: 202}) {
		t.Fatalf("got %v, %v, want 202", response, err)
	}
	if got.Method != "POST" || got.RequestURI != "/hooks?shop=1" || got.body != event || !strings.HasPrefix(got.Host, vendorName) {
		t.Errorf("got %s %s to %s with %q", got.Method, got.RequestURI, got.Host, got.body)
	}
	want := http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"wechat-parking-gateway"}, "Webhook-Id": {"evt_1"},
		"Content-Length": {strconv.Itoa(len(event))},
	}
	for name, values := range got.Header {
		if !slices.Equal(values, want[name]) {
			t.Errorf("got header %s: %q, want %q", name, values, want[name])
		}
	}
	if len(got.Header) != len(want) {
		t.Errorf("got %d headers, want %d: nothing is added", len(got.Header), len(want))
	}
}

// TestPostFunction is Post as a function is set up: only the socket's other end
// is put in place of the vendor's.
func TestPostFunction(t *testing.T) {
	ca := newAuthority(t)
	s := listen(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}, answering(answer204))
	c := newClient(t, Options{RootCAs: ca.pool})
	var dialed string
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = network + " " + address
		return new(net.Dialer).DialContext(ctx, network, s.listener.Addr().String())
	}
	response, err := c.Post(t.Context(), "https://"+vendorName+"/hooks", nil, []byte(event))
	if err != nil || response.Status != 204 {
		t.Fatalf("got %v, %v, want 204", response, err)
	}
	if want := "tcp " + vendorName + ".:443"; dialed != want {
		t.Errorf("got %q dialed, want %q", dialed, want)
	}
}

// TestAnswers: whatever the status and the body, only the status counts.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name, answer string
		want         Response
		kept         bool
	}{
		{"204", answer204, Response{Status: 204}, true},
		{"a short body", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Response{Status: 200}, true},
		{"a body of the limit", "HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("x", 4096), Response{Status: 200}, true},
		{"a body beyond it", "HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n" + strings.Repeat("x", 4097), Response{Status: 200}, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Response{Status: 200}, true},
		{"a body that is no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", Response{Status: 200}, false},
		{"more than Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n", Response{Status: 200}, false},
		{"closing", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", Response{Status: 200}, false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Response{Status: 200}, false},
		{"not really gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", Response{Status: 200}, true},
		{"a cookie", "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", Response{Status: 200}, true},
		{"interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer204, Response{Status: 204}, true},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", Response{Status: 101}, false},
		{"a redirect to cloud metadata", "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n", Response{Status: 307}, true},
		{"gone", "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Response{Status: 410}, true},
		{"seconds to wait", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", Response{429, 2 * time.Minute}, true},
		{"a date to wait for", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: Sun, 22 Nov 2026 01:00:30 GMT\r\nContent-Length: 0\r\n\r\n", Response{503, 30 * time.Second}, true},
	}
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := listen(t, nil, answering(test.answer))
			c := newClient(t, Options{AllowLoopback: true, Now: func() time.Time { return now }})
			for range 2 {
				got, err := c.Post(t.Context(), s.url("http", "", "/"), nil, []byte(event))
				if err != nil || got != test.want {
					t.Fatalf("got %v, %v, want %v", got, err, test.want)
				}
			}
			want := int64(2)
			if test.kept {
				want = 1
			}
			if got := s.accepted.Load(); got != want {
				t.Errorf("got %d connections for two requests, want %d", got, want)
			}
		})
	}
}

// TestHostileAnswers: what is no answer has one reason each.
func TestHostileAnswers(t *testing.T) {
	manyHeaders := "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: 0123456789\r\n", 2000) + "\r\n"
	tests := []struct {
		name, answer string
		want         Reason
	}{
		{"a bomb of headers", manyHeaders, ErrHeaderTooLarge},
		{"one endless header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), ErrHeaderTooLarge},
		{"an endless status line", "HTTP/1.1 200 " + strings.Repeat("x", 1<<20), ErrHeaderTooLarge},
		{"a bomb within interim answers", strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 10<<10)+"\r\n\r\n", 4), ErrHeaderTooLarge},
		{"interim answers only", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 6), ErrBadResponse},
		{"another protocol", "SSH-2.0-OpenSSH_9.9\r\n", ErrBadResponse},
		{"a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", ErrBadResponse},
		{"a status below 100", "HTTP/1.1 020 OK\r\n\r\n", ErrBadResponse},
		{"a malformed header", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ErrBadResponse},
		{"lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ErrBadResponse},
		{"nothing", "", ErrConnectionLost},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-", ErrConnectionLost},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := listen(t, nil, func(_ int64, conn net.Conn) {
				if _, err := readRequest(bufio.NewReader(conn)); err == nil {
					io.WriteString(conn, test.answer)
				}
			})
			c := newClient(t, Options{AllowLoopback: true})
			_, err := c.Post(t.Context(), s.url("http", "", "/secret-path"), nil, []byte(event))
			wantReason(t, err, test.want, "127.0.0.1", "secret-path", "SSH", "xxx", "colon")
			if got := s.accepted.Load(); got != 1 {
				t.Errorf("got %d connections, want 1: a new one is not tried again", got)
			}
		})
	}
}

// TestHeaderLimit: the largest head passes, a byte more does not.
func TestHeaderLimit(t *testing.T) {
	for extra, want := range []Reason{"", ErrHeaderTooLarge} {
		head := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
		head += strings.Repeat("x", MaxResponseHeader-len(head)-4+extra) + "\r\n\r\n"
		s := listen(t, nil, answering(head))
		c := newClient(t, Options{AllowLoopback: true})
		_, err := c.Post(t.Context(), s.url("http", "", "/"), nil, []byte(event))
		if want == "" && err != nil {
			t.Errorf("%d bytes: got %v, want none", len(head), err)
		}
		if want != "" {
			wantReason(t, err, want)
		}
	}
}

// TestReset: an abrupt end is a reason, and no panic.
func TestReset(t *testing.T) {
	s := listen(t, nil, func(_ int64, conn net.Conn) {
		if _, err := readRequest(bufio.NewReader(conn)); err == nil {
			conn.(*net.TCPConn).SetLinger(0)
		}
	})
	c := newClient(t, Options{AllowLoopback: true})
	_, err := c.Post(t.Context(), s.url("http", "", "/"), nil, []byte(event))
	wantReason(t, err, ErrConnectionLost, "127.0.0.1")
}

// TestRefusedConnection dials a port that was just closed.
func TestRefusedConnection(t *testing.T) {
	s := listen(t, nil, answering(answer204))
	s.listener.Close()
	c := newClient(t, Options{AllowLoopback: true})
	_, err := c.Post(t.Context(), s.url("http", "", "/"), nil, []byte(event))
	wantReason(t, err, ErrConnectFailed, "127.0.0.1")
}

// TestEndlessBody: a body without an end costs what is read of it, not the time
// limit, and it is an answer.
func TestEndlessBody(t *testing.T) {
	ca := newAuthority(t)
	s := listen(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}, func(_ int64, conn net.Conn) {
		if _, err := readRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
		for err == nil {
			_, err = conn.Write(make([]byte, 32<<10))
		}
	})
	c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool})
	got, err := c.Post(t.Context(), s.url("https", "", "/"), nil, []byte(event))
	if err != nil || got.Status != 200 {
		t.Fatalf("got %v, %v, want 200", got, err)
	}
}

// TestEarlyAnswer: a server that refuses a body before it has read it is heard.
func TestEarlyAnswer(t *testing.T) {
	release := make(chan struct{})
	s := listen(t, nil, func(_ int64, conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
		<-release
	})
	defer close(release)
	c := newClient(t, Options{AllowLoopback: true})
	got, err := c.Post(t.Context(), s.url("http", "", "/"), nil, make([]byte, 32<<20))
	if err != nil || got.Status != 413 {
		t.Fatalf("got %v, %v, want 413", got, err)
	}
}

// TestTLS: a certificate is verified, for the host and for now.
func TestTLS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	config := func(certificate tls.Certificate) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	oldVersion := config(ca.issue(t, nil))
	oldVersion.MaxVersion = tls.VersionTLS11
	oldVersion.MinVersion = tls.VersionTLS10
	wantsOurs := config(ca.issue(t, nil))
	wantsOurs.ClientAuth = tls.RequireAnyClientCert
	tests := []struct {
		name   string
		config *tls.Config
		want   string
	}{
		{"another name", config(ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} })), "the certificate is for another name"},
		{"expired", config(ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), "the certificate has expired or is not valid yet"},
		{"not valid yet", config(ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })), "the certificate has expired or is not valid yet"},
		{"another authority", config(stranger.issue(t, nil)), "the certificate is of no known authority, or the chain is incomplete"},
		{"for clients", config(ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })), "the certificate is not valid"},
		{"TLS 1.1", oldVersion, "the handshake failed"},
		{"wants a certificate of ours", wantsOurs, "the host ended the TLS connection with an alert"},
		{"no TLS", nil, "the host does not speak TLS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			served := false
			s := listen(t, test.config, func(_ int64, conn net.Conn) {
				if test.config == nil {
					io.WriteString(conn, "220 mail.vendor.example ESMTP ready\r\n")
					bufio.NewReader(conn).ReadByte()
					return
				}
				_, err := readRequest(bufio.NewReader(conn))
				served = err == nil
				// A reset could overtake the alert.
				io.Copy(io.Discard, conn.(*tls.Conn).NetConn())
			})
			c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool, Resolver: vendorAt(t, "127.0.0.1")})
			_, err := c.Post(t.Context(), s.url("https", vendorName, "/"), nil, []byte(event))
			wantReason(t, err, ErrTLSFailed, vendorName, "127.0.0.1", "other.example")
			var failure *Error
			if errors.As(err, &failure); failure.Detail != test.want {
				t.Errorf("got detail %q, want %q", failure.Detail, test.want)
			}
			s.listener.Close()
			s.wg.Wait()
			if served {
				t.Error("the request was sent, want it kept back")
			}
		})
	}
}

// TestAddressCertificate: a certificate may be for an address.
func TestAddressCertificate(t *testing.T) {
	ca := newAuthority(t)
	s := listen(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}, answering(answer204))
	c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool})
	if got, err := c.Post(t.Context(), s.url("https", "", "/"), nil, []byte(event)); err != nil || got.Status != 204 {
		t.Errorf("got %v, %v, want 204", got, err)
	}
}

// TestForbiddenAddress: names that lead inside are refused when they are dialed,
// however they do it.
func TestForbiddenAddress(t *testing.T) {
	tests := []struct {
		name, addresses string
		want            Reason
	}{
		{"loopback", "127.0.0.1", ErrForbiddenAddress},
		{"IPv6 loopback", "::1", ErrForbiddenAddress},
		{"both loopbacks", "127.0.0.1 ::1", ErrForbiddenAddress},
		{"cloud metadata", "169.254.169.254", ErrForbiddenAddress},
		{"cloud metadata over IPv6", "fd00:ec2::254", ErrForbiddenAddress},
		{"private", "10.0.0.1 172.16.0.1 192.168.0.1", ErrForbiddenAddress},
		{"IPv4-mapped", "::ffff:127.0.0.1", ErrForbiddenAddress},
		{"NAT64 of loopback", "64:ff9b::7f00:1", ErrForbiddenAddress},
		{"unspecified", "0.0.0.0", ErrForbiddenAddress},
	}
	s := listen(t, nil, answering(answer204))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, Options{Resolver: vendorAt(t, test.addresses)})
			_, err := c.Post(t.Context(), "https://"+vendorName+"/", nil, []byte(event))
			wantReason(t, err, test.want, append(strings.Fields(test.addresses), vendorName)...)
		})
	}
	// The local stack's setting opens loopback, and nothing else.
	c := newClient(t, Options{AllowLoopback: true, Resolver: vendorAt(t, "10.0.0.1 169.254.169.254")})
	_, err := c.Post(t.Context(), s.url("http", vendorName, "/"), nil, []byte(event))
	wantReason(t, err, ErrForbiddenAddress)
}

// errStop ends a dial after every check and before the socket connects.
var errStop = errors.New("stopped before connecting")

// stopAfter returns c's own check of an address with an end to every dial that
// passes it, noted in passed.
func stopAfter(c *Client, passed *[]string) func(context.Context, string, string, syscall.RawConn) error {
	return func(ctx context.Context, network, address string, raw syscall.RawConn) error {
		if err := c.control(ctx, network, address, raw); err != nil {
			return err
		}
		*passed = append(*passed, address)
		return errStop
	}
}

// TestRebinding: a name that is public at first and loopback later is refused
// when it is, though the first answer may have been remembered.
func TestRebinding(t *testing.T) {
	dns := &names{answers: map[string][]string{vendorName: {"93.184.215.14", "127.0.0.1", "93.184.215.14 127.0.0.1"}}}
	c := newClient(t, Options{Resolver: dns.resolver(t)})
	// The sockets stop after the check: no packet leaves for the public address.
	var passed []string
	c.dial = (&net.Dialer{Resolver: dns.resolver(t), ControlContext: stopAfter(c, &passed)}).DialContext

	_, err := c.Post(t.Context(), "https://"+vendorName+"/", nil, []byte(event))
	wantReason(t, err, ErrConnectFailed, vendorName, "93.184")
	_, err = c.Post(t.Context(), "https://"+vendorName+"/", nil, []byte(event))
	wantReason(t, err, ErrForbiddenAddress, vendorName, "127.0.0.1")
	if _, err = c.Post(t.Context(), "https://"+vendorName+"/", nil, []byte(event)); err == nil {
		t.Error("both at once: got no error")
	}
	if want := []string{"93.184.215.14:443", "93.184.215.14:443"}; !slices.Equal(passed, want) {
		t.Errorf("got %q past the check, want %q", passed, want)
	}
}

func TestNoSuchHost(t *testing.T) {
	c := newClient(t, Options{Resolver: (&names{}).resolver(t)})
	_, err := c.Post(t.Context(), "https://"+vendorName+"/", nil, []byte(event))
	wantReason(t, err, ErrNoSuchHost, vendorName)
}

func TestResolveFailed(t *testing.T) {
	broken := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errStop }}
	c := newClient(t, Options{Resolver: broken})
	_, err := c.Post(t.Context(), "https://"+vendorName+"/", nil, []byte(event))
	wantReason(t, err, ErrResolveFailed, vendorName)
}

// TestHang: over a socket, a server that says nothing at any step is given up.
func TestHang(t *testing.T) {
	ca := newAuthority(t)
	for name, config := range map[string]*tls.Config{"after the handshake": {Certificates: []tls.Certificate{ca.issue(t, nil)}}, "in the handshake": nil} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, config, func(_ int64, conn net.Conn) { io.Copy(io.Discard, conn) })
			c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool, Timeout: 100 * time.Millisecond})
			_, err := c.Post(t.Context(), s.url("https", "", "/"), nil, []byte(event))
			wantReason(t, err, ErrTimeout, "127.0.0.1")
		})
	}
}

// TestCallerGone: the end of the caller's context is no fault of the vendor's.
func TestCallerGone(t *testing.T) {
	s := listen(t, nil, func(_ int64, conn net.Conn) { io.Copy(io.Discard, conn) })
	c := newClient(t, Options{AllowLoopback: true})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Post(canceled, s.url("http", "", "/"), nil, []byte(event))
	wantReason(t, err, ErrCanceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to be the context's error", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Post(short, s.url("http", "", "/"), nil, []byte(event))
	wantReason(t, err, ErrCanceled)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want it to be the context's error", err)
	}
}

// pipes returns a client whose connections are pipes in memory to serve, so that
// time is synctest's.
func pipes(serve func(n int, conn net.Conn)) *Client {
	c := New(Options{AllowLoopback: true})
	var mu sync.Mutex
	n := 0
	c.dial = func(context.Context, string, string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		number := n
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			serve(number, there)
		}()
		return here, nil
	}
	return c
}

// TestTime: how long each kind of slowness holds the caller.
func TestTime(t *testing.T) {
	drip := func(text string) func(int, net.Conn) {
		return func(_ int, conn net.Conn) {
			if _, err := readRequest(bufio.NewReader(conn)); err != nil {
				return
			}
			for i := range len(text) {
				time.Sleep(time.Second)
				if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
					return
				}
			}
		}
	}
	tests := []struct {
		name  string
		serve func(int, net.Conn)
		want  Reason
		took  time.Duration
	}{
		{"never reads", func(_ int, conn net.Conn) { time.Sleep(time.Hour) }, ErrTimeout, DefaultTimeout},
		{"never answers", func(_ int, conn net.Conn) { io.Copy(io.Discard, conn) }, ErrTimeout, DefaultTimeout},
		{"slow headers", drip("HTTP/1.1 200 OK\r\n\r\n"), ErrTimeout, DefaultTimeout},
		{"slow interim answers", func(_ int, conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			for range 4 {
				time.Sleep(3 * time.Second)
				io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
			}
		}, ErrTimeout, DefaultTimeout},
		{"a slow body", func(n int, conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
			time.Sleep(time.Hour)
		}, "", maxDrain},
		{"a body in time", func(n int, conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			time.Sleep(9 * time.Second)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}, "", 9 * time.Second},
		{"another protocol's silence", func(n int, conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			time.Sleep(time.Hour)
		}, "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := pipes(test.serve)
				defer c.CloseIdle()
				start := time.Now()
				_, err := c.Post(t.Context(), "http://localhost/", nil, []byte(event))
				if test.want != "" {
					wantReason(t, err, test.want)
				} else if err != nil {
					t.Errorf("got %v, want none", err)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("got %v, want %v", took, test.took)
				}
				// The servers' own waiting ends too.
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// TestIdle: a connection is used again for 20 s and no longer.
func TestIdle(t *testing.T) {
	for wait, want := range map[time.Duration]int{maxIdleTime - 1: 1, maxIdleTime: 2} {
		synctest.Test(t, func(t *testing.T) {
			connections := 0
			c := pipes(func(n int, conn net.Conn) {
				connections = n
				answering(answer204)(0, conn)
			})
			defer c.CloseIdle()
			for range 2 {
				if _, err := c.Post(t.Context(), "http://localhost/", nil, []byte(event)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(wait)
			}
			if connections != want {
				t.Errorf("after %v: got %d connections, want %d", wait, connections, want)
			}
		})
	}
}

// TestFrozen: the age of an idle connection is what the clock says, which may
// leap while no timer runs, or be set back.
func TestFrozen(t *testing.T) {
	for name, step := range map[string]time.Duration{"asleep": time.Minute, "set back": -time.Minute} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, nil, answering(answer204))
			now := time.Now()
			c := newClient(t, Options{AllowLoopback: true, Now: func() time.Time { return now }})
			for range 2 {
				if _, err := c.Post(t.Context(), s.url("http", "", "/"), nil, []byte(event)); err != nil {
					t.Fatal(err)
				}
				now = now.Add(step)
			}
			if got := s.accepted.Load(); got != 2 {
				t.Errorf("got %d connections, want 2", got)
			}
		})
	}
}

// TestKeptConnectionDies: a connection that ends under a request, or before it,
// is replaced once without the vendor being charged.
func TestKeptConnectionDies(t *testing.T) {
	ca := newAuthority(t)
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			var config *tls.Config
			if scheme == "https" {
				config = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}
			}
			// Each connection serves one request, and ends at the next.
			s := listen(t, config, func(_ int64, conn net.Conn) {
				in := bufio.NewReader(conn)
				if _, err := readRequest(in); err == nil {
					io.WriteString(conn, answer204)
					readRequest(in)
				}
			})
			c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool})
			for range 3 {
				got, err := c.Post(t.Context(), s.url(scheme, "", "/"), nil, []byte(event))
				if err != nil || got.Status != 204 {
					t.Fatalf("got %v, %v, want 204", got, err)
				}
			}
			if got := s.accepted.Load(); got != 3 {
				t.Errorf("got %d connections, want 3", got)
			}
		})
	}
}

// TestUnasked: bytes that come on an idle connection are nobody's answer, and
// nothing of them is printed.
func TestUnasked(t *testing.T) {
	var printed bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&printed)
	ca := newAuthority(t)
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			var config *tls.Config
			if scheme == "https" {
				config = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}
			}
			written := make(chan struct{})
			s := listen(t, config, func(n int64, conn net.Conn) {
				in := bufio.NewReader(conn)
				if _, err := readRequest(in); err != nil {
					return
				}
				io.WriteString(conn, answer204)
				if n == 1 {
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Plate: secret\r\n\r\n")
					close(written)
				}
				in.ReadByte()
			})
			c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool})
			for range 2 {
				got, err := c.Post(t.Context(), s.url(scheme, "", "/"), nil, []byte(event))
				if err != nil || got.Status != 204 {
					t.Fatalf("got %v, %v, want 204", got, err)
				}
				<-written
			}
			if got := s.accepted.Load(); got != 2 {
				t.Errorf("got %d connections, want 2", got)
			}
		})
	}
	if printed.Len() > 0 {
		t.Errorf("got %q printed, want nothing", printed.String())
	}
}

// TestConcurrent posts from many goroutines to two hosts at once.
func TestConcurrent(t *testing.T) {
	fast := listen(t, nil, answering(answer204))
	slow := listen(t, nil, func(_ int64, conn net.Conn) { io.Copy(io.Discard, conn) })
	c := newClient(t, Options{AllowLoopback: true, Timeout: 2 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	var hanging, wg sync.WaitGroup
	for range 8 {
		hanging.Go(func() {
			_, err := c.Post(ctx, slow.url("http", "", "/"), nil, []byte(event))
			if !errors.Is(err, ErrCanceled) && !errors.Is(err, ErrTimeout) {
				t.Errorf("slow: got %v", err)
			}
		})
		wg.Go(func() {
			for range 50 {
				if got, err := c.Post(ctx, fast.url("http", "", "/"), nil, []byte(event)); err != nil || got.Status != 204 {
					t.Errorf("fast: got %v, %v, want 204", got, err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	hanging.Wait()
	if got := fast.accepted.Load(); got > 16 {
		t.Errorf("got %d connections for 8 callers, want about 8", got)
	}
}

// TestPoolIsBounded: the oldest idle connection makes room.
func TestPoolIsBounded(t *testing.T) {
	c := New(Options{})
	now := time.Now()
	var ends []net.Conn
	for range maxIdle + 1 {
		here, there := net.Pipe()
		ends = append(ends, there)
		c.idle.put(newConnection(here, "key"), now)
	}
	if got := len(c.idle.conns); got != maxIdle {
		t.Errorf("got %d idle connections, want %d", got, maxIdle)
	}
	if _, err := ends[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v from the oldest, want it closed", err)
	}
	c.CloseIdle()
	if _, err := ends[maxIdle].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v from the newest, want it closed", err)
	}
}

func TestReasons(t *testing.T) {
	seen := map[Reason]bool{}
	for _, reason := range Reasons() {
		if seen[reason] || reason == "" {
			t.Errorf("got %q twice", reason)
		}
		seen[reason] = true
		if err := failure(reason, "detail"); !errors.Is(err, reason) || err.Error() != "egress: "+string(reason)+": detail" {
			t.Errorf("got %v, want reason %q", err, reason)
		}
	}
	if len(seen) != 13 {
		t.Errorf("got %d reasons, want 13", len(seen))
	}
}
