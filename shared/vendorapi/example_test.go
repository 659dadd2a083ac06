package vendorapi_test

import (
	"fmt"

	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/vendorapi"
)

// ExampleReadBody reads a route's body and answers with everything that is wrong with it at once.
func ExampleReadBody() {
	body, p := vendorapi.ReadBody([]byte(`{"state":"INN","plate":"粤B888888"}`), vendorapi.Schema{
		Fields: map[string]vendorapi.Kind{"state": vendorapi.Text, "plate_number": vendorapi.Text},
		Hints:  map[string]string{"plate": "WeChat Pay spells it plate_number."},
	})
	if p != nil {
		fmt.Println(p)
		return
	}
	if state, ok := body.Required("state"); ok && state != "IN" && state != "OUT" {
		body.Fail("state", problem.BadValue, "The state is IN or OUT.")
	}
	body.Required("plate_number")
	for _, e := range body.Problem().Errors {
		fmt.Println(e.Pointer, e.Code, e.Detail)
	}
	// Output:
	// /plate unknown_field WeChat Pay spells it plate_number.
	// /state bad_value The state is IN or OUT.
	// /plate_number required This field is required.
}
