package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"wechat-parking-gateway/shared/egress"
)

func Example() {
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("the vendor hears: %s\n", body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer vendor.Close()

	// A receiver on this machine, so loopback is let in.
	client := egress.New(egress.Options{AllowLoopback: true})
	defer client.CloseIdle()
	header := http.Header{"Content-Type": {"application/json"}}
	response, err := client.Post(context.Background(), vendor.URL+"/hooks", header, []byte(`{"type":"vehicle.plate_state_changed"}`))
	fmt.Println(response.Status, err)

	// A function lets nothing in but the public.
	client = egress.New(egress.Options{})
	_, err = client.Post(context.Background(), "https://169.254.169.254/latest/meta-data/", header, nil)
	fmt.Println(err)
	fmt.Println(errors.Is(err, egress.ErrForbiddenAddress))
	fmt.Println(client.CheckURL("https://hooks.vendor.example/wechat"))
	// Output:
	// the vendor hears: {"type":"vehicle.plate_state_changed"}
	// 204 <nil>
	// egress: forbidden_address: the host's address is not public: link-local, with cloud metadata
	// true
	// <nil>
}
