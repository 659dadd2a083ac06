package wechatpay_test

import (
	"crypto/rand"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/wechatpay"
)

// listen serves h over real connections and returns a client of it, with a clock that the test moves.
func listen(t *testing.T, h http.HandlerFunc) (*wechatpay.Client, *httptest.Server, *atomic.Int64) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return clientOf(server.URL), server, &clock
}

func clientOf(url string) *wechatpay.Client {
	return &wechatpay.Client{
		BaseURL: url, BackupURL: url, Transport: wechatpay.NewTransport(wallClock), Now: time.Now, Random: rand.Reader,
	}
}

// clock is how far the tests' wall clock is ahead of the real one, in nanoseconds. These tests do not run in parallel.
var clock atomic.Int64

func wallClock() time.Time { return time.Now().Add(time.Duration(clock.Load())) }

func park(t *testing.T, c *wechatpay.Client) error {
	t.Helper()
	return c.SyncParking(t.Context(), &functest.Source[wechatpay.V3Keys]{Value: keysV3()}, parking)
}

// reply204 is the verified success over a real connection.
func reply204(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for name, values := range signV3(ownKey(), publicKeyID, time.Now(), "") {
		w.Header()[name] = values
	}
	w.WriteHeader(http.StatusNoContent)
}

// TestIdleConnections holds that a connection is used again for less than 20 s of the wall clock, which goes on while a
// frozen sandbox's timers stand still.
func TestIdleConnections(t *testing.T) {
	var remotes []string
	c, _, wall := listen(t, func(w http.ResponseWriter, r *http.Request) {
		remotes = append(remotes, r.RemoteAddr)
		reply204(w, r)
	})
	for _, tc := range []struct {
		name   string
		passes time.Duration
		fresh  bool
	}{
		{"the first call", 0, true},
		{"at once", 0, false},
		{"after 19 s", 19 * time.Second, false},
		{"after 19 s more", 19 * time.Second, false},
		{"after 20 s", 20 * time.Second, true},
		{"at once again", 0, false},
		{"after an hour frozen", time.Hour, true},
		{"after the clock went back", -time.Minute, true},
		{"at once after that", 0, false},
	} {
		wall.Add(int64(tc.passes))
		if err := park(t, c); err != nil {
			t.Fatal(err)
		}
		n := len(remotes)
		if fresh := n == 1 || remotes[n-1] != remotes[n-2]; fresh != tc.fresh {
			t.Errorf("%s: got a new connection: %t, want %t", tc.name, fresh, tc.fresh)
		}
	}
}

// TestDeadConnection holds that net/http never repeats a request by itself, on a connection that died, say.
func TestDeadConnection(t *testing.T) {
	signatures := map[string]bool{}
	var calls atomic.Int32
	c, _, _ := listen(t, func(w http.ResponseWriter, r *http.Request) {
		signatures[r.Header.Get("Authorization")] = true
		if calls.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		reply204(w, r)
	})
	for range 2 {
		if err := park(t, c); err != nil {
			t.Fatal(err)
		}
	}
	if calls.Load() != 3 || len(signatures) != 3 {
		t.Errorf("got %d requests with %d signatures, want 3 and 3", calls.Load(), len(signatures))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		var followed atomic.Bool
		c, server, _ := listen(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				followed.Store(true)
				reply204(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere", status)
		})
		got := failure(t, park(t, c))
		if got.Kind != wechatpay.Unavailable || got.HTTPStatus != status || followed.Load() {
			t.Errorf("%d: got %v of status %d, followed %t, want unavailable and not followed", status, got, got.HTTPStatus, followed.Load())
		}
		server.Close()
	}
}

// TestNothingIsDecompressed holds that gzip is not asked for, and what comes is judged as it came.
func TestNothingIsDecompressed(t *testing.T) {
	c, _, _ := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("User-Agent") != "wechat-parking-gateway" {
			t.Errorf("got headers %v, want no Accept-Encoding and our User-Agent", r.Header)
		}
		const body = "these bytes are signed as they are"
		for name, values := range signV3(ownKey(), publicKeyID, time.Now(), body) {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, body)
	})
	if err := park(t, c); err != nil {
		t.Errorf("got %v, want the answer verified as it came", err)
	}
}

// TestBrokenAnswers holds what comes of answers that are no answers, over real connections.
func TestBrokenAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		kind    wechatpay.Kind
	}{
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, wechatpay.Unknown},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		}, wechatpay.Unknown},
		"over 64 KiB": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 64<<10+1))
		}, wechatpay.Unknown},
		"headers over 32 KiB": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 40<<10))
		}, wechatpay.Unknown},
		"no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
			_ = conn.Close()
		}, wechatpay.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := listen(t, tc.handler)
			if got := failure(t, park(t, c)); got.Kind != tc.kind {
				t.Errorf("got %v, want kind %d", got, tc.kind)
			}
		})
	}
}

// TestNotReached holds that what never left is told from what may have arrived.
func TestNotReached(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var reached atomic.Bool
	strange := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Store(true)
		reply204(w, r)
	}))
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS()
	t.Cleanup(strange.Close)
	for name, url := range map[string]string{
		"nobody listens":                  closed,
		"a certificate that nobody knows": strange.URL,
	} {
		t.Run(name, func(t *testing.T) {
			if got := failure(t, park(t, clientOf(url))); got.Kind != wechatpay.Unavailable || got.HTTPStatus != 0 {
				t.Errorf("got %v, want unavailable without a status", got)
			}
		})
	}
	if reached.Load() {
		t.Error("a request went to a server whose certificate nobody knows")
	}
}
