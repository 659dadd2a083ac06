package flatxml_test

import (
	"fmt"

	"wechat-parking-gateway/shared/flatxml"
)

func ExampleParse() {
	d, err := flatxml.Parse([]byte(`<xml>
  <plate_number>粤A00000</plate_number>
  <vehicle_event_type><![CDATA[BLOCKED]]></vehicle_event_type>
</xml>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Get("plate_number"), d.Get("vehicle_event_type"))
	// Output: 粤A00000 BLOCKED
}

func ExampleParse_refused() {
	_, err := flatxml.Parse([]byte(`<!DOCTYPE xml [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><a>&e;</a></xml>`))
	fmt.Println(err)
	fmt.Println(err == flatxml.ErrDoctype)
	// Output:
	// flatxml: malformed document: a document type
	// true
}

func ExampleAppend() {
	b, err := flatxml.Append(nil, flatxml.Document{
		{Name: "return_code", Value: "SUCCESS"},
		{Name: "return_msg", Value: "OK"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", b)
	// Output: <xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>
}
