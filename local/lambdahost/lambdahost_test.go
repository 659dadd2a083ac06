package lambdahost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"wechat-parking-gateway/local/lambdahost"
)

// bootstraps is the folder of the compiled test functions, one executable each.
// TestMain sets it once, before any test runs.
var bootstraps string

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == hostCommand {
		runHost(os.Args[2])
	}
	dir, err := os.MkdirTemp("", "lambdahost")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bootstraps = dir
	if err := buildFunctions(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func buildFunctions(dir string) error {
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", dir+"/",
		"./testdata/echo", "./testdata/faulty", "./testdata/stubborn", "./testdata/badinit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the test functions: %w\n%s", err, out)
	}
	return nil
}

// bootstrap returns the path of a compiled test function.
func bootstrap(name string) string { return filepath.Join(bootstraps, name) }

// newHost starts a host that the test's end closes.
func newHost(t *testing.T, options lambdahost.Options, functions ...lambdahost.Function) *lambdahost.Host {
	t.Helper()
	h, err := lambdahost.New(functions, options)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(h.Close)
	return h
}

func echo() lambdahost.Function {
	return lambdahost.Function{Name: "Echo", Bootstrap: bootstrap("echo"), Timeout: time.Minute}
}

// faulty is the function that goes wrong as its event says.
func faulty() lambdahost.Function {
	return lambdahost.Function{Name: "Faulty", Bootstrap: bootstrap("faulty"), Timeout: time.Minute}
}

// announcer is where test functions connect to, to be seen living and dying.
type announcer struct {
	t        *testing.T
	listener net.Listener
}

func newAnnouncer(t *testing.T) *announcer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &announcer{t, l}
}

func (a *announcer) env() map[string]string {
	return map[string]string{"ANNOUNCE_TO": a.listener.Addr().String()}
}

// next waits for one process to connect.
func (a *announcer) next() net.Conn {
	a.t.Helper()
	conn, err := a.listener.Accept()
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// assertEnds waits for the process at the other side to be gone.
func assertEnds(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := conn.Read(make([]byte, 1))
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v from the process, want its end", err)
	}
}

// assertGone checks that no process has the number; the host has reaped it.
func assertGone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: got %v, want it gone", pid, err)
	}
}

type echoed struct {
	Event        json.RawMessage `json:"event"`
	PID          int             `json:"pid"`
	RequestID    string          `json:"request_id"`
	ARN          string          `json:"arn"`
	Trace        string          `json:"trace"`
	Remaining    time.Duration   `json:"remaining"`
	Environment  []string        `json:"environment"`
	WorkingDir   string          `json:"working_dir"`
	ProcessGroup int             `json:"process_group"`
}

func invokeEcho(t *testing.T, h *lambdahost.Host) echoed {
	t.Helper()
	answer, err := h.Invoke(t.Context(), "Echo", []byte(`{"plate":"test"}`))
	if err != nil {
		t.Fatalf("Invoke: %v", err)
	}
	var got echoed
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatalf("answer: %v", err)
	}
	return got
}

// invokeFault returns what the faulty function answered, as JSON text.
func invokeFault(t *testing.T, h *lambdahost.Host, fault string) (string, error) {
	t.Helper()
	event, err := json.Marshal(fault)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := h.Invoke(t.Context(), "Faulty", event)
	return string(answer), err
}

// mustInvoke returns the faulty function's answer to an event without a fault:
// the number of its process.
func mustInvoke(t *testing.T, h *lambdahost.Host) string {
	t.Helper()
	pid, err := invokeFault(t, h, "")
	if err != nil {
		t.Fatalf("Invoke: %v", err)
	}
	return pid
}

func TestInvocationContext(t *testing.T) {
	t.Setenv("FROM_THE_DEVELOPERS_SHELL", "1")
	f := echo()
	f.MemoryMB = 256
	f.Env = map[string]string{"EVENTS_QUEUE_URL": "http://127.0.0.1/queue", "LANG": "C"}
	h := newHost(t, lambdahost.Options{Region: "cn-north-1"}, f)
	got := invokeEcho(t, h)

	if want := `{"plate":"test"}`; string(got.Event) != want {
		t.Errorf("event: got %s, want %s", got.Event, want)
	}
	if want := "arn:aws-cn:lambda:cn-north-1:123456789012:function:Echo"; got.ARN != want {
		t.Errorf("ARN: got %q, want %q", got.ARN, want)
	}
	if len(got.RequestID) != 36 || got.RequestID[14] != '4' {
		t.Errorf("request id: got %q, want a UUID of version 4", got.RequestID)
	}
	if !strings.HasPrefix(got.Trace, "Root=1-") || !strings.HasSuffix(got.Trace, ";Sampled=0") {
		t.Errorf("trace: got %q, want an X-Ray header", got.Trace)
	}
	if got.Remaining <= 0 || got.Remaining > f.Timeout {
		t.Errorf("remaining time: got %v, want up to %v", got.Remaining, f.Timeout)
	}
	if got.WorkingDir != bootstraps {
		t.Errorf("working folder: got %q, want %q", got.WorkingDir, bootstraps)
	}
	if got.ProcessGroup != got.PID {
		t.Errorf("process group: got %d, want its own, %d", got.ProcessGroup, got.PID)
	}

	env := make(map[string]string)
	for _, v := range got.Environment {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID"} {
		if env[name] == "" {
			t.Errorf("%s is missing", name)
		}
		delete(env, name)
	}
	want := map[string]string{
		"PATH":                            os.Getenv("PATH"),
		"TZ":                              ":UTC",
		"LANG":                            "C",
		"EVENTS_QUEUE_URL":                "http://127.0.0.1/queue",
		"_HANDLER":                        "echo",
		"LAMBDA_TASK_ROOT":                bootstraps,
		"LAMBDA_RUNTIME_DIR":              bootstraps,
		"AWS_LAMBDA_FUNCTION_NAME":        "Echo",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_FORMAT":           "JSON",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/Echo",
		"AWS_REGION":                      "cn-north-1",
		"AWS_DEFAULT_REGION":              "cn-north-1",
		"AWS_ACCESS_KEY_ID":               "local",
		"AWS_SECRET_ACCESS_KEY":           "local",
		"AWS_SESSION_TOKEN":               "local",
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestSandboxIsUsedAgain(t *testing.T) {
	h := newHost(t, lambdahost.Options{}, echo())
	first, second := invokeEcho(t, h), invokeEcho(t, h)
	if first.PID != second.PID {
		t.Errorf("got processes %d and %d, want one", first.PID, second.PID)
	}
	if first.RequestID == second.RequestID {
		t.Errorf("got request id %s twice", first.RequestID)
	}
	got := h.Stats("Echo")
	if got.LastInit <= 0 {
		t.Errorf("LastInit: got %v, want a duration", got.LastInit)
	}
	got.LastInit = 0
	if want := (lambdahost.Stats{ColdStarts: 1, Invocations: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMostRecentlyUsedFirst(t *testing.T) {
	a := newAnnouncer(t)
	f := faulty()
	f.Env = a.env()
	h := newHost(t, lambdahost.Options{}, f)

	// Two at once need two sandboxes; the one that ends last is used again.
	results := make([]chan string, 2)
	conns := make([]net.Conn, 2)
	for i := range results {
		results[i] = make(chan string, 1)
		go func() {
			pid, err := h.Invoke(t.Context(), "Faulty", []byte(`"hang"`))
			if err != nil {
				t.Error(err)
			}
			results[i] <- string(pid)
		}()
		conns[i] = a.next()
	}
	_ = conns[1].Close()
	<-results[1]
	_ = conns[0].Close()
	want := <-results[0]
	for range 3 {
		if got := mustInvoke(t, h); got != want {
			t.Errorf("got process %s, want %s, the one that was used last", got, want)
		}
	}
	if got, want := h.Stats("Faulty").ColdStarts, 2; got != want {
		t.Errorf("cold starts: got %d, want %d", got, want)
	}
}

func TestParallelInvocations(t *testing.T) {
	const sandboxes, rounds = 10, 20
	h := newHost(t, lambdahost.Options{}, echo())
	var wg sync.WaitGroup
	for i := range sandboxes {
		wg.Go(func() {
			for j := range rounds {
				event := fmt.Sprintf(`{"i":%d,"j":%d}`, i, j)
				answer, err := h.Invoke(t.Context(), "Echo", []byte(event))
				if err != nil {
					t.Error(err)
					return
				}
				var got echoed
				if err := json.Unmarshal(answer, &got); err != nil || string(got.Event) != event {
					t.Errorf("got event %s (%v), want %s", got.Event, err, event)
				}
			}
		})
	}
	wg.Wait()
	got := h.Stats("Echo")
	if got.Invocations != sandboxes*rounds || got.ColdStarts > sandboxes {
		t.Errorf("got %+v, want %d invocations in at most %d sandboxes", got, sandboxes*rounds, sandboxes)
	}
}

func TestFunctionErrors(t *testing.T) {
	const oneSandboxMore, sameSandbox = true, false
	tests := []struct {
		fault   string
		reason  error
		kind    string
		message string // a part of it
		fresh   bool   // whether the next invocation is a cold start
	}{
		{"error", lambdahost.ErrReported, "errorString", "the barrier is stuck", sameSandbox},
		{"panic", lambdahost.ErrReported, "string", "out of parking spaces", oneSandboxMore},
		{"exit", lambdahost.ErrExited, "Runtime.ExitError", "exit status 3", oneSandboxMore},
		{"large", lambdahost.ErrResponseTooLarge, "Function.ResponseSizeTooLarge", "6291556 bytes", oneSandboxMore},
		{"broken answer", lambdahost.ErrReported, "errorString", "", sameSandbox},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			h := newHost(t, lambdahost.Options{}, faulty())
			before := mustInvoke(t, h)
			answer, err := invokeFault(t, h, tt.fault)
			if answer != "" {
				t.Errorf("answer: got %q, want none", answer)
			}
			if !errors.Is(err, tt.reason) {
				t.Errorf("got %v, want %v", err, tt.reason)
			}
			failure, ok := errors.AsType[*lambdahost.FunctionError](err)
			if !ok {
				t.Fatalf("got a %T, want a *FunctionError", err)
			}
			if failure.Type != tt.kind || !strings.Contains(failure.Message, tt.message) {
				t.Errorf("got %s: %q, want %s: …%s…", failure.Type, failure.Message, tt.kind, tt.message)
			}
			if failure.Function != "Faulty" || failure.RequestID == "" {
				t.Errorf("got function %q, request %q", failure.Function, failure.RequestID)
			}
			if want := "lambdahost: Faulty: " + tt.reason.Error() + " (" + tt.kind + ")"; err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
			after := mustInvoke(t, h)
			if got := before != after; got != tt.fresh {
				t.Errorf("fresh sandbox afterwards: got %t, want %t", got, tt.fresh)
			}
		})
	}
}

// TestRuntimeThatLeavesTheProtocol has a function speak to the Runtime API behind
// its runtime's back. The one error that it posts for its own event counts.
func TestRuntimeThatLeavesTheProtocol(t *testing.T) {
	var logs writes
	h := newHost(t, lambdahost.Options{Logs: &logs}, faulty())
	before := mustInvoke(t, h)
	_, err := invokeFault(t, h, "leave the protocol")
	if !errors.Is(err, lambdahost.ErrReported) {
		t.Fatalf("got %v, want %v", err, lambdahost.ErrReported)
	}
	failure, _ := errors.AsType[*lambdahost.FunctionError](err)
	if got, want := failure.Type, "Runtime.Unknown"; got != want {
		t.Errorf("type: got %q, want %q", got, want)
	}
	if got, want := string(failure.Payload), "not JSON"; got != want {
		t.Errorf("payload: got %q, want %q", got, want)
	}
	if after := mustInvoke(t, h); after == before {
		t.Errorf("got process %s again, want a fresh one", after)
	}
	h.Close()
	if want := "Faulty: statuses: [400 400 403 404 403 202 403]\n"; !slices.Contains(logs.calls, want) {
		t.Errorf("got %q, want %q among them", logs.calls, want)
	}
}

// TestKillDuringInit kills sandboxes that have not asked for an event yet.
func TestKillDuringInit(t *testing.T) {
	for _, end := range []struct {
		name string
		by   func(*lambdahost.Host)
	}{
		{"Kill", func(h *lambdahost.Host) { h.Kill("Bad") }},
		{"Close", func(h *lambdahost.Host) { h.Close() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			a := newAnnouncer(t)
			env := a.env()
			env["FAULT"] = "hang"
			f := lambdahost.Function{Name: "Bad", Bootstrap: bootstrap("badinit"), Env: env}
			h := newHost(t, lambdahost.Options{InitTimeout: time.Minute}, f)
			failed := make(chan error, 1)
			go func() {
				_, err := h.Invoke(t.Context(), "Bad", []byte(`{}`))
				failed <- err
			}()
			conn := a.next()
			end.by(h)
			if err := <-failed; !errors.Is(err, lambdahost.ErrInit) {
				t.Errorf("got %v, want %v", err, lambdahost.ErrInit)
			}
			assertEnds(t, conn)
		})
	}
}

func TestLargestAnswer(t *testing.T) {
	h := newHost(t, lambdahost.Options{}, faulty())
	answer, err := invokeFault(t, h, "largest")
	if err != nil || len(answer) != lambdahost.MaxPayload {
		t.Errorf("got %d bytes, %v, want %d", len(answer), err, lambdahost.MaxPayload)
	}
}

func TestTimeoutKillsTheSandbox(t *testing.T) {
	a := newAnnouncer(t)
	f := faulty()
	f.Env, f.Timeout = a.env(), 200*time.Millisecond
	h := newHost(t, lambdahost.Options{}, f)

	_, err := invokeFault(t, h, "hang")
	if !errors.Is(err, lambdahost.ErrTimedOut) {
		t.Fatalf("got %v, want %v", err, lambdahost.ErrTimedOut)
	}
	failure, _ := errors.AsType[*lambdahost.FunctionError](err)
	if want := failure.RequestID + " Task timed out after 0.20 seconds"; !strings.HasSuffix(failure.Message, want) {
		t.Errorf("message: got %q, want …%s", failure.Message, want)
	}
	assertEnds(t, a.next())
	mustInvoke(t, h)
	if got, want := h.Stats("Faulty").ColdStarts, 2; got != want {
		t.Errorf("cold starts: got %d, want %d", got, want)
	}
}

func TestKillEndsTheProcessGroup(t *testing.T) {
	a := newAnnouncer(t)
	f := lambdahost.Function{Name: "Stubborn", Bootstrap: bootstrap("stubborn"), Timeout: time.Minute, Env: a.env()}
	h := newHost(t, lambdahost.Options{}, f)
	answer, err := h.Invoke(t.Context(), "Stubborn", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	parent, child := a.next(), a.next()
	h.Kill("Stubborn")
	assertEnds(t, parent)
	assertEnds(t, child)
	assertGone(t, atoi(t, string(answer)))
}

func TestCloseEndsWhatIgnoresSIGTERM(t *testing.T) {
	a := newAnnouncer(t)
	f := lambdahost.Function{Name: "Stubborn", Bootstrap: bootstrap("stubborn"), Timeout: time.Minute, Env: a.env()}
	h := newHost(t, lambdahost.Options{}, f)
	answer, err := h.Invoke(t.Context(), "Stubborn", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	parent, child := a.next(), a.next()
	h.Close()
	assertEnds(t, parent)
	assertEnds(t, child)
	assertGone(t, atoi(t, string(answer)))
	h.Close() // again, to no effect
	if _, err := h.Invoke(t.Context(), "Stubborn", []byte(`{}`)); !errors.Is(err, lambdahost.ErrClosed) {
		t.Errorf("got %v, want %v", err, lambdahost.ErrClosed)
	}
}

func TestCloseDuringInvocations(t *testing.T) {
	a := newAnnouncer(t)
	f := faulty()
	f.Env = a.env()
	h := newHost(t, lambdahost.Options{}, f)
	failed := make(chan error, 1)
	go func() {
		_, err := h.Invoke(t.Context(), "Faulty", []byte(`"hang"`))
		failed <- err
	}()
	conn := a.next()
	h.Close()
	if err := <-failed; !errors.Is(err, lambdahost.ErrExited) {
		t.Errorf("got %v, want %v", err, lambdahost.ErrExited)
	}
	assertEnds(t, conn)
}

func TestKillMakesTheNextCallCold(t *testing.T) {
	a := newAnnouncer(t)
	f := faulty()
	f.Env = a.env()
	h := newHost(t, lambdahost.Options{}, f, echo())
	before := mustInvoke(t, h)
	other := invokeEcho(t, h).PID
	failed := make(chan error, 1)
	go func() {
		_, err := h.Invoke(t.Context(), "Faulty", []byte(`"hang"`))
		failed <- err
	}()
	a.next()
	h.Kill("Faulty")
	if err := <-failed; !errors.Is(err, lambdahost.ErrExited) {
		t.Errorf("got %v, want %v", err, lambdahost.ErrExited)
	}
	assertGone(t, atoi(t, before))
	if after := mustInvoke(t, h); after == before {
		t.Errorf("got process %s again", after)
	}
	if got := invokeEcho(t, h).PID; got != other {
		t.Errorf("the other function: got process %d, want %d still", got, other)
	}
	h.Kill("Unknown")
}

func TestIdleProcessThatDies(t *testing.T) {
	h := newHost(t, lambdahost.Options{}, echo())
	for range 5 {
		pid := invokeEcho(t, h).PID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The process may be dead and still the host's favourite, or dying with
		// the event in its hands: never may the caller get the dead one's answer.
		answer, err := h.Invoke(t.Context(), "Echo", []byte(`{}`))
		if err != nil && !errors.Is(err, lambdahost.ErrExited) {
			t.Fatalf("got %v, want a fresh sandbox or %v", err, lambdahost.ErrExited)
		}
		if err == nil && bytes.Contains(answer, fmt.Appendf(nil, `"pid":%d,`, pid)) {
			t.Fatalf("process %d answered after its death", pid)
		}
	}
}

func TestConcurrencyCaps(t *testing.T) {
	tests := []struct {
		name    string
		options lambdahost.Options
		cap     int // the function's own
	}{
		{"of the function", lambdahost.Options{}, 1},
		{"of the host", lambdahost.Options{Concurrency: 1}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAnnouncer(t)
			f := faulty()
			f.Env, f.Concurrency = a.env(), tt.cap
			h := newHost(t, tt.options, f)
			done := make(chan error, 1)
			go func() {
				_, err := h.Invoke(t.Context(), "Faulty", []byte(`"hang"`))
				done <- err
			}()
			conn := a.next()
			if _, err := invokeFault(t, h, ""); !errors.Is(err, lambdahost.ErrThrottled) {
				t.Errorf("got %v, want %v", err, lambdahost.ErrThrottled)
			}
			_ = conn.Close()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			mustInvoke(t, h)
			if got, want := h.Stats("Faulty").Throttles, 1; got != want {
				t.Errorf("throttles: got %d, want %d", got, want)
			}
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	a := newAnnouncer(t)
	f := faulty()
	f.Env, f.Concurrency = a.env(), 1
	h := newHost(t, lambdahost.Options{}, f)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := h.Invoke(ctx, "Faulty", []byte(`"hang"`))
		failed <- err
	}()
	conn := a.next()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if _, err := invokeFault(t, h, ""); !errors.Is(err, lambdahost.ErrThrottled) {
		t.Errorf("while the function runs on: got %v, want %v", err, lambdahost.ErrThrottled)
	}
	_ = conn.Close()
	for {
		if _, err := invokeFault(t, h, ""); err == nil {
			break
		} else if !errors.Is(err, lambdahost.ErrThrottled) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if got, want := h.Stats("Faulty").ColdStarts, 1; got != want {
		t.Errorf("cold starts: got %d, want %d", got, want)
	}
	if _, err := h.Invoke(ctx, "Faulty", []byte(`""`)); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: got %v, want %v", err, context.Canceled)
	}
}

func TestRefusedBeforeAnythingRuns(t *testing.T) {
	h := newHost(t, lambdahost.Options{}, echo())
	if _, err := h.Invoke(t.Context(), "Missing", nil); !errors.Is(err, lambdahost.ErrUnknownFunction) {
		t.Errorf("got %v, want %v", err, lambdahost.ErrUnknownFunction)
	}
	if _, err := h.Invoke(t.Context(), "Echo", make([]byte, lambdahost.MaxPayload+1)); !errors.Is(err, lambdahost.ErrRequestTooLarge) {
		t.Errorf("got %v, want %v", err, lambdahost.ErrRequestTooLarge)
	}
	if got, want := h.Stats("Echo"), (lambdahost.Stats{}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := h.Stats("Missing"), (lambdahost.Stats{}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestInitErrors(t *testing.T) {
	tests := []struct {
		name, bootstrap, fault string
		kind, message          string
	}{
		{"exit", "badinit", "exit", "Runtime.ExitError", "exit status 7"},
		{"reported", "badinit", "report", "Settings.Missing", "a setting is missing"},
		{"too slow", "badinit", "hang", "Sandbox.Timedout", "init timed out after 1.00 seconds"},
		{"no bootstrap", "missing", "", "Runtime.InvalidEntrypoint", "no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAnnouncer(t)
			f := lambdahost.Function{Name: "Bad", Bootstrap: bootstrap(tt.bootstrap), Env: map[string]string{"FAULT": tt.fault, "ANNOUNCE_TO": a.env()["ANNOUNCE_TO"]}}
			h := newHost(t, lambdahost.Options{InitTimeout: time.Second}, f)
			_, err := h.Invoke(t.Context(), "Bad", []byte(`{}`))
			if !errors.Is(err, lambdahost.ErrInit) {
				t.Fatalf("got %v, want %v", err, lambdahost.ErrInit)
			}
			failure, _ := errors.AsType[*lambdahost.FunctionError](err)
			if failure.Type != tt.kind || !strings.Contains(failure.Message, tt.message) {
				t.Errorf("got %s: %q, want %s: …%s…", failure.Type, failure.Message, tt.kind, tt.message)
			}
			if got := h.Stats("Bad").Invocations; got != 0 {
				t.Errorf("invocations: got %d, want 0", got)
			}
		})
	}
}

// writes keeps what each Write call brought.
type writes struct{ calls []string }

func (w *writes) Write(p []byte) (int, error) {
	w.calls = append(w.calls, string(p))
	return len(p), nil
}

func TestLogs(t *testing.T) {
	var logs writes
	h := newHost(t, lambdahost.Options{Logs: &logs}, faulty())
	if _, err := invokeFault(t, h, "logs"); err != nil {
		t.Fatal(err)
	}
	h.Close()
	want := []string{
		"Faulty: \n",
		"Faulty: a line in two parts\n",
		"Faulty: a whole line\n",
		"Faulty: no end of line\n",
		"Faulty: on stderr\n",
	}
	slices.Sort(logs.calls) // the two streams have no common order
	if diff := cmp.Diff(want, logs.calls); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestLogsOfParallelSandboxes(t *testing.T) {
	var logs writes
	h := newHost(t, lambdahost.Options{Logs: &logs}, faulty())
	const invocations = 8
	var wg sync.WaitGroup
	for range invocations {
		wg.Go(func() {
			if _, err := h.Invoke(t.Context(), "Faulty", []byte(`"logs"`)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.Close()
	got := make(map[string]int)
	for _, line := range logs.calls {
		got[line]++
	}
	// An open line goes on where the sandbox prints again, so only the whole
	// lines have a fixed number.
	for _, line := range []string{"Faulty: a line in two parts\n", "Faulty: \n", "Faulty: on stderr\n"} {
		if got[line] != invocations {
			t.Errorf("%q: got %d of %v, want %d", line, got[line], got, invocations)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := lambdahost.Function{Name: "Good", Bootstrap: "bootstrap"}
	tests := []struct {
		name   string
		change func(*lambdahost.Function)
		want   string
	}{
		{"no name", func(f *lambdahost.Function) { f.Name = "" }, `function "": it needs a name and a bootstrap`},
		{"no bootstrap", func(f *lambdahost.Function) { f.Bootstrap = "" }, `function "Good": it needs a name and a bootstrap`},
		{"negative timeout", func(f *lambdahost.Function) { f.Timeout = -1 }, `function "Good": timeout, memory and concurrency cannot be negative`},
		{"reserved setting", func(f *lambdahost.Function) { f.Env = map[string]string{"AWS_REGION": "x"} }, `function "Good": the setting AWS_REGION is reserved by Lambda`},
		{"reserved prefix", func(f *lambdahost.Function) { f.Env = map[string]string{"AWS_LAMBDA_X": "x"} }, `function "Good": the setting AWS_LAMBDA_X is reserved by Lambda`},
		{"bad setting name", func(f *lambdahost.Function) { f.Env = map[string]string{"A-B": "x"} }, `function "Good": the setting "A-B" has a name that Lambda does not take`},
		{"short setting name", func(f *lambdahost.Function) { f.Env = map[string]string{"A": "x"} }, `function "Good": the setting "A" has a name that Lambda does not take`},
		{"NUL in a setting", func(f *lambdahost.Function) { f.Env = map[string]string{"AB": "\x00"} }, `function "Good": the setting AB holds a NUL byte`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := good
			tt.change(&f)
			_, err := lambdahost.New([]lambdahost.Function{f}, lambdahost.Options{})
			if !errors.Is(err, lambdahost.ErrConfiguration) {
				t.Fatalf("got %v, want %v", err, lambdahost.ErrConfiguration)
			}
			if want := lambdahost.ErrConfiguration.Error() + ": " + tt.want; err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		})
	}
	if _, err := lambdahost.New([]lambdahost.Function{good, good}, lambdahost.Options{}); !errors.Is(err, lambdahost.ErrConfiguration) {
		t.Errorf("the same name twice: got %v, want %v", err, lambdahost.ErrConfiguration)
	}
}

// A sandbox must outlive the OS thread of the caller that made it necessary.
func TestSandboxOutlivesItsCallersThread(t *testing.T) {
	h := newHost(t, lambdahost.Options{}, echo())
	first := make(chan int)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		pid := 0
		defer func() { first <- pid }()
		pid = invokeEcho(t, h).PID
	}()
	pid := <-first
	for range 20 {
		if got := invokeEcho(t, h).PID; got != pid {
			t.Fatalf("got process %d, want %d", got, pid)
		}
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	var n int
	if err := json.Unmarshal([]byte(s), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
