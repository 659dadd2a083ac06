package lambdahost_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"wechat-parking-gateway/local/lambdahost"
)

func Example() {
	host, err := lambdahost.New([]lambdahost.Function{{
		Name:      "Barrier",
		Bootstrap: bootstrap("faulty"), // as `make build` leaves it
		Timeout:   3 * time.Second,
	}}, lambdahost.Options{Logs: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer host.Close()

	ctx := context.Background()
	answer, err := host.Invoke(ctx, "Barrier", []byte(`"logs"`))
	fmt.Println(string(answer), err)

	_, err = host.Invoke(ctx, "Barrier", []byte(`"error"`))
	fmt.Println(errors.Is(err, lambdahost.ErrReported), err)

	fmt.Println(host.Stats("Barrier").ColdStarts, "cold start")
	// Output:
	// "printed" <nil>
	// true lambdahost: Barrier: the function answered an error (errorString)
	// 1 cold start
}
