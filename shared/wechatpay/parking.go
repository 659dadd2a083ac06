package wechatpay

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-json-experiment/json"

	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/telemetry"
)

// parkingsPath is the V3 route of 商圈会员停车状态同步, for merchants and service providers alike.
const parkingsPath = "/v3/businesscircle/parkings"

// Parking is a member's car that drove into the business circle or out of it. Its JSON is what WeChat Pay takes.
type Parking struct {
	SubMchID    string `json:"sub_mchid,omitzero"` // absent in direct mode
	BrandID     int64  `json:"brandid"`
	AppID       string `json:"appid"`
	OpenID      string `json:"openid"`
	PlateNumber string `json:"plate_number"`
	State       string `json:"state"` // IN or OUT
	Time        string `json:"time"`  // RFC 3339 at +08:00
}

// JSON returns the body as it is sent; equal parkings have equal bodies.
func (p Parking) JSON() ([]byte, error) { return json.Marshal(p) }

// SyncParking reports p. It returns nil only when WeChat Pay's empty 204 (or a 200) verified; every other outcome is an
// *Error, or what Credentials said.
func (c *Client) SyncParking(ctx context.Context, keys Credentials[V3Keys], p Parking) error {
	body, err := p.JSON()
	if err != nil {
		return err
	}
	k, err := keys.Get(ctx)
	if err != nil {
		return err
	}
	return c.call(ctx, func(ctx context.Context, n int) (bool, *Error) {
		r, err := c.sendV3(ctx, k, http.MethodPost, c.host(n)+parkingsPath, body)
		if err != nil {
			return true, transportError(err)
		}
		telemetry.Set(ctx, telemetry.WeChatHTTP, r.status)
		if r.status == http.StatusNoContent || r.status == http.StatusOK {
			if c.verifyV3(ctx, keys, &k, r) {
				return false, nil
			}
			return true, &Error{Kind: Unverified, HTTPStatus: r.status}
		}
		e := judgeV3(r)
		telemetry.Set(ctx, telemetry.WeChatCode, e.Code)
		if e.Kind == SignatureRejected {
			return refreshed(ctx, keys, &k), e
		}
		return e.Kind == Unavailable, e
	})
}

// host is where the n-th try of a V3 call goes.
func (c *Client) host(n int) string {
	if n > 0 {
		return c.BackupURL
	}
	return c.BaseURL
}

func (c *Client) sendV3(ctx context.Context, k V3Keys, method, url string, body []byte) (reply, error) {
	nonce, err := signing.NewNonce(c.Random)
	if err != nil {
		return reply{}, errors.Join(errNotSent, err)
	}
	req, err := newRequest(ctx, method, url, body)
	if err != nil {
		return reply{}, errors.Join(errNotSent, err)
	}
	authorization, err := k.Signer.Authorization(method, req.URL.RequestURI(), body, c.Now(), nonce)
	if err != nil {
		return reply{}, errors.Join(errNotSent, err)
	}
	req.Header.Set("Authorization", authorization)
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.ResponseKeyID != "" {
		req.Header.Set("Wechatpay-Serial", k.ResponseKeyID)
	}
	return c.send(ctx, req)
}

// verifyV3 tells whether r is WeChat Pay's. A key that is not known, or a signature that fails, may mean that our keys
// are old: they are fetched again, and the same answer is judged once more.
func (c *Client) verifyV3(ctx context.Context, keys Credentials[V3Keys], k *V3Keys, r reply) bool {
	err := verifyReply(k.WeChatPay, r, c)
	if err == nil {
		return true
	}
	telemetry.Set(ctx, telemetry.Reason, string(ReasonOf(err)))
	if !MayBeOldKeys(err) || !refreshed(ctx, keys, k) {
		return false
	}
	return verifyReply(k.WeChatPay, r, c) == nil
}

func verifyReply(ring signing.Keyring, r reply, c *Client) error {
	h, err := SignatureHeader(func(name string) (string, int) {
		values := r.header[name]
		if len(values) == 0 {
			return "", 0
		}
		return values[0], len(values)
	})
	if err != nil {
		return err
	}
	return ring.Verify(h, r.body, c.Now())
}

// judgeV3 reads the error body of a V3 answer, {"code","message","detail"}, of which detail is not uniform and not used.
func judgeV3(r reply) *Error {
	var body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// A body that is not the documented one leaves both empty; the status then decides alone.
	_ = json.Unmarshal(r.body, &body)
	return refusalV3(r, body.Code, body.Message)
}

// refreshed fetches the keys again and tells whether they are other ones.
func refreshed[T any](ctx context.Context, keys Credentials[T], k *T) bool {
	fresh, changed, err := keys.Refresh(ctx)
	if err != nil || !changed {
		return false
	}
	*k = fresh
	return true
}
