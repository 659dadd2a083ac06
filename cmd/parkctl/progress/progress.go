// Package progress tells of work that goes step by step: on a terminal with a spinner and the time that each step has
// taken, elsewhere with one plain line a step.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Style says how to tell.
type Style struct {
	// Terminal draws a spinner in place; Colour paints it.
	Terminal, Colour bool
	// Width is the terminal's, in columns; 0 means 80.
	Width int
}

// frames are the spinner's, one after the other, each for frameTime.
var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

const frameTime = 100 * time.Millisecond

// Teller tells of the steps. It is safe for concurrent use.
type Teller struct {
	out   io.Writer
	style Style
	now   func() time.Time

	mu      sync.Mutex
	started time.Time // of everything
	since   time.Time // of the step
	step    string    // "" when none is under way
	frame   int
	stop    chan struct{}
	stopped sync.WaitGroup
}

// New returns a Teller to out.
func New(out io.Writer, style Style, now func() time.Time) *Teller {
	if style.Width <= 0 {
		style.Width = 80
	}
	return &Teller{out: out, style: style, now: now, started: now()}
}

// Step ends the step that is under way and begins the next.
func (t *Teller) Step(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.style.Terminal {
		t.printf("%6.1f s  %s\n", t.now().Sub(t.started).Seconds(), what)
		return
	}
	t.finish("32", "✓")
	t.step, t.since, t.frame = what, t.now(), 0
	t.draw()
	if t.stop == nil {
		stop := make(chan struct{})
		t.stop = stop
		t.stopped.Go(func() { t.spin(stop) })
	}
}

// Done ends the last step.
func (t *Teller) Done() { t.end("32", "✓") }

// Failed ends the step that is under way as one that was not completed.
func (t *Teller) Failed() { t.end("31", "✗") }

func (t *Teller) end(colour, mark string) {
	t.mu.Lock()
	t.finish(colour, mark)
	stop := t.stop
	t.stop = nil
	t.mu.Unlock()
	if stop != nil {
		close(stop)
		t.stopped.Wait()
	}
}

func (t *Teller) spin(stop <-chan struct{}) {
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
		t.mu.Lock()
		if t.step != "" {
			t.frame++
			t.draw()
		}
		t.mu.Unlock()
	}
}

// draw draws the step over itself. The caller holds mu.
func (t *Teller) draw() {
	t.line(t.paint("36", frames[t.frame%len(frames)]), "")
}

// finish draws the step for the last time. The caller holds mu.
func (t *Teller) finish(colour, mark string) {
	if t.step == "" {
		return
	}
	t.line(t.paint(colour, mark), "\n")
	t.step = ""
}

func (t *Teller) line(mark, end string) {
	took := fmt.Sprintf("%6.1f s", t.now().Sub(t.since).Seconds())
	// The mark, the time and the spaces around them. The last columns stay free for the ^C that a terminal shows: a line that
	// wraps cannot be drawn over.
	room := t.style.Width - 2 - len(took) - 2 - len("^C") - 1
	t.printf("\r\x1b[K%s %s  %s%s", mark, t.paint("2", took), cut(t.step, room), end)
}

// cut cuts a text to a number of columns, of which an East Asian character takes two.
func cut(s string, columns int) string {
	var b strings.Builder
	for _, r := range s {
		width := 1
		if unicode.In(r, unicode.Han) || r >= 0xff00 && r <= 0xff60 || r >= 0x3000 && r <= 0x303f {
			width = 2
		}
		if columns -= width; columns < 0 {
			break
		}
		if r < utf8.RuneSelf && unicode.IsControl(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (t *Teller) printf(format string, args ...any) {
	// Work goes on when nobody can read of it any more.
	_, _ = fmt.Fprintf(t.out, format, args...)
}

func (t *Teller) paint(code, s string) string {
	if !t.style.Colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
