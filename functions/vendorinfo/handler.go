package main

import (
	"context"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"wechat-parking-gateway/shared/beijingtime"
	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
	"wechat-parking-gateway/shared/wechatpay"
)

// route is the template's key of the one route that this function serves.
const route = "GET /v1/vendors/{vendor_id}"

// information tells vendors what is configured for them.
type information struct {
	merchants wechatpay.Credentials[*merchant.Merchant]
	now       func() time.Time
}

// answer is what a vendor is told. Of secrets it says how many there are, and nothing that depends on what is in them.
type answer struct {
	VendorID string `json:"vendor_id"`
	// Mode says whether merchants have a sub_mchid, and MchID who calls WeChat Pay.
	Mode  merchant.Mode `json:"mode"`
	MchID string        `json:"mchid"`
	// Merchants are those that the vendor's calls may name.
	Merchants []merchantInfo `json:"merchants"`
	// Events are the types that the vendor hears of. A ping comes without being listed.
	Events []string `json:"events"`
	// WebhookHost is the host that events are sent to, "" where there is none. The path may hold a token of the vendor's.
	WebhookHost string `json:"webhook_host"`
	// RequestSecrets and WebhookSecrets are how many secrets are live, two of a kind while one is rotated.
	RequestSecrets int `json:"request_secrets"`
	WebhookSecrets int `json:"webhook_secrets"`
	// SignedWithNewestSecret tells whether this request was signed with the newest of the request secrets, so that the
	// others can be taken away.
	SignedWithNewestSecret bool   `json:"signed_with_newest_secret"`
	ServerTime             string `json:"server_time"`
	// ClockSkewSeconds is how far the request's webhook-timestamp is ahead of the server's time, the way here included.
	ClockSkewSeconds int64 `json:"clock_skew_seconds"`
}

// merchantInfo is one merchant with the products that are configured for it.
type merchantInfo struct {
	SubMchID       string              `json:"sub_mchid,omitempty"`
	Vehicle        *vehicleInfo        `json:"vehicle,omitzero"`
	BusinessCircle *businessCircleInfo `json:"businesscircle,omitzero"`
}

type vehicleInfo struct {
	SubAppID string `json:"sub_appid,omitempty"`
}

type businessCircleInfo struct {
	BrandID int64  `json:"brandid"`
	AppID   string `json:"appid"`
}

// answer writes down what is configured for the caller.
func (h *information) answer(ctx context.Context, req *httpapi.Request, caller vendorapi.Caller) ([]byte, *problem.Problem) {
	m, err := h.merchants.Get(ctx)
	if err != nil {
		return nil, vendorapi.KeysUnavailable(ctx, err)
	}
	v, now := caller.Vendor, h.now()
	body, err := json.Marshal(answer{
		VendorID: v.ID, Mode: m.Mode, MchID: m.MchID,
		Merchants: merchantsOf(v, m.Mode), Events: v.Events,
		WebhookHost: hostOf(v.WebhookURL), RequestSecrets: len(v.RequestSecrets), WebhookSecrets: len(v.WebhookSecrets),
		SignedWithNewestSecret: caller.Message.Verify(req.Body, v.RequestSecrets[:1]) == nil,
		ServerTime:             beijingtime.RFC3339(now),
		ClockSkewSeconds:       caller.Message.Timestamp.Unix() - now.Unix(),
	})
	if err != nil {
		return nil, vendorapi.Unavailable("The answer could not be written.")
	}
	return body, nil
}

// merchantsOf returns the merchants that a call in this mode can name.
func merchantsOf(v *vendor.Vendor, mode merchant.Mode) []merchantInfo {
	list := []merchantInfo{}
	for _, m := range v.Merchants {
		if (m.SubMchID == "") != (mode == merchant.Direct) {
			continue
		}
		info := merchantInfo{SubMchID: m.SubMchID}
		if m.Vehicle != nil {
			info.Vehicle = &vehicleInfo{m.Vehicle.SubAppID}
		}
		if m.BusinessCircle != nil {
			info.BusinessCircle = &businessCircleInfo{m.BusinessCircle.BrandID, m.BusinessCircle.AppID}
		}
		list = append(list, info)
	}
	return list
}

// hostOf returns the host of a webhook_url, and "" for what has none that can be called.
func hostOf(webhookURL string) string {
	u, err := url.Parse(webhookURL)
	if err != nil || !charset.Fits(u.Host, len(u.Host), charset.Alphanumeric+"._:[]-") {
		return ""
	}
	return u.Host
}
