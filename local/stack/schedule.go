package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/lambdahost"
	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/local/samtemplate"
	"wechat-parking-gateway/local/wechatpaysim"
)

// CertRefreshID is the logical id of the function that a schedule invokes.
const CertRefreshID = "CertRefreshFunction"

// startSchedules invokes functions by the clock, as EventBridge does.
func (s *Stack) startSchedules(template *samtemplate.Template, values samtemplate.Values) error {
	schedules, err := template.Schedules(values)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, schedule := range schedules {
		running.Go(func() {
			clock := time.NewTicker(schedule.Every)
			defer clock.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-clock.C:
					// Its own log line says what became of it.
					_, _ = s.Host.Invoke(ctx, schedule.Function, scheduledEvent(time.Now()))
				}
			}
		})
	}
	s.closers = append(s.closers, func() { cancel(); running.Wait() })
	return nil
}

// scheduledEvent is what EventBridge sends by the clock.
func scheduledEvent(now time.Time) []byte {
	return fmt.Appendf(nil, `{"version":"0","id":%q,"detail-type":"Scheduled Event","source":"aws.events","account":%q,"time":%q,"region":%q,`+
		`"resources":["arn:aws-cn:events:%[4]s:%[2]s:rule/%[5]s-CertRefreshFunctionDaily"],"detail":{}}`,
		rand.Text(), accountID, now.UTC().Format(time.RFC3339), moto.Region, stackName)
}

// Refreshed is what a run of the certificate refresh left.
type Refreshed struct {
	Function string `json:"function"`
	Error    string `json:"error,omitempty"` // as the function returned it
	// WeChatPayKeys are the ids under wechatpay_keys in the merchant's secret, sorted.
	WeChatPayKeys []string `json:"wechatpay_keys"`
}

// RefreshCertificates invokes the certificate refresh, as its schedule does.
func (s *Stack) RefreshCertificates(ctx context.Context) (Refreshed, error) {
	result := Refreshed{Function: CertRefreshID}
	if _, err := s.Host.Invoke(ctx, CertRefreshID, scheduledEvent(time.Now())); err != nil {
		result.Error = err.Error()
		if failure, ok := errors.AsType[*lambdahost.FunctionError](err); ok && failure.Message != "" {
			result.Error = failure.Message
		}
	}
	var document fixture.Merchant
	out, err := secretsmanager.NewFromConfig(s.AWS).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &s.World.MerchantSecret, VersionStage: aws.String("AWSCURRENT"),
	})
	if err == nil {
		err = json.Unmarshal([]byte(aws.ToString(out.SecretString)), &document)
	}
	if err != nil {
		return result, fmt.Errorf("reading the merchant's secret: %w", err)
	}
	result.WeChatPayKeys = slices.Sorted(maps.Keys(document.WeChatPayKeys))
	return result, nil
}

// Issued is a platform certificate that WeChat Pay offers from now on.
type Issued struct {
	SerialNo   string `json:"serial_no"`
	ExpireTime string `json:"expire_time"`
}

// IssueCertificate makes WeChat Pay list one more platform certificate, which does not sign anything yet.
func (s *Stack) IssueCertificate() (Issued, error) {
	now := time.Now()
	certificate, err := wechatpaysim.GenerateCertificate(rand.Reader, now.Add(-time.Hour), now.AddDate(5, 0, 0))
	if err != nil {
		return Issued{}, err
	}
	if err := s.WeChatPay.ChangeKeys(func(k *wechatpaysim.Keys) { k.Certificates = append(k.Certificates, certificate) }); err != nil {
		return Issued{}, err
	}
	return Issued{certificate.Serial, fixture.RFC3339(certificate.NotAfter)}, nil
}

// tasks are what can be asked for that is no callback.
var tasks = map[string]func(context.Context, *Stack) (any, error){
	"certrefresh":     func(ctx context.Context, s *Stack) (any, error) { return s.RefreshCertificates(ctx) },
	"new-certificate": func(_ context.Context, s *Stack) (any, error) { return s.IssueCertificate() },
}
