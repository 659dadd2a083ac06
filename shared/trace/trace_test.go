package trace_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/trace"
)

const (
	id       = "0af7651916cd43dd8448eb211c80319c"
	span     = "b7ad6b7169203331"
	parent   = "00-" + id + "-" + span + "-01"
	xray     = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	xrayID   = "5759e988bd862e3fe1be46a994272793"
	unmarked = "00-" + id + "-" + span + "-00"
)

func TestBegin(t *testing.T) {
	for name, tc := range map[string]struct {
		traceparent string
		xray        []string
		id          string // "" is a new one
		sampled     bool
	}{
		"a traceparent":                       {parent, nil, id, true},
		"one that is not sampled":             {unmarked, nil, id, false},
		"one with flags of a later version":   {"00-" + id + "-" + span + "-ff", nil, id, true},
		"of a later version":                  {"01-" + id + "-" + span + "-01", nil, id, true},
		"of a later version, with more":       {"01-" + id + "-" + span + "-01-more", nil, id, true},
		"a traceparent before X-Ray":          {parent, []string{xray}, id, true},
		"X-Ray":                               {"", []string{xray}, xrayID, true},
		"X-Ray, the first valid one":          {"", []string{"", "Root=2-5759e988-bd862e3fe1be46a994272793", xray}, xrayID, true},
		"X-Ray, not sampled":                  {"", []string{"Root=1-5759e988-bd862e3fe1be46a994272793"}, xrayID, false},
		"X-Ray, parts in another order":       {"", []string{"Sampled=1; Self=1-2-3;Root=1-5759e988-bd862e3fe1be46a994272793"}, xrayID, true},
		"X-Ray where the traceparent is none": {"00-x", []string{xray}, xrayID, true},
		"nothing":                             {"", nil, "", false},
		"version ff":                          {"ff-" + id + "-" + span + "-01", nil, "", false},
		"version 00 with more":                {parent + "-more", nil, "", false},
		"upper case":                          {strings.ToUpper(parent), nil, "", false},
		"an id of zeros":                      {"00-" + strings.Repeat("0", 32) + "-" + span + "-01", nil, "", false},
		"a span of zeros":                     {"00-" + id + "-" + strings.Repeat("0", 16) + "-01", nil, "", false},
		"no hex":                              {"00-" + strings.Repeat("g", 32) + "-" + span + "-01", nil, "", false},
		"two, joined with a comma":            {parent + "," + parent, nil, "", false},
		"another separator":                   {"00_" + id + "-" + span + "-01", nil, "", false},
		"a plate":                             {"粤B888888", []string{"Root=粤B888888"}, "", false},
		"X-Ray, an id of zeros":               {"", []string{"Root=1-00000000-000000000000000000000000"}, "", false},
		"X-Ray, Sampled alone":                {"", []string{"Sampled=1"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := trace.Begin(tc.traceparent, tc.xray...)
			if tc.id != "" && got.ID() != tc.id {
				t.Errorf("got the id %s, want %s", got.ID(), tc.id)
			}
			if tc.id == "" && (got.ID() == id || got.ID() == xrayID) {
				t.Errorf("got the id %s, want a new one", got.ID())
			}
			if !trace.Valid(got.String()) {
				t.Errorf("got %s, want a valid traceparent", got)
			}
			if strings.Contains(got.String(), span) {
				t.Errorf("got %s, want a span of its own", got)
			}
			if sampled := strings.HasSuffix(got.String(), "-01"); sampled != tc.sampled {
				t.Errorf("got sampled %v, want %v", sampled, tc.sampled)
			}
		})
	}
}

func TestContext(t *testing.T) {
	if _, ok := trace.From(context.Background()); ok {
		t.Error("got a trace of work that is in none")
	}
	want := trace.Begin("")
	if got, ok := trace.From(trace.With(t.Context(), want)); !ok || got != want {
		t.Errorf("got %v, %v, want %v", got, ok, want)
	}
}

func TestLambda(t *testing.T) {
	if got := trace.Lambda(t.Context()); got != "" {
		t.Errorf("outside an invocation: got %q, want none", got)
	}
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id", xray) //nolint:staticcheck // aws-lambda-go's own key
	if got := trace.Lambda(ctx); got != xray {
		t.Errorf("got %q, want %q", got, xray)
	}
}

// FuzzBegin holds that whatever a stranger sends, what goes on is a valid traceparent and no word of the stranger's but
// hex digits.
func FuzzBegin(f *testing.F) {
	f.Add(parent, xray)
	f.Add("01-"+id+"-"+span+"-01-粤B888888", "Root=1-5759e988-bd862e3fe1be46a99427279粤;Sampled=1")
	f.Fuzz(func(t *testing.T, traceparent, xray string) {
		got := trace.Begin(traceparent, xray)
		if len(got.ID()) != 32 || strings.Trim(got.ID(), "0123456789abcdef") != "" || !trace.Valid(got.String()) {
			t.Errorf("got %s, want a valid traceparent", got)
		}
		if next := trace.Begin(got.String()); next.ID() != got.ID() || next == got {
			t.Errorf("got %s after %s, want the same id and another span", next, got)
		}
	})
}

func ExampleBegin() {
	received := trace.Begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	sent := received.String() // 00-0af7651916cd43dd8448eb211c80319c-<16 digits of our own>-01
	fmt.Println(received.ID(), trace.Valid(sent))
	// Output: 0af7651916cd43dd8448eb211c80319c true
}
