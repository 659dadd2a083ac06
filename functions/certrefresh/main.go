// Command certrefresh keeps WeChat Pay's platform certificates in the merchant's secret up to date, for merchants that
// verify with certificates. It is invoked by a schedule: downloads the certificates, adds those that are new and takes away
// those that have expired. Nothing has to be deployed or restarted; the other functions find what changed in the secret.
package main

import (
	"crypto/rand"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/shared/sandbox"
	"wechat-parking-gateway/shared/secretstore"
	"wechat-parking-gateway/shared/wechatpay"
)

func main() {
	box := sandbox.Open(os.Getenv)
	var (
		merchantID = box.Settings.Required("MERCHANT_SECRET_ID")
		keyID      = box.Settings.Required("MERCHANT_KEY_SECRET_ID")
		baseURL    = box.Settings.BaseURL("WECHATPAY_BASE_URL", wechatpay.DefaultBaseURL)
		backupURL  = box.Settings.BaseURL("WECHATPAY_BACKUP_URL", wechatpay.BackupFor(baseURL))
		aws        = box.Ready()
	)
	box.Warm()
	r := &refresher{
		store: secretstore.New(secretsmanager.NewFromConfig(aws)), merchantID: merchantID, keyID: keyID,
		wechatPay: &wechatpay.Client{
			BaseURL: baseURL, BackupURL: backupURL, Transport: wechatpay.NewTransport(time.Now), Now: time.Now, Random: rand.Reader,
		},
		now: time.Now, logger: box.Logger, meter: box.Meter,
	}
	lambda.Start(r.handle)
}
