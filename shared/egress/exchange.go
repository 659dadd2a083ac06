package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// connection carries one exchange at a time.
type connection struct {
	net.Conn
	key   string
	meter *meter
	in    *bufio.Reader
	// since is when it became idle, by the wall clock.
	since time.Time
}

func newConnection(conn net.Conn, key string) *connection {
	m := &meter{from: conn}
	return &connection{Conn: conn, key: key, meter: m, in: bufio.NewReader(m)}
}

// socket returns what is below TLS.
func (c *connection) socket() net.Conn {
	if secured, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		return secured.NetConn()
	}
	return c.Conn
}

// Close closes the socket without TLS's farewell, which could wait for a peer that
// reads nothing. An answer that mattered has ended by its own rules before.
func (c *connection) Close() error { return c.socket().Close() }

// silent tells that the exchange broke before any byte of an answer, as it does
// when the other side has closed a connection that it thought idle.
func (c *connection) silent() bool { return c.meter.total == 0 }

// meter lets a bounded number of bytes through.
type meter struct {
	from io.Reader
	// left is how many more bytes may come.
	left int64
	// total counts the bytes of this exchange.
	total int64
	// err is the last error, which tells an answer that was cut off from one
	// that is not HTTP.
	err error
}

func (m *meter) allow(n int64) { m.left = n }

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		m.err = failure(ErrHeaderTooLarge, "the answer's headers are larger than 32 KiB")
		return 0, m.err
	}
	n, err := m.from.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	m.total += int64(n)
	m.err = err
	return n, err
}

// exchange sends the request and returns the head of its answer. The connection
// is kept for another if it can be, otherwise closed.
func (c *Client) exchange(ctx context.Context, conn *connection, t *target, header http.Header, body []byte) (*http.Response, error) {
	conn.meter.total, conn.meter.err = 0, nil
	req := request(t, header, body)
	resume := interruptible(ctx, conn)
	// A server may answer, and close, before it has read all of a request.
	s := send(req, conn)

	head, err := conn.readHead(req)
	if err != nil {
		resume()
		conn.Close()
		<-s.done
		return nil, err
	}
	whole := conn.drain(ctx, head) && s.finished()
	if !resume() || !whole {
		conn.Close()
		<-s.done
		return head, nil
	}
	c.idle.put(conn, c.now())
	return head, nil
}

func request(t *target, header http.Header, body []byte) *http.Request {
	req := &http.Request{
		Method: http.MethodPost, URL: t.url, Host: t.url.Host, Header: header,
		Body: http.NoBody, ContentLength: int64(len(body)),
	}
	if len(body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	return req
}

// sending is a request on its way.
type sending struct {
	done chan struct{}
	// err may be read after done.
	err error
}

func send(req *http.Request, conn net.Conn) *sending {
	s := &sending{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = req.Write(conn)
	}()
	return s
}

// finished tells that the request was sent in full. An answer may overtake the
// end of the sending by a moment; a server that answered early and reads no more
// is not waited for.
func (s *sending) finished() bool {
	wait := time.NewTimer(maxSendWait)
	defer wait.Stop()
	select {
	case <-s.done:
		return s.err == nil
	case <-wait.C:
		return false
	}
}

// interruptible makes the end of ctx end every reading and writing of conn. The
// function that it returns calls that off, and tells whether it came in time.
func interruptible(ctx context.Context, conn net.Conn) (resume func() bool) {
	// A time long past: the call under way returns too.
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}

// readHead returns the final answer to req, without its body.
func (c *connection) readHead(req *http.Request) (*http.Response, error) {
	c.meter.allow(MaxResponseHeader)
	for range maxInterim + 1 {
		head, err := http.ReadResponse(c.in, req)
		if err != nil {
			return nil, c.readFailure()
		}
		if head.StatusCode < 100 {
			return nil, failure(ErrBadResponse, "the answer's status is not HTTP's")
		}
		if head.StatusCode == http.StatusSwitchingProtocols || head.StatusCode >= 200 {
			return head, nil
		}
	}
	return nil, failure(ErrBadResponse, "too many interim answers came before the answer")
}

// readFailure says why no head could be read. A connection that failed comes
// first: what had come by then is cut off, and http.ReadResponse may complain
// about that only.
func (c *connection) readFailure() error {
	var (
		known   *Error
		timeout net.Error
		remote  *net.OpError
	)
	switch err := c.meter.err; {
	case err == nil:
		return failure(ErrBadResponse, "the answer is not HTTP")
	case errors.As(err, &known):
		return known
	case errors.As(err, &timeout) && timeout.Timeout():
		return err
	// So crypto/tls reports an alert: its own type for one is not exported.
	case errors.As(err, &remote) && remote.Op == "remote error":
		return failure(ErrTLSFailed, "the host ended the TLS connection with an alert")
	}
	return failure(ErrConnectionLost, "the connection ended before the answer's headers did")
}

// drain reads a short body away, and tells whether another answer can follow it.
func (c *connection) drain(ctx context.Context, head *http.Response) bool {
	// After 101 the connection speaks another protocol, and a body has no end.
	if head.Close || head.StatusCode == http.StatusSwitchingProtocols {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, maxDrain)
	defer cancel()
	resume := interruptible(ctx, c)
	// The room for chunk headers and trailers is as large again.
	c.meter.allow(2 * MaxResponseBody)
	n, err := io.CopyN(io.Discard, head.Body, MaxResponseBody+1)
	return resume() && errors.Is(err, io.EOF) && n <= MaxResponseBody && c.in.Buffered() == 0
}
