//go:build browser

package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// action selects the button of an action.
func action(name string) string { return `[data-action="` + name + `"]` }

// live waits until the page is connected and knows the stage.
func (p *tab) live() {
	p.t.Helper()
	p.until(`document.querySelector('#connection').dataset.state === 'live' && document.querySelector('#plate-state').textContent !== ''`)
}

// press clicks a button once the page is ready for it.
func (p *tab) press(selector string) {
	p.t.Helper()
	p.do(chromedp.ScrollIntoView(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// clear leaves no row, so that what comes next is all that there is.
func (p *tab) clear() {
	p.t.Helper()
	p.press("#clear")
	p.until(`document.querySelectorAll('.row').length === 0`)
}

// sees waits for a message of a subject with a verdict, whose text holds all of some words.
func (p *tab) sees(subject, verdict string, words ...string) {
	p.t.Helper()
	quoted, err := json.Marshal(words)
	if err != nil {
		p.t.Fatal(err)
	}
	p.until(fmt.Sprintf(`[...document.querySelectorAll('.row[data-subject=%q][data-verdict=%q]')]
		.some((row) => (%s ?? []).every((word) => row.textContent.includes(word)))`, subject, verdict, quoted))
}

// quiet waits until every action is over.
func (p *tab) quiet() {
	p.t.Helper()
	p.until(`document.querySelectorAll('[aria-busy="true"]').length === 0`)
}

// choose chooses one of the radio buttons and waits until the stage says so.
func (p *tab) choose(name, value string) {
	p.t.Helper()
	p.press(fmt.Sprintf(`input[name=%q][value=%q]`, name, value))
	p.until(fmt.Sprintf(`document.querySelector('.card.%s').dataset.state === %q`, name, value))
}

// heard are the requests that WeChat Pay has got since there were a number of them.
func heard(since int) []wechatpaysim.Request { return suite.stage.WeChatPay.Requests()[since:] }

// told are the webhooks that the vendor has got since there were a number of them.
func told(since int) []demovendor.Delivery { return suite.stage.Webhooks.Deliveries()[since:] }

// eventually waits until a condition outside the page holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it does not come true", what)
		}
	}
}

func depth(t *testing.T, of func(context.Context) (int, error)) int {
	t.Helper()
	n, err := of(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// accepted tells whether exactly one request came, was accepted, and has these fields.
func accepted(t *testing.T, since int, route string, fields map[string]string) {
	t.Helper()
	got := heard(since)
	if len(got) != 1 || !got[0].Accepted || got[0].Route != route {
		t.Errorf("WeChat Pay heard %+v, want one good request to %s", got, route)
		return
	}
	for name, want := range fields {
		if got[0].Fields[name] != want {
			t.Errorf("WeChat Pay heard %s %q, want %q", name, got[0].Fields[name], want)
		}
	}
}

// one waits for a webhook that the vendor accepted, and that it is the only one.
func one(t *testing.T, since int, eventType, member string) {
	t.Helper()
	eventually(t, "the vendor hears of "+eventType, func() bool { return len(told(since)) > 0 && told(since)[0].Accepted() })
	got := told(since)
	if len(got) != 1 || got[0].Type != eventType || !bytes.Contains(got[0].Data, []byte(member)) {
		t.Errorf("the vendor heard %d webhooks, first %s %s, want one %s with %s", len(got), got[0].Type, got[0].Data, eventType, member)
	}
}

// TestVisit plays the whole visit and takes the pictures.
func TestVisit(t *testing.T) {
	p := open(t, desktop)
	p.live()
	p.clear()
	requests := len(suite.stage.WeChatPay.Requests())
	p.press(action("visit"))
	p.until(`document.querySelector('[data-action="drive-in"]').getAttribute('aria-disabled') === 'true'`)
	p.until(`document.querySelectorAll('.row.step').length === 10`)
	p.until(`document.querySelector('[data-action="drive-in"]').getAttribute('aria-disabled') === 'false'`)
	p.quiet()
	p.sees("sync_parking", "verified", "OUT")
	if complaint := eval[string](p, `document.querySelector('#alert').textContent`); complaint != "" {
		t.Errorf("the page complains: %s", complaint)
	}
	if got := len(heard(requests)); got != 3 {
		t.Errorf("WeChat Pay heard %d requests, want 3: in, entry and out", got)
	}
	if ids := eval[[]int](p, `[...document.querySelectorAll('.row')].map((row) => Number(row.dataset.id))`); !slices.IsSorted(ids) {
		t.Errorf("the rows are not in their order: %v", ids)
	}
	p.until(`document.querySelectorAll('.functions .busy').length === 0`)
	p.shot("light")

	// Late comers see the same.
	for name, l := range map[string]look{
		"dark":      {width: 1440, height: 900, language: "zh-CN", dark: true, still: true},
		"mobile":    {width: 390, height: 844, language: "en-US", still: true, mobile: true},
		"mobile-zh": {width: 390, height: 844, language: "zh-CN", dark: true, still: true, mobile: true},
		"detail":    {width: 1366, height: 800, language: "en-US", still: true},
		"small":     {width: 1100, height: 720, language: "en-US", still: true},
	} {
		late := open(t, l)
		late.live()
		late.until(`document.querySelectorAll('.row.step').length >= 10`)
		if l.mobile {
			if wide := eval[int](late, `document.documentElement.scrollWidth`); wide > int(l.width) {
				t.Errorf("%s: the page is %d wide on a screen of %d", name, wide, l.width)
			}
			late.shot(name + "-top")
			late.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.row:nth-last-child(14)').scrollIntoView()`))
		}
		if name == "detail" {
			late.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('.row[data-subject="circle_event"] .message')].at(-2).click()`))
			late.until(`!document.querySelector('#detail').hidden`)
		}
		late.shot(name)
	}
}

// TestButtons presses every button, sees what the page shows of it, and looks at the other end.
func TestButtons(t *testing.T) {
	p := open(t, desktop)
	p.live()
	nobody := func(t *testing.T, requests, webhooks int) {
		if got := heard(requests); len(got) > 0 {
			t.Errorf("WeChat Pay heard %d requests, want none", len(got))
		}
		eventually(t, "nothing waits", func() bool { return depth(t, suite.stack.Waiting) == 0 })
		if got := told(webhooks); len(got) > 0 {
			t.Errorf("the vendor heard %d webhooks, want none", len(got))
		}
	}
	for _, tc := range []struct {
		button string
		page   func(p *tab)
		other  func(t *testing.T, requests, webhooks int)
	}{
		{"drive-in", func(p *tab) {
			p.sees("parkings", "verified", "IN", fixture.Plate, "parkingsync")
			p.sees("sync_parking", "verified", "IN", fixture.Plate)
			p.sees("answer", "verified", "WeChat Pay to Gateway", "204 No Content")
			p.sees("answer", "accepted", "Gateway to Parking vendor", "204 No Content")
		}, func(t *testing.T, requests, _ int) {
			accepted(t, requests, wechatpaysim.RouteParkings, map[string]string{"state": "IN", "plate_number": fixture.Plate})
		}},
		{"drive-out", func(p *tab) {
			p.sees("sync_parking", "verified", "OUT", fixture.Plate)
		}, func(t *testing.T, requests, _ int) {
			accepted(t, requests, wechatpaysim.RouteParkings, map[string]string{"state": "OUT", "plate_number": fixture.Plate})
		}},
		{"entry", func(p *tab) {
			p.sees("entry", "verified", fixture.Plate, "vehiclenotify")
			p.sees("notify_entry", "verified", fixture.Plate)
			p.sees("answer", "verified", "WeChat Pay to Gateway", "NORMAL")
			p.sees("answer", "accepted", "Gateway to Parking vendor", "200 OK")
		}, func(t *testing.T, requests, _ int) {
			accepted(t, requests, wechatpaysim.RouteVehiclePartner, map[string]string{"plate_number": fixture.Plate})
		}},
		{"repeat", func(p *tab) {
			p.sees("entry", "verified", fixture.Plate)
			p.sees("answer", "accepted", "Idempotency-Replayed")
		}, nobody},
		{"forge-call", func(p *tab) {
			p.sees("parkings", "refused", "not_authenticated")
			p.sees("answer", "refused", "401 Unauthorized")
		}, nobody},
		{"block", func(p *tab) {
			p.sees("plate_state", "verified", "BLOCKED OVERDUE", fixture.Plate, "notifycallback")
			p.sees("enqueue", "accepted", "vehicle.plate_state_changed BLOCKED")
			p.sees("deliver", "accepted", "eventdelivery")
			p.sees("webhook", "verified", "vehicle.plate_state_changed BLOCKED")
			p.until(`document.querySelector('#plate-state').textContent === 'blocked'`)
		}, func(t *testing.T, _, webhooks int) {
			one(t, webhooks, "vehicle.plate_state_changed", `"state":"BLOCKED"`)
			if got := suite.stage.WeChatPay.StateOf(fixture.Plate).UserState; got != "BLOCKED" {
				t.Errorf("WeChat Pay says %s, want BLOCKED", got)
			}
		}},
		{"redeliver", func(p *tab) {
			p.sees("plate_state", "verified", "BLOCKED OVERDUE", fixture.Plate)
			p.sees("deliver", "accepted")
		}, nobody},
		{"unblock", func(p *tab) {
			p.sees("plate_state", "verified", "NORMAL PROACTIVE", fixture.Plate)
			p.sees("webhook", "verified", "vehicle.plate_state_changed NORMAL")
			p.until(`document.querySelector('#plate-state').textContent === 'password-free'`)
		}, func(t *testing.T, _, webhooks int) {
			one(t, webhooks, "vehicle.plate_state_changed", `"state":"NORMAL"`)
			if got := suite.stage.WeChatPay.StateOf(fixture.Plate).UserState; got != "NORMAL" {
				t.Errorf("WeChat Pay says %s, want NORMAL", got)
			}
		}},
		{"pay", func(p *tab) {
			p.sees("circle_event", "verified", "MALL_TRANSACTION.SUCCESS")
			p.sees("webhook", "verified", "businesscircle.transaction_succeeded")
		}, func(t *testing.T, _, webhooks int) {
			one(t, webhooks, "businesscircle.transaction_succeeded", `"transaction_id":"1234567890"`)
		}},
		{"refund", func(p *tab) {
			p.sees("circle_event", "verified", "MALL_REFUND.SUCCESS")
			p.sees("webhook", "verified", "businesscircle.refund_succeeded")
		}, func(t *testing.T, _, webhooks int) {
			one(t, webhooks, "businesscircle.refund_succeeded", `"refund_amount":100`)
		}},
		{"forge", func(p *tab) {
			p.sees("plate_state", "refused", "bad_signature")
			p.sees("answer", "refused", "Gateway to WeChat Pay", "bad_signature")
		}, nobody},
		{"probe", func(p *tab) {
			p.sees("circle_event", "refused", "probe")
			p.sees("answer", "refused", "401 Unauthorized", "probe")
		}, nobody},
	} {
		ok := t.Run(tc.button, func(t *testing.T) {
			p.clear()
			requests, webhooks := len(suite.stage.WeChatPay.Requests()), len(suite.stage.Webhooks.Deliveries())
			p.press(action(tc.button))
			p.until(`document.querySelector('.row.step h3') !== null`)
			tc.page(p)
			p.quiet()
			tc.other(t, requests, webhooks)
		})
		if !ok {
			t.Logf("the page showed:\n%s", p.rows())
		}
	}
	if got, want := eval[int](p, `document.querySelectorAll('[data-action]').length`), 13; got != want {
		t.Errorf("the page has %d buttons, and 12 are pressed here and 1 in TestVisit", got)
	}
}

// TestVendorDown: what a vendor misses waits on the queue and arrives when it is back; what it will never take is a dead
// letter.
func TestVendorDown(t *testing.T) {
	p := open(t, desktop)
	p.live()
	p.clear()
	p.choose("vendor", "down")
	webhooks := len(suite.stage.Webhooks.Deliveries())
	p.press(action("pay"))
	p.sees("webhook", "verified", "businesscircle.transaction_succeeded")
	p.sees("answer", "failed", "Parking vendor to Gateway", "503 Service Unavailable")
	p.sees("delay", "accepted", "http_503")
	p.until(`document.querySelector('#waiting').textContent === '1'`)
	if got := depth(t, suite.stack.Waiting); got != 1 {
		t.Errorf("%d events wait, want 1", got)
	}
	if got := told(webhooks); len(got) != 1 || got[0].Status != http.StatusServiceUnavailable {
		t.Errorf("the vendor heard %+v, want one webhook answered 503", got)
	}
	p.shot("error")

	p.choose("vendor", "up")
	p.sees("answer", "accepted", "Parking vendor to Gateway", "204 No Content")
	eventually(t, "the vendor accepts what it has missed", func() bool { return slices.ContainsFunc(told(webhooks), demovendor.Delivery.Accepted) })
	p.until(`document.querySelector('#waiting').textContent === '0'`)

	p.clear()
	p.choose("vendor", "gone")
	dead := depth(t, suite.stack.DeadLetters)
	p.press(action("pay"))
	p.sees("answer", "refused", "410 Gone")
	p.sees("park", "accepted", "gone")
	p.until(fmt.Sprintf(`document.querySelector('#dead').textContent === '%d'`, dead+1))
	if got := depth(t, suite.stack.DeadLetters); got != dead+1 {
		t.Errorf("%d dead letters, want %d", got, dead+1)
	}
	p.choose("vendor", "up")
}

// TestWeChatPayDown: the gateway tries again, says so to the vendor, and gets through once WeChat Pay is back.
func TestWeChatPayDown(t *testing.T) {
	p := open(t, desktop)
	p.live()
	p.clear()
	p.choose("wechatpay", "down")
	requests := len(suite.stage.WeChatPay.Requests())
	p.press(action("drive-in"))
	p.sees("answer", "failed", "WeChat Pay to Gateway", "503 Service Unavailable")
	p.sees("answer", "failed", "Gateway to Parking vendor", "wechatpay_unavailable")
	p.quiet()
	tries := heard(requests)
	if len(tries) < 2 || slices.ContainsFunc(tries, func(r wechatpaysim.Request) bool { return r.Fault != wechatpaysim.FaultStatus }) {
		t.Errorf("WeChat Pay heard %d tries, want several that all failed", len(tries))
	}
	shown := eval[int](p, `document.querySelectorAll('.row[data-subject="sync_parking"]').length`)
	if shown != len(tries) {
		t.Errorf("the page shows %d tries, want %d", shown, len(tries))
	}
	p.choose("wechatpay", "up")
	p.clear()
	p.press(action("repeat"))
	p.sees("answer", "accepted", "Gateway to Parking vendor", "204 No Content")
}

// TestDetail: a message opens with its headers, its canonical text and its body, and leads to its answer; no secret is in
// any message.
func TestDetail(t *testing.T) {
	p := open(t, desktop)
	p.live()
	p.clear()
	p.press(action("drive-in"))
	p.quiet()
	p.sees("sync_parking", "verified")
	p.press(`.row[data-subject="sync_parking"] .message`)
	p.until(`!document.querySelector('#detail').hidden`)
	for _, want := range []string{"POST\\n\n/v3/businesscircle/parkings\\n\n", "WECHATPAY2-SHA256-RSA2048", `"state":"IN"`, "authorization", "parkingsync", "✓ verified"} {
		if text := eval[string](p, `document.querySelector('#detail').textContent`); !strings.Contains(text, want) {
			t.Errorf("the detail lacks %q: %s", want, text)
		}
	}
	p.press("#other")
	p.until(`document.querySelector('#detail-title').textContent.startsWith('204 No Content')`)
	if text := eval[string](p, `document.querySelector('#detail').textContent`); !strings.Contains(text, "wechatpay-signature") {
		t.Errorf("the answer lacks its signature: %s", text)
	}
	p.press("#other")
	p.until(`document.querySelector('#detail-title').textContent.startsWith('Sync parking state')`)
	p.press("#close")
	p.until(`document.querySelector('#detail').hidden && document.activeElement.closest('.row')?.dataset.subject === 'sync_parking'`)

	p.press(action("entry"))
	p.sees("notify_entry", "verified")
	p.press(`.row[data-subject="notify_entry"] .message`)
	p.until(`document.querySelector('#detail').textContent.includes('the APIv2 key, not shown')`)
	p.press(action("refund"))
	p.sees("circle_event", "verified", "MALL_REFUND.SUCCESS")
	p.press(`.row[data-subject="circle_event"] .message`)
	p.until(`document.querySelector('#detail').textContent.includes('"refund_amount": 100')`)

	secrets, err := suite.stack.World.Secrets()
	if err != nil {
		t.Fatal(err)
	}
	private := slices.Concat(suite.stack.World.Merchant.APIv2Keys, suite.stack.World.Merchant.APIv3Keys)
	for _, v := range suite.stack.World.Vendors.Vendors {
		private = append(private, slices.Concat(v.RequestSecrets, v.WebhookSecrets)...)
	}
	private = append(private, strings.Split(suite.stack.World.MerchantKey.PrivateKey, "\n")[3])
	if len(secrets) != 3 || len(private) < 7 {
		t.Fatalf("%d secrets, %d private words: the test looks for too little", len(secrets), len(private))
	}
	for _, m := range kept(t) {
		for _, word := range private {
			if strings.Contains(m, strings.TrimPrefix(word, "whsec_")) {
				t.Errorf("a message holds a secret: %s", m[:min(len(m), 200)])
			}
		}
	}
}

// kept fetches every message as the page does.
func kept(t *testing.T) []string {
	t.Helper()
	messages, _ := suite.recorder.Since(0)
	var all []string
	for _, m := range messages {
		res, err := http.Get(fmt.Sprintf("%s/messages/%d", suite.server.URL, m.ID))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("message %d: %s, %v", m.ID, res.Status, err)
		}
		all = append(all, b.String())
	}
	return all
}

// TestHostile: a plate and a car park's name that are HTML are shown as text, in a row and in the detail.
func TestHostile(t *testing.T) {
	const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	p := open(t, desktop)
	p.live()
	p.clear()
	p.do(chromedp.SetValue(chromedp.CSS("#plate"), hostile))
	for _, button := range []string{"drive-in", "block"} {
		p.press(action(button))
	}
	p.sees("answer", "refused", "422 Unprocessable Entity", "invalid_fields")
	p.sees("parkings", "verified", hostile)
	p.sees("plate_state", "verified", hostile)
	p.sees("webhook", "verified")
	p.press(action("unblock"))
	p.sees("plate_state", "verified", "NORMAL", hostile)

	body, err := json.Marshal(map[string]string{
		"sub_mch_id": fixture.SubMchID, "trade_scene": "PARKING", "start_time": fixture.Compact(time.Now()), "plate_number": fixture.Plate,
		"parking_name": "<b onclick=1>P", "free_time": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := suite.stage.Vendor.Call(t.Context(), demovendor.Entry, "hostile-"+fmt.Sprint(time.Now().UnixNano()), body); err != nil {
		t.Fatal(err)
	}
	p.sees("notify_entry", "verified", fixture.Plate)
	for _, look := range []struct{ row, text string }{
		{`.row[data-subject="parkings"] .message`, hostile},
		{`.row[data-subject="webhook"] .message`, `<img src=x onerror=`},
		{`.row[data-subject="notify_entry"] .message`, "<b onclick=1>P"},
	} {
		p.press(look.row)
		quoted, _ := json.Marshal(look.text)
		p.until(`document.querySelector('#detail').textContent.replaceAll('\\"', '"').includes(` + string(quoted) + `)`)
		if n := eval[int](p, `document.querySelectorAll('#messages img, #messages script, #detail img, #detail script, #detail b[onclick]').length`); n != 0 {
			t.Errorf("%s: %d elements came out of the text", look.row, n)
		}
	}
	if title := eval[string](p, `document.title`); title == "owned" {
		t.Error("the text ran as a script")
	}
	// What the policy stops, were a mistake to put text in as markup.
	if stopped := eval[bool](p, `(() => { try { document.createElement('div').innerHTML = '<i>'; return false } catch { return true } })()`); !stopped {
		t.Error("text can become markup")
	}
	p.allow("TrustedHTML")
	p.allow("require-trusted-types-for")
}

// TestReconnect: a connection that breaks comes back by itself and misses nothing; a console that was started anew is told
// from the old one.
func TestReconnect(t *testing.T) {
	p := open(t, desktop)
	p.allow("net::ERR_INCOMPLETE_CHUNKED_ENCODING")
	p.allow("net::ERR_CONNECTION")
	p.live()
	p.press(action("drive-in"))
	p.quiet()
	p.sees("sync_parking", "verified", "IN")
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.row').kept = true;
		window.hellos = 0; new MutationObserver(() => { if (document.querySelector('#connection').dataset.state === 'lost') window.hellos++ })
			.observe(document.querySelector('#connection'), { attributes: true })`))
	rows := eval[int](p, `document.querySelectorAll('.row').length`)
	suite.server.CloseClientConnections()
	if _, err := suite.stage.Vendor.Call(t.Context(), demovendor.Parkings, "meanwhile-"+fmt.Sprint(time.Now().UnixNano()), fixture.ParkingBody("OUT", time.Now())); err != nil {
		t.Fatal(err)
	}
	p.until(`window.hellos > 0`)
	p.live()
	p.until(fmt.Sprintf(`document.querySelectorAll('.row').length === %d`, rows+4))
	p.sees("sync_parking", "verified", "OUT")
	if !eval[bool](p, `document.querySelector('.row').kept === true`) {
		t.Error("the page began anew instead of going on")
	}
	twice := `(() => { const ids = [...document.querySelectorAll('.row')].map((r) => r.dataset.id); return ids.length - new Set(ids).size })()`
	if n := eval[int](p, twice); n != 0 {
		t.Errorf("%d messages stand there twice", n)
	}

	time.Sleep(2 * time.Millisecond) // a console's epoch is its start in milliseconds
	restart()
	suite.server.CloseClientConnections()
	p.until(`document.querySelector('.row') !== null && document.querySelector('.row').kept === undefined`)
	p.live()
	p.until(fmt.Sprintf(`document.querySelectorAll('.row').length === %d`, rows+4))
	if n := eval[int](p, twice); n != 0 {
		t.Errorf("after a restart %d messages stand there twice", n)
	}
}

// TestLanguages: the browser's language is the page's, until the reader chooses, and the choice is kept.
func TestLanguages(t *testing.T) {
	p := open(t, look{width: 1440, height: 900, language: "zh-CN", still: true})
	p.live()
	is := func(language, title, button string) {
		t.Helper()
		p.until(fmt.Sprintf(`document.documentElement.lang === %q && document.title === %q`, language, title))
		p.until(fmt.Sprintf(`document.querySelector('[data-action="drive-in"]').textContent === %q`, button))
	}
	p.press(action("drive-in"))
	p.sees("sync_parking", "verified", "商圈会员停车状态同步", "验签通过")
	is("zh-Hans", "微信停车网关：本地控制台", "车辆驶入")
	p.press(`.row[data-subject="sync_parking"] .message`)
	p.until(`document.querySelector('#detail').textContent.includes('待签名串')`)
	p.press(`[data-language="en"]`)
	is("en", "WeChat Parking Gateway: local console", "Drive in")
	p.sees("sync_parking", "verified", "Sync parking state, V3", "verified")
	p.until(`document.querySelector('#detail').textContent.includes('Canonical text')`)
	p.do(chromedp.Reload())
	p.live()
	is("en", "WeChat Parking Gateway: local console", "Drive in")
	p.press(`[data-language="zh"]`)
	is("zh-Hans", "微信停车网关：本地控制台", "车辆驶入")
	// No word was forgotten: a key has a full stop in the middle and no space.
	if keys := eval[[]string](p, `[...document.querySelectorAll('[data-t]')].map((e) => e.textContent).filter((s) => /^[a-z]+(\.[a-z-]+)+$/.test(s) || s === '')`); len(keys) > 0 {
		t.Errorf("these words have no translation: %q", keys)
	}
}

// TestKeyboard walks through the page without a mouse: everything that can be pressed is reached, shows that it has the
// focus, and works.
func TestKeyboard(t *testing.T) {
	p := open(t, desktop)
	p.live()
	p.press(action("drive-in"))
	p.quiet()
	p.do(chromedp.Reload())
	p.live()
	p.until(`document.querySelectorAll('.row').length > 3`)
	const focused = `(() => { const e = document.activeElement; const s = getComputedStyle(e);
		const ring = (x) => x && getComputedStyle(x).outlineStyle !== 'none';
		return [e.id || e.dataset.action || e.dataset.language || (e.name ? e.name : '') || (e.className || e.tagName), ring(e) || ring(e.closest('label'))] })()`
	var order []string
	for range 40 {
		p.do(chromedp.KeyEvent(kb.Tab))
		at := eval[[]any](p, focused)
		name := at[0].(string)
		if len(order) > 2 && name == order[0] {
			break
		}
		order = append(order, name)
		if at[1] != true && name != "BODY" {
			t.Errorf("%s does not show that it has the focus", name)
		}
	}
	want := []string{
		"skip", "reference", "en", "zh", "plate", "drive-in", "entry", "drive-out", "repeat", "forge-call", "vendor", "visit",
		"block", "unblock", "pay", "refund", "redeliver", "forge", "probe", "wechatpay", "clear", "message",
	}
	got := slices.DeleteFunc(slices.Clone(order), func(s string) bool { return s == "BODY" || s == "scroller" })
	if !slices.Equal(got, want) {
		t.Errorf("the focus goes\n%q, want\n%q", got, want)
	}

	focus := func(selector string) { p.do(chromedp.Focus(chromedp.CSS(selector))) }
	requests := len(suite.stage.WeChatPay.Requests())
	focus(action("drive-out"))
	p.do(chromedp.KeyEvent(kb.Enter))
	p.sees("sync_parking", "verified", "OUT")
	p.quiet()
	accepted(t, requests, wechatpaysim.RouteParkings, map[string]string{"state": "OUT"})

	focus(`input[name="vendor"]:checked`)
	p.do(chromedp.KeyEvent(kb.ArrowRight))
	p.until(`document.querySelector('.card.vendor').dataset.state === 'down'`)
	p.do(chromedp.KeyEvent(kb.ArrowLeft))
	p.until(`document.querySelector('.card.vendor').dataset.state === 'up'`)

	focus(`.message[tabindex="0"]`)
	p.do(chromedp.KeyEvent(kb.End))
	p.until(`document.activeElement === [...document.querySelectorAll('.message')].at(-1)`)
	p.do(chromedp.KeyEvent(kb.ArrowUp))
	p.until(`document.activeElement === [...document.querySelectorAll('.message')].at(-2)`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`!document.querySelector('#detail').hidden && document.activeElement.getAttribute('aria-expanded') === 'true'`)
	title := eval[string](p, `document.querySelector('#detail-title').textContent`)
	p.do(chromedp.KeyEvent(kb.Home))
	p.until(`document.activeElement === document.querySelector('.message')`)
	p.until(fmt.Sprintf(`document.querySelector('#detail-title').textContent !== %q`, title))
	p.do(chromedp.KeyEvent(kb.Escape))
	p.until(`document.querySelector('#detail').hidden && document.activeElement === document.querySelector('.message')`)
	focus(`[data-language="zh"]`)
	p.do(chromedp.KeyEvent(" "))
	p.until(`document.documentElement.lang === 'zh-Hans'`)
}

// TestAccessible looks at the page as assistive technology does, through the browser's accessibility tree: whatever can be
// operated has a role and a name, every text has the contrast of WCAG 2 AA, and what happens is announced.
func TestAccessible(t *testing.T) {
	for name, l := range map[string]look{
		"light": desktop, "dark": {width: 1440, height: 900, language: "zh-CN", dark: true, still: true},
		"mobile": {width: 390, height: 844, language: "en-US", still: true, mobile: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, l)
			p.live()
			for _, button := range []string{"drive-in", "forge", "forge-call"} {
				p.press(action(button))
				p.quiet()
			}
			p.choose("wechatpay", "down")
			p.press(action("drive-in"))
			p.quiet()
			p.choose("wechatpay", "up")
			p.sees("answer", "failed")
			p.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('.row[data-subject="plate_state"] .message')].at(-1).click()`))
			p.until(`!document.querySelector('#detail').hidden`)

			seen := map[string]int{}
			for _, node := range send(p, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
				if node.Ignored || node.Role == nil {
					continue
				}
				role := text(node.Role)
				seen[role]++
				switch role {
				case "button", "link", "textbox", "radio", "group", "region", "complementary", "navigation", "heading", "listitem", "list":
					if role != "listitem" && role != "list" && strings.TrimSpace(text(node.Name)) == "" && role != "group" {
						t.Errorf("a %s has no name", role)
					}
				}
			}
			for role, least := range map[string]int{"button": 20, "link": 1, "textbox": 1, "radio": 5, "heading": 6, "listitem": 5, "status": 2, "banner": 1, "main": 1} {
				if seen[role] < least {
					t.Errorf("there are %d of role %s, want at least %d: %v", seen[role], role, least, seen)
				}
			}
			p.until(`document.querySelector('#announcer').textContent.length > 10`)
			for _, low := range eval[[]string](p, contrast) {
				t.Errorf("too little contrast: %s", low)
			}
			if n := eval[int](p, `(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.length - new Set(ids).size })()`); n != 0 {
				t.Errorf("%d ids stand there twice", n)
			}
			if small := eval[[]string](p, `[...document.querySelectorAll('button, a, input:not([type=radio]), .segments label')]
				.filter((e) => e.offsetParent !== null && !e.classList.contains('skip') && e.getBoundingClientRect().height < 23.5)
				.map((e) => e.outerHTML.slice(0, 80))`); len(small) > 0 {
				t.Errorf("these are smaller than the 24 pixels of WCAG 2.2: %q", small)
			}
		})
	}
}

// text is a value of the accessibility tree.
func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	_ = json.Unmarshal([]byte(v.Value), &s)
	return s
}

// contrast returns the texts whose contrast with what is behind them is less than 4.5:1. The browser itself turns colours
// of every notation into bytes.
const contrast = `(() => {
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	canvas.canvas.width = canvas.canvas.height = 1;
	const bytes = (colours) => {
		canvas.clearRect(0, 0, 1, 1);
		for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1) }
		return canvas.getImageData(0, 0, 1, 1).data;
	};
	const luminance = (data) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
		const c = data[i] / 255;
		return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
	}, 0);
	const low = [];
	for (const element of document.querySelectorAll('body *')) {
		const own = [...element.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim()).map((n) => n.textContent.trim()).join(' ');
		const box = element.getBoundingClientRect();
		const style = getComputedStyle(element);
		if (!own || box.width < 2 || box.height < 2 || style.visibility !== 'visible' || element.closest('[aria-hidden], .unseen, [aria-disabled="true"], noscript')) continue;
		const behind = [];
		for (let e = element; e; e = e.parentElement) behind.unshift(getComputedStyle(e).backgroundColor);
		const back = luminance(bytes(behind));
		const front = luminance(bytes([...behind, style.color]));
		const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
		if (ratio < 4.5) low.push(ratio.toFixed(2) + ' ' + own.slice(0, 40));
	}
	return low;
})()`

// TestScheme: the page follows the system's light or dark, also when it changes while the page is open, and does not move
// for those who ask for that.
func TestScheme(t *testing.T) {
	p := open(t, desktop)
	p.live()
	const ground = `getComputedStyle(document.body).backgroundColor`
	light := eval[string](p, ground)
	send(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	p.until(fmt.Sprintf(`%s !== %q`, ground, light))
	if still := eval[string](p, `getComputedStyle(document.querySelector('.connection .dot')).animationName`); still != "breathe" {
		t.Errorf("got animation %q, want the dot to breathe", still)
	}
	send(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}})
	p.until(`getComputedStyle(document.querySelector('.connection .dot')).animationName === 'none'`)
}

// TestFollow: new messages come into view as long as the reader has not scrolled away from them.
func TestFollow(t *testing.T) {
	p := open(t, desktop)
	p.live()
	for range 4 {
		p.press(action("drive-in"))
		p.quiet()
	}
	const down = `(() => { const s = document.querySelector('#scroller'); return s.scrollHeight - s.scrollTop - s.clientHeight < 20 })()`
	p.until(down)
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('#scroller').scrollTop = 0`))
	p.press(action("drive-out"))
	p.quiet()
	p.until(`!document.querySelector('#newest').hidden`)
	if top := eval[int](p, `document.querySelector('#scroller').scrollTop`); top != 0 {
		t.Errorf("the reader was taken away to %d", top)
	}
	p.press("#newest")
	p.until(down)
	p.until(`document.querySelector('#newest').hidden`)
}

// TestReferenceLink: the API reference is one click away, and keeps to its own policy.
func TestReferenceLink(t *testing.T) {
	p := open(t, desktop)
	p.live()
	p.press("#reference")
	p.until(`location.pathname === '/reference/' && document.body.innerText.includes('/v1/vendors/{vendor_id}/businesscircle/parkings')`)
}

// TestNothingToRepeat: a button that cannot do anything says so.
func TestNothingToRepeat(t *testing.T) {
	time.Sleep(2 * time.Millisecond) // a console's epoch is its start in milliseconds
	restart()
	p := open(t, desktop)
	p.allow("409")
	p.live()
	p.press(action("repeat"))
	p.until(`!document.querySelector('#alert').hidden && document.querySelector('#alert').textContent.includes('nothing to repeat')`)
	p.press(action("drive-in"))
	p.until(`document.querySelector('#alert').hidden`)
	p.quiet()
}
