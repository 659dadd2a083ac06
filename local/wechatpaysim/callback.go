package wechatpaysim

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// CallbackTimeout is how long WeChat Pay waits for the answer to a callback.
const CallbackTimeout = 5 * time.Second

const gcmNonceSize = 12

// The errors of building and forging callbacks.
var (
	ErrNoKey         = errors.New("wechatpaysim: no key to make this callback with")
	ErrUnknownSerial = errors.New("wechatpaysim: the platform has no key of this serial")
	ErrWrongScheme   = errors.New("wechatpaysim: not possible with this callback's scheme")
)

// Callback is one callback, signed and ready to send. Sending it again is a redelivery of the same bytes.
// Header and Body may be changed before it is sent; the methods of Simulator that take a callback leave the
// one they are given as it is.
type Callback struct {
	URL    string
	Header http.Header
	Body   []byte

	serial string
	signer *rsa.PrivateKey
	plate  []Element // V2: the elements but nonce_str and sign
	event  *event    // V3
}

// event is the plain content of a V3 callback.
type event struct {
	head       eventHead
	data       []byte
	associated string
	original   string
}

type eventHead struct {
	ID           string `json:"id"`
	CreateTime   string `json:"create_time"`
	ResourceType string `json:"resource_type"`
	EventType    string `json:"event_type"`
	Summary      string `json:"summary,omitempty"`
}

type envelope struct {
	eventHead
	Resource resource `json:"resource"`
}

type resource struct {
	OriginalType   string `json:"original_type,omitempty"`
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"`
	AssociatedData string `json:"associated_data"`
	Nonce          string `json:"nonce"`
}

// Delivery is how the receiver took a callback.
type Delivery struct {
	Callback Callback
	Status   int
	Header   http.Header
	// Body is the answer's body, at most 64 KiB of it.
	Body []byte
	// Success is WeChat Pay's verdict: for V2, HTTP 200 and return_code SUCCESS; for V3, HTTP 200 or 204.
	Success bool
	// Why says what spoke against success.
	Why string
}

// Request returns the callback as an HTTP request.
func (c Callback) Request(ctx context.Context) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(c.Body))
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: callback: %w", err)
	}
	r.Header = c.Header.Clone()
	return r, nil
}

// PlateState is a V2 notice that a plate's state or way of paying has changed.
type PlateState struct {
	// MchID and AppID default to the merchant's.
	MchID    string
	AppID    string
	SubMchID string
	SubAppID string

	PlateNumber string
	// EventType is NORMAL or BLOCKED; EventDes OVERDUE, REMOVE, PAUSE, PROACTIVE or AUTOPAY; DeductMode
	// PROACTIVE or AUTOPAY. An empty one is left out.
	EventType  string
	EventDes   string
	DeductMode string
	// CreateTime defaults to now.
	CreateTime time.Time
	// OmitSignType leaves sign_type out; the sign is HMAC-SHA256 all the same.
	OmitSignType bool
	// Extra elements are signed with the rest, as a field would be that WeChat Pay adds one day.
	Extra []Element
}

// BuildPlateState makes a plate-state notice without sending it.
func (s *Simulator) BuildPlateState(notifyURL string, p PlateState) (Callback, error) {
	if p.CreateTime.IsZero() {
		p.CreateTime = s.cfg.Now()
	}
	elements := []Element{
		{"mch_id", orElse(p.MchID, s.cfg.MchID)},
		{"sub_mch_id", p.SubMchID},
		{"appid", orElse(p.AppID, s.cfg.AppID)},
		{"sub_appid", p.SubAppID},
		{"sign_type", signType},
		{"plate_number", p.PlateNumber},
		{"vehicle_event_type", p.EventType},
		{"vehicle_event_des", p.EventDes},
		{"deduct_mode", p.DeductMode},
	}
	elements = slices.DeleteFunc(elements, func(e Element) bool {
		return e.Value == "" || p.OmitSignType && e.Name == "sign_type"
	})
	elements = append(elements, p.Extra...)
	elements = append(elements, Element{"vehicle_event_createtime", p.CreateTime.In(beijing).Format(v2Time)})
	return s.signPlate(Callback{URL: notifyURL, plate: elements}, "", "")
}

func orElse(v, other string) string {
	if v == "" {
		return other
	}
	return v
}

// signPlate signs a V2 notice with a new nonce; key is the merchant's first APIv2 key unless given, and
// prefix goes in front of the sign.
func (s *Simulator) signPlate(c Callback, key, prefix string) (Callback, error) {
	keys := s.keys.Load().APIv2Keys
	if key == "" && len(keys) == 0 {
		return Callback{}, fmt.Errorf("%w: APIv2 key", ErrNoKey)
	}
	if key == "" {
		key = keys[0]
	}
	n, err := s.random(alphanumeric, 32)
	if err != nil {
		return Callback{}, err
	}
	id, err := s.random(requestIDDigits, 32)
	if err != nil {
		return Callback{}, err
	}
	doc := append(slices.Clone(c.plate), Element{"nonce_str", n})
	doc = append(doc, Element{"sign", prefix + signV2(fieldsOf(doc), key)})
	c.Body = writeXML(doc, false)
	c.Header = http.Header{}
	c.Header.Set("Content-Type", "text/xml")
	c.Header.Set(headerReqID, id)
	return c, nil
}

// MallTransaction is the resource of MALL_TRANSACTION.SUCCESS. Amounts are in fen.
type MallTransaction struct {
	MchID         string `json:"mchid"`
	MerchantName  string `json:"merchant_name"`
	ShopName      string `json:"shop_name"`
	ShopNumber    string `json:"shop_number"`
	AppID         string `json:"appid"`
	OpenID        string `json:"openid"`
	TimeEnd       string `json:"time_end"`
	Amount        int64  `json:"amount"`
	TransactionID string `json:"transaction_id"`
	CommitTag     string `json:"commit_tag,omitempty"`
}

// MallRefund is the resource of MALL_REFUND.SUCCESS. Amounts are in fen.
type MallRefund struct {
	MchID         string `json:"mchid"`
	MerchantName  string `json:"merchant_name"`
	ShopName      string `json:"shop_name"`
	ShopNumber    string `json:"shop_number"`
	AppID         string `json:"appid"`
	OpenID        string `json:"openid"`
	RefundTime    string `json:"refund_time"`
	PayAmount     int64  `json:"pay_amount"`
	RefundAmount  int64  `json:"refund_amount"`
	TransactionID string `json:"transaction_id"`
	RefundID      string `json:"refund_id"`
}

// CardActivated is the resource of MALL_AUTH.ACTIVATE_CARD.
type CardActivated struct {
	OpenID   string `json:"openid"`
	Code     string `json:"code"`
	MchID    string `json:"mchid"`
	AuthType string `json:"auth_type"`
}

// Event is any V3 callback, also one of a type that nobody knows.
type Event struct {
	// ID and CreateTime are the envelope's; they default to a new id and to now.
	ID         string
	CreateTime time.Time
	Type       string
	Summary    string
	// OriginalType and AssociatedData belong to the encrypted resource; both may be empty.
	OriginalType   string
	AssociatedData string
	// Resource is marshalled as JSON and encrypted.
	Resource any
}

// BuildMallTransaction makes a MALL_TRANSACTION.SUCCESS callback without sending it.
func (s *Simulator) BuildMallTransaction(url string, t MallTransaction) (Callback, error) {
	return s.BuildEvent(url, Event{
		Type: "MALL_TRANSACTION.SUCCESS", Summary: "场内支付成功",
		OriginalType: "mall_transaction", AssociatedData: "mall_transaction", Resource: t,
	})
}

// BuildMallRefund makes a MALL_REFUND.SUCCESS callback without sending it.
func (s *Simulator) BuildMallRefund(url string, r MallRefund) (Callback, error) {
	return s.BuildEvent(url, Event{
		Type: "MALL_REFUND.SUCCESS", Summary: "场内退款成功",
		OriginalType: "mall_refund", AssociatedData: "mall_refund", Resource: r,
	})
}

// BuildCardActivated makes a MALL_AUTH.ACTIVATE_CARD callback without sending it. Its associated data is
// empty, which WeChat Pay allows.
func (s *Simulator) BuildCardActivated(url string, c CardActivated) (Callback, error) {
	return s.BuildEvent(url, Event{
		Type: "MALL_AUTH.ACTIVATE_CARD", Summary: "会员积分服务授权成功", OriginalType: "mall_auth", Resource: c,
	})
}

// BuildEvent makes a V3 callback without sending it, signed as Keys.Callbacks says; SignWith chooses another
// key.
func (s *Simulator) BuildEvent(url string, e Event) (Callback, error) {
	if e.CreateTime.IsZero() {
		e.CreateTime = s.cfg.Now()
	}
	if e.ID == "" {
		tail, err := s.random(decimal, 16)
		if err != nil {
			return Callback{}, err
		}
		e.ID = "EV-" + e.CreateTime.In(beijing).Format(v2Time) + tail
	}
	data, err := marshal(e.Resource)
	if err != nil {
		return Callback{}, fmt.Errorf("wechatpaysim: resource: %w", err)
	}
	c := Callback{URL: url, event: &event{
		head: eventHead{
			ID:           e.ID,
			CreateTime:   e.CreateTime.In(beijing).Format(time.RFC3339),
			ResourceType: "encrypt-resource",
			EventType:    e.Type,
			Summary:      e.Summary,
		},
		data: data, associated: e.AssociatedData, original: e.OriginalType,
	}}
	return s.Renew(c)
}

// encrypt writes a V3 body under a new resource nonce.
func (s *Simulator) encrypt(e *event, key string) ([]byte, error) {
	if key == "" {
		return nil, fmt.Errorf("%w: APIv3 key", ErrNoKey)
	}
	n, err := s.random(alphanumeric, gcmNonceSize)
	if err != nil {
		return nil, err
	}
	sealed, err := sealGCM(key, n, e.associated, e.data)
	if err != nil {
		return nil, err
	}
	return marshal(envelope{eventHead: e.head, Resource: resource{
		OriginalType:   e.original,
		Algorithm:      "AEAD_AES_256_GCM",
		Ciphertext:     sealed,
		AssociatedData: e.associated,
		Nonce:          n,
	}})
}

// sealGCM is AEAD_AES_256_GCM: the base64 of ciphertext and tag.
func sealGCM(key, nonce, associatedData string, plaintext []byte) (string, error) {
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		return "", fmt.Errorf("wechatpaysim: APIv3 key: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", fmt.Errorf("wechatpaysim: AES-GCM: %w", err)
	}
	return base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), plaintext, []byte(associatedData))), nil
}

// signEvent puts new headers on a V3 callback.
func (s *Simulator) signEvent(c Callback, how seal) (Callback, error) {
	id, err := s.random(requestIDDigits, 32)
	if err != nil {
		return Callback{}, err
	}
	if c.Header, err = s.sealV3(how, c.Body); err != nil {
		return Callback{}, err
	}
	c.Header.Set("Content-Type", "application/json")
	c.Header.Set(headerReqID, id)
	return c, nil
}

// Renew makes a redelivery with the same business fields and everything else new: V2 a new nonce_str and
// sign; V3 the same envelope id, encrypted under a new nonce, with new headers.
func (s *Simulator) Renew(c Callback) (Callback, error) {
	if c.event == nil {
		return s.signPlate(c, "", "")
	}
	k := s.keys.Load()
	body, err := s.encrypt(c.event, k.APIv3Key)
	if err != nil {
		return Callback{}, err
	}
	c.Body = body
	if s.signs(k, c.serial) == nil { // a new callback, or a key that is no longer in use
		if c.serial, err = s.callsWith(k); err != nil {
			return Callback{}, err
		}
	}
	return s.Resign(c)
}

// Resign makes a V3 redelivery with the same body and new headers. It signs the body as it stands, changed
// or not.
func (s *Simulator) Resign(c Callback) (Callback, error) {
	return s.SignWith(c, c.serial)
}

// SignWith is Resign with the key of a chosen Wechatpay-Serial that is in use: the identity's PublicKeyID, or
// a certificate's serial number. Later redeliveries keep it while it is in use.
func (s *Simulator) SignWith(c Callback, serial string) (Callback, error) {
	if c.event == nil {
		return Callback{}, ErrWrongScheme
	}
	signer := s.signs(s.keys.Load(), serial)
	if signer == nil {
		return Callback{}, ErrUnknownSerial
	}
	c.serial, c.signer = serial, signer
	return s.signEvent(c, seal{serial: serial, key: signer, at: s.cfg.Now()})
}

// Forgery is one way in which a callback is not what it should be.
type Forgery string

// The forgeries. The first three go with both schemes, the others with V3.
const (
	// ForgeByte changes one digit of the signed body: in vehicle_event_createtime, or in the envelope's id.
	ForgeByte Forgery = "one byte"
	// ForgeKey signs with a key that is not the one named or due.
	ForgeKey Forgery = "wrong key"
	// ForgeProbe is a signature probe: WECHATPAY/SIGNTEST/ stands before the signature.
	ForgeProbe Forgery = "probe"
	// ForgeSerial names a WeChat Pay public key that nobody has.
	ForgeSerial Forgery = "unknown serial"
	// ForgeStale and ForgeFuture sign correctly, ten minutes off.
	ForgeStale  Forgery = "stale"
	ForgeFuture Forgery = "future"
	// ForgeBase64 breaks the signature's base64.
	ForgeBase64 Forgery = "bad base64"
	// ForgeEncryption signs correctly what is encrypted with another APIv3 key.
	ForgeEncryption Forgery = "undecryptable"
)

// Forge returns a forged copy of a callback.
func (s *Simulator) Forge(c Callback, kind Forgery) (Callback, error) {
	if c.event == nil {
		return s.forgePlate(c, kind)
	}
	how := seal{serial: c.serial, key: c.signer, at: s.cfg.Now()}
	switch kind {
	case ForgeByte:
		return turnDigit(c, `"id":"`+c.event.head.ID, 0)
	case ForgeKey:
		how.wrongKey = true
	case ForgeProbe:
		how.probe = true
	case ForgeSerial:
		how.unknown = true
	case ForgeStale:
		how.at = how.at.Add(-2 * Tolerance)
	case ForgeFuture:
		how.at = how.at.Add(2 * Tolerance)
	case ForgeBase64:
		c.Header = c.Header.Clone()
		c.Header.Set("Wechatpay-Signature", "%"+c.Header.Get("Wechatpay-Signature")[1:])
		return c, nil
	case ForgeEncryption:
		key, err := s.random(alphanumeric, 32)
		if err != nil {
			return Callback{}, err
		}
		if c.Body, err = s.encrypt(c.event, key); err != nil {
			return Callback{}, err
		}
	default:
		return Callback{}, ErrWrongScheme
	}
	return s.signEvent(c, how)
}

func (s *Simulator) forgePlate(c Callback, kind Forgery) (Callback, error) {
	switch kind {
	case ForgeByte:
		return turnDigit(c, "</vehicle_event_createtime>", -len("</vehicle_event_createtime>"))
	case ForgeKey:
		key, err := s.random(alphanumeric, 32)
		if err != nil {
			return Callback{}, err
		}
		return s.signPlate(c, key, "")
	case ForgeProbe:
		return s.signPlate(c, "", probePrefix)
	}
	return Callback{}, ErrWrongScheme
}

// turnDigit changes the byte that ends offset bytes after the end of mark.
func turnDigit(c Callback, mark string, offset int) (Callback, error) {
	at := bytes.Index(c.Body, []byte(mark))
	if at < 0 {
		return Callback{}, errors.New("wechatpaysim: the body holds nothing to change")
	}
	c.Body = bytes.Clone(c.Body)
	i := at + len(mark) + offset - 1
	if c.Body[i] == '0' {
		c.Body[i] = '1'
	} else {
		c.Body[i] = '0'
	}
	return c, nil
}

// Send delivers a callback as it is and judges the answer. An error means that no answer came.
func (s *Simulator) Send(ctx context.Context, c Callback) (Delivery, error) {
	d := Delivery{Callback: c}
	if s.cfg.Transport == nil {
		return d, errors.New("wechatpaysim: no transport to send callbacks with")
	}
	ctx, cancel := context.WithTimeout(ctx, CallbackTimeout)
	defer cancel()
	r, err := c.Request(ctx)
	if err != nil {
		return d, err
	}
	// A bare round trip follows no redirect, and neither does WeChat Pay.
	resp, err := s.cfg.Transport.RoundTrip(r)
	if err != nil {
		return d, fmt.Errorf("wechatpaysim: no answer to the callback: %w", err)
	}
	defer resp.Body.Close()
	d.Status, d.Header = resp.StatusCode, resp.Header
	if d.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody)); err != nil {
		return d, fmt.Errorf("wechatpaysim: the answer to the callback broke off: %w", err)
	}
	d.Why = d.failure()
	d.Success = d.Why == ""
	return d, nil
}

// failure says why WeChat Pay would send the callback again, or nothing.
func (d Delivery) failure() string {
	if d.Callback.event != nil {
		if d.Status != http.StatusOK && d.Status != http.StatusNoContent {
			return fmt.Sprintf("HTTP status %d", d.Status)
		}
		return ""
	}
	if d.Status != http.StatusOK {
		return fmt.Sprintf("HTTP status %d", d.Status)
	}
	doc, err := parseXML(d.Body)
	if err != nil {
		return "the answer is not the XML that is due: " + err.Error()
	}
	if fieldsOf(doc)["return_code"] != "SUCCESS" {
		return "return_code is not SUCCESS"
	}
	return ""
}

// PlateStateChanged builds and sends a plate-state notice.
func (s *Simulator) PlateStateChanged(ctx context.Context, notifyURL string, p PlateState) (Delivery, error) {
	return s.sendBuilt(ctx)(s.BuildPlateState(notifyURL, p))
}

// MallTransaction builds and sends a MALL_TRANSACTION.SUCCESS callback.
func (s *Simulator) MallTransaction(ctx context.Context, url string, t MallTransaction) (Delivery, error) {
	return s.sendBuilt(ctx)(s.BuildMallTransaction(url, t))
}

// MallRefund builds and sends a MALL_REFUND.SUCCESS callback.
func (s *Simulator) MallRefund(ctx context.Context, url string, r MallRefund) (Delivery, error) {
	return s.sendBuilt(ctx)(s.BuildMallRefund(url, r))
}

// CardActivated builds and sends a MALL_AUTH.ACTIVATE_CARD callback.
func (s *Simulator) CardActivated(ctx context.Context, url string, c CardActivated) (Delivery, error) {
	return s.sendBuilt(ctx)(s.BuildCardActivated(url, c))
}

func (s *Simulator) sendBuilt(ctx context.Context) func(Callback, error) (Delivery, error) {
	return func(c Callback, err error) (Delivery, error) {
		if err != nil {
			return Delivery{}, err
		}
		return s.Send(ctx, c)
	}
}
