// Command vendorinfo serves GET /v1/vendors/{vendor_id}: it tells a vendor what the gateway has configured for it, so that
// a vendor's engineer proves clock, signature and configuration before the first car. It calls nobody but Secrets Manager.
package main

import (
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/sandbox"
	"wechat-parking-gateway/shared/secrets"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
)

func main() {
	box := sandbox.Open(os.Getenv)
	var (
		merchantID = box.Settings.Required("MERCHANT_SECRET_ID")
		vendorIDs  = box.Settings.List("VENDORS_SECRET_IDS")
		aws        = box.Ready()
	)
	secretsManager := secretsmanager.NewFromConfig(aws)
	merchants := secrets.New(secretsManager, []string{merchantID}, merchant.Parse, box.Reports()...)
	vendors := secrets.New(secretsManager, vendorIDs, vendor.Parse, box.Reports()...)
	box.Warm(sandbox.Fetch(merchants), sandbox.Fetch(vendors))

	h := &information{merchants: merchants, now: time.Now}
	inquiry := &vendorapi.Inquiry{Vendors: vendors, Now: time.Now, Answer: h.answer}
	lambda.Start(&httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: inquiry.Handle},
		Failed: vendorapi.Failed, Now: time.Now, Logger: box.Logger, Meter: box.Meter,
	})
}
