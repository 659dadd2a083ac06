package eventsource

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
)

func text(s string) *string { return &s }

// received are two messages as SQS gives them: a delayed one of a fair queue with attributes of every type, and a plain
// one.
func received() []types.Message {
	return []types.Message{
		{
			MessageId: text("059f36b4-87a3-44ab-83d2-661975830a7d"), ReceiptHandle: text("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"),
			Body: text(`{"id":"evt_1","data":{"plate_number":"粤B888888","note":"<a&b>"}}`), MD5OfBody: text("6bd1043d62fd75419d69f0a740764eb8"),
			MD5OfMessageAttributes: text("582c92c5c5b6ac403040a4f3ab3115c9"),
			Attributes: map[string]string{
				"ApproximateReceiveCount": "2", "SentTimestamp": "1763776800000", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
				"ApproximateFirstReceiveTimestamp": "1763776800123", "MessageGroupId": "demo-parking",
			},
			MessageAttributes: map[string]types.MessageAttributeValue{
				"tries":       {DataType: text("Number"), StringValue: text("3")},
				"last_reason": {DataType: text("String"), StringValue: text("http_503")},
				"trace":       {DataType: text("Binary"), BinaryValue: []byte("1100")},
			},
		},
		{
			MessageId: text("2e1424d4-f796-459a-8184-9c92662be6da"), ReceiptHandle: text("AQEBzWwaftRI0KuVm4tP+/7q1rGgNqicHq"),
			Body: text("Test message."), MD5OfBody: text("e4e68fb7bd0e697a0ae8f1bb342846b3"),
			Attributes: map[string]string{
				"ApproximateReceiveCount": "1", "SentTimestamp": "1763776800500", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
				"ApproximateFirstReceiveTimestamp": "1763776800501",
			},
		},
	}
}

func golden(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/sqs-event.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func batchOf(messages []types.Message) []record {
	var batch []record
	for _, m := range messages {
		batch = append(batch, recordOf(m, "arn:aws-cn:sqs:cn-north-1:123456789012:gateway-EventsQueue", "cn-north-1"))
	}
	return batch
}

func TestEventIsTheGoldenOne(t *testing.T) {
	got, err := encode(batchOf(received()))
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, golden(t)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

// The golden event goes through aws-lambda-go's own type without a member that it does not know, and with nothing lost.
func TestGoldenEventIsAnSQSEvent(t *testing.T) {
	decoder := json.NewDecoder(bytes.NewReader(golden(t)))
	decoder.DisallowUnknownFields()
	var event events.SQSEvent
	if err := decoder.Decode(&event); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	var got, want struct{ Records []map[string]any }
	if err := errors.Join(json.Unmarshal(again, &got), json.Unmarshal(golden(t), &want)); err != nil {
		t.Fatal(err)
	}
	// aws-lambda-go writes the digest of no attributes as an empty text.
	want.Records[1]["md5OfMessageAttributes"] = ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("through events.SQSEvent (-want +got):\n%s", diff)
	}
	first := event.Records[0]
	if a := first.MessageAttributes["tries"]; a.DataType != "Number" || *a.StringValue != "3" {
		t.Errorf("attribute tries: got %+v", a)
	}
	if a := first.MessageAttributes["trace"]; a.DataType != "Binary" || string(a.BinaryValue) != "1100" {
		t.Errorf("attribute trace: got %+v", a)
	}
	if first.EventSource != "aws:sqs" || first.AWSRegion != "cn-north-1" || first.Body != *received()[0].Body {
		t.Errorf("got record %+v", first)
	}
}

// Whatever a function answers, only messages of the batch can fail, and an error is ErrResponse.
func FuzzFailures(f *testing.F) {
	batch := batchOf(received())
	for _, seed := range []string{
		`null`, `{}`, `{"batchItemFailures":[]}`, `{"batchItemFailures":[{"itemIdentifier":"059f36b4-87a3-44ab-83d2-661975830a7d"}]}`,
		`{"batchItemFailures":[{"itemIdentifier":""}]}`, `{"batchItemFailures":[null]}`, `[`, ``, `{"batchItemFailures":[],"batchItemFailures":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		failed, err := failures(answer, batch)
		if err != nil {
			if !errors.Is(err, ErrResponse) || failed != nil {
				t.Errorf("got %v, %v, want nothing and ErrResponse", failed, err)
			}
			return
		}
		if !json.Valid(answer) {
			t.Errorf("%q is not JSON and was taken", answer)
		}
		for id := range failed {
			if id != batch[0].MessageID && id != batch[1].MessageID {
				t.Errorf("%q failed, which is not in the batch", id)
			}
		}
	})
}
