//go:build !race

package main

import "testing"

// The race detector allocates on its own, so the budgets hold without it alone.
func TestAllocationBudgets(t *testing.T) {
	plateState, businessCircle := invocations(t)
	for _, tc := range []struct {
		name   string
		budget float64
		run    func() error
	}{
		{"V2 callback", 100, plateState},
		{"V3 callback", 105, businessCircle},
	} {
		if got := testing.AllocsPerRun(100, func() {
			if err := tc.run(); err != nil {
				t.Fatal(err)
			}
		}); got > tc.budget {
			t.Errorf("%s: got %v allocations, want at most %v", tc.name, got, tc.budget)
		}
	}
}
