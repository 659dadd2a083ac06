package eventsource

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-json-experiment/json"
)

// event and record are Lambda's SQS event.
type event struct {
	Records []record `json:"Records"`
}

type record struct {
	MessageID              string               `json:"messageId"`
	ReceiptHandle          string               `json:"receiptHandle"`
	Body                   string               `json:"body"`
	Attributes             map[string]string    `json:"attributes"`
	MessageAttributes      map[string]attribute `json:"messageAttributes"`
	MD5OfMessageAttributes string               `json:"md5OfMessageAttributes,omitzero"` // there is none without attributes
	MD5OfBody              string               `json:"md5OfBody"`
	EventSource            string               `json:"eventSource"`
	EventSourceARN         string               `json:"eventSourceARN"`
	AWSRegion              string               `json:"awsRegion"`
}

// attribute is a message attribute. The two lists are there and empty, since SQS never used them.
type attribute struct {
	StringValue      *string  `json:"stringValue,omitzero"`
	BinaryValue      []byte   `json:"binaryValue,omitzero"`
	StringListValues []string `json:"stringListValues"`
	BinaryListValues [][]byte `json:"binaryListValues"`
	DataType         string   `json:"dataType"`
}

// recordOf returns a received message as the event has it.
func recordOf(m types.Message, queueARN, region string) record {
	attributes := make(map[string]attribute, len(m.MessageAttributes))
	for name, a := range m.MessageAttributes {
		attributes[name] = attribute{StringValue: a.StringValue, BinaryValue: a.BinaryValue, DataType: deref(a.DataType)}
	}
	return record{
		MessageID: deref(m.MessageId), ReceiptHandle: deref(m.ReceiptHandle), Body: deref(m.Body),
		Attributes: m.Attributes, MessageAttributes: attributes,
		MD5OfMessageAttributes: deref(m.MD5OfMessageAttributes), MD5OfBody: deref(m.MD5OfBody),
		EventSource: "aws:sqs", EventSourceARN: queueARN, AWSRegion: region,
	}
}

func encode(batch []record) ([]byte, error) {
	return json.Marshal(event{batch}, json.Deterministic(true))
}

// sizeOf returns about how many bytes the records take in an event. One that cannot be encoded will fail its batch.
func sizeOf(batch []record) int {
	encoded, _ := encode(batch)
	return len(encoded)
}

// entriesOf returns the records as SQS deletes them, with ids that are good for one call.
func entriesOf(batch []record) ([]types.DeleteMessageBatchRequestEntry, map[string]record) {
	var entries []types.DeleteMessageBatchRequestEntry
	byID := make(map[string]record, len(batch))
	for i, r := range batch {
		id := strconv.Itoa(i)
		byID[id] = r
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: &r.ReceiptHandle})
	}
	return entries, byID
}

// failures returns the ids that a function's answer reports as failed. No list, an empty one, {} and null mean that
// everything is done. Whatever is not a partial batch response, or names a message that is not in the batch, is
// ErrResponse; Lambda then takes the whole batch as failed. Member names are case-sensitive, and members that Lambda
// does not know are passed over.
func failures(answer []byte, batch []record) (map[string]bool, error) {
	var response struct {
		BatchItemFailures []struct {
			ItemIdentifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		// The cause may quote the answer.
		return nil, fmt.Errorf("%w: it is not JSON of that form", ErrResponse)
	}
	sent := make(map[string]bool, len(batch))
	for _, r := range batch {
		sent[r.MessageID] = true
	}
	failed := make(map[string]bool, len(response.BatchItemFailures))
	for i, item := range response.BatchItemFailures {
		switch {
		case item.ItemIdentifier == nil || *item.ItemIdentifier == "":
			return nil, fmt.Errorf("%w: item %d has no itemIdentifier", ErrResponse, i)
		case !sent[*item.ItemIdentifier]:
			return nil, fmt.Errorf("%w: item %d names no message of the batch", ErrResponse, i)
		}
		failed[*item.ItemIdentifier] = true
	}
	return failed, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
