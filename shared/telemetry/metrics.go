package telemetry

import (
	"context"
	"iter"
	"slices"
)

// Namespace holds every metric of the gateway in CloudWatch.
const Namespace = "WeChatParkingGateway"

// The dimensions. Every metric has FunctionName, the function's physical name, which is unique for each stack. One that
// counts refusals exists a second time, by FunctionName and Reason.
const (
	FunctionNameDimension = "FunctionName"
	ReasonDimension       = "Reason"
)

// Metric is the name of a metric that may be emitted. The constants below are all of them: any other is dropped, so that
// nobody pays for a metric by mistake. Whoever adds one adds it to the table that follows, too.
type Metric string

// The metrics of notifycallback.
const (
	// PlateStateCallbacksAccepted and BusinessCircleCallbacksAccepted count callbacks that verified and were answered with
	// success, those that no vendor listens to among them.
	PlateStateCallbacksAccepted     Metric = "PlateStateCallbacksAccepted"
	BusinessCircleCallbacksAccepted Metric = "BusinessCircleCallbacksAccepted"
	// CallbacksNotSubscribed counts those of the accepted that no vendor listens to: they are stored nowhere.
	CallbacksNotSubscribed Metric = "CallbacksNotSubscribed"
	// CallbacksRefused counts, by reason, what was not believed to be WeChat Pay's or to be for the vendor that it names.
	CallbacksRefused Metric = "CallbacksRefused"
	// SignatureProbes counts WeChat Pay's probes, which are signed wrongly on purpose and are no refusals.
	SignatureProbes Metric = "SignatureProbes"
	// CallbacksFailed counts, by reason, what WeChat Pay has to send again through a fault of ours.
	CallbacksFailed Metric = "CallbacksFailed"
)

// The metrics of parkingsync and vehiclenotify, which call WeChat Pay. But for the first they count calls, each after its
// last try.
const (
	// WeChatPayUnverified, which certrefresh has too, counts answers that claimed success under a signature that does not verify, in any try.
	WeChatPayUnverified           Metric = "WeChatPayUnverified"
	WeChatPaySucceeded            Metric = "WeChatPaySucceeded"
	WeChatPayRefused              Metric = "WeChatPayRefused"
	WeChatPayNoPermission         Metric = "WeChatPayNoPermission"
	WeChatPayRateLimited          Metric = "WeChatPayRateLimited"
	WeChatPayRejectedOurSignature Metric = "WeChatPayRejectedOurSignature"
	WeChatPayUnavailable          Metric = "WeChatPayUnavailable"
	WeChatPayOutcomeUnknown       Metric = "WeChatPayOutcomeUnknown"
	// WeChatPayDuration is how long a call took, with all its tries.
	WeChatPayDuration Metric = "WeChatPayDuration"
	// EntryNotificationsSucceeded counts the cars whose entry WeChat Pay has taken with a notify_url, so that callbacks are
	// to be expected.
	EntryNotificationsSucceeded Metric = "EntryNotificationsSucceeded"
	// GatewayUnavailable counts vendors' calls that were answered 503 because something of ours was out.
	GatewayUnavailable Metric = "GatewayUnavailable"
)

// The metrics of eventdelivery.
const (
	EventsDelivered Metric = "EventsDelivered"
	// EventsRetried counts failed tries of events that will be tried again.
	EventsRetried Metric = "EventsRetried"
	// EventsDeadLettered counts, by reason, the events that were put on the dead-letter queue.
	EventsDeadLettered Metric = "EventsDeadLettered"
	// DeliveriesFailed counts, by reason, received copies that stay on the queue through a fault of ours.
	DeliveriesFailed Metric = "DeliveriesFailed"
	// EventAge is the time from WeChat Pay's timestamp of an event to its delivery.
	EventAge Metric = "EventAge"
)

// The metrics of every function.
const (
	// FirstAnswer is how long a new sandbox took for its first answer: its init phase and its first request together. The
	// time between the two, for which Lambda may keep a sandbox in store, does not count.
	FirstAnswer Metric = "FirstAnswer"
	// SecretServedStale, SecretMalformed and SecretUnavailable count fetches of a secret that brought nothing new: an older
	// document served on, a document that was refused, no document.
	SecretServedStale Metric = "SecretServedStale"
	SecretMalformed   Metric = "SecretMalformed"
	SecretUnavailable Metric = "SecretUnavailable"
	// Panics counts faults in the code that ended a request.
	Panics Metric = "Panics"
)

// The metrics of certrefresh.
const (
	// CertificateDaysLeft is how many whole days the platform certificates last: until the one expires that answers are
	// signed with, or the last of them. It stands at some 1800 after a renewal. WeChat Pay offers a new one ten days ahead.
	CertificateDaysLeft Metric = "CertificateDaysLeft"
)

// definition is what is fixed of a metric.
type definition struct {
	unit    string // CloudWatch's word for it
	reasons bool   // counted by Reason too
	from    []string
}

// The functions that emit metrics, by the names of their folders.
var (
	onCallbacks = []string{"notifycallback"}
	onDelivery  = []string{"eventdelivery"}
	onEntries   = []string{"vehiclenotify"}
	onCalls     = []string{"parkingsync", "vehiclenotify"}
	onRefresh   = []string{"certrefresh"}
	onAnswers   = []string{"parkingsync", "vehiclenotify", "certrefresh"}
	onVendors   = []string{"parkingsync", "vehiclenotify", "vendorinfo"}
	onSecrets   = []string{"parkingsync", "vehiclenotify", "notifycallback", "eventdelivery", "vendorinfo"}
	everywhere  = []string{"parkingsync", "vehiclenotify", "notifycallback", "eventdelivery", "vendorinfo", "certrefresh"}
)

const (
	count        = "Count"
	milliseconds = "Milliseconds"
	noUnit       = "None"
)

var definitions = map[Metric]definition{
	PlateStateCallbacksAccepted:     {count, false, onCallbacks},
	BusinessCircleCallbacksAccepted: {count, false, onCallbacks},
	CallbacksNotSubscribed:          {count, false, onCallbacks},
	CallbacksRefused:                {count, true, onCallbacks},
	SignatureProbes:                 {count, false, onCallbacks},
	CallbacksFailed:                 {count, true, onCallbacks},

	WeChatPayUnverified:           {count, false, onAnswers},
	WeChatPaySucceeded:            {count, false, onCalls},
	WeChatPayRefused:              {count, false, onCalls},
	WeChatPayNoPermission:         {count, false, onCalls},
	WeChatPayRateLimited:          {count, false, onCalls},
	WeChatPayRejectedOurSignature: {count, false, onCalls},
	WeChatPayUnavailable:          {count, false, onCalls},
	WeChatPayOutcomeUnknown:       {count, false, onCalls},
	WeChatPayDuration:             {milliseconds, false, onCalls},
	EntryNotificationsSucceeded:   {count, false, onEntries},
	GatewayUnavailable:            {count, false, onVendors},

	EventsDelivered:    {count, false, onDelivery},
	EventsRetried:      {count, false, onDelivery},
	EventsDeadLettered: {count, true, onDelivery},
	DeliveriesFailed:   {count, true, onDelivery},
	EventAge:           {milliseconds, false, onDelivery},

	FirstAnswer:       {milliseconds, false, everywhere},
	SecretServedStale: {count, false, onSecrets},
	SecretMalformed:   {count, false, onSecrets},
	SecretUnavailable: {count, false, onSecrets},
	Panics:            {count, false, everywhere},

	CertificateDaysLeft: {noUnit, false, onRefresh},
}

// Definition describes a metric for those who make alarms of it.
type Definition struct {
	Metric     Metric
	Unit       string
	Dimensions [][]string // the sets of dimensions under which CloudWatch knows it
	Functions  []string   // that emit it, by the names of their folders
}

// Metrics yields the closed list, sorted by name.
func Metrics() iter.Seq[Definition] {
	names := make([]Metric, 0, len(definitions))
	for name := range definitions {
		names = append(names, name)
	}
	slices.Sort(names)
	return func(yield func(Definition) bool) {
		for _, name := range names {
			d := Definition{
				Metric: name, Unit: definitions[name].unit, Dimensions: [][]string{{FunctionNameDimension}},
				Functions: slices.Clone(definitions[name].from),
			}
			if definitions[name].reasons {
				d.Dimensions = append(d.Dimensions, []string{FunctionNameDimension, ReasonDimension})
			}
			if !yield(d) {
				return
			}
		}
	}
}

// sample is one value of a metric.
type sample struct {
	metric Metric
	reason string
	value  int64
}

// Count adds one to a metric of the request's. Outside a request it does nothing; see [Meter.Count].
func Count(ctx context.Context, m Metric) { add(ctx, sample{metric: m, value: 1}) }

// CountReason adds one to a metric that is counted by reason. A reason is a word of a-z, 0-9 and _ from a closed list of
// the caller's; what is none is counted as other.
func CountReason(ctx context.Context, m Metric, reason string) {
	add(ctx, sample{metric: m, reason: reason, value: 1})
}

// Measure notes a value of a metric of the request's, in the metric's unit.
func Measure(ctx context.Context, m Metric, value int64) { add(ctx, sample{metric: m, value: value}) }

func add(ctx context.Context, s sample) {
	l, ok := ctx.Value(lineKey{}).(*Line)
	if !ok || !s.defined() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if definitions[s.metric].unit == count {
		for i := range l.samples {
			if l.samples[i].metric == s.metric && l.samples[i].reason == s.reason {
				l.samples[i].value += s.value
				return
			}
		}
	}
	l.samples = append(l.samples, s)
}

// defined tells whether the metric is on the list, and gives the sample a reason exactly where the metric has one.
func (s *sample) defined() bool {
	d, ok := definitions[s.metric]
	switch {
	case !d.reasons:
		s.reason = ""
	case !isWord(s.reason):
		s.reason = "other"
	}
	return ok
}

// isWord tells whether a reason has the form of one: each that is new is a metric to be paid for.
func isWord(reason string) bool {
	for _, c := range []byte(reason) {
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return reason != "" && len(reason) <= 64
}
