package delivery

import (
	"time"

	"wechat-parking-gateway/shared/event"
)

const (
	// FirstDelay is the longest wait after the first failed try. It doubles with each further one.
	FirstDelay = 5 * time.Second
	// MaxDelay bounds the wait, whatever the number of tries and whatever the vendor asks for.
	MaxDelay = 6 * time.Hour
	// Window is how long an event is tried, from its first try on.
	Window = 24 * time.Hour
	// PingWindow is how long a ping is tried: somebody waits for what comes of it, and an answer of hours later would say
	// nothing about the receiver that was pinged. It is long enough for a restart or a firewall's rule.
	PingWindow = 5 * time.Minute
	// MaxHop is the longest that one message waits on the queue (SQS: DelaySeconds of at most 900). A longer wait is
	// made of several.
	MaxHop = 900 * time.Second
	// clockSkew is how far the clocks of two sandboxes are believed to be apart at most.
	clockSkew = 5 * time.Minute
)

// NextDelay returns how long to wait after an event's failed try, of which it was the tries-th: a time drawn from
// [d/2, d], where d is FirstDelay after the first try and doubles to MaxDelay. A Retry-After longer than that counts in
// its place, up to MaxDelay. random returns a number in [0, n).
func NextDelay(tries int, retryAfter time.Duration, random func(n int64) int64) time.Duration {
	d := FirstDelay
	for i := 1; i < tries && d < MaxDelay; i++ {
		d *= 2
	}
	d = min(d, MaxDelay)
	drawn := d/2 + time.Duration(random(int64(d-d/2)+1))
	return max(drawn, min(retryAfter, MaxDelay))
}

// windowOf returns how long an event of that type is tried, from its first try on.
func windowOf(eventType string) time.Duration {
	if eventType == event.GatewayPing {
		return PingWindow
	}
	return Window
}

// nextDue returns when an event is to be tried again whose tries-th try failed at now. A drawn wait is cut at the end of
// the window, so that the last try is made there; a vendor's Retry-After is not, but for one that is longer than the
// whole window.
func nextDue(now, firstTry time.Time, window time.Duration, tries int, retryAfter time.Duration, random func(n int64) int64) time.Time {
	retryAfter = min(retryAfter, window, MaxDelay)
	delay := NextDelay(tries, retryAfter, random)
	if left := firstTry.Add(window).Sub(now); left < delay {
		delay = max(left, retryAfter)
	}
	return now.Add(delay)
}

// holdDelay returns how long an event waits for a circuit that may be probed after wait: a little longer, so that the
// events of a vendor do not come back all at once, and the longer the more time they have been held, so that a backlog
// does not go round the queue all day.
func holdDelay(wait, held time.Duration, random func(n int64) int64) time.Duration {
	spread := min(max(held/2, FirstDelay), MaxHop)
	return wait + time.Duration(random(int64(spread)+1))
}
