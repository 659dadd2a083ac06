package lambdahost_test

import (
	"testing"

	"wechat-parking-gateway/local/lambdahost"
)

// BenchmarkInvoke measures what the host and a function without any work cost:
// in a sandbox that is there, and in one that has to start.
func BenchmarkInvoke(b *testing.B) {
	h, err := lambdahost.New([]lambdahost.Function{echo()}, lambdahost.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
	invoke := func(b *testing.B) {
		if _, err := h.Invoke(b.Context(), "Echo", []byte(`{}`)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("warm", func(b *testing.B) {
		invoke(b)
		for b.Loop() {
			invoke(b)
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			h.Kill("Echo")
			invoke(b)
		}
	})
}
