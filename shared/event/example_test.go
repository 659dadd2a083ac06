package event_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/event"
)

// printer stands for the SQS client: it prints what it is sent and accepts it.
type printer struct{}

func (printer) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out := new(sqs.SendMessageBatchOutput)
	for _, e := range in.Entries {
		fmt.Println(*e.MessageGroupId, *e.MessageBody)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func ExampleQueue_Send() {
	queue := event.NewQueue(printer{}, "https://sqs.example/events")
	err := queue.Send(context.Background(), []event.Message{{
		ID:        event.V3ID("EV-2018022511223320873", "acme"),
		VendorID:  "acme",
		Type:      event.ForWeChatPay("MALL_REFUND.SUCCESS"),
		Timestamp: "2026-11-22T10:00:00+08:00",
		Data:      jsontext.Value(`{"refund_amount":100}`),
	}})
	fmt.Println("accepted:", err == nil)
	// Output:
	// acme {"id":"evt_aecc3244013724576071aae2bbafe04660d06408","vendor_id":"acme","type":"businesscircle.refund_succeeded","timestamp":"2026-11-22T10:00:00+08:00","data":{"refund_amount":100}}
	// accepted: true
}

func ExampleValid() {
	fmt.Println(event.Valid("businesscircle.refund_succeeded"))
	fmt.Println(event.Valid("wechatpay.PARKING_FEE.QUERY_TRANS_INFO"))
	fmt.Println(event.Valid("vehicle.plate_state_chagned"))
	// Output:
	// true
	// true
	// false
}

func ExamplePing() {
	at := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	ping := event.Ping("acme", "a nonce that is never used again", at)
	err := event.NewQueue(printer{}, "https://sqs.example/events").Send(context.Background(), []event.Message{ping})
	fmt.Println("accepted:", err == nil)
	// Output:
	// acme {"id":"evt_7fe4954f4681371f6b10f8b9ada21fe56a13509f","vendor_id":"acme","type":"gateway.ping","timestamp":"2026-11-22T10:00:00+08:00","data":{"vendor_id":"acme","message":"This is a test of your webhook_url: answer it with any 2xx. (webhook_url 连通测试，返回任意 2xx 即可)"}}
	// accepted: true
}
