package progress_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wechat-parking-gateway/cmd/parkctl/progress"
)

// screen is a writer that several goroutines may use.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// tell plays two steps of 1.5 and 2 seconds.
func tell(style progress.Style, end func(*progress.Teller)) string {
	out := &screen{}
	teller := progress.New(out, style, time.Now)
	teller.Step("starting the AWS APIs")
	time.Sleep(1500 * time.Millisecond)
	teller.Step("building 4 functions")
	time.Sleep(2 * time.Second)
	end(teller)
	return out.String()
}

// TestPlain: what is piped gets one line a step, with the time since the start, and no control character.
func TestPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := tell(progress.Style{}, (*progress.Teller).Done)
		if want := "   0.0 s  starting the AWS APIs\n   1.5 s  building 4 functions\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestTerminal: a terminal gets a spinner that moves, and in the end one line a step with the step's own time.
func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := tell(progress.Style{Terminal: true}, (*progress.Teller).Done)
		if want := "✓    1.5 s  starting the AWS APIs\n✓    2.0 s  building 4 functions\n"; shown(got) != want {
			t.Errorf("got %q, want %q", shown(got), want)
		}
		if strings.Count(got, "⠙") < 2 || strings.Contains(got, "\x1b[3") {
			t.Errorf("got %q, want a spinner that moves, without colour", got)
		}
	})
}

// TestFailed: what was interrupted is not called done, and nothing is drawn after the end.
func TestFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := tell(progress.Style{Terminal: true, Colour: true}, func(teller *progress.Teller) {
			teller.Failed()
			teller.Failed()
			time.Sleep(time.Second)
		})
		if want := "\x1b[31m✗\x1b[0m \x1b[2m   2.0 s\x1b[0m  building 4 functions\n"; !strings.HasSuffix(shown(got), want) {
			t.Errorf("got %q, want it to end with %q", shown(got), want)
		}
	})
}

// TestWidth: a line that would wrap is cut, since a wrapped one cannot be drawn over.
func TestWidth(t *testing.T) {
	for text, want := range map[string]string{
		"a text that is longer than the terminal": "✓    0.0 s  a tex",
		"停车厂商的接收端":                                "✓    0.0 s  停车",
		"a\x1b[2Jb":                               "✓    0.0 s  a [2J",
	} {
		out := &screen{}
		teller := progress.New(out, progress.Style{Terminal: true, Width: 20}, time.Now)
		teller.Step(text)
		teller.Done()
		if got := shown(out.String()); got != want+"\n" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// shown is what a terminal shows in the end.
func shown(out string) string {
	lines := strings.SplitAfter(out, "\n")
	for i, line := range lines {
		if at := strings.LastIndex(line, "\r\x1b[K"); at >= 0 {
			lines[i] = line[at+len("\r\x1b[K"):]
		}
	}
	return strings.Join(lines, "")
}
