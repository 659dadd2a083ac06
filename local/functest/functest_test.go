package functest_test

import (
	"fmt"
	"strings"
	"testing"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
)

// TestLeaksAreSeen holds the check itself: a word of the world's in a line is found, whatever field it stands in.
func TestLeaksAreSeen(t *testing.T) {
	w := functest.NewWorld(t)
	for _, word := range functest.Private(w) {
		log := &functest.Log{}
		log.Never(functest.Private(w)...)
		log.Logger().Error("request", "reason", "the key "+word+" is bad")
		if log.Leak(log.String()) == "" {
			t.Errorf("got no leak for %.12q…, want one", word)
		}
	}
	log := functest.NewLog(t, functest.Private(w)...)
	log.Logger().Info("request", "vendor_id", fixture.VendorID)
	if got := log.Last(t)["vendor_id"]; got != fixture.VendorID {
		t.Errorf("got vendor_id %q, want %q", got, fixture.VendorID)
	}
}

func TestWorldsAreApart(t *testing.T) {
	a, b := functest.NewWorld(t), functest.NewWorld(t)
	a.Vendors.Vendors[fixture.VendorID].Disabled = true
	a.WeChatPay.Merchants[0].SubMchID = "1"
	if b.Vendors.Vendors[fixture.VendorID].Disabled || b.WeChatPay.Merchants[0].SubMchID == "1" {
		t.Error("got one world changed by another, want them apart")
	}
}

func ExampleLog_Leak() {
	log := &functest.Log{}
	log.Never("粤B888888")
	log.Logger().Info("request", "reason", "粤B888888 is no plate")
	fmt.Println(log.Leak(log.String()), strings.Count(log.String(), "\n"))
	// Output: 粤B888888 1
}
