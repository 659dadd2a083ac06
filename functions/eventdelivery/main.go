// Command eventdelivery takes events from the queue to the vendors' webhook_urls. It is invoked by the queue with up to
// ten messages at a time and answers with those that it could not deal with.
package main

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/egress"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/platestate"
	"wechat-parking-gateway/shared/sandbox"
	"wechat-parking-gateway/shared/secrets"
	"wechat-parking-gateway/shared/vendor"
)

func main() {
	box := sandbox.Open(os.Getenv)
	var (
		vendorIDs = box.Settings.List("VENDORS_SECRET_IDS")
		eventsURL = box.Settings.Required("EVENTS_QUEUE_URL")
		deadURL   = box.Settings.Required("EVENTS_DLQ_URL")
		table     = box.Settings.Required("IDEMPOTENCY_TABLE")
		loopback  = box.Settings.Switch("WEBHOOK_ALLOW_LOOPBACK") // the local stack's alone; the template never sets it
		aws       = box.Ready()
	)
	vendors := secrets.New(secretsmanager.NewFromConfig(aws), vendorIDs, vendor.Parse, box.Reports()...)
	box.Warm(sandbox.Fetch(vendors), sandbox.Connect(aws, "DynamoDB"))

	records := dynamodb.NewFromConfig(aws)
	d := &delivery.Deliverer{
		Vendors: vendors,
		Sender:  sender{egress.New(egress.Options{AllowLoopback: loopback, Timeout: delivery.Timeout})},
		Seen:    idempotency.New(records, table, time.Now, rand.Reader, idempotency.KeepFor(delivery.Kept)),
		States:  platestate.New(records, table, time.Now),
		Circuit: delivery.NewCircuit(time.Now),
		Now:     time.Now,
		Random:  mathrand.Int64N,
	}
	h := &handler{
		deliverer: d, queue: sqs.NewFromConfig(aws), eventsURL: eventsURL, deadURL: deadURL, now: time.Now, logger: box.Logger, meter: box.Meter,
	}
	lambda.Start(h.handle)
}
