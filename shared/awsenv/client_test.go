package awsenv

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// latency is how long an answer takes. Without any it overtakes the end of the
// client's own writing, and net/http does not use such a connection again.
const latency = time.Millisecond

// pipeServer serves HTTP over connections in memory, so that tests run under
// synctest's clock. It counts connections and requests.
type pipeServer struct {
	// serve answers the n-th request, from 1. Nothing after it, or at all,
	// is silence: the connection stays open.
	serve       func(n int) string
	connections atomic.Int64
	requests    atomic.Int64
}

func (s *pipeServer) dial(context.Context, string, string) (net.Conn, error) {
	s.connections.Add(1)
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		r := bufio.NewReader(there)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			answer := s.serve(int(s.requests.Add(1)))
			time.Sleep(latency)
			io.WriteString(there, answer)
		}
	}()
	return here, nil
}

// response returns an answer as it stands on the wire.
func response(status int, header, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d Status\r\nContent-Type: application/x-amz-json-1.0\r\n%sContent-Length: %d\r\n\r\n%s",
		status, header, len(body), body)
}

// over returns a configuration whose connections lead to s.
func (s *pipeServer) over(t *testing.T, perTry time.Duration) aws.Config {
	t.Helper()
	env := lambda()
	env["AWS_ENDPOINT_URL"] = "http://aws.test"
	cfg, err := Config(getenv(env), perTry)
	if err != nil {
		t.Fatal(err)
	}
	transport := cfg.HTTPClient.(*httpClient).Transport.(*http.Transport)
	transport.DialContext = s.dial
	t.Cleanup(transport.CloseIdleConnections)
	return cfg
}

// TestAttempts has every service fail in the ways that pass.
func TestAttempts(t *testing.T) {
	const perTry = 800 * time.Millisecond
	throttled := `{"__type":"ThrottlingException","message":"slow down"}`
	tests := []struct {
		name     string
		serve    func(n int) string
		requests int
		fails    bool
		longest  time.Duration // the tries and the waits between them
	}{
		{"third is good", func(n int) string {
			return response([]int{500, 503, 200}[n-1], "", "{}")
		}, 3, false, 3*latency + 150*time.Millisecond},
		{"throttled", func(n int) string {
			if n == 1 {
				return response(400, "", throttled)
			}
			return response(200, "", "{}")
		}, 2, false, 2*latency + 50*time.Millisecond},
		{"silent once", func(n int) string {
			if n == 1 {
				return ""
			}
			return response(200, "", "{}")
		}, 2, false, perTry + latency + 50*time.Millisecond},
		{"always silent", func(int) string { return "" }, 3, true, 3*perTry + 150*time.Millisecond},
		{"refused", func(int) string {
			return response(400, "", `{"__type":"AccessDeniedException"}`)
		}, 1, true, latency},
		{"redirected", func(int) string {
			return response(307, "Location: http://elsewhere.test/\r\n", "")
		}, 1, true, latency},
	}
	for service, call := range operations() {
		for _, tt := range tests {
			t.Run(service+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &pipeServer{serve: tt.serve}
					cfg := s.over(t, perTry)
					start := time.Now()
					err := call(t.Context(), cfg)
					if (err != nil) != tt.fails {
						t.Errorf("got error %v, want one: %v", err, tt.fails)
					}
					if got := int(s.requests.Load()); got != tt.requests {
						t.Errorf("got %d requests, want %d", got, tt.requests)
					}
					if took := time.Since(start); took > tt.longest {
						t.Errorf("took %v, want at most %v", took, tt.longest)
					}
				})
			})
		}
	}
}

// TestHalfAnAnswer runs by the real clock: net/http takes a timeout while it
// reads a body for one only past the deadline, and synctest's clock stops on it.
func TestHalfAnAnswer(t *testing.T) {
	half := strings.TrimSuffix(response(200, "", "{}"), "}")
	tests := []struct {
		name string
		then func(conn net.Conn)
	}{
		{"closed", func(conn net.Conn) { conn.Close() }},
		{"silent", func(conn net.Conn) { io.Copy(io.Discard, conn) }},
	}
	for service, call := range operations() {
		for _, tt := range tests {
			t.Run(service+" then "+tt.name, func(t *testing.T) {
				var requests atomic.Int64
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if requests.Add(1) > 1 {
						w.Write([]byte("{}"))
						return
					}
					conn, _, err := w.(http.Hijacker).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					io.WriteString(conn, half)
					tt.then(conn)
				}))
				defer server.Close()
				env := lambda()
				env["AWS_ENDPOINT_URL"] = server.URL
				cfg, err := Config(getenv(env), 200*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if err := call(t.Context(), cfg); err != nil {
					t.Errorf("got error %v, want the second attempt's answer", err)
				}
				if got := requests.Load(); got != 2 {
					t.Errorf("got %d requests, want 2", got)
				}
			})
		}
	}
}

// TestContext ends an operation whose caller has less time than its attempts.
func TestContext(t *testing.T) {
	for service, call := range operations() {
		t.Run(service, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &pipeServer{serve: func(int) string { return "" }}
				cfg := s.over(t, 800*time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				if err := call(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got error %v, want context.DeadlineExceeded", err)
				}
				if got, want := time.Since(start), time.Second; got != want {
					t.Errorf("took %v, want %v", got, want)
				}
			})
		})
	}
}

// TestIdleConnections counts connections: one serves every client, until it has
// been idle for 20 s.
func TestIdleConnections(t *testing.T) {
	tests := []struct {
		name string
		idle time.Duration
		want int
	}{
		{"none", 0, 1},
		{"short", 19 * time.Second, 1},
		{"long", 21 * time.Second, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &pipeServer{serve: func(int) string { return response(200, "", "{}") }}
				cfg := s.over(t, time.Second)
				if err := operations()["SQS"](t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				time.Sleep(tt.idle)
				if err := operations()["DYNAMODB"](t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
				if got := int(s.connections.Load()); got != tt.want {
					t.Errorf("got %d connections, want %d (%d requests)", got, tt.want, s.requests.Load())
				}
			})
		})
	}
}

func TestNoProxy(t *testing.T) {
	if client(time.Second).Transport.(*http.Transport).Proxy != nil {
		t.Error("the transport has a proxy, want none")
	}
}

// A certificate that the system does not trust is refused.
func TestVerifiesTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	_, err := client(5 * time.Second).Get(server.URL)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("got error %v, want x509.UnknownAuthorityError", err)
	}
}

func TestBackoff(t *testing.T) {
	for attempt, bound := range map[int]time.Duration{
		0: 50 * time.Millisecond, 1: 50 * time.Millisecond, 2: 100 * time.Millisecond,
	} {
		for range 1000 {
			got, err := backoff(attempt, nil)
			if err != nil || got < 0 || got > bound {
				t.Fatalf("backoff(%d) = %v, %v, want 0 to %v", attempt, got, err, bound)
			}
		}
	}
}
