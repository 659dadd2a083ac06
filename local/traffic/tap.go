package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// maxBody is how much of a body is kept, in bytes.
const maxBody = 64 << 10

// message is an HTTP message as it went through a tap.
type message struct {
	request bool
	method  string
	uri     string
	path    string
	status  int
	header  http.Header
	body    []byte
	cut     bool
	// ended tells that the body was read to its end.
	ended bool
}

// reading is how a tap understands its messages.
type reading struct {
	from, to Party
	// wanted tells whether a request is recorded; nil records all.
	wanted func(*http.Request) bool
	// request says what a request is about, once its body is there. It is called with the recorder's lock held.
	request func(*Message, message)
	// answer says what an answer says of itself and of its request. It runs after the answer has gone out.
	answer func(ctx context.Context, about, answer *Message, request, m message)
	// silent leaves out the answers: their status becomes the request's verdict.
	silent bool
}

// tap records what goes through a handler.
func (r *Recorder) tap(handler http.Handler, read reading) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if read.wanted != nil && !read.wanted(req) {
			handler.ServeHTTP(w, req)
			return
		}
		e := r.begin(req, read)
		in := &readTap{inner: req.Body, request: e.request, ended: e.describe}
		out := &writeTap{ResponseWriter: w}
		e.body, e.out = in, out
		defer e.end()
		clone := req.WithContext(context.WithValue(req.Context(), exchangeKey{}, &Exchange{recorder: r, id: e.id}))
		if req.Body != nil {
			clone.Body = in
		}
		handler.ServeHTTP(out, clone)
	})
}

// exchange is a request and its answer under way.
type exchange struct {
	recorder *Recorder
	read     reading
	id       int64
	started  time.Time
	request  *message
	body     *readTap
	out      *writeTap
}

func (r *Recorder) begin(req *http.Request, read reading) *exchange {
	m := &message{
		request: true, method: req.Method, uri: req.RequestURI, path: req.URL.Path, header: req.Header.Clone(),
	}
	m.header.Set("Host", req.Host)
	e := &exchange{recorder: r, read: read, started: r.now(), request: m}
	shown := Message{Kind: Request, From: read.from, To: read.to, Line: req.Method + " " + req.RequestURI}
	read.request(&shown, *m)
	shown.Detail = m.detail()
	e.id = r.add(shown)
	return e
}

// describe fills in what only the body tells.
func (e *exchange) describe() {
	e.recorder.change(e.id, func(m *Message) {
		e.read.request(m, *e.request)
		detail := e.request.detail()
		detail.Canonical, detail.Decrypted = m.Detail.Canonical, m.Detail.Decrypted
		m.Detail = detail
	})
}

// end records the answer, or that there was none.
func (e *exchange) end() {
	e.body.stop()
	if !e.request.ended {
		e.describe()
	}
	answer := e.out.message()
	took := float64(e.recorder.now().Sub(e.started).Microseconds()) / 1000
	shown := Message{
		Kind: Answer, Exchange: e.id, From: e.read.to, To: e.read.from, Subject: AnswerTo, Status: answer.status, Took: took,
		Detail: answer.detail(),
	}
	if answer.status != 0 {
		shown.Line = fmt.Sprintf("%d %s", answer.status, http.StatusText(answer.status))
	}
	id := e.id
	e.recorder.change(e.id, func(m *Message) { shown.Function, shown.VendorID = m.Function, m.VendorID })
	if !e.read.silent {
		id = e.recorder.add(shown)
	}
	e.recorder.later(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		about, _ := e.recorder.Message(e.id)
		e.read.answer(ctx, &about, &shown, *e.request, answer)
		e.recorder.change(e.id, func(m *Message) {
			m.Status, m.Verdict, m.Reason, m.Detail = about.Status, about.Verdict, about.Reason, about.Detail
		})
		if id != e.id {
			e.recorder.change(id, func(m *Message) {
				m.Verdict, m.Reason, m.Note, m.Detail = shown.Verdict, shown.Reason, shown.Note, shown.Detail
			})
		}
	})
}

// detail is what a reader sees of a message.
func (m *message) detail() Detail {
	d := Detail{Header: []Field{}, Cut: m.cut}
	for _, name := range slices.Sorted(maps.Keys(m.header)) {
		for _, value := range m.header[name] {
			if name == "X-Amz-Security-Token" {
				value = "(not shown)"
			}
			d.Header = append(d.Header, Field{Name: name, Value: value})
		}
	}
	d.Body = string(m.body)
	if !utf8.ValidString(d.Body) && !m.cut {
		d.Body = fmt.Sprintf("%q", m.body)
	}
	return d
}

// readTap keeps what a handler reads of a body.
type readTap struct {
	inner   io.ReadCloser
	request *message
	ended   func()

	mu      sync.Mutex
	stopped bool
}

func (t *readTap) Read(p []byte) (int, error) {
	n, err := t.inner.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || t.request.ended {
		return n, err
	}
	t.request.body, t.request.cut = keepUpTo(t.request.body, p[:n], t.request.cut)
	if err == io.EOF {
		t.request.ended = true
		t.ended()
	}
	return n, err
}

func (t *readTap) Close() error { return t.inner.Close() }

// stop ends the keeping: a server may still read what a handler has left.
func (t *readTap) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
}

func keepUpTo(kept, more []byte, cut bool) ([]byte, bool) {
	room := maxBody - len(kept)
	if len(more) > room {
		return append(kept, more[:room]...), true
	}
	return append(kept, more...), cut
}

// writeTap keeps what a handler answers. It is used by the handler's goroutine alone.
type writeTap struct {
	http.ResponseWriter
	status int
	header http.Header
	body   []byte
	cut    bool
}

func (t *writeTap) WriteHeader(status int) {
	if t.status == 0 && status >= 200 {
		t.status, t.header = status, t.Header().Clone()
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *writeTap) Write(p []byte) (int, error) {
	if t.status == 0 {
		t.WriteHeader(http.StatusOK)
	}
	t.body, t.cut = keepUpTo(t.body, p, t.cut)
	return t.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find what lies below.
func (t *writeTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack is for those who end the connection instead of answering.
func (t *writeTap) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(t.ResponseWriter).Hijack()
}

func (t *writeTap) message() message {
	return message{status: t.status, header: t.header, body: t.body, cut: t.cut, ended: true}
}
