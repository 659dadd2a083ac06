package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchmath"
)

// startResult is how one function starts. Times are in milliseconds, from the exec on.
type startResult struct {
	Function                       string
	FirstByte, FirstNext, Answered benchmath.Summary
	HasAnswer                      bool
	CPU                            float64 // ms until the first request for an invocation
}

// starts observes each function's start, the functions taking turns with the one that does nothing.
func (b bench) starts(ctx context.Context) ([]startResult, error) {
	names := append([]string{hello}, b.functions...)
	type times struct{ firstByte, firstNext, answered, cpu []float64 }
	all := make(map[string]*times)
	for range b.settings.starts {
		for _, name := range names {
			t := all[name]
			if t == nil {
				t = &times{}
				all[name] = t
			}
			idle, err := b.observe(ctx, b.bootstrap(runtime.GOARCH, name), nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			t.firstByte = append(t.firstByte, millis(idle.FirstByte))
			t.firstNext = append(t.firstNext, millis(idle.FirstNext))
			t.cpu = append(t.cpu, millis(idle.CPU))
			payload, status, err := b.firstRequest(name)
			if err != nil {
				return nil, err
			}
			if payload == nil {
				continue
			}
			s, err := b.observe(ctx, b.bootstrap(runtime.GOARCH, name), payload)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if status != 0 && !answeredWith(s.answer, status) {
				return nil, fmt.Errorf("%s: got %s, want the status %d", name, s.answer, status)
			}
			t.answered = append(t.answered, millis(s.Answered))
		}
	}
	var results []startResult
	for _, name := range names {
		t := all[name]
		r := startResult{Function: name, FirstByte: summary(t.firstByte), FirstNext: summary(t.firstNext), CPU: median(t.cpu)}
		if len(t.answered) > 0 {
			r.Answered, r.HasAnswer = summary(t.answered), true
		}
		results = append(results, r)
	}
	return results, nil
}

// firstRequest returns a genuine request of a function, and the status to expect; nil where the function serves no route.
func (b bench) firstRequest(name string) ([]byte, int, error) {
	if name == hello {
		return []byte(`{}`), 0, nil
	}
	r, found := routeOf(name)
	if !found {
		return nil, 0, nil
	}
	events, err := b.events(r, 1)
	if err != nil {
		return nil, 0, err
	}
	return events[0], r.status, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the value below which the share q of the values lies.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// packageInit is what a package's initialisation cost in one start.
type packageInit struct {
	Package string
	Clock   float64 // ms
	Bytes   int
	Allocs  int
}

var errNoTrace = errors.New("the Go runtime traced no initialisation")

// inits returns the dearest package initialisations of each function.
//
// Source: GODEBUG=inittrace=1, https://pkg.go.dev/runtime#hdr-Environment_Variables
func (b bench) inits(ctx context.Context) (map[string][]packageInit, error) {
	all := make(map[string][]packageInit)
	for _, name := range b.functions {
		cmd := exec.CommandContext(ctx, b.bootstrap(runtime.GOARCH, name))
		cmd.Env = []string{"GODEBUG=inittrace=1"}
		// Without its settings the function ends after its packages are initialised.
		out, _ := cmd.CombinedOutput()
		traced, err := parseInits(out)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = traced
	}
	return all, nil
}

// parseInits reads lines such as: init net/http @0.61 ms, 0.025 ms clock, 3288 bytes, 30 allocs
func parseInits(out []byte) ([]packageInit, error) {
	var inits []packageInit
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) != 11 || words[0] != "init" {
			continue
		}
		clock, err := strconv.ParseFloat(words[4], 64)
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(words[7])
		if err != nil {
			return nil, err
		}
		allocs, err := strconv.Atoi(words[9])
		if err != nil {
			return nil, err
		}
		inits = append(inits, packageInit{words[1], clock, size, allocs})
	}
	if len(inits) == 0 {
		return nil, errNoTrace
	}
	return inits, nil
}
