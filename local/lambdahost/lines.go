package lambdahost

import (
	"bytes"
	"io"
	"sync"
)

// maxLine is the longest log line, in bytes, which is CloudWatch's limit for one
// event; a longer one goes on as a line of its own.
const maxLine = 256 << 10

// lineSink serializes the lines of all sandboxes into one writer.
type lineSink struct {
	mu sync.Mutex
	w  io.Writer
}

// print writes one line, given without its end, in a single Write.
func (s *lineSink) print(function string, line []byte) {
	text := make([]byte, 0, len(function)+len(line)+3)
	text = append(text, function...)
	text = append(text, ": "...)
	text = append(text, line...)
	text = append(text, '\n')
	s.mu.Lock()
	defer s.mu.Unlock()
	// A log that cannot be written must not disturb the function.
	_, _ = s.w.Write(text)
}

// lineWriter cuts one output stream of one process into lines. Each stream needs
// its own: half a line of one must never meet half a line of another.
type lineWriter struct {
	sink     *lineSink
	function string
	rest     []byte
}

// Write passes on every line that p completes and keeps the rest.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		w.keep(p[:end])
		w.flush(true)
		p = p[end+1:]
	}
	w.keep(p)
	return n, nil
}

// keep adds to the open line and cuts it where it is too long.
func (w *lineWriter) keep(p []byte) {
	for len(w.rest)+len(p) > maxLine {
		room := maxLine - len(w.rest)
		w.rest = append(w.rest, p[:room]...)
		p = p[room:]
		w.flush(true)
	}
	w.rest = append(w.rest, p...)
}

// flush passes on the open line; an empty one only when it was ended.
func (w *lineWriter) flush(ended bool) {
	if len(w.rest) == 0 && !ended {
		return
	}
	w.sink.print(w.function, bytes.TrimSuffix(w.rest, []byte("\r")))
	w.rest = w.rest[:0]
}
