package main

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/beijingtime"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/plate"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/strictjson"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
	"wechat-parking-gateway/shared/wechatpay"
)

// route is the template's key of the one route that this function serves.
const route = "POST /v1/vendors/{vendor_id}/businesscircle/parkings"

// maxOpenID is WeChat Pay's limit for the V3 openid, in characters.
const maxOpenID = 64

// schema is the body that vendors send: WeChat Pay's own field names.
var schema = vendorapi.Schema{
	Fields: map[string]vendorapi.Kind{
		"sub_mchid": vendorapi.Text, "brandid": vendorapi.Number, "appid": vendorapi.Text, "openid": vendorapi.Text,
		"plate_number": vendorapi.Text, "state": vendorapi.Text, "time": vendorapi.Text,
	},
	Hints: map[string]string{
		"sub_mch_id": "On this route WeChat Pay spells it sub_mchid.",
		"mchid":      "The gateway knows the calling merchant; leave it out. A sub-merchant is named by sub_mchid.",
		"mch_id":     "The gateway knows the calling merchant; leave it out. A sub-merchant is named by sub_mchid.",
		"brand_id":   "WeChat Pay spells it brandid.",
		"sub_appid":  "This route has the one field appid, which is bound to the brandid.",
	},
}

// parkings turns vendors' bodies into calls.
type parkings struct {
	merchants wechatpay.Credentials[*merchant.Merchant]
	keys      wechatpay.Credentials[wechatpay.V3Keys]
	client    *wechatpay.Client
	now       func() time.Time
}

// prepare checks a body in the order JSON, permission, fields.
func (h *parkings) prepare(ctx context.Context, req *httpapi.Request, v *vendor.Vendor) (vendorapi.Call, *problem.Problem) {
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
	brandID := integer(body, "brandid")
	chosen, selectErr := v.SelectBusinessCircle(vendor.BusinessCircleQuery{
		Direct: m.Mode == merchant.Direct, SubMchID: body.Optional("sub_mchid"), BrandID: brandID, AppID: body.Optional("appid"),
	})
	if p := vendorapi.NotAllowed(selectErr); p != nil {
		return vendorapi.Call{}, p
	}

	if openID, ok := body.Required("openid"); ok {
		body.CheckToken("openid", openID, maxOpenID)
	}
	if number, ok := body.Required("plate_number"); ok {
		if code, hint, ok := plate.Check(number); !ok {
			body.Fail("plate_number", code, hint)
		}
	}
	if state, ok := body.Required("state"); ok && state != "IN" && state != "OUT" {
		body.Fail("state", problem.BadValue, "The state is IN (the car drives in) or OUT (it drives out).")
	}
	at := h.time(body)
	if p := body.Problem(); p != nil {
		return vendorapi.Call{}, p
	}
	if p := vendorapi.Ambiguous(selectErr); p != nil {
		return vendorapi.Call{}, p
	}

	parking := wechatpay.Parking{
		SubMchID: chosen.SubMchID, BrandID: chosen.BusinessCircle.BrandID, AppID: chosen.BusinessCircle.AppID,
		OpenID: body.Text("openid"), PlateNumber: body.Text("plate_number"), State: body.Text("state"),
		Time: beijingtime.RFC3339(at),
	}
	telemetry.Set(ctx, telemetry.PlateHash, telemetry.Hash(m.LogHashKey, parking.PlateNumber))
	telemetry.Set(ctx, telemetry.OpenIDHash, telemetry.Hash(m.LogHashKey, parking.OpenID))
	wire, err := parking.JSON()
	if err != nil {
		return vendorapi.Call{}, vendorapi.Unavailable("The request could not be written for WeChat Pay.")
	}
	return vendorapi.Call{
		Fingerprint: sha256.Sum256(wire),
		Do: func(ctx context.Context) (idempotency.Answer, error) {
			return idempotency.Answer{Status: http.StatusNoContent}, h.client.SyncParking(ctx, h.keys, parking)
		},
	}, nil
}

// integer reads a number that must be a whole one above 0, and notes any other.
func integer(body *vendorapi.Body, name string) *int64 {
	text := body.Text(name)
	if text == "" {
		return nil
	}
	n, ok := strictjson.Integer(jsontext.Value(text))
	if !ok || n <= 0 {
		body.Fail(name, problem.BadValue, "A whole number above 0 is needed, written without fraction or exponent.")
		return nil
	}
	return &n
}

// time reads the moment of the event and notes what is wrong with it.
func (h *parkings) time(body *vendorapi.Body) time.Time {
	text, ok := body.Required("time")
	if !ok {
		return time.Time{}
	}
	at, err := beijingtime.ParseRFC3339(text)
	switch {
	case err != nil:
		body.Fail("time", problem.TimeMalformed, "RFC 3339 with an offset is needed, such as 2022-06-01T10:43:39+08:00.")
	case at.After(h.now().Add(beijingtime.MaxAhead)):
		body.Fail("time", problem.TimeInFuture, vendorapi.FutureHint)
	}
	return at
}
