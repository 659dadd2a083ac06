//go:build !race

package httpapi_test

import "testing"

// The race detector allocates on its own, so the budget holds without it alone.
func TestAllocationBudget(t *testing.T) {
	invoke := invocation(t)
	const budget = 56
	got := testing.AllocsPerRun(100, func() {
		if err := invoke(); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v allocations", got)
	if got > budget {
		t.Errorf("got %v allocations, want at most %d", got, budget)
	}
}
