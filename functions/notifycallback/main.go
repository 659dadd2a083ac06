// Command notifycallback serves the addresses to which WeChat Pay posts: POST /v1/callbacks/vehicle/{vendor_id} (V2
// 车牌状态变更通知) and POST /v1/callbacks/businesscircle (V3 会员积分服务授权结果, 场内支付结果, 场内退款). It verifies a callback
// and puts it on the queue for the vendors that listen before it answers with success.
package main

import (
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/sandbox"
	"wechat-parking-gateway/shared/secrets"
	"wechat-parking-gateway/shared/vendor"
)

func main() {
	box := sandbox.Open(os.Getenv)
	var (
		merchantID = box.Settings.Required("MERCHANT_SECRET_ID")
		vendorIDs  = box.Settings.List("VENDORS_SECRET_IDS")
		queueURL   = box.Settings.Required("EVENTS_QUEUE_URL")
		aws        = box.Ready()
	)
	secretsManager := secretsmanager.NewFromConfig(aws)
	merchants := secrets.New(secretsManager, []string{merchantID}, merchant.Parse, box.Reports()...)
	vendors := secrets.New(secretsManager, vendorIDs, vendor.Parse, box.Reports()...)
	box.Warm(sandbox.Fetch(merchants), sandbox.Fetch(vendors), sandbox.Connect(aws, "SQS"))

	c := &callbacks{merchants: merchants, vendors: vendors, queue: event.NewQueue(sqs.NewFromConfig(aws), queueURL), now: time.Now}
	lambda.Start(&httpapi.Adapter{
		Routes: map[string]httpapi.Handler{plateStateRoute: c.plateState, businessCircleRoute: c.businessCircle},
		Failed: failed, Now: time.Now, Logger: box.Logger, Meter: box.Meter,
	})
}
