package delivery_test

import (
	"fmt"
	"time"

	"wechat-parking-gateway/shared/delivery"
)

// The waits of an event whose vendor is down, drawn at their longest, and the circuit that keeps other events from
// waiting for that vendor in the meantime.
func Example() {
	longest := func(n int64) int64 { return n - 1 }
	for _, tries := range []int{1, 2, 3, 13, 14} {
		fmt.Println("after try", tries, "wait up to", delivery.NextDelay(tries, 0, longest))
	}
	fmt.Println("when asked to, wait", delivery.NextDelay(1, time.Hour, longest))

	circuit := delivery.NewCircuit(func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) })
	for range delivery.OpenAfter {
		pass, _ := circuit.Enter("acme")
		pass.Failure()
		pass.Leave()
	}
	_, wait := circuit.Enter("acme")
	fmt.Println("nothing is sent for", wait)
	// Output:
	// after try 1 wait up to 5s
	// after try 2 wait up to 10s
	// after try 3 wait up to 20s
	// after try 13 wait up to 5h41m20s
	// after try 14 wait up to 6h0m0s
	// when asked to, wait 1h0m0s
	// nothing is sent for 30s
}
