package preconnect_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/shared/preconnect"
)

// server counts the connections that were made to it.
type server struct {
	*httptest.Server
	mu   sync.Mutex
	made []net.Conn
}

func newServer(t *testing.T, secure bool) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.made = append(s.made, c)
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.made)
}

// clock is a wall clock that a test moves.
type clock struct{ ahead time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

func newClient(t *testing.T, s *server, c *clock) (*preconnect.Dialer, *http.Client) {
	t.Helper()
	d := &preconnect.Dialer{Timeout: 5 * time.Second, MaxIdle: 20 * time.Second, Now: c.now}
	if s.TLS != nil {
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		d.TLS = &tls.Config{RootCAs: roots}
	}
	transport := &http.Transport{DialContext: d.DialContext, DialTLSContext: d.DialTLSContext}
	t.Cleanup(transport.CloseIdleConnections)
	return d, &http.Client{Transport: transport}
}

func get(t *testing.T, client *http.Client, url string) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "ok" {
		t.Fatalf("got %q, %v", b, err)
	}
}

func TestOpenedConnectionIsUsed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		secure bool
		passes time.Duration
		want   int // connections made in all
	}{
		{"at once, over TLS", true, 0, 1},
		{"at once, without TLS", false, 0, 1},
		{"after 19 s", true, 19 * time.Second, 1},
		{"after 20 s, frozen", true, 20 * time.Second, 2},
		{"after an hour, frozen", true, time.Hour, 2},
		{"after the clock went back", true, -time.Minute, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newServer(t, tc.secure), &clock{}
			d, client := newClient(t, s, c)
			if err := d.Open(t.Context(), s.URL); err != nil {
				t.Fatal(err)
			}
			c.ahead = tc.passes
			get(t, client, s.URL)
			if got := s.connections(); got != tc.want {
				t.Errorf("got %d connections, want %d", got, tc.want)
			}
		})
	}
}

func TestEachOpenedConnectionIsUsedOnce(t *testing.T) {
	s := newServer(t, true)
	d, client := newClient(t, s, &clock{})
	client.Transport.(*http.Transport).DisableKeepAlives = true
	if err := d.Open(t.Context(), s.URL); err != nil {
		t.Fatal(err)
	}
	get(t, client, s.URL)
	get(t, client, s.URL)
	if got := s.connections(); got != 2 {
		t.Errorf("got %d connections, want 2", got)
	}
}

func TestOpenTwiceKeepsOne(t *testing.T) {
	s := newServer(t, true)
	d, client := newClient(t, s, &clock{})
	for range 2 {
		if err := d.Open(t.Context(), s.URL); err != nil {
			t.Fatal(err)
		}
	}
	get(t, client, s.URL)
	if got := s.connections(); got != 2 {
		t.Errorf("got %d connections, want 2: the first one is replaced", got)
	}
}

// TestCertificatesAreVerified: an opened connection is as good as a dialled one, so a stranger's is not opened.
func TestCertificatesAreVerified(t *testing.T) {
	s := newServer(t, true)
	d, client := newClient(t, s, &clock{})
	d.TLS = nil
	if err := d.Open(t.Context(), s.URL); err == nil {
		t.Error("a connection to a server with an unknown certificate was opened")
	}
	if res, err := client.Get(s.URL); err == nil {
		res.Body.Close()
		t.Error("a server with an unknown certificate was called")
	}
}

func TestOpenRefuses(t *testing.T) {
	d := &preconnect.Dialer{Timeout: time.Second, MaxIdle: time.Second, Now: time.Now}
	for _, u := range []string{"", "/path", "https://", "https://%zz"} {
		if err := d.Open(t.Context(), u); err == nil || !strings.Contains(err.Error(), "no host") {
			t.Errorf("%q: got %v, want no host", u, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Open(ctx, "http://127.0.0.1:1"); err == nil {
		t.Error("got no error of a context that has ended")
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := newServer(t, true)
	d, client := newClient(t, s, &clock{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := d.Open(t.Context(), s.URL); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { get(t, client, s.URL) })
	}
	wg.Wait()
}
