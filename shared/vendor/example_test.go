package vendor_test

import (
	"crypto/rand"
	"errors"
	"fmt"

	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/vendor"
)

func Example() {
	secret, err := stdwebhook.NewSecret(rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	document := fmt.Sprintf(`{"vendors": {"acme": {
		"request_secrets": [%q],
		"merchants": [
			{"sub_mchid": "1900000109", "vehicle": {"sub_appid": "wxcbda96de0b165489"}},
			{"sub_mchid": "1900000110", "vehicle": {"sub_appid": "wxcbda96de0b165489"}}
		]
	}}}`, secret)

	directory, err := vendor.Parse([][]byte{[]byte(document)})
	if err != nil {
		fmt.Println(err)
		return
	}
	acme, ok := directory.Lookup("acme")
	fmt.Println(acme, ok, acme.Events)

	_, err = acme.SelectVehicle(vendor.VehicleQuery{})
	fmt.Println(errors.Is(err, vendor.ErrAmbiguous))
	subMchID := "1900000110"
	merchant, err := acme.SelectVehicle(vendor.VehicleQuery{SubMchID: &subMchID})
	fmt.Println(merchant.SubMchID, err)
	_, err = acme.SelectBusinessCircle(vendor.BusinessCircleQuery{SubMchID: &subMchID})
	fmt.Println(err)

	fmt.Println(directory.Subscribers("1900000109", "vehicle.plate_state_changed"))
	// Output:
	// vendor.Vendor{acme} true [vehicle.plate_state_changed]
	// true
	// 1900000110 <nil>
	// the vendor may not act for this merchant: the product is not configured for it
	// [vendor.Vendor{acme}]
}

// A mistake names its place and shows nothing of what is there.
func ExampleParse() {
	_, err := vendor.Parse([][]byte{[]byte(`{"vendors": {"acme": {"request_secrets": ["c2VjcmV0"]}}}`)})
	fmt.Println(err)
	// Output:
	// vendors document 1: /vendors/acme/request_secrets/0: stdwebhook: the secret does not begin with "whsec_"
}
