//go:build !race

package stdwebhook

import "testing"

// The race detector allocates on its own, so the budget holds without it alone.
func TestAllocationBudget(t *testing.T) {
	authenticate := authentication(t)
	const budget = 12
	if got := testing.AllocsPerRun(100, func() {
		if err := authenticate(); err != nil {
			t.Fatal(err)
		}
	}); got > budget {
		t.Errorf("got %v allocations, want at most %d", got, budget)
	}
}
