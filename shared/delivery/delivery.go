// Package delivery takes one event to one vendor: whether to send it now, how, and what is to become of it by what the
// vendor answered. It decides and sends; the queue's messages are moved by whoever calls it.
//
// The eventdelivery function uses it. It imports the rooms of events, vendors and Standard Webhooks and the two stores
// of what was sent; it knows neither SQS nor sockets, which it is handed as interfaces.
//
// # What becomes of an event
//
//	not due                                          Delay: wait on, no try
//	not an event that the gateway made               Park: malformed
//	vendor not known, also not 40 s later            Park: vendor_unknown
//	vendor disabled, without a URL or a secret       Park: vendor_disabled, no_webhook_url, no_webhook_secret
//	the vendor's circuit is open                     Delay: no try
//	the vendor gave no answer, and is being probed   Delay: no try
//	another worker has it in hand                    Delay: no try
//	the vendor took it before                        Delivered: nothing is sent
//	2xx                                              Delivered
//	410                                              Park: gone
//	anything else, 24 h or more after the first try  Park: gave_up: <last reason>
//	anything else                                    Delay: by the plan, one try charged
//	a failure of ours                                Ours: the copy stays on the queue as it is
//
// The plan goes by time, see [NextDelay]. The last try of an event is made 24 h after its first, or later where the
// vendor's Retry-After asked for that. Of a ping it is 5 minutes, everywhere that 24 h are spoken of here. Two limits keep
// an event from waiting for ever at a circuit that is never found closed: one that was tried before is given up when its
// 24 h are over, since its vendor is failing then; one that was not is tried in spite of the circuit when it has been held
// for 24 h, and its own 24 h begin.
//
// # What is guaranteed
//
// [Deliverer.Deliver] may be called for any number of copies of any events at one time, in one sandbox and in many.
// With clocks that agree within [idempotency.Margin], and callers that act on a decision as [Kind] says before they let
// go of the received copy:
//
//   - Every event ends delivered or parked. A copy that is lost between the sending of its successor and its own
//     deletion leaves one copy more, never one less: an event is sent and parked at least once, not exactly once.
//   - One event is never tried twice at one time. Every try is made under a claim of the event's id, which nobody else
//     gets before the try's invocation has ended.
//   - An event whose delivery was recorded is not sent again for [Kept], by any copy. Where the record could not be
//     written after the vendor took the event, another copy of it, if there is one, is sent too.
//   - No event is given up before 24 h have passed since its first try. Copies count for themselves: each has the tries
//     and the first try of the copy that it came from.
//   - Only a try that ended with the vendor's answer, or its failure to give one, is charged. What our own stores fail
//     at, or an invocation that ends too early, leaves the copy as it was.
//   - superseded is true where a state of the same merchant and plate that occurred later was sent and recorded before.
//     It says nothing about events that are sent at the same time, see package platestate.
package delivery

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/platestate"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/vendor"
)

const (
	// Kept is how long the store that is given as Seen must keep a delivered event's id.
	Kept = 7 * 24 * time.Hour
	// Timeout is how long a vendor has to answer.
	Timeout = 10 * time.Second
	// reserve is the least of its invocation's remaining time with which a try is begun. A vendor that has not answered when
	// the invocation ends was not given its time, and the try is not charged.
	reserve = 3 * time.Second
	// probeLease is how long the right to probe a vendor lasts: a try, and what is written down after it.
	probeLease = Timeout + 5*time.Second
	// secondLook is how long an event for an unknown vendor waits before that is believed. The list of vendors is fetched
	// again at most once in 30 s, so what was found now may have been looked up before the vendor was added.
	secondLook = 40 * time.Second
	// route is the events' place among the keys of package idempotency.
	route = "events"
	// probeRoute is the place of the rights to probe a vendor, of which each vendor has one, called probeID.
	probeRoute, probeID = "probes", "probe"
)

// Reasons why an event is parked, a closed list. An event that was given up has reasonGaveUp and its last reason.
const (
	ReasonMalformed       = "malformed"
	ReasonVendorUnknown   = "vendor_unknown"
	ReasonVendorDisabled  = "vendor_disabled"
	ReasonNoWebhookURL    = "no_webhook_url"
	ReasonNoWebhookSecret = "no_webhook_secret"
	ReasonGone            = "gone"

	reasonGaveUp = "gave_up: "
)

// ParkReasons returns every reason of which an event can be parked, but for those that begin with "gave_up: ".
func ParkReasons() []string {
	return []string{
		ReasonMalformed, ReasonVendorUnknown, ReasonVendorDisabled, ReasonNoWebhookURL, ReasonNoWebhookSecret, ReasonGone,
	}
}

// Reasons why an event waits without a try, or was not sent again.
const (
	reasonNotDue           = "not_due"
	reasonCircuitOpen      = "circuit_open"
	reasonInProgress       = "in_progress"
	reasonAlreadyDelivered = "already_delivered"
)

// Reasons of our own failures.
const (
	reasonVendors     = "vendors_unavailable"
	reasonClaim       = "claim_unavailable"
	reasonPlateState  = "platestate_unavailable"
	reasonNoTime      = "no_time_left"
	reasonInterrupted = "interrupted"
)

// Item is an event on its way, with what is known of its tries. All but the message travels in the attributes of the
// queue's message.
type Item struct {
	Message event.Message
	// Tries are the failed tries that were charged.
	Tries int
	// FirstTry is when the first of them began. Without any, it is since when the event has been held by a circuit, or
	// zero.
	FirstTry time.Time
	// Due is when the event is to be tried; zero is at once.
	Due time.Time
	// LastReason is why the last try failed: http_<status>, or what the Sender says where there was no answer. It is a
	// word of a-z, 0-9 and _.
	LastReason string
}

// Kind is what is to become of a received copy.
type Kind int

const (
	// Delivered: the copy may be deleted.
	Delivered Kind = iota + 1
	// Delay: Item is to be put on the queue, to be received after After; then the copy may be deleted.
	Delay
	// Park: Item is to be put on the dead-letter queue with Reason; then the copy may be deleted.
	Park
	// Ours: we failed. The copy stays on the queue and is received again.
	Ours
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Delivered:
		return "delivered"
	case Delay:
		return "delayed"
	case Park:
		return "parked"
	case Ours:
		return "failed"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Decision is what is to become of a received copy.
type Decision struct {
	Kind Kind
	// Item is the event as it goes on, set for Delay and Park.
	Item Item
	// After is set for Delay: more than 0, at most MaxHop. Item.Due may lie further ahead.
	After time.Duration
	// Reason says why, in a word of a closed list; "" for an ordinary delivery.
	Reason string
}

// Vendors is the cached list of vendors; see package secrets.
type Vendors interface {
	Get(ctx context.Context) (*vendor.Directory, error)
	Refresh(ctx context.Context) (d *vendor.Directory, changed bool, err error)
}

// Answer is what came of one POST.
type Answer struct {
	// Status is the HTTP status, 0 where there was no answer.
	Status int
	// RetryAfter is what the answer asked for, 0 for nothing.
	RetryAfter time.Duration
	// Failure says why there was no answer, in a word of a-z, 0-9 and _ from a closed list.
	Failure string
	// Interrupted says that ctx ended before the vendor had had its time.
	Interrupted bool
}

// Sender posts to an address that a vendor gave, with all the care that such an address needs, and returns within
// Timeout.
type Sender interface {
	Post(ctx context.Context, url string, header http.Header, body []byte) Answer
}

// Seen is the record of delivered events, kept for Kept; see package idempotency.
type Seen interface {
	Claim(ctx context.Context, key idempotency.Key, fingerprint [32]byte, deadline time.Time) (idempotency.Result, error)
	Complete(ctx context.Context, claim *idempotency.Claim, answer idempotency.Answer) error
	Release(ctx context.Context, claim *idempotency.Claim) error
}

// States is the record of the newest state sent of each plate; see package platestate.
type States interface {
	Newest(ctx context.Context, key platestate.Key) (occurredAt time.Time, ok bool, err error)
	Advance(ctx context.Context, key platestate.Key, occurredAt time.Time) error
}

// Deliverer delivers events. All fields must be set, and be safe for concurrent use; then it is too.
type Deliverer struct {
	Vendors Vendors
	Sender  Sender
	Seen    Seen
	States  States
	Circuit *Circuit
	Now     func() time.Time
	// Random returns a number in [0, n).
	Random func(n int64) int64
}

// Deliver sends the item if it is to be sent now, and says what is to become of the copy that it was read from. It makes
// at most one try, which it begins only while ctx has 15 s left, so that what came of it can be acted on.
func (d *Deliverer) Deliver(ctx context.Context, item Item) Decision {
	now := d.Now()
	if !item.credible(now) {
		return park(item, ReasonMalformed)
	}
	if item.Due.After(now) {
		return delay(item, now, reasonNotDue)
	}
	v, decision := d.recipient(ctx, item)
	if v == nil {
		return decision
	}
	e := read(item.Message)
	pass, wait := d.Circuit.Enter(v.ID)
	if pass == nil {
		return d.held(ctx, item, v, e, wait)
	}
	defer pass.Leave()
	if pass.Probe() {
		return d.probe(ctx, item, v, e, pass)
	}
	return d.once(ctx, item, v, e, pass)
}

// isEventID tells the form of what goes into a header and a table's key. It is wider than what package event makes.
func isEventID(s string) bool { return charset.Fits(s, 64, charset.Alphanumeric+"_-") }

// credible reports whether the item is one that the gateway made. Times that no plan sets would keep it on the queue for
// ever.
func (i Item) credible(now time.Time) bool {
	return isEventID(i.Message.ID) && vendor.ValidID(i.Message.VendorID) && event.Sent(i.Message.Type) &&
		i.Tries >= 0 && (i.Tries == 0 || !i.FirstTry.IsZero()) &&
		!i.FirstTry.After(now.Add(clockSkew)) &&
		!i.Due.After(now.Add(MaxDelay+clockSkew))
}

// recipient returns the vendor when the event may be sent to it, else what becomes of the event.
func (d *Deliverer) recipient(ctx context.Context, item Item) (*vendor.Vendor, Decision) {
	directory, err := d.Vendors.Get(ctx)
	if err != nil {
		return nil, ours(ctx, reasonVendors, err)
	}
	v, known := directory.Lookup(item.Message.VendorID)
	if !known {
		if directory, _, err = d.Vendors.Refresh(ctx); err != nil {
			return nil, ours(ctx, reasonVendors, err)
		}
		v, known = directory.Lookup(item.Message.VendorID)
	}
	switch {
	case !known && item.LastReason != ReasonVendorUnknown:
		now := d.Now()
		item.LastReason, item.Due = ReasonVendorUnknown, now.Add(secondLook)
		return nil, delay(item, now, ReasonVendorUnknown)
	case !known:
		return nil, park(item, ReasonVendorUnknown)
	case v.Disabled:
		return nil, park(item, ReasonVendorDisabled)
	case v.WebhookURL == "":
		return nil, park(item, ReasonNoWebhookURL)
	case len(v.WebhookSecrets) == 0:
		return nil, park(item, ReasonNoWebhookSecret)
	}
	return v, Decision{}
}

// content is what is sent of a message.
type content struct {
	message event.Message
	plate   *plateState // of a vehicle.plate_state_changed event
}

func read(m event.Message) content {
	e := content{message: m}
	if m.Type == event.VehiclePlateStateChanged {
		// A state that does not say whose it is, or since when, supersedes nothing.
		if state, err := readPlateState(m); err == nil {
			e.plate = &state
		}
	}
	return e
}

// held decides about an event that meets an open circuit. One that was held for the whole window without a try is tried in
// spite of the circuit, and like every try of a vendor in doubt it needs the right to probe.
func (d *Deliverer) held(ctx context.Context, item Item, v *vendor.Vendor, e content, wait time.Duration) Decision {
	decision, over := d.waiting(item, wait)
	if !over {
		return decision
	}
	pass := d.Circuit.Force(v.ID)
	defer pass.Leave()
	return d.probe(ctx, item, v, e, pass)
}

// waiting decides about an event that must wait for its vendor's circuit, or tells that its wait is over: it was never
// tried, and held for the whole window.
func (d *Deliverer) waiting(item Item, wait time.Duration) (decision Decision, over bool) {
	now := d.Now()
	if item.FirstTry.IsZero() {
		item.FirstTry = now
	}
	held := now.Sub(item.FirstTry)
	switch {
	case held < windowOf(item.Message.Type):
		item.Due = now.Add(holdDelay(wait, held, d.Random))
		return delay(item, now, reasonCircuitOpen), false
	case item.Tries > 0:
		return park(item, reasonGaveUp+item.LastReason), false
	}
	return Decision{}, true
}

// probe tries the event if nobody else, in any sandbox, is probing its vendor. An invocation that waits for an answer keeps
// its sandbox from the events of all vendors, and every sandbox learns for itself that a vendor hangs, all at about the
// same time: without this, one vendor could take all sandboxes again and again. The right to probe is a claim, which ends by
// itself if it is never released.
func (d *Deliverer) probe(ctx context.Context, item Item, v *vendor.Vendor, e content, pass *Pass) Decision {
	result, err := d.Seen.Claim(ctx, probeOf(v.ID), fingerprint(probeID), d.Now().Add(probeLease))
	if err != nil {
		return ours(ctx, reasonClaim, err)
	}
	if result.Outcome != idempotency.Claimed {
		decision, over := d.waiting(item, pass.Postpone())
		if over {
			now := d.Now()
			item.Due = now.Add(Timeout)
			return delay(item, now, reasonCircuitOpen)
		}
		return decision
	}
	defer d.release(ctx, result.Claim)
	return d.once(ctx, item, v, e, pass)
}

// DeliveredKey is the key of an event among the claims: once a vendor has taken the event, it has its answer there.
func DeliveredKey(vendorID, eventID string) idempotency.Key {
	return idempotency.Key{VendorID: vendorID, Route: route, ID: eventID}
}

// probeOf is the right to probe a vendor, among the claims.
func probeOf(vendorID string) idempotency.Key {
	return idempotency.Key{VendorID: vendorID, Route: probeRoute, ID: probeID}
}

// once tries the event unless it was delivered before or another worker has it in hand.
func (d *Deliverer) once(ctx context.Context, item Item, v *vendor.Vendor, e content, pass *Pass) Decision {
	now := d.Now()
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = now.Add(time.Minute)
	}
	if deadline.Sub(now) < reserve {
		return ours(ctx, reasonNoTime, nil)
	}
	key := DeliveredKey(v.ID, item.Message.ID)
	result, err := d.Seen.Claim(ctx, key, fingerprint(item.Message.ID), deadline)
	if err != nil {
		return ours(ctx, reasonClaim, err)
	}
	switch result.Outcome {
	case idempotency.Claimed:
		return d.try(ctx, item, v, e, pass, result.Claim)
	case idempotency.Replay:
		telemetry.Set(ctx, telemetry.Replayed, true)
		return Decision{Kind: Delivered, Reason: reasonAlreadyDelivered}
	case idempotency.Running:
		now := d.Now()
		item.Due = now.Add(max(result.RetryAfter, time.Second))
		return delay(item, now, reasonInProgress)
	}
	return ours(ctx, reasonClaim, idempotency.ErrMalformedRecord)
}

// fingerprint stands for an event among the claims. It depends on the id alone, whatever a redelivery changed.
func fingerprint(id string) [32]byte { return sha256.Sum256([]byte(id)) }

// try sends a claimed event.
func (d *Deliverer) try(ctx context.Context, item Item, v *vendor.Vendor, e content, pass *Pass, claim *idempotency.Claim) Decision {
	body, decision := d.body(ctx, item, e)
	if body == nil {
		d.release(ctx, claim)
		return decision
	}
	started := d.Now()
	answer := d.Sender.Post(ctx, v.WebhookURL, header(ctx, item.Message, started, body, v), body)
	if answer.Status != 0 {
		telemetry.Set(ctx, telemetry.Status, answer.Status)
	}
	switch {
	case answer.Status >= 200 && answer.Status <= 299:
		pass.Success()
		d.record(ctx, e, claim, answer)
		return Decision{Kind: Delivered}
	case answer.Interrupted || ctx.Err() != nil:
		// The claim ends by itself, before the copy is received again.
		return ours(ctx, reasonInterrupted, ctx.Err())
	case answer.Status == http.StatusGone:
		d.release(ctx, claim)
		item.Tries, item.FirstTry, item.LastReason = item.Tries+1, item.since(started), answer.reason()
		return park(item, ReasonGone)
	}
	if answer.Status == 0 {
		pass.Silence()
	} else {
		pass.Failure()
	}
	d.release(ctx, claim)
	item.Tries, item.FirstTry, item.LastReason = item.Tries+1, item.since(started), answer.reason()
	return d.failed(item, answer)
}

// since returns when the first try began, if the one that began at started may be the first.
func (i Item) since(started time.Time) time.Time {
	if i.Tries == 0 {
		return started
	}
	return i.FirstTry
}

// failed decides about an event whose try was charged just now.
func (d *Deliverer) failed(item Item, answer Answer) Decision {
	now, window := d.Now(), windowOf(item.Message.Type)
	if now.Sub(item.FirstTry) >= window {
		return park(item, reasonGaveUp+item.LastReason)
	}
	item.Due = nextDue(now, item.FirstTry, window, item.Tries, answer.RetryAfter, d.Random)
	return delay(item, now, item.LastReason)
}

// body returns what the vendor is sent, or what becomes of an event that cannot be written.
func (d *Deliverer) body(ctx context.Context, item Item, e content) ([]byte, Decision) {
	data := e.message.Data
	if e.message.Type == event.VehiclePlateStateChanged {
		var decision Decision
		if data, decision = d.marked(ctx, item, e); data == nil {
			return nil, decision
		}
	}
	body, err := encode(e.message, data)
	if err != nil {
		return nil, park(item, ReasonMalformed)
	}
	return body, Decision{}
}

// marked returns a plate state's data with superseded.
func (d *Deliverer) marked(ctx context.Context, item Item, e content) (jsontext.Value, Decision) {
	superseded := false
	if e.plate != nil {
		newest, known, err := d.States.Newest(ctx, e.plate.key)
		if err != nil {
			return nil, ours(ctx, reasonPlateState, err)
		}
		superseded = known && newest.After(e.plate.occurredAt)
	}
	data, err := withSuperseded(e.message.Data, superseded)
	if err != nil {
		return nil, park(item, ReasonMalformed)
	}
	return data, Decision{}
}

// reason returns the word for a failed try.
func (a Answer) reason() string {
	if a.Status != 0 {
		return "http_" + strconv.Itoa(a.Status)
	}
	return a.Failure
}

// record notes a delivery. The vendor has the event: what cannot be written down changes nothing for this copy.
func (d *Deliverer) record(ctx context.Context, e content, claim *idempotency.Claim, answer Answer) {
	if err := d.Seen.Complete(ctx, claim, idempotency.Answer{Status: answer.Status}); err != nil {
		telemetry.Set(ctx, telemetry.Error, "delivery not recorded: "+cause(err))
	}
	if e.plate == nil {
		return
	}
	if err := d.States.Advance(ctx, e.plate.key, e.plate.occurredAt); err != nil {
		telemetry.Set(ctx, telemetry.Error, "plate state not recorded: "+cause(err))
	}
}

// release lets the next try claim the event. Where that fails, the claim ends by itself within the minute, and the event
// waits for it without a charge.
func (d *Deliverer) release(ctx context.Context, claim *idempotency.Claim) {
	if err := d.Seen.Release(ctx, claim); err != nil {
		telemetry.Set(ctx, telemetry.Error, "claim not released: "+cause(err))
	}
}

func delay(item Item, now time.Time, reason string) Decision {
	return Decision{Kind: Delay, Item: item, After: min(max(item.Due.Sub(now), 1), MaxHop), Reason: reason}
}

func park(item Item, reason string) Decision {
	return Decision{Kind: Park, Item: item, Reason: reason}
}

// ours notes what failed, and decides for the copy to stay.
func ours(ctx context.Context, reason string, err error) Decision {
	if err != nil {
		telemetry.Set(ctx, telemetry.Error, cause(err))
	}
	return Decision{Kind: Ours, Reason: reason}
}

// cause names a failed call of ours; see [telemetry.Cause].
func cause(err error) string {
	const foreign = "the table holds a record that the gateway did not write"
	return telemetry.Cause(err,
		telemetry.Word{Err: idempotency.ErrLostClaim, Text: "the claim was lost to another invocation"},
		telemetry.Word{Err: idempotency.ErrMalformedRecord, Text: foreign},
		telemetry.Word{Err: platestate.ErrMalformedRecord, Text: foreign},
	)
}
