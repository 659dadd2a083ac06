package telemetry_test

import (
	"bytes"
	"context"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/local/emf"
	"wechat-parking-gateway/shared/telemetry"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stopped is a clock that shows what it was set to.
type stopped struct{ at time.Time }

func (c *stopped) now() time.Time { return c.at }

func newClock() *stopped { return &stopped{time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)} }

// answered returns a meter whose sandbox has given its first answer, and what it writes from now on.
func answered(clock *stopped) (*telemetry.Meter, *bytes.Buffer) {
	var out bytes.Buffer
	m := telemetry.NewMeter(&out, clock.now, "gateway-NotifyCallbackFunction-Xy12")
	_, line := telemetry.Begin(context.Background())
	m.Write(line, 0)
	out.Reset()
	return m, &out
}

// TestGolden holds the documents of some requests to those in testdata, and every document to the specification.
func TestGolden(t *testing.T) {
	for name, note := range map[string]func(ctx context.Context){
		"accepted": func(ctx context.Context) { telemetry.Count(ctx, telemetry.PlateStateCallbacksAccepted) },
		"refused": func(ctx context.Context) {
			telemetry.CountReason(ctx, telemetry.CallbacksRefused, "bad_signature")
		},
		"several": func(ctx context.Context) {
			telemetry.Measure(ctx, telemetry.WeChatPayDuration, 1234)
			telemetry.Count(ctx, telemetry.WeChatPayUnverified)
			telemetry.Count(ctx, telemetry.WeChatPayUnverified)
			telemetry.Count(ctx, telemetry.WeChatPaySucceeded)
		},
		"with_and_without_reason": func(ctx context.Context) {
			telemetry.Count(ctx, telemetry.Panics)
			telemetry.CountReason(ctx, telemetry.DeliveriesFailed, "panic")
		},
		"two_reasons": func(ctx context.Context) {
			telemetry.CountReason(ctx, telemetry.EventsDeadLettered, "gone")
			telemetry.Count(ctx, telemetry.Panics)
			telemetry.CountReason(ctx, telemetry.EventsDeadLettered, "malformed")
		},
		"measured_twice": func(ctx context.Context) {
			telemetry.Measure(ctx, telemetry.EventAge, 1)
			telemetry.Measure(ctx, telemetry.EventAge, 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, out := answered(newClock())
			ctx, line := telemetry.Begin(t.Context())
			note(ctx)
			m.Write(line, time.Second)
			golden := filepath.Join("testdata", name+".emf.jsonl")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != string(want) {
				t.Errorf("got  %swant %s", got, want)
			}
			for document := range strings.Lines(out.String()) {
				if _, err := emf.Read(document); err != nil {
					t.Errorf("%v: %s", err, document)
				}
			}
		})
	}
}

// TestClosedList holds that each constant of type Metric is defined and nothing else is, that each can be emitted as it
// is defined, and that what is not on the list cannot be.
func TestClosedList(t *testing.T) {
	constants := constantsOf(t, "metrics.go", "Metric")
	var defined []string
	for d := range telemetry.Metrics() {
		defined = append(defined, string(d.Metric))
		m, out := answered(newClock())
		ctx, line := telemetry.Begin(t.Context())
		telemetry.CountReason(ctx, d.Metric, "a_reason")
		m.Write(line, 0)
		if _, err := emf.Read(out.String()); err != nil {
			t.Errorf("%s: %v: %s", d.Metric, err, out)
		}
		if got, want := strings.Contains(out.String(), "a_reason"), len(d.Dimensions) == 2; got != want {
			t.Errorf("%s: got a reason: %v, want %v", d.Metric, got, want)
		}
		if len(d.Functions) == 0 {
			t.Errorf("%s: no function emits it", d.Metric)
		}
	}
	slices.Sort(constants)
	if !slices.Equal(constants, defined) {
		t.Errorf("got the constants %v, want the definitions %v", constants, defined)
	}

	m, out := answered(newClock())
	ctx, line := telemetry.Begin(t.Context())
	telemetry.Count(ctx, "PlatesSeen")
	telemetry.Measure(ctx, "PlatesSeen", 5)
	m.Count("PlatesSeen")
	m.Write(line, 0)
	if out.Len() > 0 {
		t.Errorf("a metric that is on no list: got %s, want nothing", out)
	}
}

// constantsOf returns the values of the constants of a type.
func constantsOf(t *testing.T, file, of string) (values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typed, ok := spec.Type.(*ast.Ident); ok && typed.Name == of {
			for _, v := range spec.Values {
				text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, text)
			}
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s has no constant of type %s", file, of)
	}
	return values
}

// TestReasonForm holds that what is no word of a list of reasons never becomes a dimension, a plate least of all.
func TestReasonForm(t *testing.T) {
	for _, reason := range []string{"", "粤B888888", "oUpF8uMuAJOM2pxb1Q", "gave_up: http_500", `a"b`, "a\nb", strings.Repeat("a", 65)} {
		m, out := answered(newClock())
		ctx, line := telemetry.Begin(t.Context())
		telemetry.CountReason(ctx, telemetry.EventsDeadLettered, reason)
		telemetry.CountReason(ctx, telemetry.EventsDeadLettered, reason)
		m.Write(line, 0)
		if got := out.String(); !strings.Contains(got, `"Reason":"other","EventsDeadLettered":2}`) {
			t.Errorf("%q: got %s, want it counted as other", reason, got)
		}
	}
}

// TestFirstAnswer holds that a sandbox's first answer is measured once, from the init phase and the request alone.
func TestFirstAnswer(t *testing.T) {
	clock := newClock()
	var out bytes.Buffer
	m := telemetry.NewMeter(&out, clock.now, "f")
	clock.at = clock.at.Add(300 * time.Millisecond)
	m.Ready()
	clock.at = clock.at.Add(time.Hour) // in Lambda's store
	for range 2 {
		_, line := telemetry.Begin(t.Context())
		m.Write(line, 45*time.Millisecond)
	}
	if got := out.String(); strings.Count(got, "FirstAnswer") != 2 || !strings.Contains(got, `"FunctionName":"f","FirstAnswer":345}`) {
		t.Errorf("got %s, want one FirstAnswer of 345 ms", got)
	}
}

// TestFunctionName holds that a function's name cannot break a document.
func TestFunctionName(t *testing.T) {
	for _, name := range []string{"", `a"b\c`, "a\nb", "\xff"} {
		var out bytes.Buffer
		telemetry.NewMeter(&out, newClock().now, name).Count(telemetry.SecretMalformed)
		if _, err := emf.Read(out.String()); err != nil {
			t.Errorf("%q: %v: %s", name, err, out.String())
		}
	}
}

// TestWithoutRequest holds that nothing breaks where there is no request and no meter.
func TestWithoutRequest(t *testing.T) {
	telemetry.Count(t.Context(), telemetry.Panics)
	telemetry.Measure(t.Context(), telemetry.EventAge, 1)
	var none *telemetry.Meter
	_, line := telemetry.Begin(t.Context())
	none.Ready()
	none.Write(line, 0)
	none.Count(telemetry.Panics)
}

// writes counts the calls of Write and keeps what was written.
type writes struct {
	mu    sync.Mutex
	lines []string
}

func (w *writes) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, string(b))
	return len(b), nil
}

// TestSideBySide holds that requests that end at one time each write a whole document in one call.
func TestSideBySide(t *testing.T) {
	const requests = 50
	out := &writes{}
	m := telemetry.NewMeter(out, time.Now, "f")
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			ctx, line := telemetry.Begin(context.Background())
			var inside sync.WaitGroup
			for range 4 {
				inside.Go(func() { telemetry.Count(ctx, telemetry.EventsDelivered) })
			}
			inside.Wait()
			m.Write(line, 0)
		})
	}
	wg.Wait()
	if len(out.lines) != requests {
		t.Fatalf("got %d writes, want %d", len(out.lines), requests)
	}
	for _, line := range out.lines {
		if _, err := emf.Read(line); err != nil || !strings.Contains(line, `"EventsDelivered":4`) {
			t.Errorf("got %v, %s, want a document with 4 of them", err, line)
		}
	}
}

// TestMeterAllocations holds that metrics cost a request no memory beside its line.
func TestMeterAllocations(t *testing.T) {
	m := telemetry.NewMeter(io.Discard, time.Now, "f")
	ctx, line := telemetry.Begin(t.Context())
	telemetry.Count(ctx, telemetry.EventsDelivered)
	telemetry.Measure(ctx, telemetry.EventAge, 1234)
	m.Write(line, 0)
	if got := testing.AllocsPerRun(100, func() {
		telemetry.Count(ctx, telemetry.EventsDelivered)
		m.Write(line, 0)
	}); got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

func BenchmarkMeter(b *testing.B) {
	m := telemetry.NewMeter(io.Discard, time.Now, "f")
	ctx, line := telemetry.Begin(b.Context())
	telemetry.Count(ctx, telemetry.EventsDelivered)
	telemetry.Measure(ctx, telemetry.EventAge, 1234)
	b.ReportAllocs()
	for b.Loop() {
		m.Write(line, 0)
	}
}

func ExampleMeter() {
	now := func() time.Time { return time.UnixMilli(1700000000000) }
	m := telemetry.NewMeter(os.Stdout, now, "gateway-EventDeliveryFunction-Xy12")
	m.Ready()
	ctx, line := telemetry.Begin(context.Background())
	telemetry.Count(ctx, telemetry.EventsDelivered)
	m.Write(line, 40*time.Millisecond)
	// Output: {"_aws":{"Timestamp":1700000000000,"CloudWatchMetrics":[{"Namespace":"WeChatParkingGateway","Dimensions":[["FunctionName"]],"Metrics":[{"Name":"EventsDelivered","Unit":"Count"},{"Name":"FirstAnswer","Unit":"Milliseconds"}]}]},"FunctionName":"gateway-EventDeliveryFunction-Xy12","EventsDelivered":1,"FirstAnswer":40}
}
