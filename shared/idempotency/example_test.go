package idempotency_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"wechat-parking-gateway/shared/idempotency"
)

func Example() {
	// In a function, the first argument is a *dynamodb.Client.
	store := idempotency.New(idempotency.NewFakeAPI(), "idempotency", time.Now, rand.Reader)

	handle := func(id, request string) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		deadline, _ := ctx.Deadline()
		key := idempotency.Key{VendorID: "acme", Route: "businesscircle/parkings", ID: id}
		r, err := store.Claim(ctx, key, sha256.Sum256([]byte(request)), deadline)
		if err != nil {
			fmt.Println("try again later")
			return
		}
		switch r.Outcome {
		case idempotency.Claimed:
			answer := idempotency.Answer{Status: 204} // from WeChat Pay
			if err := store.Complete(ctx, r.Claim, answer); err != nil {
				fmt.Println("not recorded:", err)
			}
			fmt.Println("called WeChat Pay:", answer.Status)
		case idempotency.Replay:
			fmt.Println("replayed:", r.Answer.Status)
		default:
			fmt.Println(r.Outcome)
		}
	}
	handle("visit-1-in", "the car enters")
	handle("visit-1-in", "the car enters")
	handle("visit-1-in", "the car leaves")
	// Output:
	// called WeChat Pay: 204
	// replayed: 204
	// mismatch
}
