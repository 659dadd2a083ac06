package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"wechat-parking-gateway/shared/beijingtime"
	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/plate"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
	"wechat-parking-gateway/shared/wechatpay"
)

// route is the template's key of the one route that this function serves; callbackPath is where WeChat Pay's verified
// callbacks for a vendor arrive.
const (
	route        = "POST /v1/vendors/{vendor_id}/vehicle/notifications"
	callbackPath = "/v1/callbacks/vehicle/"
)

// WeChat Pay's limits, in characters.
const (
	maxOpenID      = 32
	maxParkingName = 32
	maxSpaceNumber = 16
	maxNotifyURL   = 256
)

// entries turns vendors' bodies into calls.
type entries struct {
	merchants    wechatpay.Credentials[*merchant.Merchant]
	keys         wechatpay.Credentials[wechatpay.V2Keys]
	client       *wechatpay.Client
	now          func() time.Time
	callbackBase string // CALLBACK_BASE_URL, or "" for the domain that the vendor called
}

// prepare checks a body in the order JSON, permission, fields.
func (h *entries) prepare(ctx context.Context, req *httpapi.Request, v *vendor.Vendor) (vendorapi.Call, *problem.Problem) {
	body, p := vendorapi.ReadBody(req.Body, schema)
	if p != nil {
		return vendorapi.Call{}, p
	}
	m, err := h.merchants.Get(ctx)
	if err == nil {
		_, err = h.keys.Get(ctx)
	}
	if err != nil {
		return vendorapi.Call{}, vendorapi.KeysUnavailable(ctx, err)
	}
	chosen, selectErr := v.SelectVehicle(vendor.VehicleQuery{
		Direct: m.Mode == merchant.Direct, SubMchID: body.Optional("sub_mch_id"), SubAppID: body.Optional("sub_appid"),
	})
	if p := vendorapi.NotAllowed(selectErr); p != nil {
		return vendorapi.Call{}, p
	}

	scene, tradeScene := h.read(body, v)
	checkConfigured(body, m, tradeScene)
	if p := body.Problem(); p != nil {
		return vendorapi.Call{}, p
	}
	if p := vendorapi.Ambiguous(selectErr); p != nil {
		return vendorapi.Call{}, p
	}

	entry := wechatpay.Entry{
		AppID: m.AppID, MchID: m.MchID, SubMchID: chosen.SubMchID, SubAppID: chosen.Vehicle.SubAppID,
		TradeScene: tradeScene, Scene: scene,
	}
	telemetry.Set(ctx, telemetry.PlateHash, telemetry.Hash(m.LogHashKey, scene.PlateNumber))
	telemetry.Set(ctx, telemetry.OpenIDHash, telemetry.Hash(m.LogHashKey, scene.OpenID))
	fingerprint, err := fingerprintOf(entry)
	if err != nil {
		return vendorapi.Call{}, vendorapi.Unavailable("The request could not be written for WeChat Pay.")
	}
	if tradeScene == wechatpay.SceneParking {
		entry.Scene.NotifyURL = h.notifyURL(req, v)
		if len(entry.Scene.NotifyURL) > maxNotifyURL {
			telemetry.Set(ctx, telemetry.Reason, "the callback address is longer than WeChat Pay takes")
			return vendorapi.Call{}, vendorapi.Unavailable("The gateway's callback address is misconfigured; WeChat Pay was not called.")
		}
	}
	return vendorapi.Call{
		Fingerprint: fingerprint,
		Do:          func(ctx context.Context) (idempotency.Answer, error) { return h.notify(ctx, entry) },
	}, nil
}

// notifyURL is where WeChat Pay is asked to report state changes: always the gateway, which alone can verify them.
func (h *entries) notifyURL(req *httpapi.Request, v *vendor.Vendor) string {
	base := h.callbackBase
	if base == "" {
		base = "https://" + req.Domain
	}
	return base + callbackPath + v.ID
}

// fingerprintOf hashes what the vendor asked for. It leaves out notify_url, which is the gateway's and follows the
// domain that was called.
func fingerprintOf(e wechatpay.Entry) ([32]byte, error) {
	b, err := json.Marshal(e)
	return sha256.Sum256(b), err
}

// answer is what a vendor gets for an accepted entry.
type answer struct {
	PasswordFreeAvailable bool              `json:"password_free_available"`
	UserState             string            `json:"user_state"`
	DeductMode            string            `json:"deduct_mode"`
	WeChatPay             map[string]string `json:"wechatpay"`
}

func (h *entries) notify(ctx context.Context, entry wechatpay.Entry) (idempotency.Answer, error) {
	verified, err := h.client.NotifyEntry(ctx, h.keys, entry)
	if err != nil {
		return idempotency.Answer{}, err
	}
	if entry.Scene.NotifyURL != "" {
		telemetry.Count(ctx, telemetry.EntryNotificationsSucceeded)
	}
	elements := make(map[string]string, len(verified.Document))
	for _, e := range verified.Document {
		if e.Name != "sign" && e.Name != "nonce_str" {
			elements[e.Name] = e.Value
		}
	}
	b, err := json.Marshal(answer{
		PasswordFreeAvailable: verified.UserState() == wechatpay.UserStateNormal,
		UserState:             verified.UserState(),
		DeductMode:            verified.DeductMode(),
		WeChatPay:             elements,
	}, json.Deterministic(true))
	if err != nil {
		return idempotency.Answer{}, err
	}
	return idempotency.Answer{Status: http.StatusOK, Body: b}, nil
}

// checkConfigured holds what a body says of the calling merchant against the configuration. All of it may be left out.
func checkConfigured(body *vendorapi.Body, m *merchant.Merchant, scene wechatpay.TradeScene) {
	for _, f := range []struct{ name, want, hint string }{
		{"appid", m.AppID, "It is not the appid that the gateway is configured with; it may be left out."},
		{"mch_id", m.MchID, "It is not the merchant that the gateway is configured with; it may be left out."},
		{"sign_type", signing.SignTypeHMACSHA256, "The vehicle interfaces have HMAC-SHA256 alone; it may be left out."},
	} {
		if given := body.Text(f.name); given != "" && given != f.want {
			body.Fail(f.name, problem.ConfigMismatch, f.hint)
		}
	}
	if m.Mode == merchant.Direct && scene == wechatpay.SceneParkingSpace && body.Text("sub_openid") != "" {
		body.Fail("sub_openid", problem.ConfigMismatch, "The merchant calls for itself, so there is no sub_openid; give the openid.")
	}
	if version := body.Text("version"); version != "" && scene != "" && version != scene.Version() {
		body.Fail("version", problem.ConfigMismatch,
			fmt.Sprintf("trade_scene %s has version %s; it may be left out.", scene, scene.Version()))
	}
}

// isSeconds tells the form of free_time: a whole number without a leading zero.
func isSeconds(s string) bool {
	return charset.Fits(s, 9, charset.Digits) && (s == "0" || s[0] != '0')
}

// read reads the scene, whose fields stand flat or in scene_info, and notes what is wrong with it.
func (h *entries) read(body *vendorapi.Body, v *vendor.Vendor) (wechatpay.Scene, wechatpay.TradeScene) {
	adoptSceneInfo(body)
	text, ok := body.Required("trade_scene")
	scene := wechatpay.TradeScene(text)
	if sceneFields[scene] == nil {
		if ok {
			body.Fail("trade_scene", problem.BadValue, "The trade_scene is PARKING or PARKING SPACE, with a space.")
		}
		return wechatpay.Scene{}, ""
	}
	refuseOtherScene(body, scene)

	read := wechatpay.Scene{
		StartTime: h.startTime(body), FreeTime: freeTime(body), CarType: body.Text("car_type"), ParkingName: body.Text("parking_name"),
	}
	if read.CarType != "" && read.CarType != "大型车" && read.CarType != "小型车" {
		body.Fail("car_type", problem.BadValue, "The car_type is 大型车 (large) or 小型车 (small); it may be left out.")
	}
	body.CheckWords("parking_name", read.ParkingName, maxParkingName)
	if scene == wechatpay.SceneParkingSpace {
		read.OpenID, read.SubOpenID = body.Text("openid"), body.Text("sub_openid")
		body.CheckToken("openid", read.OpenID, maxOpenID)
		body.CheckToken("sub_openid", read.SubOpenID, maxOpenID)
		read.SpaceNumber, _ = body.Required("space_number")
		body.CheckWords("space_number", read.SpaceNumber, maxSpaceNumber)
		return read, scene
	}
	body.Required("parking_name")
	if read.PlateNumber, ok = body.Required("plate_number"); ok {
		if code, hint, ok := plate.Check(read.PlateNumber); !ok {
			body.Fail("plate_number", code, hint)
		}
	}
	if notifyURL := body.Text("notify_url"); notifyURL != "" && notifyURL != v.WebhookURL {
		body.Fail("notify_url", problem.ConfigMismatch, "It is where the verified event goes, and must equal the webhook_url that the "+
			"operator has configured for this vendor; it may be left out. WeChat Pay itself is always given the gateway's own address.")
	}
	return read, scene
}

// startTime reads RFC 3339 or yyyyMMddHHmmss and returns the latter.
func (h *entries) startTime(body *vendorapi.Body) string {
	text, ok := body.Required("start_time")
	if !ok {
		return ""
	}
	at, err := parseTime(text)
	switch {
	case err != nil:
		body.Fail("start_time", problem.TimeMalformed,
			"RFC 3339 with an offset (2017-09-26T11:43:39+08:00) or yyyyMMddHHmmss in Beijing time (20170926114339) is needed.")
		return ""
	case at.After(h.now().Add(beijingtime.MaxAhead)):
		body.Fail("start_time", problem.TimeInFuture, vendorapi.FutureHint)
	}
	return beijingtime.Compact(at)
}

func parseTime(text string) (time.Time, error) {
	if strings.Contains(text, "T") {
		return beijingtime.ParseRFC3339(text)
	}
	return beijingtime.ParseCompact(text)
}

// freeTime reads the length of the free period in seconds, which WeChat Pay takes as text.
func freeTime(body *vendorapi.Body) string {
	text, ok := body.Required("free_time")
	if ok && !isSeconds(text) {
		body.Fail("free_time", problem.BadValue, "Whole seconds are needed, as a string or a number, such as 1200.")
	}
	return text
}
