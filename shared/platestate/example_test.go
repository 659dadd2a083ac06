package platestate_test

import (
	"context"
	"fmt"
	"time"

	"wechat-parking-gateway/shared/platestate"
)

func Example() {
	// In a function, the first argument is a *dynamodb.Client.
	store := platestate.New(platestate.NewFakeAPI(), "idempotency", time.Now)
	ctx := context.Background()
	key := platestate.Key{VendorID: "acme", MchID: "1900000001", PlateNumber: "粤B12345"}

	send := func(occurredAt time.Time) {
		newest, known, err := store.Newest(ctx, key)
		if err != nil {
			fmt.Println("try again later")
			return
		}
		fmt.Println("superseded:", known && newest.After(occurredAt))
		if err := store.Advance(ctx, key, occurredAt); err != nil {
			fmt.Println("not recorded:", err)
		}
	}
	occurredAt := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	send(occurredAt)
	send(occurredAt.Add(-time.Minute))
	// Output:
	// superseded: false
	// superseded: true
}
