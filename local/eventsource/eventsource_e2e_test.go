//go:build e2e

package eventsource_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/local/eventsource"
	"wechat-parking-gateway/local/moto"
)

// Against the SQS API as moto emulates it: a reported failure comes again after its visibility timeout, everything else
// comes once and with its attributes, and the queue is empty in the end.
func TestEmulatedQueue(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := moto.Start(ctx, "../../.venv/bin/moto_server", filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client := sqs.NewFromConfig(server.Config())
	made, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String("events"), Attributes: map[string]string{"VisibilityTimeout": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}

	const count = 40
	var mu sync.Mutex
	seen := map[string]int{}
	var wrong []string
	over := make(chan struct{})
	function := func(_ context.Context, payload []byte) ([]byte, error) {
		var event events.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		var response events.SQSEventResponse
		for _, r := range event.Records {
			seen[r.MessageId]++
			if a := r.MessageAttributes["tries"]; a.DataType != "Number" || aws.ToString(a.StringValue) != "1" ||
				r.Attributes["MessageGroupId"] != "demo-parking" || r.Attributes["SentTimestamp"] == "" || r.Md5OfBody == "" {
				wrong = append(wrong, r.MessageId)
			}
			if r.Body == "poison" && r.Attributes["ApproximateReceiveCount"] == "1" {
				response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: r.MessageId})
			} else if r.Body == "poison" {
				close(over)
			}
		}
		return json.Marshal(response)
	}
	source, err := eventsource.Start(client, function, eventsource.Options{
		QueueURL: *made.QueueUrl, QueueARN: "arn:aws-cn:sqs:cn-north-1:123456789012:events", Pollers: 1,
		ReportBatchItemFailures: true, OnError: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var poison string
	for i := range count {
		body := "fine"
		if i == count/2 {
			body = "poison"
		}
		sent, err := client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: made.QueueUrl, MessageBody: &body, MessageGroupId: aws.String("demo-parking"),
			MessageAttributes: map[string]types.MessageAttributeValue{"tries": {DataType: aws.String("Number"), StringValue: aws.String("1")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if body == "poison" {
			poison = *sent.MessageId
		}
	}
	select {
	case <-over:
	case <-ctx.Done():
		t.Fatal("the failed message did not come again")
	}
	if err := source.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if len(seen) != count || len(wrong) != 0 {
		t.Errorf("got %d messages, %d of them without what was sent, want %d and 0", len(seen), len(wrong), count)
	}
	for id, times := range seen {
		if want := map[bool]int{false: 1, true: 2}[id == poison]; times != want {
			t.Errorf("message %s: came %d times, want %d", id, times, want)
		}
	}
	got, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: made.QueueUrl, AttributeNames: []types.QueueAttributeName{"All"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		if got.Attributes[name] != "0" {
			t.Errorf("%s: got %s, want 0", name, got.Attributes[name])
		}
	}
}
