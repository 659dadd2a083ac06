package wechatpay

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-json-experiment/json"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/telemetry"
)

// The V2 routes of 用户入场通知, for service providers and for direct merchants.
const (
	entryPath       = "/vehicle/partnerpay/notification"
	entryPathDirect = "/vehicle/pay/notification"
)

// TradeScene says where a car stands. WeChat Pay's second value has a space in it.
type TradeScene string

// The two scenes.
const (
	SceneParking      TradeScene = "PARKING"       // a car park with a barrier, API version 3.0
	SceneParkingSpace TradeScene = "PARKING SPACE" // a single space, API version 2.0
)

// Version returns the API version that belongs to the scene.
func (s TradeScene) Version() string {
	if s == SceneParking {
		return "3.0"
	}
	return "2.0"
}

// UserStateNormal is the one user_state (and vehicle_event_type) with which the password-free service can be used.
// WeChat Pay's sources name the others differently (BLOCK, BLOCKED, OVERDUE), so none of them is relied on.
const UserStateNormal = "NORMAL"

// Scene is the content of scene_info.
type Scene struct {
	StartTime   string `json:"start_time"`            // yyyyMMddHHmmss
	PlateNumber string `json:"plate_number,omitzero"` // PARKING alone
	NotifyURL   string `json:"notify_url,omitzero"`   // PARKING alone
	FreeTime    string `json:"free_time"`             // seconds
	CarType     string `json:"car_type,omitzero"`
	ParkingName string `json:"parking_name,omitzero"`
	OpenID      string `json:"openid,omitzero"`       // PARKING SPACE alone, as the two below
	SubOpenID   string `json:"sub_openid,omitzero"`   //
	SpaceNumber string `json:"space_number,omitzero"` //
}

// JSON returns the text of scene_info: an object with the one key scene_info, in raw UTF-8.
func (s Scene) JSON() (string, error) {
	b, err := json.Marshal(struct {
		SceneInfo Scene `json:"scene_info"`
	}{s})
	return string(b), err
}

// Entry is a car that has entered.
type Entry struct {
	AppID, MchID       string
	SubAppID, SubMchID string // SubMchID is "" in direct mode and chooses the route, which alone has a sub_appid
	TradeScene         TradeScene
	Scene              Scene
}

// document returns the request but for its signature, and is the same for each try but for the nonce.
func (e Entry) document(sceneInfo, nonce string) flatxml.Document {
	d := make(flatxml.Document, 0, 10)
	d = append(d, flatxml.Element{Name: "appid", Value: e.AppID}, flatxml.Element{Name: "mch_id", Value: e.MchID})
	if e.SubMchID != "" {
		if e.SubAppID != "" {
			d = append(d, flatxml.Element{Name: "sub_appid", Value: e.SubAppID})
		}
		d = append(d, flatxml.Element{Name: "sub_mch_id", Value: e.SubMchID})
	}
	return append(d,
		flatxml.Element{Name: "nonce_str", Value: nonce},
		flatxml.Element{Name: "sign_type", Value: signing.SignTypeHMACSHA256},
		flatxml.Element{Name: "version", Value: e.TradeScene.Version()},
		flatxml.Element{Name: "trade_scene", Value: string(e.TradeScene)},
		flatxml.Element{Name: "scene_info", Value: sceneInfo},
	)
}

// EntryAnswer is WeChat Pay's verified answer: every element of it.
type EntryAnswer struct{ Document flatxml.Document }

// UserState returns user_state as it came.
func (a EntryAnswer) UserState() string { return a.Document.Get("user_state") }

// DeductMode returns deduct_mode as it came: PROACTIVE, AUTOPAY, or "" where the answer has none.
func (a EntryAnswer) DeductMode() string { return a.Document.Get("deduct_mode") }

// NotifyEntry reports e and returns WeChat Pay's verified answer. Every failure is an *Error, or what Credentials said.
func (c *Client) NotifyEntry(ctx context.Context, keys Credentials[V2Keys], e Entry) (EntryAnswer, error) {
	sceneInfo, err := e.Scene.JSON()
	if err != nil {
		return EntryAnswer{}, err
	}
	k, err := keys.Get(ctx)
	if err != nil {
		return EntryAnswer{}, err
	}
	path := entryPath
	if e.SubMchID == "" {
		path = entryPathDirect
	}
	var answer EntryAnswer
	signs := 0 // the key of k that signs
	err = c.call(ctx, func(ctx context.Context, _ int) (bool, *Error) {
		signer := k[signs]
		r, err := c.postV2(ctx, signer, c.BaseURL+path, e, sceneInfo)
		if err != nil {
			return true, transportError(err)
		}
		telemetry.Set(ctx, telemetry.WeChatHTTP, r.status)
		document, failure := judgeV2(r)
		switch {
		case failure != nil:
			telemetry.Set(ctx, telemetry.WeChatCode, failure.Code)
			if failure.Kind == SignatureRejected {
				if refreshed(ctx, keys, &k) {
					signs = 0
					return true, failure
				}
				// While a key is changed, WeChat Pay takes the old one until the moment of the change and the new one from then
				// on. Of a list with both, the next one is it.
				signs++
				return signs < len(k), failure
			}
			return failure.Kind == Unavailable || failure.Kind == Unverified, failure
		case !verifyV2(ctx, keys, &k, document):
			if signs >= len(k) || k[signs] != signer {
				signs = 0 // other keys have come
			}
			return true, &Error{Kind: Unverified, HTTPStatus: r.status}
		}
		answer.Document = document
		return false, nil
	})
	return answer, err
}

func (c *Client) postV2(ctx context.Context, key *signing.V2Key, url string, e Entry, sceneInfo string) (reply, error) {
	nonce, err := signing.NewNonce(c.Random)
	if err != nil {
		return reply{}, errors.Join(errNotSent, err)
	}
	d := e.document(sceneInfo, nonce)
	d = append(d, flatxml.Element{Name: "sign", Value: key.Sign(d)})
	body, err := flatxml.Append(nil, d)
	if err != nil {
		return reply{}, errors.Join(errNotSent, err)
	}
	req, err := newRequest(ctx, http.MethodPost, url, body)
	if err != nil {
		return reply{}, errors.Join(errNotSent, err)
	}
	req.Header.Set("Accept", "application/xml, text/xml")
	req.Header.Set("Content-Type", "application/xml; charset=utf-8")
	return c.send(ctx, req)
}

// judgeV2 reads an answer in WeChat Pay's order: HTTP status, return_code, result_code. What claims success still has
// to verify; what is not the documented XML is as good as an answer that does not.
func judgeV2(r reply) (flatxml.Document, *Error) {
	if r.status != http.StatusOK {
		return nil, refusalV3(r, "", "")
	}
	d, err := flatxml.Parse(r.body)
	if err != nil {
		return nil, &Error{Kind: Unverified, HTTPStatus: r.status}
	}
	switch {
	case d.Get("return_code") == "FAIL":
		return nil, refusalV2(r, d.Get("err_code"), d.Get("return_msg"))
	case d.Get("return_code") == "SUCCESS" && d.Get("result_code") == "FAIL":
		return nil, refusalV2(r, d.Get("err_code"), d.Get("err_code_des"))
	case d.Get("return_code") == "SUCCESS" && d.Get("result_code") == "SUCCESS":
		return d, nil
	}
	return nil, &Error{Kind: Unverified, HTTPStatus: r.status}
}

// verifyV2 tells whether d is WeChat Pay's; keys that may be old are fetched again, once.
func verifyV2(ctx context.Context, keys Credentials[V2Keys], k *V2Keys, d flatxml.Document) bool {
	err := signing.VerifyV2(d, *k)
	if err == nil {
		return true
	}
	telemetry.Set(ctx, telemetry.Reason, string(ReasonOf(err)))
	if !MayBeOldKeys(err) || !refreshed(ctx, keys, k) {
		return false
	}
	return signing.VerifyV2(d, *k) == nil
}
