//go:build browser

package console_test

import (
	"fmt"
	"strings"
	"testing"

	"wechat-parking-gateway/local/contract"
	events "wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/problem"
)

// ready is true when the contract has been drawn.
const ready = `document.documentElement.dataset.ready === 'true' && document.querySelectorAll('.opblock').length > 0`

// TestReference opens every route and event of the reference page, in light and dark. Like every page, it must ask no other
// host for anything and violate no policy; see open.
func TestReference(t *testing.T) {
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, dark := range []bool{false, true} {
		t.Run(map[bool]string{false: "light", true: "dark"}[dark], func(t *testing.T) {
			l := desktop
			l.dark = dark
			p := openAt(t, l, "/reference/")
			p.until(ready)
			p.shot(map[bool]string{false: "reference-light", true: "reference-dark"}[dark])
			want := len(c.Routes()) + len(c.EventTypes()) + 1 // and the one for events without a name
			if got := eval[int](p, `document.querySelectorAll('.opblock').length`); got != want {
				t.Errorf("got %d routes and events, want %d", got, want)
			}
			for i := range want {
				press(p, fmt.Sprintf(`document.querySelectorAll('.opblock')[%d].querySelector('button.opblock-summary-control')`, i))
				p.until(fmt.Sprintf(`document.querySelectorAll('.opblock')[%d].classList.contains('is-open')`, i))
			}
			p.until(`document.querySelectorAll('.opblock.is-open .responses-wrapper').length === ` + fmt.Sprint(want))
			text := eval[string](p, `document.getElementById('reference').innerText`)
			for _, code := range problem.Codes() {
				if !strings.Contains(text, string(code)) {
					t.Errorf("the page does not tell of %s", code)
				}
			}
			for _, word := range append(events.Types(), events.GatewayPing, "商圈会员停车状态同步", "用户入场通知", "车牌状态变更通知", "Retry-After") {
				if !strings.Contains(text, word) {
					t.Errorf("the page does not tell of %s", word)
				}
			}
			if shown := eval[int](p, `[...document.querySelectorAll('#reference input, #reference .auth-wrapper')].filter((e) => e.closest('.servers') === null && e.offsetParent !== null).length`); shown != 0 {
				t.Errorf("%d fields invite to fill in what is sent nowhere", shown)
			}
			press(p, `document.querySelector('#operations-vendor-notifyEntry .opblock-summary-control')`)
			eval[bool](p, `(document.querySelector("#operations-vendor-syncParking .opblock-section-request-body").scrollIntoView(), true)`)
			p.shot(map[bool]string{false: "reference-route-light", true: "reference-route-dark"}[dark])
		})
	}
}

// TestReferenceLinks: the address of a route opens it.
func TestReferenceLinks(t *testing.T) {
	p := openAt(t, desktop, "/reference/#/vendor/vendorInfo")
	p.until(ready)
	p.until(`document.querySelector('#operations-vendor-vendorInfo').classList.contains('is-open')`)
}

// press clicks on what an expression of the page names.
func press(p *tab, element string) {
	p.t.Helper()
	eval[bool](p, "("+element+".click(), true)")
}
