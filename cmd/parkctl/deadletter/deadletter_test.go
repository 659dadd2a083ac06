package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/cmd/parkctl/deadletter"
)

const (
	eventsURL = "https://sqs.example/events"
	deadURL   = "https://sqs.example/dead"
)

// fakeSQS holds a dead-letter queue whose messages hide when they are received.
type fakeSQS struct {
	visible []types.Message
	hidden  map[string]types.Message // by receipt
	sent    []sqs.SendMessageInput
	refuse  error // of SendMessage
}

func newFake(messages ...types.Message) *fakeSQS {
	return &fakeSQS{visible: messages, hidden: map[string]types.Message{}}
}

func (f *fakeSQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := min(len(f.visible), int(in.MaxNumberOfMessages), 2)
	out := f.visible[:n]
	f.visible = f.visible[n:]
	for _, m := range out {
		f.hidden[*m.ReceiptHandle] = m
	}
	return &sqs.ReceiveMessageOutput{Messages: out}, nil
}

func (f *fakeSQS) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.sent = append(f.sent, *in)
	return &sqs.SendMessageOutput{}, nil
}

func (f *fakeSQS) DeleteMessage(_ context.Context, in *sqs.DeleteMessageInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	delete(f.hidden, *in.ReceiptHandle)
	return &sqs.DeleteMessageOutput{}, nil
}

func (f *fakeSQS) ChangeMessageVisibility(_ context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	f.visible = append(f.visible, f.hidden[*in.ReceiptHandle])
	delete(f.hidden, *in.ReceiptHandle)
	return &sqs.ChangeMessageVisibilityOutput{}, nil
}

var parkedAt = time.UnixMilli(1795341947000)

// origin is what a letter tells of its callback.
var origin = map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "plate_hash": "0123456789abcdef"}

func letter(n int, reason string) types.Message {
	m := types.Message{
		MessageId: aws.String("m" + strconv.Itoa(n)), ReceiptHandle: aws.String("r" + strconv.Itoa(n)),
		Body:              aws.String(fmt.Sprintf(`{"id":"evt_%d","vendor_id":"acme","type":"vehicle.plate_state_changed","timestamp":"2026-11-22T17:49:02+08:00","data":{}}`, n)),
		Attributes:        map[string]string{"SentTimestamp": strconv.FormatInt(parkedAt.UnixMilli(), 10)},
		MessageAttributes: map[string]types.MessageAttributeValue{},
	}
	for name, value := range origin {
		m.MessageAttributes[name] = types.MessageAttributeValue{StringValue: aws.String(value)}
	}
	if reason != "" {
		for name, value := range map[string]string{
			"reason": reason, "last_reason": "http_503", "tries": "12", "first_try": "2026-11-21T17:49:02.5+08:00",
		} {
			m.MessageAttributes[name] = types.MessageAttributeValue{StringValue: aws.String(value)}
		}
	}
	return m
}

func TestWalkReadsEveryLetterOnceAndGivesItBack(t *testing.T) {
	fake := newFake(letter(1, "gone"), letter(2, ""), letter(3, "gave_up: http_503"))
	q := deadletter.Queues{API: fake, EventsURL: eventsURL, DeadLetterURL: deadURL}
	var got []deadletter.Letter
	if err := q.Walk(t.Context(), func(l deadletter.Letter) (bool, error) { got = append(got, l); return false, nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || len(fake.visible) != 3 || len(fake.hidden) != 0 {
		t.Fatalf("got %d letters, %d given back, %d still hidden, want 3, 3, 0", len(got), len(fake.visible), len(fake.hidden))
	}
	first := got[0]
	if first.EventID != "evt_1" || first.VendorID != "acme" || first.Reason != "gone" || first.LastReason != "http_503" ||
		first.Tries != 12 || !first.ParkedAt.Equal(parkedAt) || first.FirstTry.IsZero() {
		t.Errorf("got %+v", first)
	}
	if got[1].Reason != "crashed" {
		t.Errorf("moved by the redrive policy: got reason %q, want crashed", got[1].Reason)
	}
}

func TestReplayBeginsAnewAndDeletes(t *testing.T) {
	fake := newFake(letter(1, "gone"), letter(2, "gone"))
	q := deadletter.Queues{API: fake, EventsURL: eventsURL, DeadLetterURL: deadURL}
	err := q.Walk(t.Context(), func(l deadletter.Letter) (bool, error) {
		if l.EventID != "evt_1" {
			return false, nil
		}
		return true, q.Replay(t.Context(), l)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(fake.sent) != 1 || *fake.sent[0].QueueUrl != eventsURL || *fake.sent[0].MessageGroupId != "acme" || len(fake.sent[0].MessageAttributes) != 2 {
		t.Errorf("got %+v, want the event's body and its origin, in its vendor's group", fake.sent)
	}
	for name, want := range origin {
		if got := aws.ToString(fake.sent[0].MessageAttributes[name].StringValue); got != want {
			t.Errorf("got %s %q, want %q: the trace goes on, the tries begin anew", name, got, want)
		}
	}
	left := slices.Collect(func(yield func(string) bool) {
		for _, m := range fake.visible {
			yield(*m.MessageId)
		}
	})
	if !slices.Equal(left, []string{"m2"}) || len(fake.hidden) != 0 {
		t.Errorf("got %v on the dead-letter queue, %d hidden, want m2 alone", left, len(fake.hidden))
	}
}

func TestWhatCannotBeSentStays(t *testing.T) {
	refusal := errors.New("throttled")
	fake := newFake(letter(1, "gone"))
	fake.refuse = refusal
	q := deadletter.Queues{API: fake, EventsURL: eventsURL, DeadLetterURL: deadURL}
	err := q.Walk(t.Context(), func(l deadletter.Letter) (bool, error) { return false, q.Replay(t.Context(), l) })
	if !errors.Is(err, refusal) {
		t.Errorf("got %v, want %v", err, refusal)
	}
	if len(fake.visible) != 1 {
		t.Errorf("got %d letters on the queue, want the one that could not be sent", len(fake.visible))
	}
}

func TestWhatIsNoEventIsNotReplayed(t *testing.T) {
	odd := letter(1, "malformed")
	odd.Body = aws.String("not JSON")
	q := deadletter.Queues{API: newFake(odd), EventsURL: eventsURL, DeadLetterURL: deadURL}
	err := q.Walk(t.Context(), func(l deadletter.Letter) (bool, error) { return false, q.Replay(t.Context(), l) })
	if !errors.Is(err, deadletter.ErrUnreadable) {
		t.Errorf("got %v, want ErrUnreadable", err)
	}
}

func TestAnInterruptedWalkGivesBackWhatItHid(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fake := newFake(letter(1, "gone"), letter(2, "gone"), letter(3, "gone"))
	q := deadletter.Queues{API: fake, EventsURL: eventsURL, DeadLetterURL: deadURL}
	err := q.Walk(ctx, func(deadletter.Letter) (bool, error) { cancel(); return false, nil })
	if !errors.Is(err, context.Canceled) || len(fake.visible) != 3 || len(fake.hidden) != 0 {
		t.Errorf("got %v, %d visible, %d hidden, want context.Canceled, 3, 0", err, len(fake.visible), len(fake.hidden))
	}
}
