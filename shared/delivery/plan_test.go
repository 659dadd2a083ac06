package delivery

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The ends of what random may draw.
func least(int64) int64  { return 0 }
func most(n int64) int64 { return n - 1 }

func TestNextDelay(t *testing.T) {
	tests := []struct {
		name           string
		tries          int
		retryAfter     time.Duration
		shortest, most time.Duration
	}{
		{"first", 1, 0, 2500 * time.Millisecond, 5 * time.Second},
		{"second", 2, 0, 5 * time.Second, 10 * time.Second},
		{"tenth", 10, 0, 1280 * time.Second, 2560 * time.Second},
		{"thirteenth, the last that doubles", 13, 0, 10240 * time.Second, 20480 * time.Second},
		{"fourteenth", 14, 0, 3 * time.Hour, 6 * time.Hour},
		{"any later", 1 << 40, 0, 3 * time.Hour, 6 * time.Hour},
		{"a longer Retry-After", 1, time.Minute, time.Minute, time.Minute},
		{"a shorter Retry-After", 10, time.Second, 1280 * time.Second, 2560 * time.Second},
		{"the longest Retry-After", 1, 6 * time.Hour, 6 * time.Hour, 6 * time.Hour},
		{"a Retry-After beyond it", 1, 6*time.Hour + 1, 6 * time.Hour, 6 * time.Hour},
		{"a negative Retry-After", 1, -time.Hour, 2500 * time.Millisecond, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := NextDelay(tt.tries, tt.retryAfter, least); got != tt.shortest {
				t.Errorf("shortest: got %v, want %v", got, tt.shortest)
			}
			if got := NextDelay(tt.tries, tt.retryAfter, most); got != tt.most {
				t.Errorf("longest: got %v, want %v", got, tt.most)
			}
		})
	}
}

func TestNextDue(t *testing.T) {
	tests := []struct {
		name            string
		window          time.Duration
		since           time.Duration // from the first try to now
		tries           int
		retryAfter      time.Duration
		soonest, latest time.Duration // from now
	}{
		{"early", Window, time.Minute, 3, 0, 10 * time.Second, 20 * time.Second},
		{"cut at the window's end", Window, 23 * time.Hour, 20, 0, time.Hour, time.Hour},
		{"drawn to end before the window does", Window, 19 * time.Hour, 20, 0, 3 * time.Hour, 5 * time.Hour},
		{"a Retry-After beyond the window's end", Window, 23 * time.Hour, 20, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"a ping, early", PingWindow, 5 * time.Second, 2, 0, 5 * time.Second, 10 * time.Second},
		{"a ping, cut at its window's end", PingWindow, 4 * time.Minute, 7, 0, time.Minute, time.Minute},
		{"a ping, with a Retry-After beyond its window's end", PingWindow, 4 * time.Minute, 7, 2 * time.Minute, 2 * time.Minute, 2 * time.Minute},
		{"a ping, with a Retry-After longer than its window", PingWindow, 0, 1, time.Hour, PingWindow, PingWindow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := start.Add(tt.since)
			if got := nextDue(now, start, tt.window, tt.tries, tt.retryAfter, least).Sub(now); got != tt.soonest {
				t.Errorf("soonest: got %v, want %v", got, tt.soonest)
			}
			if got := nextDue(now, start, tt.window, tt.tries, tt.retryAfter, most).Sub(now); got != tt.latest {
				t.Errorf("latest: got %v, want %v", got, tt.latest)
			}
		})
	}
}

// TestPlanOfOneEvent follows a vendor that always fails: the tries end in the one that is made when the window ends.
func TestPlanOfOneEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := func(n int64) int64 { return rapid.Int64Range(0, n-1).Draw(t, "random") }
		window := rapid.SampledFrom([]time.Duration{Window, PingWindow}).Draw(t, "window")
		now, tries := start, 1
		for ; now.Sub(start) < window; tries++ {
			due := nextDue(now, start, window, tries, 0, random)
			if !due.After(now) || due.Sub(now) > MaxDelay {
				t.Fatalf("try %d: the next is due in %v", tries, due.Sub(now))
			}
			now = due
		}
		if got := now.Sub(start); got != window {
			t.Errorf("the last try is made after %v, want %v", got, window)
		}
		if window == PingWindow {
			// Six waits that double take 2.6 to 5.3 minutes, and the seventh would not fit.
			if tries < 7 || tries > 8 {
				t.Errorf("got %d tries of a ping", tries)
			}
			return
		}
		// 13 waits that double take 2.8 to 11.4 h; what is left has waits of 3 to 6 h.
		if tries < 16 || tries > 25 {
			t.Errorf("got %d tries in a day", tries)
		}
	})
}

func TestHoldDelay(t *testing.T) {
	tests := []struct {
		name              string
		held              time.Duration
		shortest, longest time.Duration
	}{
		{"at first", 0, 30 * time.Second, 35 * time.Second},
		{"after a minute", time.Minute, 30 * time.Second, 60 * time.Second},
		{"after an hour", time.Hour, 30 * time.Second, 30*time.Second + MaxHop},
		{"a clock set back", -time.Hour, 30 * time.Second, 35 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := holdDelay(30*time.Second, tt.held, least); got != tt.shortest {
				t.Errorf("shortest: got %v, want %v", got, tt.shortest)
			}
			if got := holdDelay(30*time.Second, tt.held, most); got != tt.longest {
				t.Errorf("longest: got %v, want %v", got, tt.longest)
			}
		})
	}
}
