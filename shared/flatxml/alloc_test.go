//go:build !race

package flatxml_test

import (
	"testing"

	"wechat-parking-gateway/shared/flatxml"
)

func TestAllocationBudgets(t *testing.T) {
	d := vectorDocuments(t)[4]
	document, err := flatxml.Append(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 0, len(document))
	for _, tc := range []struct {
		name   string
		budget float64
		run    func() error
	}{
		{"parse: one string, one slice", 2, func() error { _, err := flatxml.Parse(document); return err }},
		{"append to nothing", 1, func() error { _, err := flatxml.Append(nil, d); return err }},
		{"append where there is room", 0, func() error { _, err := flatxml.Append(room, d); return err }},
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
			if got > tc.budget {
				t.Errorf("got %v allocations, want at most %v", got, tc.budget)
			}
		})
	}
}
