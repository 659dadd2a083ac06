// Package docs_test holds the documentation against the code.
package docs_test

import (
	"os"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/wechatpay"
)

// TestEveryCodeIsExplained: the closed lists are the same in the code and in errors.md.
func TestEveryCodeIsExplained(t *testing.T) {
	b, err := os.ReadFile("errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range problem.Codes() {
		want = append(want, string(c))
	}
	for _, c := range problem.FieldCodes() {
		want = append(want, string(c))
	}
	for _, r := range wechatpay.Reasons() {
		want = append(want, string(r))
	}
	for _, code := range want {
		if !strings.Contains(string(b), "`"+code+"`") {
			t.Errorf("errors.md does not explain %s", code)
		}
	}
}
