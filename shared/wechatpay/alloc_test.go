//go:build !race

package wechatpay_test

import "testing"

// The race detector allocates on its own, so the budgets hold without it alone.
func TestAllocationBudgets(t *testing.T) {
	callback := newCallback(t)
	for _, tc := range []struct {
		name   string
		budget float64
		run    func() error
	}{
		{"V3 callback: headers, verify, decrypt, decode", 45, callback.open},
		{"V3 call: sign, send, verify the 204", 60, signedCall()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var err error
			got := testing.AllocsPerRun(100, func() {
				if e := tc.run(); e != nil {
					err = e
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v allocations", got)
			if got > tc.budget {
				t.Errorf("got %v allocations, want at most %v", got, tc.budget)
			}
		})
	}
}
