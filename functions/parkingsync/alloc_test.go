//go:build !race

package main

import "testing"

// The race detector allocates on its own, so the budget holds without it alone.
func TestAllocationBudget(t *testing.T) {
	invoke := invocation(t)
	const budget = 215
	if got := testing.AllocsPerRun(100, func() {
		if err := invoke(); err != nil {
			t.Fatal(err)
		}
	}); got > budget {
		t.Errorf("got %v allocations, want at most %d", got, budget)
	}
}
