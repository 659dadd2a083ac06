// Package deadletter looks through the dead-letter queue: what could not be delivered, why, since when and for whom; and
// sends it again or drops it. SQS has no way to look at a message without receiving it, so whoever looks hides what it has
// seen from others for a while; it is given back at the end, at the latest when its visibility timeout has passed.
package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/shared/event"
)

// API is the part of the SQS client that is used; *sqs.Client has it.
type API interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
}

const (
	// hidden is how long what is looked at stays hidden from others, in seconds.
	hidden = 300
	// quiet is how many receives in a row must be empty before the queue is taken for seen: one alone may miss messages.
	quiet = 2
)

// Letter is one undelivered event.
type Letter struct {
	EventID    string    `json:"event_id"`
	VendorID   string    `json:"vendor_id"`
	Type       string    `json:"type"`
	Reason     string    `json:"reason"`
	LastReason string    `json:"last_reason,omitzero"`
	Tries      int       `json:"tries"`
	FirstTry   time.Time `json:"first_try,omitzero"`
	ParkedAt   time.Time `json:"parked_at"`

	body, receipt string
	origin        event.Origin
}

// Queues are the events queue and its dead-letter queue.
type Queues struct {
	API           API
	EventsURL     string
	DeadLetterURL string
}

// ErrUnreadable marks a letter whose body is not an event: it can be dropped, not replayed.
var ErrUnreadable = errors.New("the message is not an event")

// Walk receives every letter once and hands it to visit, which tells whether the letter is settled, that is deleted. All
// others are given back when the walk ends, also when it ends early. An event that was replayed and parked again meanwhile
// is a new letter: visit must not replay it for ever.
func (q *Queues) Walk(ctx context.Context, visit func(Letter) (settled bool, err error)) (err error) {
	seen := map[string]bool{}
	var kept []string
	defer func() {
		// What is not given back shows again by itself after the visibility timeout.
		giveBack, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		for _, receipt := range kept {
			_, backErr := q.API.ChangeMessageVisibility(giveBack, &sqs.ChangeMessageVisibilityInput{
				QueueUrl: &q.DeadLetterURL, ReceiptHandle: &receipt, VisibilityTimeout: 0,
			})
			if err == nil && backErr != nil {
				err = fmt.Errorf("giving a message back: %w", backErr)
			}
		}
	}()
	for empty := 0; empty < quiet; {
		out, err := q.API.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &q.DeadLetterURL, MaxNumberOfMessages: 10, VisibilityTimeout: hidden, WaitTimeSeconds: 1,
			MessageAttributeNames:       []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp},
		})
		if err != nil {
			return fmt.Errorf("reading the dead-letter queue: %w", err)
		}
		empty++
		for _, m := range out.Messages {
			receipt := aws.ToString(m.ReceiptHandle)
			if seen[aws.ToString(m.MessageId)] {
				kept = append(kept, receipt)
				continue
			}
			empty, seen[aws.ToString(m.MessageId)] = 0, true
			settled, err := visit(read(m))
			if !settled {
				kept = append(kept, receipt)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Replay puts a letter back on the events queue, where its tries begin anew under the same event id and the same origin, and
// then deletes it.
// Between the two it may be there twice; the vendor's side is kept from a second copy by the event's id.
func (q *Queues) Replay(ctx context.Context, l Letter) error {
	if l.EventID == "" || l.VendorID == "" {
		return ErrUnreadable
	}
	_, err := q.API.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.EventsURL, MessageBody: &l.body, MessageGroupId: &l.VendorID, MessageAttributes: l.origin.Attributes(),
	})
	if err != nil {
		return fmt.Errorf("putting %s back on the events queue: %w", l.EventID, err)
	}
	return q.Drop(ctx, l)
}

// Drop deletes a letter for good.
func (q *Queues) Drop(ctx context.Context, l Letter) error {
	_, err := q.API.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.DeadLetterURL, ReceiptHandle: &l.receipt})
	if err != nil {
		return fmt.Errorf("deleting %s: %w", l.EventID, err)
	}
	return nil
}

// read reads what there is of a message. The redrive policy, which catches crashes, moves messages without a reason.
func read(m types.Message) Letter {
	l := Letter{Reason: "crashed", body: aws.ToString(m.Body), receipt: aws.ToString(m.ReceiptHandle)}
	var body struct {
		ID       string `json:"id"`
		VendorID string `json:"vendor_id"`
		Type     string `json:"type"`
	}
	if json.Unmarshal([]byte(l.body), &body) == nil {
		l.EventID, l.VendorID, l.Type = body.ID, body.VendorID, body.Type
	}
	if reason := attribute(m, "reason"); reason != "" {
		l.Reason = reason
	}
	l.origin = event.ReadOrigin(func(name string) string { return attribute(m, name) })
	l.LastReason = attribute(m, "last_reason")
	l.Tries, _ = strconv.Atoi(attribute(m, "tries"))
	l.FirstTry, _ = time.Parse(time.RFC3339Nano, attribute(m, "first_try"))
	if sent, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		l.ParkedAt = time.UnixMilli(sent)
	}
	return l
}

func attribute(m types.Message, name string) string {
	return aws.ToString(m.MessageAttributes[name].StringValue)
}
