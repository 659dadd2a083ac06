package event

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const queueURL = "https://sqs.ap-east-1.amazonaws.com/123456789012/events"

// fakeSQS answers each call with the function, and keeps what it accepted.
type fakeSQS struct {
	answer   func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error)
	calls    [][]string // the entry ids of every call
	accepted []types.SendMessageBatchRequestEntry
}

func (f *fakeSQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if aws.ToString(in.QueueUrl) != queueURL {
		return nil, errors.New("another queue")
	}
	var ids []string
	for _, e := range in.Entries {
		ids = append(ids, aws.ToString(e.Id))
	}
	f.calls = append(f.calls, ids)
	out, err := acceptAll(len(f.calls), in)
	if f.answer != nil {
		out, err = f.answer(len(f.calls), in)
	}
	if out == nil {
		return nil, err
	}
	for _, s := range out.Successful {
		for _, e := range in.Entries {
			if *e.Id == *s.Id {
				f.accepted = append(f.accepted, e)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func acceptAll(_ int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
	return outcome(in, nil), nil
}

// outcome accepts every entry but those in failed.
func outcome(in *sqs.SendMessageBatchInput, failed map[string]types.BatchResultErrorEntry) *sqs.SendMessageBatchOutput {
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		if f, ok := failed[*e.Id]; ok {
			f.Id = e.Id
			out.Failed = append(out.Failed, f)
			continue
		}
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out
}

// refusal is an error as the SQS client returns it: SQS answered with status.
func refusal(status int, code string) error {
	return &smithy.OperationError{ServiceID: "SQS", OperationName: "SendMessageBatch", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code, Message: "…"},
	}}
}

func messages(n int) []Message {
	list := make([]Message, n)
	for i := range list {
		list[i] = message()
		list[i].VendorID = fmt.Sprintf("vendor-%d", i)
		list[i].ID = V3ID("EV-1", list[i].VendorID)
	}
	return list
}

func acceptedIDs(t *testing.T, f *fakeSQS) []string {
	t.Helper()
	var ids []string
	for _, e := range f.accepted {
		m, err := Decode(*e.MessageBody)
		if err != nil {
			t.Fatalf("the queue holds a message that cannot be read: %v", err)
		}
		if got := aws.ToString(e.MessageGroupId); got != m.VendorID {
			t.Errorf("MessageGroupId = %q, want the vendor %q", got, m.VendorID)
		}
		ids = append(ids, m.ID)
	}
	return ids
}

func wantIDs(list []Message) []string {
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestSend(t *testing.T) {
	throttled := types.BatchResultErrorEntry{Code: aws.String("RequestThrottled"), SenderFault: true}
	internal := types.BatchResultErrorEntry{Code: aws.String("InternalError")}
	tests := []struct {
		name     string
		messages int
		answer   func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error)
		calls    [][]string
	}{
		{name: "none", messages: 0},
		{name: "one", messages: 1, calls: [][]string{{"0"}}},
		{
			name: "eleven are two batches", messages: 11,
			calls: [][]string{{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, {"10"}},
		},
		{
			name: "only the failed entries again", messages: 4,
			answer: func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				return outcome(in, []map[string]types.BatchResultErrorEntry{
					{"1": throttled, "3": internal}, {"3": throttled}, {},
				}[call-1]), nil
			},
			calls: [][]string{{"0", "1", "2", "3"}, {"1", "3"}, {"3"}},
		},
		{
			name: "leftovers of two batches make one", messages: 12,
			answer: func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				if call > 2 {
					return outcome(in, nil), nil
				}
				return outcome(in, map[string]types.BatchResultErrorEntry{"4": internal, "11": internal}), nil
			},
			calls: [][]string{{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, {"10", "11"}, {"4", "11"}},
		},
		{
			name: "an entry without a result", messages: 2,
			answer: func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				out := outcome(in, nil)
				out.Successful = out.Successful[:1]
				return out, nil
			},
			calls: [][]string{{"0", "1"}, {"1"}},
		},
		{
			name: "throttled calls", messages: 1,
			answer: func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				if call == 5 {
					return outcome(in, nil), nil
				}
				return nil, []error{
					refusal(400, "RequestThrottled"),
					refusal(400, "ThrottlingException"),
					refusal(429, ""),
					refusal(503, "ServiceUnavailable"),
				}[call-1]
			},
			calls: [][]string{{"0"}, {"0"}, {"0"}, {"0"}, {"0"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeSQS{answer: tt.answer}
				list := messages(tt.messages)
				if err := NewQueue(api, queueURL).Send(t.Context(), list); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.calls, api.calls); diff != "" {
					t.Errorf("entries of the calls (-want +got):\n%s", diff)
				}
				got, want := acceptedIDs(t, api), wantIDs(list)
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("accepted messages (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What is known of an event's origin goes beside its body, and is read back from there.
func TestSendOrigin(t *testing.T) {
	m := message()
	m.Origin = Origin{
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", RequestID: "JKJaXmPLvHcESHA=",
		PlateHash: "0123456789abcdef", OpenIDHash: "fedcba9876543210",
	}
	api := &fakeSQS{}
	if err := NewQueue(api, queueURL).Send(t.Context(), []Message{m, message()}); err != nil {
		t.Fatal(err)
	}
	got := ReadOrigin(func(name string) string { return aws.ToString(api.accepted[0].MessageAttributes[name].StringValue) })
	if got != m.Origin {
		t.Errorf("got %+v, want %+v", got, m.Origin)
	}
	if body := *api.accepted[0].MessageBody; strings.Contains(body, "0123456789abcdef") {
		t.Errorf("got %s, want the origin beside the body", body)
	}
	if got := api.accepted[1].MessageAttributes; got != nil {
		t.Errorf("got attributes %v of a message without an origin, want none", got)
	}
}

// A message that was accepted although its answer was lost is sent again: twice
// is allowed, never is not.
func TestSendAfterALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSQS{answer: func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			if call == 1 {
				return outcome(in, nil), errors.New("connection reset")
			}
			return outcome(in, nil), nil
		}}
		list := messages(1)
		if err := NewQueue(api, queueURL).Send(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		got, want := acceptedIDs(t, api), []string{list[0].ID, list[0].ID}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("accepted messages (-want +got):\n%s", diff)
		}
	})
}

func TestSendNotAccepted(t *testing.T) {
	lost := errors.New("connection reset")
	tests := []struct {
		name   string
		answer func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error)
		calls  int
		also   error
		text   string
	}{
		{
			name: "no such queue",
			answer: func(_ int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				return nil, refusal(400, "AWS.SimpleQueueService.NonExistentQueue")
			},
			calls: 1, text: "event: not accepted by the queue: 3 of 3 messages: ",
		},
		{
			name: "access denied",
			answer: func(_ int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				return nil, refusal(403, "AccessDenied")
			},
			calls: 1, text: "event: not accepted by the queue: 3 of 3 messages: ",
		},
		{
			name: "one entry refused for good",
			answer: func(_ int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				return outcome(in, map[string]types.BatchResultErrorEntry{
					"1": {Code: aws.String("InvalidMessageContents"), SenderFault: true, Message: aws.String("its text")},
				}), nil
			},
			calls: 1, text: "event: not accepted by the queue: 1 of 3 messages: SendMessageBatch entry: InvalidMessageContents",
		},
		{
			name: "one refused for good, one for a while",
			answer: func(call int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				failed := map[string]types.BatchResultErrorEntry{
					"1": {Code: aws.String("InvalidMessageContents"), SenderFault: true},
				}
				if call < 3 {
					failed["2"] = types.BatchResultErrorEntry{Code: aws.String("InternalError")}
				}
				return outcome(in, failed), nil
			},
			calls: 3, text: "event: not accepted by the queue: 1 of 3 messages: SendMessageBatch entry: InternalError",
		},
		{
			name: "every round throttled",
			answer: func(_ int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				return outcome(in, map[string]types.BatchResultErrorEntry{
					"0": {Code: aws.String("KmsThrottled"), SenderFault: true},
				}), nil
			},
			calls: maxRounds, text: "event: not accepted by the queue: 1 of 3 messages: SendMessageBatch entry: KmsThrottled",
		},
		{
			name: "no connection",
			answer: func(_ int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				return nil, lost
			},
			calls: maxRounds, also: lost, text: "event: not accepted by the queue: 3 of 3 messages: connection reset",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeSQS{answer: tt.answer}
				err := NewQueue(api, queueURL).Send(t.Context(), messages(3))
				if !errors.Is(err, ErrNotAccepted) {
					t.Fatalf("got error %v, want ErrNotAccepted", err)
				}
				if tt.also != nil && !errors.Is(err, tt.also) {
					t.Errorf("got error %v, want it to wrap %v", err, tt.also)
				}
				if !strings.HasPrefix(err.Error(), tt.text) {
					t.Errorf("got error %q, want it to begin %q", err, tt.text)
				}
				if got := len(api.calls); got != tt.calls {
					t.Errorf("got %d calls, want %d", got, tt.calls)
				}
			})
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	t.Run("while waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			lost := errors.New("connection reset")
			api := &fakeSQS{answer: func(int, *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
				return nil, lost
			}}
			start := time.Now()
			err := NewQueue(api, queueURL).Send(ctx, messages(1))
			for _, want := range []error{ErrNotAccepted, context.DeadlineExceeded, lost} {
				if !errors.Is(err, want) {
					t.Errorf("got error %v, want it to wrap %v", err, want)
				}
			}
			if got, want := time.Since(start), 200*time.Millisecond; got != want {
				t.Errorf("Send took %v, want %v", got, want)
			}
			if got, want := len(api.calls), 3; got != want { // at 0, 50 and 150 ms
				t.Errorf("got %d calls, want %d", got, want)
			}
		})
	})
	t.Run("before it starts", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		api := &fakeSQS{}
		err := NewQueue(api, queueURL).Send(ctx, messages(1))
		if !errors.Is(err, ErrNotAccepted) || !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want ErrNotAccepted and context.Canceled", err)
		}
		if len(api.calls) != 0 {
			t.Errorf("got %d calls, want none", len(api.calls))
		}
	})
	t.Run("between two batches", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		api := &fakeSQS{answer: func(_ int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			cancel()
			return outcome(in, nil), nil
		}}
		err := NewQueue(api, queueURL).Send(ctx, messages(11))
		want := "event: not accepted by the queue: 1 of 11 messages: context canceled"
		if !errors.Is(err, ErrNotAccepted) || !errors.Is(err, context.Canceled) || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	})
}

func TestSendRefusesBeforeSending(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Message)
		want error
	}{
		{"not a message", func(m *Message) { m.Data = nil }, ErrMalformedMessage},
		{"too large", func(m *Message) { m.Data = dataOf(maxBatchBytes) }, ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := messages(2)
			tt.edit(&list[1])
			api := &fakeSQS{}
			err := NewQueue(api, queueURL).Send(t.Context(), list)
			if !errors.Is(err, ErrNotAccepted) || !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want ErrNotAccepted and %v", err, tt.want)
			}
			if len(api.calls) != 0 {
				t.Errorf("got %d calls, want none", len(api.calls))
			}
		})
	}
}

// dataOf returns an object of n bytes.
func dataOf(n int) jsontext.Value {
	return jsontext.Value(`{"a":"` + strings.Repeat("x", n-8) + `"}`)
}

// TestBatches checks both limits of a batch, and that batching loses, repeats
// and reorders nothing, for any sizes.
func TestBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(
			rapid.IntRange(1, 100), rapid.IntRange(1, maxBatchBytes), rapid.Just(maxBatchBytes),
		), 0, 40).Draw(t, "sizes")
		var list, got []types.SendMessageBatchRequestEntry
		for _, n := range sizes {
			list = append(list, types.SendMessageBatchRequestEntry{MessageBody: aws.String(strings.Repeat("x", n))})
		}
		for batch := range batches(list) {
			total := 0
			for _, e := range batch {
				total += len(*e.MessageBody)
			}
			if len(batch) == 0 || len(batch) > 10 || total > 250<<10 {
				t.Fatalf("got a batch of %d entries and %d bytes, want 1 to 10 and at most 256000", len(batch), total)
			}
			got = append(got, batch...)
		}
		if len(got) != len(list) {
			t.Fatalf("got %d entries, want %d", len(got), len(list))
		}
		for i := range got {
			if got[i].MessageBody != list[i].MessageBody {
				t.Fatalf("entry %d is another one", i)
			}
		}
	})
}
