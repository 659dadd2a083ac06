package strictjson_test

import (
	"errors"
	"fmt"

	"wechat-parking-gateway/shared/strictjson"
)

func ExampleObject() {
	members, err := strictjson.Object([]byte(`{"brandid":1000,"state":"IN"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	brandID, _ := strictjson.Integer(members["brandid"])
	state, _ := strictjson.String(members["state"])
	fmt.Println(brandID, state)

	_, err = strictjson.Object([]byte(`{"state":"IN","state":"OUT"}`))
	if refusal, ok := errors.AsType[*strictjson.Error](err); ok {
		fmt.Println(refusal.Kind == strictjson.DuplicateKey, refusal.Pointer)
	}
	// Output:
	// 1000 IN
	// true /state
}

func ExampleUnmarshal() {
	var settings struct {
		MchID string `json:"mchid"`
	}
	fmt.Println(strictjson.Unmarshal([]byte(`{"mchid":"1900000109"}`), &settings), settings.MchID)
	fmt.Println(strictjson.Unmarshal([]byte(`{"mch_id":"1900000109"}`), &settings))
	// Output:
	// <nil> 1900000109
	// JSON: unknown field at "/mch_id": No such field is known here.
}
