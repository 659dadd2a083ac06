//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// refusalScenario is what WeChat Pay does to one call, or to as many as fault.Times says, and what the vendor hears of it.
type refusalScenario struct {
	name   string
	fault  wechatpaysim.Fault
	status int
	code   string // of the problem, "" for a success
	// theirs is what is passed on of WeChat Pay's answer: HTTP status, code and message. A zero status: nothing.
	theirs theirs
	// retryAfter is the header's value, "" where it is not compared.
	retryAfter string
	heard      int
}

type theirs struct {
	HTTPStatus int    `json:"http_status"`
	Code       string `json:"code"`
	Message    string `json:"message"`
}

// always is how often a call is tried.
const always = 3

func playRefusals(t *testing.T, g *gateway, route string, rows []refusalScenario) {
	t.Helper()
	uri, function := wechatpaysim.RouteParkings, parkingSync
	if route == demovendor.Entry {
		uri, function = g.entryURI, vehicleNotify
	}
	if a := g.newCall(route).do(t); a.status != success[route] {
		t.Fatalf("the call before: got status %d, want %d: %s", a.status, success[route], a.body)
	}
	g.stays(t, function)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.fault.Route = uri
			if route == demovendor.Entry && row.code == "wechatpay_rejected_our_signature" {
				row.heard = len(g.World.Merchant.APIv2Keys) // each of them signs once
				row.fault.Times = row.heard
			}
			if err := g.WeChatPay.Inject(row.fault); err != nil {
				t.Fatal(err)
			}
			// A fault ends by itself after its times: the other route's must not end with it.
			defer func() {
				if t.Failed() {
					g.WeChatPay.ClearFaults()
				}
			}()
			mark := g.heard.mark(uri)
			started := time.Now()
			a := g.newCall(route).do(t)
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("the answer took %v, want at most 10 s", took)
			}
			heard := g.heard.since(uri, mark)
			for i := range heard {
				// A fault may come before WeChat Pay has read anything.
				heard[i].Accepted = heard[i].Accepted || heard[i].Fault == wechatpaysim.FaultResetBeforeRead
			}
			vendorScenario{status: row.status, code: row.code, heard: row.heard}.check(t, a, heard)
			row.checkTheirs(t, a)
			checkTries(t, heard)

			// The function is alive, and the failure was this call's alone.
			if a := g.newCall(route).do(t); a.status != success[route] {
				t.Errorf("the call after: got status %d, want %d: %s", a.status, success[route], a.body)
			}
		})
	}
}

func (r refusalScenario) checkTheirs(t *testing.T, a answer) {
	t.Helper()
	if r.retryAfter != "" && a.header.Get("Retry-After") != r.retryAfter {
		t.Errorf("got Retry-After %q, want %q", a.header.Get("Retry-After"), r.retryAfter)
	}
	if r.code == "" {
		return
	}
	var got struct {
		WeChatPay theirs `json:"wechatpay"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.theirs, got.WeChatPay); diff != "" {
		t.Errorf("wechatpay (-want +got):\n%s", diff)
	}
}

// checkTries: each try is freshly signed, with the same business fields.
func checkTries(t *testing.T, heard []wechatpaysim.Request) {
	t.Helper()
	business := func(r wechatpaysim.Request) map[string]string {
		fields := make(map[string]string)
		for name, value := range r.Fields {
			if name != "nonce_str" && name != "sign" {
				fields[name] = value
			}
		}
		return fields
	}
	for i := 1; i < len(heard); i++ {
		if heard[i].Fields == nil || heard[i-1].Fields == nil {
			continue
		}
		if diff := cmp.Diff(business(heard[i-1]), business(heard[i])); diff != "" {
			t.Errorf("another try had other fields (-before +after):\n%s", diff)
		}
		sameV3 := heard[i].Header.Get("Authorization") != "" && heard[i].Header.Get("Authorization") == heard[i-1].Header.Get("Authorization")
		sameV2 := heard[i].Fields["nonce_str"] != "" && heard[i].Fields["nonce_str"] == heard[i-1].Fields["nonce_str"]
		if sameV3 || sameV2 {
			t.Error("another try carried the same signature")
		}
	}
}

// status makes a fault that answers with an HTTP status and, unless code is empty, an error body.
func status(times, status int, code, message string) wechatpaysim.Fault {
	return wechatpaysim.Fault{Kind: wechatpaysim.FaultStatus, Times: times, Status: status, Code: code, Message: message}
}

// errCode makes a fault that answers V2 with a signed refusal.
func errCode(code, message string) wechatpaysim.Fault {
	return wechatpaysim.Fault{Kind: wechatpaysim.FaultErrCode, Times: 1, Code: code, Message: message}
}

func fault(kind wechatpaysim.FaultKind, times int) wechatpaysim.Fault {
	return wechatpaysim.Fault{Kind: kind, Times: times}
}

// anyFault are the faults that both versions know. The third column is for what a complete answer was, if there was one.
func anyFault(route string) []refusalScenario {
	ok := success[route]
	rows := []refusalScenario{
		{name: "hang", fault: fault(wechatpaysim.FaultHang, always), status: 504, code: "outcome_unknown", heard: always},
		{name: "reset before reading", fault: fault(wechatpaysim.FaultResetBeforeRead, always), status: 504, code: "outcome_unknown", heard: always},
		{name: "reset after reading", fault: fault(wechatpaysim.FaultResetAfterRead, always), status: 504, code: "outcome_unknown", heard: always},
		{name: "truncated", fault: fault(wechatpaysim.FaultTruncated, always), status: 504, code: "outcome_unknown", heard: always},
		{name: "a proxy's 500", fault: status(always, 500, "", ""), status: 503, code: "wechatpay_unavailable", theirs: theirs{HTTPStatus: 500}, retryAfter: "5", heard: always},
		{name: "a proxy's 502", fault: status(always, 502, "", ""), status: 503, code: "wechatpay_unavailable", theirs: theirs{HTTPStatus: 502}, heard: always},
		{name: "a proxy's 503 once", fault: status(1, 503, "", ""), status: ok, heard: 2},
		{name: "a proxy's 403", fault: status(1, 403, "", ""), status: 403, code: "wechatpay_no_permission", theirs: theirs{HTTPStatus: 403}, heard: 1},
		{name: "a proxy's 404", fault: status(1, 404, "", ""), status: 422, code: "wechatpay_refused", theirs: theirs{HTTPStatus: 404}, heard: 1},
		{name: "a proxy's 429", fault: status(1, 429, "", ""), status: 429, code: "wechatpay_rate_limited", theirs: theirs{HTTPStatus: 429}, heard: 1},
		{name: "a proxy's 200", fault: status(always, 200, "", ""), status: 502, code: "wechatpay_unverified", theirs: theirs{HTTPStatus: 200}, heard: always},
		{name: "system error twice", fault: fault(wechatpaysim.FaultSystemError, 2), status: ok, heard: 3},
	}
	unverified := theirs{HTTPStatus: ok}
	for _, kind := range []wechatpaysim.FaultKind{wechatpaysim.FaultWrongSignature, wechatpaysim.FaultNoSignature, wechatpaysim.FaultProbe} {
		rows = append(rows,
			refusalScenario{name: string(kind), fault: fault(kind, always), status: 502, code: "wechatpay_unverified", theirs: unverified, heard: always},
			refusalScenario{name: string(kind) + " once", fault: fault(kind, 1), status: ok, heard: 2},
		)
	}
	for _, kind := range []wechatpaysim.FaultKind{wechatpaysim.FaultResetBeforeRead, wechatpaysim.FaultResetAfterRead, wechatpaysim.FaultTruncated} {
		rows = append(rows, refusalScenario{name: string(kind) + " once", fault: fault(kind, 1), status: ok, heard: 2})
	}
	return rows
}

func TestParkingsRefusedByWeChatPay(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings)
	long := strings.Repeat("长", 300)
	rows := append(anyFault(demovendor.Parkings), []refusalScenario{
		{name: "400", fault: status(1, 400, "PARAM_ERROR", "参数错误"), status: 422, code: "wechatpay_refused", theirs: theirs{400, "PARAM_ERROR", "参数错误"}, heard: 1},
		{name: "400 of an unknown code", fault: status(1, 400, "SOMETHING_NEW", "x"), status: 422, code: "wechatpay_refused", theirs: theirs{400, "SOMETHING_NEW", "x"}, heard: 1},
		{name: "400 of a code that is none", fault: status(1, 400, "<script>", "x"), status: 422, code: "wechatpay_refused", theirs: theirs{400, "", "x"}, heard: 1},
		{name: "400 with a long message", fault: status(1, 400, "PARAM_ERROR", long), status: 422, code: "wechatpay_refused", theirs: theirs{400, "PARAM_ERROR", long[:255]}, heard: 1},
		{name: "400 with control characters", fault: status(1, 400, "PARAM_ERROR", "a\r\n\x00\u0085b"), status: 422, code: "wechatpay_refused", theirs: theirs{400, "PARAM_ERROR", "ab"}, heard: 1},
		{name: "401", fault: status(1, 401, "SIGN_ERROR", "错误的签名，验签失败"), status: 502, code: "wechatpay_rejected_our_signature", theirs: theirs{401, "SIGN_ERROR", "错误的签名，验签失败"}, heard: 1},
		{name: "403", fault: status(1, 403, "NO_AUTH", "商户无权限"), status: 403, code: "wechatpay_no_permission", theirs: theirs{403, "NO_AUTH", "商户无权限"}, heard: 1},
		{name: "404", fault: status(1, 404, "RESOURCE_NOT_EXISTS", "记录不存在"), status: 422, code: "wechatpay_refused", theirs: theirs{404, "RESOURCE_NOT_EXISTS", "记录不存在"}, heard: 1},
		{name: "429", fault: status(1, 429, "RATELIMIT_EXCEEDED", "频率超限"), status: 429, code: "wechatpay_rate_limited", theirs: theirs{429, "RATELIMIT_EXCEEDED", "频率超限"}, retryAfter: "5", heard: 1},
		{name: "429 by code alone", fault: status(1, 400, "FREQUENCY_LIMITED", "x"), status: 429, code: "wechatpay_rate_limited", theirs: theirs{400, "FREQUENCY_LIMITED", "x"}, heard: 1},
		{name: "system error", fault: fault(wechatpaysim.FaultSystemError, always), status: 503, code: "wechatpay_unavailable", theirs: theirs{500, "SYSTEM_ERROR", "系统错误"}, retryAfter: "5", heard: always},
		{name: "unknown serial", fault: fault(wechatpaysim.FaultUnknownSerial, always), status: 502, code: "wechatpay_unverified", theirs: theirs{HTTPStatus: 204}, heard: always},
		{name: "stale", fault: fault(wechatpaysim.FaultStale, always), status: 502, code: "wechatpay_unverified", theirs: theirs{HTTPStatus: 204}, heard: always},
		{name: "stale once", fault: fault(wechatpaysim.FaultStale, 1), status: 204, heard: 2},
	}...)
	playRefusals(t, g, demovendor.Parkings, rows)
}

func TestEntryRefusedByWeChatPay(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneEntry)
	// An unsigned return_code=FAIL carries its words in return_msg alone.
	rows := append(anyFault(demovendor.Entry), []refusalScenario{
		{name: "FAIL: parameters", fault: status(1, 200, "参数格式校验错误", ""), status: 422, code: "wechatpay_refused", theirs: theirs{200, "", "参数格式校验错误"}, heard: 1},
		{name: "FAIL: signature", fault: status(1, 200, "签名失败", ""), status: 502, code: "wechatpay_rejected_our_signature", theirs: theirs{200, "", "签名失败"}, heard: 1},
		{name: "FAIL: system", fault: status(always, 200, "SYSTEMERROR", ""), status: 503, code: "wechatpay_unavailable", theirs: theirs{200, "", "SYSTEMERROR"}, heard: always},
		{name: "parameters", fault: errCode("PARAM_ERROR", "参数错误"), status: 422, code: "wechatpay_refused", theirs: theirs{200, "PARAM_ERROR", "参数错误"}, heard: 1},
		{name: "a business code", fault: errCode("VEHICLE_AUTH_ERROR", "x"), status: 422, code: "wechatpay_refused", theirs: theirs{200, "VEHICLE_AUTH_ERROR", "x"}, heard: 1},
		{name: "an unknown code", fault: errCode("SOMETHING_NEW", "x"), status: 422, code: "wechatpay_refused", theirs: theirs{200, "SOMETHING_NEW", "x"}, heard: 1},
		{name: "signature", fault: errCode("SIGNERROR", "签名错误"), status: 502, code: "wechatpay_rejected_our_signature", theirs: theirs{200, "SIGNERROR", "签名错误"}, heard: 1},
		{name: "permission", fault: errCode("NOAUTH", "商户无权限"), status: 403, code: "wechatpay_no_permission", theirs: theirs{200, "NOAUTH", "商户无权限"}, heard: 1},
		{name: "permission in words", fault: errCode("INVALID_REQUEST", "Permission denied"), status: 403, code: "wechatpay_no_permission", theirs: theirs{200, "INVALID_REQUEST", "Permission denied"}, heard: 1},
		{name: "frequency", fault: errCode("FREQUENCY_LIMITED", "频率限制"), status: 429, code: "wechatpay_rate_limited", theirs: theirs{200, "FREQUENCY_LIMITED", "频率限制"}, retryAfter: "5", heard: 1},
		{name: "system error", fault: fault(wechatpaysim.FaultSystemError, always), status: 503, code: "wechatpay_unavailable", theirs: theirs{200, "SYSTEMERROR", "系统错误"}, retryAfter: "5", heard: always},
	}...)
	playRefusals(t, g, demovendor.Entry, rows)
}

// TestUserState: what WeChat Pay says of the car is passed on as it came; NORMAL alone is usable.
func TestUserState(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneEntry)
	for i, row := range []struct {
		state     wechatpaysim.State
		available bool
	}{
		{wechatpaysim.State{UserState: "NORMAL", DeductMode: "PROACTIVE"}, true},
		{wechatpaysim.State{UserState: "NORMAL", DeductMode: "AUTOPAY"}, true},
		{wechatpaysim.State{UserState: "NORMAL"}, true},
		{wechatpaysim.State{UserState: "BLOCKED"}, false},
		{wechatpaysim.State{UserState: "BLOCK"}, false},
		{wechatpaysim.State{UserState: "OVERDUE"}, false},
		{wechatpaysim.State{UserState: "normal"}, false},
		{wechatpaysim.State{UserState: "SOMETHING NEW & <odd>", DeductMode: "ALSO_NEW"}, false},
		{wechatpaysim.State{}, false},
	} {
		t.Run(row.state.UserState+" "+row.state.DeductMode, func(t *testing.T) {
			plate := "粤C6660" + string(rune('A'+i))
			suite.private.add(plate)
			g.WeChatPay.SetState(plate, row.state)
			c := g.newCall(demovendor.Entry)
			c.set("plate_number", plate)
			a := c.do(t)
			if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.requestID() == "" {
				t.Fatalf("got status %d, headers %v, want 200, application/json and a Request-Id: %s", a.status, a.header, a.body)
			}
			var got map[string]any
			if err := json.Unmarshal(a.body, &got); err != nil {
				t.Fatal(err)
			}
			theirs := map[string]any{
				"return_code": "SUCCESS", "return_msg": "OK", "result_code": "SUCCESS", "appid": fixture.AppID, "mch_id": fixture.MchID,
				"sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID,
			}
			if row.state.UserState != "" {
				theirs["user_state"] = row.state.UserState
			}
			if row.state.DeductMode != "" {
				theirs["deduct_mode"] = row.state.DeductMode
			}
			want := map[string]any{
				"password_free_available": row.available, "user_state": row.state.UserState, "deduct_mode": row.state.DeductMode,
				"wechatpay": theirs,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}
