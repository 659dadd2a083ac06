package merchant_test

import (
	"fmt"

	"wechat-parking-gateway/shared/merchant"
)

// A document is checked before it is stored: a mistake names its field and
// shows nothing of what is in it.
func ExampleParse() {
	m, err := merchant.Parse([][]byte{[]byte(`{
		"mode": "partner",
		"mchid": "1900000100",
		"appid": "wxcbda96de0b165486"
	}`)})
	fmt.Println(m, err)

	_, err = merchant.Parse([][]byte{[]byte(`{
		"mode": "partner",
		"mchid": "1900000100",
		"appid": "wxcbda96de0b165486",
		"response_key_id": "PUB_KEY_ID_1"
	}`)})
	fmt.Println(err)
	// Output:
	// merchant.Merchant{partner 1900000100} <nil>
	// merchant document: /response_key_id: want one of the names in wechatpay_keys
}

func ExampleParseKey() {
	_, err := merchant.ParseKey([][]byte{[]byte(`{"merchant_serial_no": "0d:4f:5b"}`)})
	fmt.Println(err)
	// Output:
	// merchant document: /merchant_serial_no: want the API certificate's serial number, as the merchant console shows it
}
