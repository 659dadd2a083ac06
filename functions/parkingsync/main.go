// Command parkingsync serves POST /v1/vendors/{vendor_id}/businesscircle/parkings: it reports a member's car that drives
// into a business circle or out of it to WeChat Pay (V3 商圈会员停车状态同步), signed with the merchant's private key.
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
		merchantID = box.Settings.Required("MERCHANT_SECRET_ID")
		keyID      = box.Settings.Required("MERCHANT_KEY_SECRET_ID")
		vendorIDs  = box.Settings.List("VENDORS_SECRET_IDS")
		table      = box.Settings.Required("IDEMPOTENCY_TABLE")
		baseURL    = box.Settings.BaseURL("WECHATPAY_BASE_URL", wechatpay.DefaultBaseURL)
		backupURL  = box.Settings.BaseURL("WECHATPAY_BACKUP_URL", wechatpay.BackupFor(baseURL))
		aws        = box.Ready()
	)
	secretsManager := secretsmanager.NewFromConfig(aws)
	merchants := secrets.New(secretsManager, []string{merchantID}, merchant.Parse, box.Reports()...)
	keys := secrets.New(secretsManager, []string{keyID}, merchant.ParseKey, box.Reports()...)
	vendors := secrets.New(secretsManager, vendorIDs, vendor.Parse, box.Reports()...)
	transport := wechatpay.NewTransport(time.Now)
	box.Warm(sandbox.Fetch(merchants), sandbox.Fetch(keys), sandbox.Fetch(vendors), sandbox.Connect(aws, "DynamoDB"), sandbox.To(transport, baseURL))

	h := &parkings{
		merchants: merchants, keys: wechatpay.V3Credentials{Merchants: merchants, Keys: keys}, now: time.Now,
		client: &wechatpay.Client{
			BaseURL: baseURL, BackupURL: backupURL, Transport: transport, Now: time.Now, Random: rand.Reader,
		},
	}
	endpoint := &vendorapi.Endpoint{
		Name: "businesscircle/parkings", Vendors: vendors, Now: time.Now, Prepare: h.prepare,
		Claims: idempotency.New(dynamodb.NewFromConfig(aws), table, time.Now, rand.Reader),
	}
	lambda.Start(&httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: endpoint.Handle},
		Failed: vendorapi.Failed, Now: time.Now, Logger: box.Logger, Meter: box.Meter,
	})
}
