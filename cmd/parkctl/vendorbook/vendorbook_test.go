package vendorbook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"wechat-parking-gateway/cmd/parkctl/vendorbook"
)

const document = `{
  "vendors": {
    "acme": {"request_secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "merchants": [
      {"sub_mchid": "1900000109", "vehicle": {"sub_appid": "wx1"}}]},
    "other": {"request_secrets": []}
  }
}
`

// TestChanges: a change does what it says, leaves the rest byte for byte, and refuses what the functions would not read.
func TestChanges(t *testing.T) {
	for _, row := range []struct {
		name    string
		change  func([]byte) ([]byte, error)
		find    string // what the new document holds
		wantErr error
	}{
		{"add", func(d []byte) ([]byte, error) { return vendorbook.Add(d, "new", vendorbook.Vendor{}) }, `"new": {}`, nil},
		{"add one that is there", func(d []byte) ([]byte, error) { return vendorbook.Add(d, "acme", vendorbook.Vendor{}) }, "", vendorbook.ErrExists},
		{"disable", func(d []byte) ([]byte, error) { return vendorbook.SetDisabled(d, "other", true) }, `"disabled": true`, nil},
		{"disable one that is not there", func(d []byte) ([]byte, error) { return vendorbook.SetDisabled(d, "new", true) }, "", vendorbook.ErrUnknown},
		{"enable one that is enabled", func(d []byte) ([]byte, error) { return vendorbook.SetDisabled(d, "other", false) }, document, nil},
		{"rotate", func(d []byte) ([]byte, error) {
			return vendorbook.Rotate(d, "acme", vendorbook.Request, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")
		}, `["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",`, nil},
		{"rotate into an absent list", func(d []byte) ([]byte, error) {
			return vendorbook.Rotate(d, "acme", vendorbook.Webhook, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")
		}, `"webhook_secrets": ["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"]`, nil},
		{"finish what was not begun", func(d []byte) ([]byte, error) { return vendorbook.Finish(d, "acme", seen(d), vendorbook.Request) }, "", vendorbook.ErrNotRotating},
		{"add a product", func(d []byte) ([]byte, error) {
			return vendorbook.AddMerchant(d, "acme", vendorbook.Merchant{SubMchID: "1900000109", BusinessCircle: &vendorbook.BusinessCircle{BrandID: 7, AppID: "wx2"}})
		}, `{"sub_mchid":"1900000109","vehicle":{"sub_appid":"wx1"},"businesscircle":{"brandid":7,"appid":"wx2"}}`, nil},
		{"add another brand", func(d []byte) ([]byte, error) {
			return vendorbook.AddMerchant(d, "acme", vendorbook.Merchant{SubMchID: "1900000109", Vehicle: &vendorbook.Vehicle{SubAppID: "wx9"}})
		}, `{"sub_mchid":"1900000109","vehicle":{"sub_appid":"wx9"}}`, nil},
		{"add the first merchant", func(d []byte) ([]byte, error) {
			return vendorbook.AddMerchant(d, "other", vendorbook.Merchant{Vehicle: &vendorbook.Vehicle{}})
		}, `"merchants": [{"vehicle":{}}]`, nil},
		{"add a merchant of a vendor that stands in another document", func(d []byte) ([]byte, error) {
			return vendorbook.AddMerchant(d, "elsewhere", vendorbook.Merchant{SubMchID: "1", Vehicle: &vendorbook.Vehicle{}})
		}, `"elsewhere": {"merchants":[{"sub_mchid":"1","vehicle":{}}]}`, nil},
		{"remove a merchant that is not there", func(d []byte) ([]byte, error) { return vendorbook.RemoveMerchant(d, "acme", "1") }, "", vendorbook.ErrNoMerchant},
		{"remove", func(d []byte) ([]byte, error) { return vendorbook.Remove(d, "other") }, `"acme"`, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := row.change([]byte(document))
			if !errors.Is(err, row.wantErr) || row.wantErr == nil && err != nil {
				t.Fatalf("got %v, want %v", err, row.wantErr)
			}
			if err == nil && !strings.Contains(string(got), row.find) {
				t.Errorf("got %s, want it to hold %s", got, row.find)
			}
			if err == nil && row.name != "rotate" && !strings.Contains(string(got), `"request_secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]`) {
				t.Errorf("got %s, want the rest as it was", got)
			}
		})
	}
}

// seen is the vendor acme of a document.
func seen(document []byte) vendorbook.Vendor {
	vendors, err := vendorbook.Read(document)
	if err != nil {
		panic(err)
	}
	return vendors["acme"]
}

// TestFinish: the older secret goes, unless the secrets are no longer those that were seen.
func TestFinish(t *testing.T) {
	const first, second, third = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whsec_BBECAwQFBgcICQoLDA0ODxAREhMUFRYX"
	rotate := func(d []byte, secret string) []byte {
		d, err := vendorbook.Rotate(d, "acme", vendorbook.Request, secret)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	begun := rotate([]byte(document), second)
	finished, err := vendorbook.Finish(begun, "acme", seen(begun), vendorbook.Request)
	if err != nil || strings.Contains(string(finished), first) || !strings.Contains(string(finished), second) {
		t.Fatalf("got %s, %v, want the newer secret alone", finished, err)
	}
	// Another has finished that rotation and begun the next: the vendor uses what was the newer one.
	got, err := vendorbook.Finish(rotate(finished, third), "acme", seen(begun), vendorbook.Request)
	if !errors.Is(err, vendorbook.ErrChanged) || strings.Contains(err.Error(), "whsec_") {
		t.Errorf("got %s, %v, want ErrChanged", got, err)
	}
}

// TestNoSecretShown: neither an error nor a printed vendor shows a secret.
func TestNoSecretShown(t *testing.T) {
	_, err := vendorbook.Read([]byte(`{"vendors":{"a":{"request_secrets":["whsec_not/base64!"]}}}`))
	if err == nil || strings.Contains(err.Error(), "base64!") || !strings.Contains(err.Error(), "/vendors/a/request_secrets/0") {
		t.Errorf("got %v, want the field and not its value", err)
	}
	v := vendorbook.Vendor{RequestSecrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
	if shown := fmt.Sprintf("%v %+v %#v", v, v, &v); strings.Contains(shown, "whsec_") {
		t.Errorf("got %s", shown)
	}
}

func Example() {
	document, err := vendorbook.Add([]byte(vendorbook.Empty), "acme", vendorbook.Vendor{
		Merchants: []vendorbook.Merchant{{SubMchID: "1900000109", Vehicle: &vendorbook.Vehicle{}}},
	})
	fmt.Println(string(document), err)
	// Output:
	// {"vendors":{"acme":{"merchants":[{"sub_mchid":"1900000109","vehicle":{}}]}}} <nil>
}
