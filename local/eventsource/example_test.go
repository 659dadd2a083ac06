package eventsource_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"wechat-parking-gateway/local/eventsource"
)

// Example runs a function that fails one of two messages, which stays on the queue.
func Example() {
	queue := &queue{} // an *sqs.Client in earnest
	queue.send("drives in", nil)
	queue.send("drives out", nil)

	function := func(_ context.Context, payload []byte) ([]byte, error) {
		var event events.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		for _, r := range event.Records {
			fmt.Println(r.EventSource, r.AWSRegion, r.Body)
		}
		return json.Marshal(events.SQSEventResponse{
			BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: event.Records[1].MessageId}},
		})
	}
	over := make(chan eventsource.Batch, 1)
	source, err := eventsource.Start(queue, function, eventsource.Options{
		QueueURL: queueURL, QueueARN: queueARN, Pollers: 1, ReportBatchItemFailures: true,
		Observe: func(b eventsource.Batch) { over <- b },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	batch := <-over
	source.Close()
	fmt.Println(len(batch.Failed), "failed:", queue.left())
	// Output:
	// aws:sqs cn-north-1 drives in
	// aws:sqs cn-north-1 drives out
	// 1 failed: [drives out]
}
