package eventsource_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	queueURL   = "http://127.0.0.1:5000/123456789012/gateway-EventsQueue"
	queueARN   = "arn:aws-cn:sqs:cn-north-1:123456789012:gateway-EventsQueue"
	visibility = 180 * time.Second
)

// queue is a standard queue in memory, as far as a source uses one. It lives in a synctest bubble, so that its clock is
// the test's.
type queue struct {
	mu       sync.Mutex
	messages []*message
	receives []*sqs.ReceiveMessageInput
	waiting  int
	deletes  int

	// receiveErr fails the next receives, one each; deleteFails how many deletions of a message fail.
	receiveErr  []error
	deleteErr   error
	deleteFails map[string]int
}

type message struct {
	types.Message
	visibleAt time.Time
	receives  int
	first     time.Time
}

// send puts a message on the queue and returns its id.
func (q *queue) send(body string, attributes map[string]types.MessageAttributeValue) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", len(q.messages)+1)
	sum := md5.Sum([]byte(body))
	digest := hex.EncodeToString(sum[:])
	q.messages = append(q.messages, &message{
		Message: types.Message{
			MessageId: &id, Body: &body, MD5OfBody: &digest, MessageAttributes: attributes,
			Attributes: map[string]string{
				"SenderId": "AIDA", "SentTimestamp": milliseconds(time.Now()), "MessageGroupId": "demo-parking",
			},
		},
		visibleAt: time.Now(),
	})
	return id
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// ReceiveMessage looks for messages every 10 ms, until there are some or the wait is over.
func (q *queue) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if err := q.note(in); err != nil {
		return nil, err
	}
	defer q.leave()
	ends := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second)
	for {
		if found := q.take(int(in.MaxNumberOfMessages)); len(found) > 0 || !time.Now().Before(ends) {
			return &sqs.ReceiveMessageOutput{Messages: found}, nil
		}
		t := time.NewTimer(10 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
	}
}

func (q *queue) note(in *sqs.ReceiveMessageInput) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.receives = append(q.receives, in)
	if len(q.receiveErr) > 0 {
		err := q.receiveErr[0]
		q.receiveErr = q.receiveErr[1:]
		return err
	}
	q.waiting++
	return nil
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting--
}

func (q *queue) take(count int) []types.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	var found []types.Message
	for _, m := range q.messages {
		if m.ReceiptHandle != nil && *m.ReceiptHandle == "deleted" || m.visibleAt.After(now) || len(found) == count {
			continue
		}
		if m.receives++; m.receives == 1 {
			m.first = now
		}
		m.visibleAt = now.Add(visibility)
		handle := fmt.Sprintf("%s#%d", *m.MessageId, m.receives)
		m.ReceiptHandle = &handle
		out := m.Message
		out.Attributes = map[string]string{
			"ApproximateReceiveCount":          strconv.Itoa(m.receives),
			"ApproximateFirstReceiveTimestamp": milliseconds(m.first),
		}
		for name, value := range m.Attributes {
			out.Attributes[name] = value
		}
		found = append(found, out)
	}
	return found
}

func (q *queue) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deletes++
	if q.deleteErr != nil {
		return nil, q.deleteErr
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		m := q.find(*e.ReceiptHandle)
		if m == nil || q.deleteFails[*m.MessageId] > 0 {
			if m != nil {
				q.deleteFails[*m.MessageId]--
			}
			code := "InternalError"
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: &code})
			continue
		}
		deleted := "deleted"
		m.ReceiptHandle = &deleted
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func (q *queue) find(handle string) *message {
	for _, m := range q.messages {
		if m.ReceiptHandle != nil && *m.ReceiptHandle == handle {
			return m
		}
	}
	return nil
}

// polls returns how many receives there were, and how many of them wait.
func (q *queue) polls() (calls, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.receives), q.waiting
}

// hide keeps a message from being received for d.
func (q *queue) hide(id string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if *m.MessageId == id {
			m.visibleAt = time.Now().Add(d)
		}
	}
}

// left returns the bodies that were not deleted.
func (q *queue) left() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	bodies := []string{}
	for _, m := range q.messages {
		if m.ReceiptHandle == nil || *m.ReceiptHandle != "deleted" {
			bodies = append(bodies, *m.Body)
		}
	}
	return bodies
}
