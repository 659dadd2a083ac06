package demovendor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxWebhook is the largest webhook that a receiver reads, in bytes. A queue message is never larger.
const maxWebhook = 1 << 20

// What can be wrong with a webhook, besides the errors of the standard-webhooks library.
var (
	// ErrUnread says that the webhook's body was not read: the vendor was down, or the sender broke off.
	ErrUnread = errors.New("demovendor: the webhook was not read")
	// ErrTooLarge says that the body has more than 1 MiB.
	ErrTooLarge = errors.New("demovendor: the webhook is too large")
	// ErrMethod says that the request is not a POST.
	ErrMethod = errors.New("demovendor: the webhook is not a POST")
	// ErrNotEvent says that the body is signed and is not an event: {"type","timestamp","data"} as application/json, with an
	// RFC 3339 timestamp and an object for data, and nothing else.
	ErrNotEvent = errors.New("demovendor: the webhook is not an event")
)

// Delivery is one webhook as it came, good or bad.
type Delivery struct {
	// ID is the webhook-id as it came, even when the webhook is not to be trusted.
	ID string
	// Type, Timestamp and Data are the event's, and empty when the signature does not hold.
	Type      string
	Timestamp time.Time
	Data      json.RawMessage
	// Verdict is nil when the signature holds and the body is an event. Otherwise it wraps an error of the
	// standard-webhooks library or of this package.
	Verdict error
	// Secrets are the indexes of the receiver's secrets with which a signature was made.
	Secrets []int
	// At is when the webhook came.
	At time.Time
	// Method, Host, URL, Header and Body are the request's, Header with Go's spelling of the names.
	Method, Host, URL string
	Header            http.Header
	Body              []byte
	// Status is what was answered, 0 as long as nothing was and when the connection was ended instead.
	Status int
	// Fault is what was done to the answer, empty for none.
	Fault FaultKind
}

// Accepted tells whether the vendor took the webhook: it is good, and the answer was a 2xx.
func (d Delivery) Accepted() bool { return d.Verdict == nil && d.Status/100 == 2 }

// Receiver is the vendor's webhook endpoint, an [http.Handler] for every path. It verifies with the standard-webhooks
// library, answers 204 to a good webhook, 401 to one whose signature does not hold and 400, 405 or 413 to what is not an
// event, and keeps everything that came. It is safe for concurrent use.
type Receiver struct {
	now     func() time.Time
	closed  chan struct{}
	close   func()
	observe func(context.Context, Delivery)

	mu         sync.Mutex
	webhooks   []*standardwebhooks.Webhook
	deliveries []*Delivery
	changed    chan struct{} // closed, and replaced, when a delivery is new or answered
	faults     []Fault
	outage     FaultKind
}

// NewReceiver returns a receiver that knows the given secrets (whsec_…), of which one must have signed. The library
// compares timestamps with the real clock; now gives Delivery.At.
func NewReceiver(now func() time.Time, secrets ...string) (*Receiver, error) {
	r := &Receiver{now: now, closed: make(chan struct{}), changed: make(chan struct{})}
	r.close = sync.OnceFunc(func() { close(r.closed) })
	return r, r.Use(secrets...)
}

// Use makes the receiver know these secrets instead of the ones that it knew.
func (r *Receiver) Use(secrets ...string) error {
	if len(secrets) == 0 {
		return errors.New("demovendor: a receiver needs a secret")
	}
	var webhooks []*standardwebhooks.Webhook
	for i, secret := range secrets {
		encoded, found := strings.CutPrefix(secret, "whsec_")
		if !found || encoded == "" {
			return fmt.Errorf("demovendor: secret %d is not a Standard Webhooks secret", i)
		}
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return fmt.Errorf("demovendor: secret %d is not a Standard Webhooks secret: %w", i, err)
		}
		webhooks = append(webhooks, webhook)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.webhooks = webhooks
	return nil
}

// Observe has observe called once for every webhook, after the verdict and before the answer. The context is the HTTP
// request's. It is called before the receiver serves; several goroutines may call observe at once.
func (r *Receiver) Observe(observe func(context.Context, Delivery)) { r.observe = observe }

// Close ends the answers that hang, are delayed or never end. It is called before the server is closed.
func (r *Receiver) Close() { r.close() }

// ServeHTTP receives one webhook.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d := &Delivery{
		ID: req.Header.Get(standardwebhooks.HeaderWebhookID), At: r.now(),
		Method: req.Method, Host: req.Host, URL: req.URL.String(), Header: req.Header.Clone(), Verdict: ErrUnread,
	}
	fault := r.meet(d.ID)
	d.Fault = fault.Kind
	if fault.Kind != FaultClose {
		r.read(w, req, d)
	}
	r.record(d)
	if r.observe != nil {
		r.observe(req.Context(), *d)
	}
	r.answer(w, req, d, fault)
}

// read reads and judges the webhook.
func (r *Receiver) read(w http.ResponseWriter, req *http.Request, d *Delivery) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxWebhook))
	d.Body = body
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		d.Verdict = ErrTooLarge
	case err != nil:
		d.Verdict = ErrUnread
	case req.Method != http.MethodPost:
		d.Verdict = ErrMethod
	default:
		d.Verdict = r.judge(d)
	}
}

// judge verifies the signature with every secret, and reads the event when one holds.
func (r *Receiver) judge(d *Delivery) error {
	r.mu.Lock()
	webhooks := r.webhooks
	r.mu.Unlock()
	var verdict error
	for i, webhook := range webhooks {
		if err := webhook.Verify(d.Body, d.Header); err != nil {
			verdict = err
			continue
		}
		d.Secrets = append(d.Secrets, i)
	}
	if len(d.Secrets) == 0 {
		return fmt.Errorf("demovendor: %w", verdict)
	}
	return d.parse()
}

// parse reads the event out of a body whose signature holds. The causes quote nothing of it.
func (d *Delivery) parse() error {
	if d.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("%w: its content type is not application/json", ErrNotEvent)
	}
	var event struct {
		Type      string          `json:"type"`
		Timestamp string          `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}
	decoder := json.NewDecoder(bytes.NewReader(d.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&event); err != nil {
		return fmt.Errorf("%w: its body is not JSON of that form", ErrNotEvent)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its body", ErrNotEvent)
	}
	at, err := time.Parse(time.RFC3339, event.Timestamp)
	if event.Type == "" || err != nil || !bytes.HasPrefix(event.Data, []byte("{")) {
		return fmt.Errorf("%w: it has no type, no RFC 3339 timestamp or no object for data", ErrNotEvent)
	}
	d.Type, d.Timestamp, d.Data = event.Type, at, event.Data
	return nil
}

// due returns what a webhook is answered without a fault.
func (d *Delivery) due() int {
	switch {
	case d.Verdict == nil:
		return http.StatusNoContent
	case errors.Is(d.Verdict, ErrMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(d.Verdict, ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(d.Verdict, ErrNotEvent), errors.Is(d.Verdict, ErrUnread):
		return http.StatusBadRequest
	}
	return http.StatusUnauthorized
}

func (r *Receiver) record(d *Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliveries = append(r.deliveries, d)
	r.tell()
}

// answered notes the status just before it goes out.
func (r *Receiver) answered(d *Delivery, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.Status = status
	r.tell()
}

// tell wakes those who wait. The caller holds mu.
func (r *Receiver) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Deliveries returns everything that came, in the order in which it was read.
func (r *Receiver) Deliveries() []Delivery {
	all, _ := r.snapshot()
	return all
}

func (r *Receiver) snapshot() ([]Delivery, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Delivery, 0, len(r.deliveries))
	for _, d := range r.deliveries {
		all = append(all, *d)
	}
	return all, r.changed
}

// Tries returns how many webhooks came with the id, whatever became of them.
func (r *Receiver) Tries(id string) int { return len(with(r.Deliveries(), id)) }

// Duplicates returns, by id, how often a webhook was accepted again after it had been accepted.
func (r *Receiver) Duplicates() map[string]int {
	accepted := map[string]int{}
	for _, d := range r.Deliveries() {
		if d.Accepted() {
			accepted[d.ID]++
		}
	}
	for id, times := range accepted {
		if accepted[id] = times - 1; times == 1 {
			delete(accepted, id)
		}
	}
	return accepted
}

// Wait returns the first delivery with the id that was accepted, as soon as there is one. What was refused, or came while
// the vendor was down, does not count. The error is that of ctx.
func (r *Receiver) Wait(ctx context.Context, id string) (Delivery, error) {
	var accepted Delivery
	err := r.until(ctx, func(all []Delivery) bool {
		of := with(all, id)
		i := slices.IndexFunc(of, Delivery.Accepted)
		if i < 0 {
			return false
		}
		accepted = of[i]
		return true
	})
	if err != nil {
		return Delivery{}, fmt.Errorf("demovendor: waiting for an event: %w", err)
	}
	return accepted, nil
}

// WaitTries returns the deliveries with the id as soon as there are at least n, whatever became of them; the last may not
// be answered yet. The error is that of ctx.
func (r *Receiver) WaitTries(ctx context.Context, id string, n int) ([]Delivery, error) {
	var tries []Delivery
	err := r.until(ctx, func(all []Delivery) bool {
		tries = with(all, id)
		return len(tries) >= n
	})
	if err != nil {
		return tries, fmt.Errorf("demovendor: waiting for tries: %w", err)
	}
	return tries, nil
}

func (r *Receiver) until(ctx context.Context, holds func([]Delivery) bool) error {
	for {
		all, changed := r.snapshot()
		if holds(all) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func with(all []Delivery, id string) []Delivery {
	return slices.DeleteFunc(all, func(d Delivery) bool { return d.ID != id })
}
