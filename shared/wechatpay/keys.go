package wechatpay

import (
	"context"
	"errors"

	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/signing"
)

// Credentials is where keys come from: a cached secret, or what is made of some. Get is cheap. Refresh fetches anew, at its own
// discretion, and tells whether anything changed: a call refreshes when WeChat Pay rejects our signature or an answer does
// not verify.
type Credentials[T any] interface {
	Get(ctx context.Context) (T, error)
	Refresh(ctx context.Context) (value T, changed bool, err error)
}

// V3Keys are the keys of a V3 call.
type V3Keys struct {
	Signer *signing.Signer
	// WeChatPay verifies the answers; ResponseKeyID is the key of it that WeChat Pay is asked to sign with, "" to leave
	// the choice to WeChat Pay.
	WeChatPay     signing.Keyring
	ResponseKeyID string
}

// V2Keys are the keys of V2 calls and callbacks, newest first, at least one: the first signs, all verify.
type V2Keys []*signing.V2Key

// ErrNoV2Key says that the merchant's secret holds no APIv2 key, without which there are no V2 calls.
var ErrNoV2Key = errors.New("wechatpay: the merchant's secret holds no APIv2 key")

// V3Credentials makes the keys of V3 calls from two documents: the private key stands apart from the others, so that the
// function that parses callbacks cannot read it.
type V3Credentials struct {
	Merchants Credentials[*merchant.Merchant]
	Keys      Credentials[*merchant.Key]
}

// Get returns the keys as they are known.
func (c V3Credentials) Get(ctx context.Context) (V3Keys, error) {
	m, err := c.Merchants.Get(ctx)
	if err != nil {
		return V3Keys{}, err
	}
	key, err := c.Keys.Get(ctx)
	if err != nil {
		return V3Keys{}, err
	}
	return v3Keys(m, key), nil
}

// Refresh fetches both documents again.
func (c V3Credentials) Refresh(ctx context.Context) (V3Keys, bool, error) {
	m, merchantChanged, err := c.Merchants.Refresh(ctx)
	if err != nil {
		return V3Keys{}, false, err
	}
	key, keyChanged, err := c.Keys.Refresh(ctx)
	if err != nil {
		return V3Keys{}, false, err
	}
	return v3Keys(m, key), merchantChanged || keyChanged, nil
}

func v3Keys(m *merchant.Merchant, key *merchant.Key) V3Keys {
	return V3Keys{
		Signer:        signing.NewSigner(m.MchID, key.SerialNo, key.PrivateKey),
		WeChatPay:     m.WeChatPayKeys,
		ResponseKeyID: m.ResponseKeyID,
	}
}

// V2Credentials makes the keys of V2 calls from the merchant's document. A document without one is ErrNoV2Key.
type V2Credentials struct {
	Merchants Credentials[*merchant.Merchant]
}

// Get returns the keys as they are known.
func (c V2Credentials) Get(ctx context.Context) (V2Keys, error) {
	m, err := c.Merchants.Get(ctx)
	return v2Keys(m, err)
}

// Refresh fetches the document again.
func (c V2Credentials) Refresh(ctx context.Context) (V2Keys, bool, error) {
	m, changed, err := c.Merchants.Refresh(ctx)
	keys, err := v2Keys(m, err)
	return keys, changed, err
}

func v2Keys(m *merchant.Merchant, err error) (V2Keys, error) {
	if err != nil {
		return nil, err
	}
	if len(m.V2Keys) == 0 {
		return nil, ErrNoV2Key
	}
	return m.V2Keys, nil
}
