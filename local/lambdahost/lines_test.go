package lambdahost

import (
	"bytes"
	"strings"
	"testing"
)

// calls keeps what each Write call brought.
type calls struct{ got []string }

func (c *calls) Write(p []byte) (int, error) {
	c.got = append(c.got, string(p))
	return len(p), nil
}

func TestLongLineIsCut(t *testing.T) {
	var out calls
	w := &lineWriter{sink: &lineSink{w: &out}, function: "F"}
	line := strings.Repeat("x", 2*maxLine+1) + "\n"
	if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
		t.Fatalf("Write: got %d, %v, want %d", n, err, len(line))
	}
	w.flush(false)
	want := []int{maxLine, maxLine, 1}
	if len(out.got) != len(want) {
		t.Fatalf("got %d lines, want %d", len(out.got), len(want))
	}
	for i, line := range out.got {
		if got := len(line) - len("F: \n"); got != want[i] {
			t.Errorf("line %d: got %d bytes, want %d", i, got, want[i])
		}
	}
}

// FuzzLines writes the same text whole and in two parts: the lines must be the
// same, each must come in one Write, and nothing may be lost.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nthree"), 2)
	f.Add([]byte("\n"), 0)
	f.Fuzz(func(t *testing.T, text []byte, at int) {
		if at < 0 || at > len(text) {
			return
		}
		var whole, parts calls
		for _, tt := range []struct {
			out    *calls
			writes [][]byte
		}{
			{&whole, [][]byte{text}},
			{&parts, [][]byte{text[:at], text[at:]}},
		} {
			w := &lineWriter{sink: &lineSink{w: tt.out}, function: "F"}
			for _, p := range tt.writes {
				_, _ = w.Write(p)
			}
			w.flush(false)
		}
		got, want := strings.Join(parts.got, ""), strings.Join(whole.got, "")
		if got != want {
			t.Errorf("in two parts: got %q, want %q", got, want)
		}
		lines := bytes.Count(text, []byte("\n"))
		if len(text) > 0 && text[len(text)-1] != '\n' {
			lines++
		}
		if len(text) <= maxLine && len(whole.got) != lines {
			t.Errorf("got %d lines, want %d", len(whole.got), lines)
		}
	})
}
