// Command vehiclenotify serves POST /v1/vendors/{vendor_id}/vehicle/notifications: it reports a car's entry to WeChat Pay
// (V2 用户入场通知), signed with the merchant's APIv2 key, and answers whether password-free payment is usable for the car.
package main

import (
	"crypto/rand"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/sandbox"
	"wechat-parking-gateway/shared/secrets"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
	"wechat-parking-gateway/shared/wechatpay"
)

func main() {
	box := sandbox.Open(os.Getenv)
	var (
		merchantID   = box.Settings.Required("MERCHANT_SECRET_ID")
		vendorIDs    = box.Settings.List("VENDORS_SECRET_IDS")
		table        = box.Settings.Required("IDEMPOTENCY_TABLE")
		baseURL      = box.Settings.BaseURL("WECHATPAY_BASE_URL", wechatpay.DefaultBaseURL)
		callbackBase = box.Settings.PublicURL("CALLBACK_BASE_URL")
		aws          = box.Ready()
	)
	secretsManager := secretsmanager.NewFromConfig(aws)
	merchants := secrets.New(secretsManager, []string{merchantID}, merchant.Parse, box.Reports()...)
	vendors := secrets.New(secretsManager, vendorIDs, vendor.Parse, box.Reports()...)
	transport := wechatpay.NewTransport(time.Now)
	box.Warm(sandbox.Fetch(merchants), sandbox.Fetch(vendors), sandbox.Connect(aws, "DynamoDB"), sandbox.To(transport, baseURL))

	h := &entries{
		merchants: merchants, keys: wechatpay.V2Credentials{Merchants: merchants}, now: time.Now, callbackBase: callbackBase,
		client: &wechatpay.Client{BaseURL: baseURL, Transport: transport, Now: time.Now, Random: rand.Reader},
	}
	endpoint := &vendorapi.Endpoint{
		Name: "vehicle/notifications", Vendors: vendors, Now: time.Now, Prepare: h.prepare,
		Claims: idempotency.New(dynamodb.NewFromConfig(aws), table, time.Now, rand.Reader),
	}
	lambda.Start(&httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: endpoint.Handle},
		Failed: vendorapi.Failed, Now: time.Now, Logger: box.Logger, Meter: box.Meter,
	})
}
