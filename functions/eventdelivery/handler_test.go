package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/event"
)

const (
	eventsURL = "https://sqs.example/events"
	deadURL   = "https://sqs.example/dead"
)

// sent is one message that a queue accepted.
type sent struct {
	Queue, Body, Group string
	DelaySeconds       int32
	Attributes         map[string]events.SQSMessageAttribute
	At                 time.Time
}

// fakeQueue accepts messages unless fails says why not.
type fakeQueue struct {
	mu    sync.Mutex
	fails func(ctx context.Context, in *sqs.SendMessageInput) error
	sent  []sent
}

func (q *fakeQueue) SendMessage(ctx context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if q.fails != nil {
		if err := q.fails(ctx, in); err != nil {
			return nil, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent = append(q.sent, sent{
		Queue: aws.ToString(in.QueueUrl), Body: aws.ToString(in.MessageBody), Group: aws.ToString(in.MessageGroupId),
		DelaySeconds: in.DelaySeconds, Attributes: arrived(in.MessageAttributes), At: time.Now(),
	})
	return &sqs.SendMessageOutput{}, nil
}

// decisions answers with a function.
type decisions func(ctx context.Context, item delivery.Item) delivery.Decision

func (f decisions) Deliver(ctx context.Context, item delivery.Item) delivery.Decision {
	return f(ctx, item)
}

type rig struct {
	*handler
	queue *fakeQueue
	log   *functest.Log
}

func newRig(t *testing.T, d decisions) *rig {
	r := &rig{queue: &fakeQueue{}, log: functest.NewLog(t, "o-secret", "hook-token")}
	r.handler = &handler{
		deliverer: d, queue: r.queue, eventsURL: eventsURL, deadURL: deadURL, now: time.Now, logger: r.log.Logger(),
		meter: r.log.Meter(),
	}
	return r
}

// handle hands over a batch and returns the ids of the messages that are to be received again.
func (r *rig) handle(ctx context.Context, t *testing.T, batch ...events.SQSMessage) []string {
	t.Helper()
	res, err := r.handler.handle(ctx, events.SQSEvent{Records: batch})
	if err != nil {
		t.Fatal(err)
	}
	failed := []string{}
	for _, f := range res.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return failed
}

func TestDecisionsBecomeMessages(t *testing.T) {
	fresh := delivery.Item{Message: eventOf("acme", "1")}
	body, err := fresh.Message.Encode()
	if err != nil {
		t.Fatal(err)
	}
	later := waiting()
	tests := []struct {
		name     string
		decision delivery.Decision
		want     []sent
		failed   []string
		log      map[string]string
		counted  map[string]int64
	}{
		{
			name: "delivered", decision: delivery.Decision{Kind: delivery.Delivered}, failed: []string{},
			log:     map[string]string{"level": "INFO", "decision": "delivered", "vendor_id": "acme", "event_type": "businesscircle.card_activated"},
			counted: map[string]int64{"EventsDelivered": 1},
		},
		{
			name: "delivered before", decision: delivery.Decision{Kind: delivery.Delivered, Reason: "already_delivered"}, failed: []string{},
			log: map[string]string{"level": "INFO", "decision": "delivered", "reason": "already_delivered"},
		},
		{
			name:     "delayed",
			decision: delivery.Decision{Kind: delivery.Delay, Item: later, After: 900 * time.Second, Reason: "http_500"},
			want:     []sent{{Queue: eventsURL, Body: body, Group: "acme", DelaySeconds: 900, Attributes: arrived(write(later, ""))}},
			failed:   []string{},
			log:      map[string]string{"level": "INFO", "decision": "delayed", "tries": "3", "reason": "http_500", "delay_s": "900"},
			counted:  map[string]int64{"EventsRetried": 1},
		},
		{
			name:     "delayed without a try",
			decision: delivery.Decision{Kind: delivery.Delay, Item: fresh, After: 30 * time.Second, Reason: "circuit_open"},
			want:     []sent{{Queue: eventsURL, Body: body, Group: "acme", DelaySeconds: 30, Attributes: arrived(write(fresh, ""))}},
			failed:   []string{},
			log:      map[string]string{"level": "INFO", "decision": "delayed", "tries": "0", "reason": "circuit_open"},
		},
		{
			name:     "delayed by less than a second",
			decision: delivery.Decision{Kind: delivery.Delay, Item: later, After: time.Nanosecond, Reason: "not_due"},
			want:     []sent{{Queue: eventsURL, Body: body, Group: "acme", DelaySeconds: 1, Attributes: arrived(write(later, ""))}},
			failed:   []string{},
			log:      map[string]string{"decision": "delayed", "reason": "not_due", "delay_s": "1"},
			counted:  map[string]int64{"EventsRetried": 1},
		},
		{
			name:     "parked",
			decision: delivery.Decision{Kind: delivery.Park, Item: later, Reason: "gave_up: http_500"},
			want: []sent{{Queue: deadURL, Body: body, Group: "acme", Attributes: fromOrigin(map[string]events.SQSMessageAttribute{
				"tries": text("Number", "3"), "first_try": text("String", "2026-11-22T18:00:00.000000001+08:00"),
				"last_reason": text("String", "http_500"), "reason": text("String", "gave_up: http_500"),
			})}},
			failed:  []string{},
			log:     map[string]string{"level": "WARN", "decision": "parked", "tries": "3", "reason": "gave_up: http_500"},
			counted: map[string]int64{"EventsDeadLettered/gave_up": 1},
		},
		{
			name:     "parked as malformed by the plan",
			decision: delivery.Decision{Kind: delivery.Park, Item: fresh, Reason: "malformed"},
			want: []sent{{Queue: deadURL, Body: body, Attributes: map[string]events.SQSMessageAttribute{
				"reason": text("String", "malformed"),
			}}},
			failed:  []string{},
			log:     map[string]string{"level": "WARN", "decision": "parked", "reason": "malformed"},
			counted: map[string]int64{"EventsDeadLettered/malformed": 1},
		},
		{
			name: "our failure", decision: delivery.Decision{Kind: delivery.Ours, Reason: "claim_unavailable"},
			failed:  []string{"m-" + fresh.Message.ID},
			log:     map[string]string{"level": "ERROR", "decision": "failed", "reason": "claim_unavailable"},
			counted: map[string]int64{"DeliveriesFailed/claim_unavailable": 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(_ context.Context, item delivery.Item) delivery.Decision {
				if diff := cmp.Diff(fresh, item); diff != "" {
					t.Errorf("item (-want +got):\n%s", diff)
				}
				return tt.decision
			})
			failed := r.handle(t.Context(), t, received(t, fresh, ""))
			if diff := cmp.Diff(tt.failed, failed); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			for i := range r.queue.sent {
				r.queue.sent[i].At = time.Time{}
			}
			if diff := cmp.Diff(tt.want, r.queue.sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			line := r.log.Last(t)
			if tt.log["reason"] != "malformed" {
				tt.log["request_id"], tt.log["plate_hash"], tt.log["openid_hash"] = "JKJaXmPLvHcESHA=", "0123456789abcdef", "fedcba9876543210"
			}
			tt.log["trace_id"] = "0af7651916cd43dd8448eb211c80319c"
			if tt.counted == nil {
				tt.counted = map[string]int64{}
			}
			if diff := cmp.Diff(tt.counted, r.log.Counted(t)); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			for name, want := range tt.log {
				if line[name] != want {
					t.Errorf("log: %s = %q, want %q", name, line[name], want)
				}
			}
			if line["message_id"] != "m-"+fresh.Message.ID || strings.Count(r.log.String(), "\n") != 1 {
				t.Errorf("got %s, want one line that names the message", r.log)
			}
		})
	}
}

// TestTraceOfItsOwn: a message without a trace, such as a ping, begins one, and keeps it on its way round the queue.
func TestTraceOfItsOwn(t *testing.T) {
	r := newRig(t, func(_ context.Context, item delivery.Item) delivery.Decision {
		return delivery.Decision{Kind: delivery.Delay, Item: item, After: time.Second, Reason: "http_500"}
	})
	item := delivery.Item{Message: eventOf("acme", "1")}
	item.Message.Origin = event.Origin{}
	m := received(t, item, "")
	var ids []string
	for range 3 {
		r.handle(t.Context(), t, m)
		ids = append(ids, r.log.Last(t)["trace_id"])
		last := r.queue.sent[len(r.queue.sent)-1]
		m = events.SQSMessage{MessageId: "m", Body: last.Body, MessageAttributes: last.Attributes}
	}
	if len(ids[0]) != 32 || ids[1] != ids[0] || ids[2] != ids[0] {
		t.Errorf("got the traces %v, want one", ids)
	}
}

// TestMalformedMessages: they go to the dead-letter queue as they came, and the rest of the batch goes its way.
func TestMalformedMessages(t *testing.T) {
	r := newRig(t, func(context.Context, delivery.Item) delivery.Decision {
		return delivery.Decision{Kind: delivery.Delivered}
	})
	bodies := []string{"not JSON", `{"id":"x","vendor_id":"粤B12345","type":"t","timestamp":"t"}`, `[]`, strings.Repeat("{", 200_000)}
	var batch []events.SQSMessage
	for i, body := range bodies {
		batch = append(batch, events.SQSMessage{MessageId: fmt.Sprint(i), Body: body})
	}
	good := delivery.Item{Message: eventOf("acme", "1")}
	hostile := received(t, good, "")
	hostile.MessageAttributes["tries"] = text("Number", "-1")
	batch = append(batch, hostile, received(t, good, ""))
	if failed := r.handle(t.Context(), t, batch...); len(failed) != 0 {
		t.Errorf("got failures %q, want none", failed)
	}
	var parked []string
	for _, s := range r.queue.sent {
		if s.Queue != deadURL || s.Group != "" {
			t.Errorf("got queue %s and group %q, want the dead-letter queue and none", s.Queue, s.Group)
		}
		if diff := cmp.Diff(map[string]events.SQSMessageAttribute{"reason": text("String", "malformed")}, s.Attributes); diff != "" {
			t.Errorf("attributes (-want +got):\n%s", diff)
		}
		parked = append(parked, s.Body)
	}
	want := append(bodies, hostile.Body)
	slices.Sort(parked)
	slices.Sort(want)
	if diff := cmp.Diff(want, parked); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}
	if leak := r.log.Leak(r.log.String()); leak != "" || strings.Contains(r.log.String(), "粤B12345") {
		t.Errorf("the log repeats what a message says:\n%s", r.log)
	}
}

// TestQueueFailures: a copy whose successor no queue accepted stays.
func TestQueueFailures(t *testing.T) {
	down := errors.New("no connection to hook-token")
	r := newRig(t, func(_ context.Context, item delivery.Item) delivery.Decision {
		switch item.Message.VendorID {
		case "delayed":
			return delivery.Decision{Kind: delivery.Delay, Item: item, After: time.Second, Reason: "http_500"}
		case "parked":
			return delivery.Decision{Kind: delivery.Park, Item: item, Reason: "gone"}
		}
		return delivery.Decision{Kind: delivery.Delivered}
	})
	r.queue.fails = func(context.Context, *sqs.SendMessageInput) error { return down }
	var batch []events.SQSMessage
	for _, id := range []string{"delayed", "delivered", "parked"} {
		batch = append(batch, received(t, delivery.Item{Message: eventOf(id, "1")}, ""))
	}
	batch = append(batch, events.SQSMessage{MessageId: "malformed", Body: "x"})
	got := r.handle(t.Context(), t, batch...)
	want := []string{batch[0].MessageId, batch[2].MessageId, "malformed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	for _, want := range []string{`"reason":"queue_unavailable"`, `"call":"sqs:SendMessage"`, `"error":"unreachable"`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, r.log)
		}
	}
}

// TestSideBySide: one vendor that hangs does not hold up what is decided about the others.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		decided := make(map[string]time.Duration)
		var mu sync.Mutex
		r := newRig(t, func(_ context.Context, item delivery.Item) delivery.Decision {
			if item.Message.VendorID == "hangs" {
				time.Sleep(10 * time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			decided[item.Message.VendorID] = time.Since(began)
			return delivery.Decision{Kind: delivery.Delay, Item: item, After: time.Second, Reason: "timeout"}
		})
		batch := []events.SQSMessage{received(t, delivery.Item{Message: eventOf("hangs", "0")}, "")}
		for i := range 9 {
			batch = append(batch, received(t, delivery.Item{Message: eventOf(fmt.Sprint("vendor-", i), "1")}, ""))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if failed := r.handle(ctx, t, batch...); len(failed) != 0 {
			t.Errorf("got failures %q, want none", failed)
		}
		if got := time.Since(began); got != 10*time.Second {
			t.Errorf("the batch took %v, want %v", got, 10*time.Second)
		}
		for id, took := range decided {
			if id != "hangs" && took != 0 {
				t.Errorf("%s was decided after %v, want at once", id, took)
			}
		}
		for _, s := range r.queue.sent {
			if s.Group != "hangs" && !s.At.Equal(began) {
				t.Errorf("%s was sent on after %v, want at once", s.Group, s.At.Sub(began))
			}
		}
		if len(decided) != 10 || len(r.queue.sent) != 10 {
			t.Errorf("got %d decided and %d sent on, want 10", len(decided), len(r.queue.sent))
		}
	})
}

// TestInvocationEnds: what is not decided when the time is up is received again, and the answer still gets out.
func TestInvocationEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := newRig(t, func(ctx context.Context, item delivery.Item) delivery.Decision {
			if item.Message.VendorID == "slow" {
				<-ctx.Done()
				return delivery.Decision{Kind: delivery.Ours, Reason: "interrupted"}
			}
			if item.Message.VendorID == "late" {
				<-ctx.Done()
				return delivery.Decision{Kind: delivery.Delay, Item: item, After: time.Second, Reason: "timeout"}
			}
			return delivery.Decision{Kind: delivery.Delivered}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var batch []events.SQSMessage
		for _, id := range []string{"slow", "quick", "late"} {
			batch = append(batch, received(t, delivery.Item{Message: eventOf(id, "1")}, ""))
		}
		got := r.handle(ctx, t, batch...)
		if diff := cmp.Diff([]string{batch[0].MessageId, batch[2].MessageId}, got); diff != "" {
			t.Errorf("failures (-want +got):\n%s", diff)
		}
		if got, want := time.Since(began), 29*time.Second; got != want {
			t.Errorf("the answer came after %v, want %v", got, want)
		}
	})
}

// TestPanics: a panic costs its own message one more receive, and no other anything.
func TestPanics(t *testing.T) {
	r := newRig(t, func(_ context.Context, item delivery.Item) delivery.Decision {
		switch item.Message.VendorID {
		case "text":
			panic("hook-token")
		case "runtime":
			var none []int
			_ = none[len(item.Message.ID)]
		}
		return delivery.Decision{Kind: delivery.Delivered}
	})
	var batch []events.SQSMessage
	for _, id := range []string{"text", "quick", "runtime"} {
		batch = append(batch, received(t, delivery.Item{Message: eventOf(id, "1")}, ""))
	}
	got := r.handle(t.Context(), t, batch...)
	if diff := cmp.Diff([]string{batch[0].MessageId, batch[2].MessageId}, got); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	for _, want := range []string{`"panic":"string"`, `"panic":"runtime error: index out of range`, `"reason":"panic"`, `"stack"`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, r.log)
		}
	}
}

// TestEventJSON reads the event as Lambda sends it and writes the answer as Lambda takes it.
func TestEventJSON(t *testing.T) {
	message := eventOf("acme", "1")
	message.Type = event.BusinessCircleRefundSucceeded
	body, err := message.Encode()
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	payload := `{"Records":[{"messageId":"059f36b4","receiptHandle":"AQEB","body":` + string(quoted) + `,` +
		`"attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1545082649183","MessageGroupId":"acme"},` +
		`"messageAttributes":{"tries":{"stringValue":"2","stringListValues":[],"binaryListValues":[],"dataType":"Number"},` +
		`"first_try":{"stringValue":"2026-11-22T18:00:00+08:00","stringListValues":[],"binaryListValues":[],"dataType":"String"}},` +
		`"md5OfBody":"e4e6","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-2:123456789012:events","awsRegion":"us-east-2"}]}`
	for decision, want := range map[delivery.Kind]string{
		delivery.Delivered: `{"batchItemFailures":[]}`,
		delivery.Ours:      `{"batchItemFailures":[{"itemIdentifier":"059f36b4"}]}`,
	} {
		r := newRig(t, func(_ context.Context, item delivery.Item) delivery.Decision {
			if item.Tries != 2 || !item.FirstTry.Equal(start) || item.Message.ID != message.ID {
				t.Errorf("got item %+v", item)
			}
			return delivery.Decision{Kind: decision}
		})
		var e events.SQSEvent
		if err := json.Unmarshal([]byte(payload), &e); err != nil {
			t.Fatal(err)
		}
		res, err := r.handler.handle(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(res); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
