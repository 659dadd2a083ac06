package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// The budgets that are not a microbenchmark's.
const (
	maxWarmP50   = 1.5        // times the hello-world function's
	maxWarmP99   = 1.0        // ms more than the hello-world function's
	maxFirstByte = 3.0        // times the hello-world function's first request for an invocation
	maxFirstNext = 35.0       // ms
	maxBootstrap = 10_000_000 // bytes
)

// judgement is one budget, and whether this run met it.
type judgement struct {
	What, Budget, Measured string
	Met                    bool
}

// judge holds a measurement against every budget.
func judge(m measurement) []judgement {
	var all []judgement
	add := func(met bool, what, budget, format string, values ...any) {
		all = append(all, judgement{what, budget, fmt.Sprintf(format, values...), met})
	}
	for _, r := range m.Micro {
		if r.Micro.maxMicros > 0 {
			micros := r.Nanos.Center / 1000
			add(micros <= r.Micro.maxMicros, r.Micro.What, fmt.Sprintf("≤ %.1f µs", r.Micro.maxMicros), "%.2f µs, %.1f × %s",
				micros, r.Floors[0].Ratio.Center, r.Micro.FloorText(r.Floors[0].Name))
		}
		if r.Micro.maxRatio > 0 {
			ratio := r.Floors[0].Ratio.Center
			add(ratio <= r.Micro.maxRatio, r.Micro.What, fmt.Sprintf("≤ %.2f × %s", r.Micro.maxRatio, r.Micro.FloorText(r.Floors[0].Name)), "%.3f ×", ratio)
		}
		if r.Micro.maxAllocs > 0 {
			add(r.Allocs <= r.Micro.maxAllocs, r.Micro.What, fmt.Sprintf("≤ %.0f allocs", r.Micro.maxAllocs), "%.0f", r.Allocs)
		}
	}
	for _, w := range m.Warm {
		add(w.P50 <= maxWarmP50*w.HelloP50, w.Function+", warm, no upstream: p50", fmt.Sprintf("≤ %.1f × hello world", maxWarmP50), "%.2f ×", w.P50/w.HelloP50)
		add(w.P99 <= w.HelloP99+maxWarmP99, w.Function+", warm, no upstream: p99", fmt.Sprintf("≤ hello world + %.0f ms", maxWarmP99), "%+.2f ms", w.P99-w.HelloP99)
	}
	for _, s := range m.Starts {
		if s.Function == hello {
			continue
		}
		floor := m.Starts[0].FirstNext.Center
		add(s.FirstByte.Center <= maxFirstByte*floor, s.Function+": exec to the first outgoing byte", fmt.Sprintf("≤ %.0f × hello world's first /next", maxFirstByte), "%.2f ×", s.FirstByte.Center/floor)
		add(s.FirstNext.Center <= maxFirstNext, s.Function+": exec to /next, secrets fetched, TLS ready", fmt.Sprintf("≤ %.0f ms", maxFirstNext), "%.1f ms, %.1f × hello world", s.FirstNext.Center, s.FirstNext.Center/floor)
	}
	for _, b := range m.Sizes.Bootstraps {
		if b.Function != hello {
			add(b.Bytes <= maxBootstrap, b.Function+": bootstrap, "+deployed, "≤ 10.0 MB", "%.2f MB", float64(b.Bytes)/1e6)
		}
	}
	return all
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "NOT MET"
}

// printBudgets prints one line for each budget.
func printBudgets(out io.Writer, all []judgement) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	missed := 0
	fmt.Fprintln(w)
	for _, j := range all {
		if !j.Met {
			missed++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", j.What, j.Budget, j.Measured, met(j.Met))
	}
	_ = w.Flush()
	fmt.Fprintf(out, "\n%d budgets, %d not met\n", len(all), missed)
}
