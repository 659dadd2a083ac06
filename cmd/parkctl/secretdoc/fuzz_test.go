package secretdoc_test

import (
	"strings"
	"testing"

	"wechat-parking-gateway/cmd/parkctl/secretdoc"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/vendor"
)

// FuzzCheck: no documents, however broken, end the check; what the functions refuse is an error of the check; and a key
// that stands in a document does not stand in the report.
func FuzzCheck(f *testing.F) {
	for _, seed := range [][3]string{
		{`{"mode":"partner","mchid":"1","appid":"wx1","api_v2_keys":["abcdefghijklmnopqrstuvwxyz012345"],"api_v3_keys":[],"wechatpay_keys":{"PUB_KEY_ID_1":"x"}}`,
			`{"merchant_serial_no":"A","merchant_private_key":"x"}`, `{"vendors":{"a":{"request_secrets":["whsec_AAAA"],"webhook_url":"http://x","merchants":[{}]}}}`},
		{`{}`, `{}`, `{}`}, {``, `[]`, `null`}, {`{"wechatpay_keys":{"a/b~c":"-----BEGIN CERTIFICATE-----"}}`, `{"merchant_serial_no":1}`, `{"vendors":{"a":{"merchants":[{"vehicle":{}}]},"b":{}}}`},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, merchantDocument, keyDocument, vendorsDocument string) {
		report := secretdoc.Check(secretdoc.Set{
			Merchant: secretdoc.Secret{Name: "m", Document: []byte(merchantDocument)}, MerchantKey: secretdoc.Secret{Name: "k", Document: []byte(keyDocument)},
			Vendors: []secretdoc.Secret{{Name: "v", Document: []byte(vendorsDocument)}},
		}, now)
		failed := map[string]bool{}
		for _, finding := range report.Findings {
			if finding.Level == secretdoc.Error {
				failed[finding.Secret] = true
			}
			if finding.Why == "" || finding.Do == "" || strings.Contains(finding.Why+finding.Do, "abcdefghijklmnopqrstuvwxyz") {
				t.Errorf("got %+v", finding)
			}
		}
		if _, err := merchant.Parse([][]byte{[]byte(merchantDocument)}); err != nil && !failed["m"] {
			t.Errorf("the functions refuse the merchant's document (%v), the check does not", err)
		}
		if _, err := merchant.ParseKey([][]byte{[]byte(keyDocument)}); err != nil && !failed["k"] {
			t.Errorf("the functions refuse the key's document (%v), the check does not", err)
		}
		if _, err := vendor.Parse([][]byte{[]byte(vendorsDocument)}); err != nil && !failed["v"] {
			t.Errorf("the functions refuse the vendors' document (%v), the check does not", err)
		}
	})
}
