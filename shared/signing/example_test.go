package signing_test

import (
	"fmt"
	"strings"
	"time"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
)

// The message and the key are those of WeChat Pay's security rules page.
func ExampleV2Key_Sign() {
	key, err := signing.NewV2Key("192006250b4c09247ec02edce69f6a2d")
	if err != nil {
		fmt.Println(err)
		return
	}
	d := flatxml.Document{
		{Name: "appid", Value: "wxd930ea5d5a258f4f"},
		{Name: "mch_id", Value: "10000100"},
		{Name: "device_info", Value: "1000"},
		{Name: "body", Value: "test"},
		{Name: "nonce_str", Value: "ibuaiVcKdpRxkhJA"},
	}
	fmt.Println(key.Sign(d))
	// Output: 6A9AE1657590FD6257D693A078E1C3E4BB6BA4DC30B23E0EE2496E54170DACD6
}

// While a key is changed, both verify; the newest comes first.
func ExampleVerifyV2() {
	older, err := signing.NewV2Key("192006250b4c09247ec02edce69f6a2d")
	if err != nil {
		fmt.Println(err)
		return
	}
	newer, err := signing.NewV2Key("00000000000000000000000000000000")
	if err != nil {
		fmt.Println(err)
		return
	}
	d := flatxml.Document{{Name: "plate_number", Value: "粤A00000"}, {Name: "sign_type", Value: signing.SignTypeHMACSHA256}}
	d = append(d, flatxml.Element{Name: "sign", Value: older.Sign(d)})
	fmt.Println(signing.VerifyV2(d, []*signing.V2Key{newer, older}))
	d[0].Value = "粤A00001"
	fmt.Println(signing.VerifyV2(d, []*signing.V2Key{newer, older}))
	// Output:
	// <nil>
	// signing: the signature does not match
}

func ExampleCanonicalV2() {
	d := flatxml.Document{{Name: "plate_number", Value: "粤A00000"}, {Name: "nonce_str", Value: "5K82"}, {Name: "mch_id", Value: "10000098"}}
	fmt.Println(signing.CanonicalV2(d, "nonce_str"))
	// Output: mch_id=10000098&plate_number=粤A00000
}

func ExampleSigner_Authorization() {
	v, err := readVectors()
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := signing.ParsePrivateKey(v.V3.PrivateKeyPEM)
	if err != nil {
		fmt.Println(err)
		return
	}
	signer := signing.NewSigner("1900007291", "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB", key)
	header, err := signer.Authorization("GET", "/v3/refund/domestic/refunds/123123123123", nil,
		time.Unix(1554208460, 0), "593BEC0C930BF1AFEB40B4A08C8FB242")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.ReplaceAll(header, ",", "\n"))
	// Output:
	// WECHATPAY2-SHA256-RSA2048 mchid="1900007291"
	// nonce_str="593BEC0C930BF1AFEB40B4A08C8FB242"
	// signature="Lc9VXxmeonkdV8Xk9tmigQFLhl0vRWTerdmoRu01aAnYwIrD/5nsSwE1WlmZGLRlAFTNQ3QsMa0+VRDlJp1Wp5p0nO8EK68b5sJBbjouxaFciIfq1zfDWWz+jqhcMoKXI1A6dPm1AW7D4d30WsMTNzp6g23OXakIsh9LO3lUmwvTuE0BY8ncf6tNGk4wKmvXwERd/ZpoQY3MAVKz+Nakwc+2XBmzT66KcUehU5kr4IvGa/lEU5RZb/q00zP9VLdBhC/jQSX3X1UcJLCtEc4gTmib4tnmAT+bHF/e17ZAuxDNcx6rqT8gNEXqaJGG+1OflMSTU2tpyG65G4dMKdFcoA=="
	// timestamp="1554208460"
	// serial_no="408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"
}

// The message and the key are those of WeChat Pay's page on verifying.
func ExampleKeyring_Verify() {
	v, err := readVectors()
	if err != nil {
		fmt.Println(err)
		return
	}
	r := v.Responses[0]
	key, err := signing.ParsePublicKey(r.PublicKeyPEM)
	if err != nil {
		fmt.Println(err)
		return
	}
	ring := signing.Keyring{"PUB_KEY_ID_0000000000000024101100397200000006": key}
	header := signing.Header{Timestamp: r.Timestamp, Nonce: r.Nonce, Signature: r.Signature, Serial: r.Serial}
	sent := time.Unix(1722850421, 0)
	fmt.Println(ring.Verify(header, []byte(r.Body), sent))
	fmt.Println(ring.Verify(header, []byte(r.Body), sent.Add(time.Hour)))
	// Output:
	// <nil>
	// signing: the timestamp is too old
}

// The message and the key are those of WeChat Pay's Java SDK.
func ExampleDecrypt() {
	key, err := signing.NewV3Key("a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb")
	if err != nil {
		fmt.Println(err)
		return
	}
	plain, err := signing.Decrypt([]*signing.V3Key{key}, "uluk4a9R25RW", "associatedData", "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", plain)
	// Output: message
}
