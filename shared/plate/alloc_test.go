//go:build !race

package plate

import "testing"

func TestCheckDoesNotAllocate(t *testing.T) {
	for _, plate := range []string{"粤B12345", "黑AD12345", "粤ZF123港"} {
		if got := testing.AllocsPerRun(100, func() { Check(plate) }); got != 0 {
			t.Errorf("Check(%q): got %v allocations, want 0", plate, got)
		}
	}
}
