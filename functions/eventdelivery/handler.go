package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/trace"
)

// margin is kept of an invocation's time to answer the queue: without an answer, every message of the batch would be
// received again.
const margin = time.Second

// Reasons of a failure of the function itself.
const (
	reasonPanic = "panic"
	reasonQueue = "queue_unavailable"
)

// deliverer decides about one event; see package delivery.
type deliverer interface {
	Deliver(ctx context.Context, item delivery.Item) delivery.Decision
}

// queue is the part of the SQS client that the function uses.
type queue interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// handler deals with batches of the events queue.
type handler struct {
	deliverer          deliverer
	queue              queue
	eventsURL, deadURL string
	now                func() time.Time
	logger             *slog.Logger
	meter              *telemetry.Meter
}

// handle deals with the messages of one batch, side by side, and returns the ids of those that are to be received again.
// The queue deletes the others. It returns when all are dealt with: no goroutine outlives the invocation.
func (h *handler) handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	done := make([]bool, len(e.Records))
	var wg sync.WaitGroup
	for i, m := range e.Records {
		wg.Go(func() { done[i] = h.deal(ctx, m) })
	}
	wg.Wait()
	res := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for i, m := range e.Records {
		if !done[i] {
			res.BatchItemFailures = append(res.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return res, nil
}

// deal deals with one message and writes its log line. It reports whether the received copy may be deleted: its event
// was delivered, or goes on as another message that a queue has accepted.
func (h *handler) deal(ctx context.Context, m events.SQSMessage) bool {
	started := h.now()
	t := trace.Begin(attributeText(m, trace.Header), m.Attributes["AWSTraceHeader"])
	ctx, line := telemetry.Begin(trace.With(ctx, t))
	telemetry.Set(ctx, telemetry.MessageID, m.MessageId)
	item, d := h.decide(ctx, m)
	if err := h.act(ctx, m, d); err != nil {
		telemetry.Set(ctx, telemetry.ServiceCall, "sqs:SendMessage")
		telemetry.Set(ctx, telemetry.Error, telemetry.Cause(err))
		d = delivery.Decision{Kind: delivery.Ours, Reason: reasonQueue}
	}
	telemetry.Set(ctx, telemetry.Decision, d.Kind.String())
	telemetry.Set(ctx, telemetry.Reason, d.Reason)
	h.count(ctx, item, d)
	took := h.now().Sub(started)
	telemetry.Set(ctx, telemetry.Duration, took.Milliseconds())
	line.Write(ctx, h.logger, level(d.Kind), "event")
	h.meter.Write(line, took)
	return d.Kind != delivery.Ours
}

// count counts what became of the message.
func (h *handler) count(ctx context.Context, item delivery.Item, d delivery.Decision) {
	switch d.Kind {
	case delivery.Delivered:
		if d.Reason != "" {
			return // it was delivered before
		}
		telemetry.Count(ctx, telemetry.EventsDelivered)
		if at, err := time.Parse(time.RFC3339, item.Message.Timestamp); err == nil {
			telemetry.Measure(ctx, telemetry.EventAge, max(h.now().Sub(at), 0).Milliseconds())
		}
	case delivery.Delay:
		if d.Item.Tries > item.Tries {
			telemetry.Count(ctx, telemetry.EventsRetried)
		}
	case delivery.Park:
		// An event that was given up has its last reason behind a colon: a status more would be a metric more.
		reason, _, _ := strings.Cut(d.Reason, ":")
		telemetry.CountReason(ctx, telemetry.EventsDeadLettered, reason)
	case delivery.Ours:
		telemetry.CountReason(ctx, telemetry.DeliveriesFailed, d.Reason)
	}
}

func level(k delivery.Kind) slog.Level {
	switch k {
	case delivery.Park:
		return slog.LevelWarn
	case delivery.Ours:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// decide says what is to become of the message. A panic, which in the runtime's hands would end the sandbox and with it
// the rest of the batch, is a failure of ours.
func (h *handler) decide(ctx context.Context, m events.SQSMessage) (item delivery.Item, d delivery.Decision) {
	defer func() {
		if p := recover(); p != nil {
			h.logger.ErrorContext(ctx, "a delivery panicked", string(telemetry.MessageID), m.MessageId,
				string(telemetry.Panic), telemetry.PanicText(p), string(telemetry.Stack), string(debug.Stack()))
			telemetry.Count(ctx, telemetry.Panics)
			d = delivery.Decision{Kind: delivery.Ours, Reason: reasonPanic}
		}
	}()
	item, err := read(m)
	if err != nil {
		return item, delivery.Decision{Kind: delivery.Park, Reason: delivery.ReasonMalformed}
	}
	if item.Message.Origin.Traceparent == "" {
		// It stays the event's on all its ways, as a callback's would.
		t, _ := trace.From(ctx)
		item.Message.Origin.Traceparent = t.String()
	}
	d = h.deliverer.Deliver(ctx, item)
	if d.Reason != delivery.ReasonMalformed {
		describe(ctx, item, d)
	}
	return item, d
}

// describe notes which event it was, and how often it was tried, this time included.
func describe(ctx context.Context, item delivery.Item, d delivery.Decision) {
	telemetry.Set(ctx, telemetry.EventID, item.Message.ID)
	telemetry.Set(ctx, telemetry.RequestID, item.Message.Origin.RequestID)
	telemetry.Set(ctx, telemetry.PlateHash, item.Message.Origin.PlateHash)
	telemetry.Set(ctx, telemetry.OpenIDHash, item.Message.Origin.OpenIDHash)
	telemetry.Set(ctx, telemetry.EventType, item.Message.Type)
	telemetry.Set(ctx, telemetry.VendorID, item.Message.VendorID)
	telemetry.Set(ctx, telemetry.Tries, max(item.Tries, d.Item.Tries))
	if d.Kind == delivery.Delay {
		telemetry.Set(ctx, telemetry.Delay, seconds(d.After))
	}
}

// act sends the message on where the decision says so. The body stays as it was received.
func (h *handler) act(ctx context.Context, m events.SQSMessage, d delivery.Decision) error {
	out := &sqs.SendMessageInput{MessageBody: aws.String(m.Body)}
	switch d.Kind {
	case delivery.Delay:
		out.QueueUrl, out.DelaySeconds = &h.eventsURL, seconds(d.After)
		out.MessageAttributes = write(d.Item, "")
	case delivery.Park:
		out.QueueUrl = &h.deadURL
		out.MessageAttributes = write(parked(d), d.Reason)
	default:
		return nil
	}
	if d.Reason != delivery.ReasonMalformed {
		out.MessageGroupId = aws.String(d.Item.Message.VendorID)
	}
	_, err := h.queue.SendMessage(ctx, out)
	return err
}

// parked returns what a parked message tells of its event: of one that the gateway did not make, nothing.
func parked(d delivery.Decision) delivery.Item {
	if d.Reason == delivery.ReasonMalformed {
		return delivery.Item{}
	}
	item := d.Item
	item.Due = time.Time{}
	return item
}

// seconds rounds up to what DelaySeconds takes: an event is never received before it is due because of it.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }
