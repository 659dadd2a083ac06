// Package traffic records what the parties of the local stack say to each other: every HTTP message with its headers and
// body, the canonical text that its signature is over, and the verdict on it. It observes and changes nothing: what goes
// through a tap arrives as it would without one.
//
// What a message means is read with the gateway's own packages. Keys are used to verify and to decrypt, and never recorded.
//
// Only local/, cmd/ and tests may import this package.
package traffic

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Party is one of those who talk to each other.
type Party string

// The parties.
const (
	Vendor    Party = "vendor"
	Gateway   Party = "gateway"
	Queue     Party = "queue"
	WeChatPay Party = "wechatpay"
)

// Kind tells requests, answers and the headings between them apart.
type Kind string

// The kinds.
const (
	Request Kind = "request"
	Answer  Kind = "answer"
	Step    Kind = "step"
)

// Verdict is what was found about a message.
type Verdict string

// The verdicts. A message has none as long as nobody has judged it.
const (
	Verified   Verdict = "verified"   // its signature holds, and it was taken
	Accepted   Verdict = "accepted"   // it was taken; it carries no signature
	Refused    Verdict = "refused"    // it was turned away, for Reason
	Unverified Verdict = "unverified" // its signature does not hold
	Failed     Verdict = "failed"     // it could not be dealt with now
)

// Subject says what a message is about: a closed list, which the console has words for.
type Subject string

// The subjects.
const (
	Parkings     Subject = "parkings"     // a vendor reports a car that drove in or out
	Entry        Subject = "entry"        // a vendor asks about a car at the barrier
	Call         Subject = "call"         // another call to the gateway
	SyncParking  Subject = "sync_parking" // the V3 call to WeChat Pay
	NotifyEntry  Subject = "notify_entry" // the V2 call to WeChat Pay
	PlateState   Subject = "plate_state"  // the V2 callback
	CircleEvent  Subject = "circle_event" // the V3 callback
	Enqueue      Subject = "enqueue"      // an event goes on the queue
	Delay        Subject = "delay"        // an event waits on the queue for another try
	Park         Subject = "park"         // an event goes on the dead-letter queue
	Deliver      Subject = "deliver"      // the queue hands events to the delivery function
	Webhook      Subject = "webhook"      // an event goes to its vendor
	AnswerTo     Subject = "answer"       // any answer
	Conversation Subject = "conversation" // another request to WeChat Pay
)

// Message is one message, or the heading of a step.
type Message struct {
	// ID counts from 1 in the order in which messages were seen. Exchange is the ID of the request that an answer belongs to,
	// and a request's own.
	ID       int64 `json:"id"`
	Exchange int64 `json:"exchange,omitempty"`
	// Revision is that of the recorder when the message last changed.
	Revision int64     `json:"-"`
	Kind     Kind      `json:"kind"`
	At       time.Time `json:"at"`
	From     Party     `json:"from,omitempty"`
	To       Party     `json:"to,omitempty"`
	// Function is the gateway's function that takes part, and VendorID the vendor.
	Function string  `json:"function,omitempty"`
	VendorID string  `json:"vendor_id,omitempty"`
	Subject  Subject `json:"subject,omitempty"`
	// Note is what tells this message from others of its subject: IN, a plate, an event's type.
	Note string `json:"note,omitempty"`
	// Line is the request line or the status line. Status is an answer's; 0 where none came.
	Line    string  `json:"line,omitempty"`
	Status  int     `json:"status,omitempty"`
	Verdict Verdict `json:"verdict,omitempty"`
	// Reason is a code or a short text about the verdict.
	Reason string `json:"reason,omitempty"`
	// Took is how long an answer took, in milliseconds.
	Took float64 `json:"took_ms,omitempty"`
	// Step names the step of a heading, and Title is its text in English.
	Step  string `json:"step,omitempty"`
	Title string `json:"title,omitempty"`

	Detail Detail `json:"-"`
}

// Detail is what a reader sees of one message who looks into it.
type Detail struct {
	Header []Field `json:"header"`
	// Body is the body's text, and Cut tells that it is longer than what is kept.
	Body string `json:"body"`
	Cut  bool   `json:"cut,omitempty"`
	// Canonical is nil for a message without a signature.
	Canonical *Canonical `json:"canonical,omitempty"`
	// Decrypted is the resource of a V3 callback.
	Decrypted string `json:"decrypted,omitempty"`
}

// Field is one header line.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Canonical is the text that a signature is over.
type Canonical struct {
	Scheme    string `json:"scheme"`
	Text      string `json:"text"`
	Signature string `json:"signature"`
}

// Recorder keeps the latest messages. It is safe for concurrent use. A nil Recorder records nothing.
type Recorder struct {
	now  func() time.Time
	keep int
	late sync.WaitGroup

	mu       sync.Mutex
	revision int64
	lastID   int64
	messages []*Message // by ID
	changed  chan struct{}
	closed   bool
}

// New returns a recorder of the latest keep messages.
func New(keep int, now func() time.Time) *Recorder {
	return &Recorder{now: now, keep: keep, changed: make(chan struct{})}
}

// Heading begins a step: the messages that follow belong to it.
func (r *Recorder) Heading(step, title string) {
	if r != nil {
		r.add(Message{Kind: Step, Step: step, Title: title})
	}
}

// add keeps a message and returns its ID.
func (r *Recorder) add(m Message) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	m.ID, m.At = r.lastID, r.now()
	if m.Kind == Request {
		m.Exchange = m.ID
	}
	r.messages = append(r.messages, &m)
	if len(r.messages) > r.keep {
		r.messages = slices.Delete(r.messages, 0, len(r.messages)-r.keep)
	}
	r.touch(&m)
	return m.ID
}

// change changes a message that is still kept.
func (r *Recorder) change(id int64, change func(*Message)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.find(id); m != nil {
		change(m)
		r.touch(m)
	}
}

// touch tells readers that a message is new or has changed. The caller holds mu.
func (r *Recorder) touch(m *Message) {
	r.revision++
	m.Revision = r.revision
	close(r.changed)
	r.changed = make(chan struct{})
}

// find returns a message that is kept, or nil. The caller holds mu.
func (r *Recorder) find(id int64) *Message {
	i, found := slices.BinarySearchFunc(r.messages, id, func(m *Message, id int64) int { return int(m.ID - id) })
	if !found {
		return nil
	}
	return r.messages[i]
}

// Message returns a message with its detail, as long as it is kept.
func (r *Recorder) Message(id int64) (Message, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.find(id); m != nil {
		return *m, true
	}
	return Message{}, false
}

// Since returns the messages that are new or have changed after a revision, in the order of their revisions, and a channel
// that is closed at the next change. Revision 0 returns everything that is kept.
func (r *Recorder) Since(revision int64) ([]Message, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var fresh []Message
	for _, m := range r.messages {
		if m.Revision > revision {
			fresh = append(fresh, *m)
		}
	}
	slices.SortFunc(fresh, func(a, b Message) int { return int(a.Revision - b.Revision) })
	return fresh, r.changed
}

// later does what must not hold up an answer, such as verifying it.
func (r *Recorder) later(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.late.Go(do)
	}
}

// Close waits for what is still being looked into. Messages that come after it stay without a verdict.
func (r *Recorder) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.late.Wait()
}

type exchangeKey struct{}

// Exchange is a request on its way through a tap. Observers inside find it with [From].
type Exchange struct {
	recorder *Recorder
	id       int64
}

// From returns the exchange that a request's context belongs to. The methods of the nil that it returns elsewhere do
// nothing.
func From(ctx context.Context) *Exchange {
	e, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return e
}

// Judge notes the verdict of the one who received the request.
func (e *Exchange) Judge(verdict Verdict, reason string) {
	if e != nil {
		e.recorder.change(e.id, func(m *Message) { m.Verdict, m.Reason = verdict, reason })
	}
}

// Serve notes the gateway's function that serves the request.
func (e *Exchange) Serve(function string) {
	if e != nil {
		e.recorder.change(e.id, func(m *Message) { m.Function = function })
	}
}
