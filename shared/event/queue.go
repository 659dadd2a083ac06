package event

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

const (
	// maxBatchEntries is the most messages SQS takes in one SendMessageBatch.
	maxBatchEntries = 10
	// maxBatchBytes stays below the 256 KiB that every SQS endpoint takes, in
	// regions and emulators without the newer 1 MiB too.
	maxBatchBytes = 250 << 10
	// maxRounds bounds how often Send comes back for messages that SQS did not
	// take, where the context alone would not: about 1.5 s of waiting.
	maxRounds = 6
	// firstDelay is the wait before the second round. It doubles.
	firstDelay = 50 * time.Millisecond
)

var (
	// ErrNotAccepted is returned when the queue has not accepted every message.
	// Some of them may have been accepted.
	ErrNotAccepted = errors.New("event: not accepted by the queue")
	// ErrTooLarge is returned, with ErrNotAccepted, for a message over 250 KiB.
	ErrTooLarge = errors.New("event: message too large for the queue")
)

// API is the part of the SQS client that the queue uses.
type API interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Queue sends messages to the events queue. It is safe for concurrent use.
type Queue struct {
	api API
	url string
}

// NewQueue returns the queue at url. The api is expected to retry a failed call
// by itself a few times, as an SQS client does.
func NewQueue(api API, url string) *Queue {
	return &Queue{api: api, url: url}
}

// Send puts messages into the queue, in batches of at most 10 messages and
// 250 KiB, each under its vendor's message group, so that one vendor's backlog
// does not hold up the others (SQS fair queues).
//
// It returns nil only when the queue has accepted every message. What a call or
// a batch did not accept for a passing reason is sent again, alone, until ctx
// ends or six rounds have gone by; what SQS refuses for good is not, and does not
// keep the other messages back. Any message left over makes an error that wraps
// ErrNotAccepted, and the context's error when its end was the reason.
//
// A message may end up in the queue twice, when the answer to a call was lost or
// when a caller repeats a failed Send. None is lost without an error. A message
// that cannot be encoded or is too large fails before anything is sent.
func (q *Queue) Send(ctx context.Context, messages []Message) error {
	pending, err := entries(messages)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAccepted, err)
	}
	refused := 0
	var last error
	delay := firstDelay
	for round := 1; ; round++ {
		var again []types.SendMessageBatchRequestEntry
		for batch := range batches(pending) {
			r := q.sendBatch(ctx, batch)
			again = append(again, r.again...)
			refused += r.refused
			if r.cause != nil {
				last = r.cause
			}
		}
		pending = again
		if len(pending) == 0 && refused == 0 {
			return nil
		}
		if len(pending) == 0 || round == maxRounds || !wait(ctx, delay) {
			return notAccepted(ctx, len(pending)+refused, len(messages), last)
		}
		delay *= 2
	}
}

// result is what one batch came to. Messages in neither count are in the queue.
type result struct {
	again   []types.SendMessageBatchRequestEntry
	refused int
	cause   error
}

func (q *Queue) sendBatch(ctx context.Context, batch []types.SendMessageBatchRequestEntry) result {
	if ctx.Err() != nil {
		return result{again: batch}
	}
	out, err := q.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: batch})
	if err != nil && permanent(err) {
		return result{refused: len(batch), cause: err}
	}
	if err != nil {
		return result{again: batch, cause: err}
	}
	accepted := make(map[string]bool, len(batch))
	for _, s := range out.Successful {
		accepted[aws.ToString(s.Id)] = true
	}
	failed := make(map[string]types.BatchResultErrorEntry, len(out.Failed))
	for _, f := range out.Failed {
		failed[aws.ToString(f.Id)] = f
	}
	var r result
	for _, e := range batch {
		if accepted[*e.Id] {
			continue
		}
		f, told := failed[*e.Id]
		code := aws.ToString(f.Code)
		if !told {
			code = "no result"
		}
		r.cause = fmt.Errorf("SendMessageBatch entry: %s", code)
		if f.SenderFault && !throttle(code) {
			r.refused++
			continue
		}
		r.again = append(r.again, e)
	}
	return r
}

// permanent reports whether repeating the call cannot help: SQS answered, and
// blamed the request for something other than its rate.
func permanent(err error) bool {
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &status) {
		return false
	}
	code := status.HTTPStatusCode()
	if code < 400 || code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout {
		return false
	}
	var api smithy.APIError
	return !errors.As(err, &api) || !throttle(api.ErrorCode())
}

// throttle reports whether an error code asks for a slower rate: SQS's
// RequestThrottled, the general Throttling and ThrottlingException, and what KMS
// adds for an encrypted queue (KmsThrottled, KMS.ThrottlingException). SQS counts
// some of them as the sender's fault.
func throttle(code string) bool { return strings.Contains(code, "Throttl") }

// entries encodes messages. An entry's id is its message's index: unique in
// every batch it may be part of.
func entries(messages []Message) ([]types.SendMessageBatchRequestEntry, error) {
	list := make([]types.SendMessageBatchRequestEntry, 0, len(messages))
	for i, m := range messages {
		body, err := m.Encode()
		if err != nil {
			return nil, err
		}
		e := types.SendMessageBatchRequestEntry{
			Id:             aws.String(strconv.Itoa(i)),
			MessageBody:    &body,
			MessageGroupId: aws.String(m.VendorID),

			MessageAttributes: m.Origin.Attributes(),
		}
		if n := weight(e); n > maxBatchBytes {
			return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
		}
		list = append(list, e)
	}
	return list, nil
}

// weight returns what SQS counts of an entry: its body, and its attributes' names,
// types and values.
func weight(e types.SendMessageBatchRequestEntry) int {
	n := len(*e.MessageBody)
	for name, a := range e.MessageAttributes {
		n += len(name) + len(*a.DataType) + len(*a.StringValue)
	}
	return n
}

// batches cuts list into runs that keep both limits of a batch.
func batches(list []types.SendMessageBatchRequestEntry) iter.Seq[[]types.SendMessageBatchRequestEntry] {
	return func(yield func([]types.SendMessageBatchRequestEntry) bool) {
		start, size := 0, 0
		for i, e := range list {
			n := weight(e)
			if i > start && (i-start == maxBatchEntries || size+n > maxBatchBytes) {
				if !yield(list[start:i:i]) {
					return
				}
				start, size = i, 0
			}
			size += n
		}
		if start < len(list) {
			yield(list[start:])
		}
	}
}

func notAccepted(ctx context.Context, n, of int, last error) error {
	switch err := ctx.Err(); {
	case err == nil:
		return fmt.Errorf("%w: %d of %d messages: %w", ErrNotAccepted, n, of, last)
	case last == nil:
		return fmt.Errorf("%w: %d of %d messages: %w", ErrNotAccepted, n, of, err)
	default:
		return fmt.Errorf("%w: %d of %d messages: %w: %w", ErrNotAccepted, n, of, err, last)
	}
}

// wait reports whether d went by before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
