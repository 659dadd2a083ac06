// Package transcript tells a visit line by line: who called whom, what was found, and when. Several goroutines may tell
// at once. Colour is used only where the reader asked for it, which callers do on a terminal alone.
package transcript

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Party is one of those who talk to each other.
type Party string

// The parties.
const (
	Vendor    Party = "vendor"
	Gateway   Party = "gateway"
	WeChatPay Party = "WeChat Pay"
	Queue     Party = "queue"
)

// Writer writes a transcript. It is safe for concurrent use.
type Writer struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
	now    func() time.Time
	steps  int
	failed int
}

// New returns a Writer to out.
func New(out io.Writer, colour bool, now func() time.Time) *Writer {
	return &Writer{out: out, colour: colour, now: now}
}

// Step begins the next step of the visit.
func (w *Writer) Step(title string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps++
	w.printf("\n%s\n", w.paint("1", fmt.Sprintf("%2d. %s", w.steps, title)))
}

// Line tells that one party sent another something.
func (w *Writer) Line(from, to Party, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	arrow := fmt.Sprintf("%10s → %-10s", from, to)
	w.printf("    %s  %s  %s\n", w.paint("2", w.now().Format("15:04:05.000")), w.paint("36", arrow), clean(text))
}

// Failed tells that the step did not go as it must.
func (w *Writer) Failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
	for line := range strings.SplitSeq(err.Error(), "\n") {
		w.printf("    %s %s\n", w.paint("31", "✗"), clean(line))
	}
}

// Steps returns how many steps were told and how many of them failed.
func (w *Writer) Steps() (told, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps, w.failed
}

func (w *Writer) printf(format string, args ...any) {
	// A transcript that nobody can read any more ends no visit.
	_, _ = fmt.Fprintf(w.out, format, args...)
}

func (w *Writer) paint(code, s string) string {
	if !w.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// clean keeps what others sent from steering the reader's terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
}
