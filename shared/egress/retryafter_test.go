package egress

import (
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"120", 2 * time.Minute},
		{" 120 ", 2 * time.Minute},
		{"86400", MaxRetryAfter},
		{"86401", MaxRetryAfter},
		{"99999999999999999999999", MaxRetryAfter},
		{"-1", 0},
		{"+1", 0},
		{"1.5", 0},
		{"1 2", 0},
		{"soon", 0},
		{"Sun, 22 Nov 2026 01:02:00 GMT", 2 * time.Minute},
		{"Sunday, 22-Nov-26 01:02:00 GMT", 2 * time.Minute},
		{"Sun Nov 22 01:02:00 2026", 2 * time.Minute},
		{"Sun, 22 Nov 2026 00:59:59 GMT", 0},
		{"Tue, 22 Nov 2033 01:00:00 GMT", MaxRetryAfter},
	}
	for _, test := range tests {
		if got := retryAfter(test.value, now); got != test.want {
			t.Errorf("%q: got %v, want %v", test.value, got, test.want)
		}
	}
}

// FuzzRetryAfter: whatever is asked for, the wait is within its bounds.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"120", "-1", "99999999999999999999", "Sun, 22 Nov 2026 01:02:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(seed, int64(1795309200))
	}
	f.Fuzz(func(t *testing.T, value string, now int64) {
		if got := retryAfter(value, time.Unix(now, 0)); got < 0 || got > MaxRetryAfter {
			t.Fatalf("%q: got %v", value, got)
		}
	})
}
