package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"wechat-parking-gateway/shared/httpapi"
)

// Example serves one route. Lambda's runtime would call Invoke.
func Example() {
	adapter := &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{
			"POST /v1/callbacks/businesscircle": func(_ context.Context, req *httpapi.Request) httpapi.Response {
				contentType, _ := req.Header.Get("content-type")
				fmt.Printf("%s: %s\n", contentType, req.Body)
				return httpapi.Response{Status: 204}
			},
		},
		Failed: func(context.Context, *httpapi.Request) httpapi.Response { return httpapi.Response{Status: 500} },
		Now:    time.Now,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	answer, err := adapter.Invoke(context.Background(), []byte(`{"version":"2.0","routeKey":"POST /v1/callbacks/businesscircle",
		"headers":{"Content-Type":"application/json"},"body":"e30=","isBase64Encoded":true,"requestContext":{"requestId":"r-1"}}`))
	fmt.Println(string(answer), err)
	// Output:
	// application/json: {}
	// {"statusCode":204,"headers":{"Request-Id":"r-1"}} <nil>
}
