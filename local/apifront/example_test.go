package apifront_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"wechat-parking-gateway/local/apifront"
)

func Example() {
	// In the local stack this is the Invoke method of a lambdahost.Host.
	invoke := func(_ context.Context, function string, payload []byte) ([]byte, error) {
		var event events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		fmt.Println(function, event.RouteKey, event.PathParameters, event.Body)
		return []byte(`{"statusCode":202,"body":"queued"}`), nil
	}
	front, err := apifront.New([]apifront.Route{
		{Key: "POST /v1/callbacks/vehicle/{vendor_id}", Function: "NotifyCallback"},
	}, invoke, apifront.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	request := httptest.NewRequest("POST", "/v1/callbacks/vehicle/lot-7", strings.NewReader("<xml></xml>"))
	request.Header.Set("Content-Type", "text/xml")
	answer := httptest.NewRecorder()
	front.ServeHTTP(answer, request)
	fmt.Println(answer.Code, answer.Body)

	answer = httptest.NewRecorder()
	front.ServeHTTP(answer, httptest.NewRequest("GET", "/v1/nothing", nil))
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// NotifyCallback POST /v1/callbacks/vehicle/{vendor_id} map[vendor_id:lot-7] <xml></xml>
	// 202 queued
	// 404 {"message":"Not Found"}
}
