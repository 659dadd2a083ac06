package preconnect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"wechat-parking-gateway/shared/preconnect"
)

func Example() {
	service := httptest.NewServer(http.NotFoundHandler())
	defer service.Close()

	dialer := &preconnect.Dialer{Timeout: time.Second, MaxIdle: 20 * time.Second, Now: time.Now}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DialTLSContext: dialer.DialTLSContext}}
	defer client.CloseIdleConnections()

	// In the init phase:
	if err := dialer.Open(context.Background(), service.URL); err != nil {
		fmt.Println("the first request will connect by itself:", err)
	}
	// With the first request, whose connection is there already:
	res, err := client.Get(service.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	res.Body.Close()
	fmt.Println(res.StatusCode)
	// Output: 404
}
