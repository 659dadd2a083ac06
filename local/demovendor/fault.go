package demovendor

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// FaultKind says what a receiver does instead of answering a webhook as it should.
type FaultKind string

// The kinds of faults. The webhook is judged and recorded all the same; with FaultClose it is not read.
const (
	// FaultStatus answers with Status.
	FaultStatus FaultKind = "status"
	// FaultRedirect answers with Status (307 by default) and sends the caller to Location (by default the same path below
	// /redirected).
	FaultRedirect FaultKind = "redirect"
	// FaultDelay answers as usual, after Delay.
	FaultDelay FaultKind = "delay"
	// FaultHang never answers; the connection is ended when the caller has gone or the receiver is closed.
	FaultHang FaultKind = "hang"
	// FaultEndless answers with Status (200 by default) and a body that ends when the caller has gone or the receiver is
	// closed.
	FaultEndless FaultKind = "endless"
	// FaultClose resets the connection.
	FaultClose FaultKind = "close"
)

// ErrFault is wrapped by what Inject and TakeDown refuse.
var ErrFault = errors.New("demovendor: bad fault")

// Fault is one way to treat webhooks badly.
type Fault struct {
	Kind FaultKind
	// ID is the webhook-id that the fault is for; empty for every webhook.
	ID string
	// Times is how many webhooks meet it; 0 means all until ClearFaults.
	Times int
	// Status is for FaultStatus, which needs it, FaultRedirect and FaultEndless.
	Status int
	// RetryAfter is sent as the Retry-After header when it is not empty: seconds or an HTTP date.
	RetryAfter string
	// Location is for FaultRedirect.
	Location string
	// Delay is waited before the answer, with any kind.
	Delay time.Duration
}

// Inject adds a fault. A webhook meets the oldest fault that fits it, and no other.
func (r *Receiver) Inject(f Fault) error {
	switch f.Kind {
	case FaultRedirect:
		f.Status = orElse(f.Status, http.StatusTemporaryRedirect)
	case FaultEndless:
		f.Status = orElse(f.Status, http.StatusOK)
	}
	kinds := []FaultKind{FaultStatus, FaultRedirect, FaultDelay, FaultHang, FaultEndless, FaultClose}
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("%w: no such kind", ErrFault)
	case f.Times < 0 || f.Delay < 0:
		return fmt.Errorf("%w: Times and Delay must not be negative", ErrFault)
	case f.Kind == FaultStatus && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("%w: Status must be 200 to 599", ErrFault)
	case f.Kind == FaultRedirect && f.Status/100 != 3:
		return fmt.Errorf("%w: Status must be 300 to 399", ErrFault)
	case f.Kind == FaultEndless && (f.Status < 200 || f.Status > 599 || f.Status == http.StatusNoContent || f.Status == http.StatusNotModified):
		return fmt.Errorf("%w: Status must be one that has a body", ErrFault)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, f)
	return nil
}

func orElse(status, otherwise int) int {
	if status == 0 {
		return otherwise
	}
	return status
}

// ClearFaults ends all faults. A webhook that one holds up already stays held, and a vendor that is down stays down.
func (r *Receiver) ClearFaults() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// TakeDown takes the vendor down until BringUp, before every fault: with FaultStatus it answers 503, with FaultHang it
// never answers and with FaultClose it ends connections, as a host does on which nothing listens. Other kinds are refused
// with ErrFault.
func (r *Receiver) TakeDown(how FaultKind) error {
	if !slices.Contains([]FaultKind{FaultStatus, FaultHang, FaultClose}, how) {
		return fmt.Errorf("%w: a vendor is down with FaultStatus, FaultHang or FaultClose", ErrFault)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outage = how
	return nil
}

// BringUp ends what TakeDown began.
func (r *Receiver) BringUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outage = ""
}

// meet returns the fault that a webhook meets, if any.
func (r *Receiver) meet(id string) Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outage != "" {
		return Fault{Kind: r.outage, Status: http.StatusServiceUnavailable}
	}
	for i := range r.faults {
		f := &r.faults[i]
		if f.ID != "" && f.ID != id {
			continue
		}
		met := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				r.faults = slices.Delete(r.faults, i, i+1)
			}
		}
		return met
	}
	return Fault{}
}

// answer answers as the fault wants it. It ends the connection where there is nothing to answer, or nobody any more.
func (r *Receiver) answer(w http.ResponseWriter, req *http.Request, d *Delivery, f Fault) {
	if f.Kind == FaultClose || !r.hold(req, f) {
		reset(w)
		return
	}
	status := d.due()
	switch f.Kind {
	case FaultStatus, FaultEndless:
		status = f.Status
	case FaultRedirect:
		status = f.Status
		w.Header().Set("Location", f.Location)
		if f.Location == "" {
			w.Header().Set("Location", "/redirected"+req.URL.EscapedPath())
		}
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	r.answered(d, status)
	if f.Kind == FaultEndless {
		r.flood(w, req, status)
		return
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(status)
	if d.Verdict != nil && f.Kind == "" {
		// The sender may have gone.
		_, _ = fmt.Fprintln(w, d.Verdict)
	}
}

// hold waits as the fault says, and tells whether there is an answer to give.
func (r *Receiver) hold(req *http.Request, f Fault) bool {
	var due <-chan time.Time
	switch {
	case f.Kind == FaultHang:
	case f.Delay == 0:
		return true
	default:
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-due:
		return true
	case <-req.Context().Done():
	case <-r.closed:
	}
	return false
}

// flood writes until nobody reads any more or the receiver is closed, a little at a time.
func (r *Receiver) flood(w http.ResponseWriter, req *http.Request, status int) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	flusher := http.NewResponseController(w)
	chunk := slices.Repeat([]byte("endless\n"), 512)
	for {
		_, err := w.Write(chunk)
		if err == nil {
			err = flusher.Flush()
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		select {
		case <-req.Context().Done():
			panic(http.ErrAbortHandler)
		case <-r.closed:
			panic(http.ErrAbortHandler)
		default:
		}
	}
}

// reset ends the connection with a TCP reset, or aborts the handler where there is no connection to reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
