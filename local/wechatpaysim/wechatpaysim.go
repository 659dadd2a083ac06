// Package wechatpaysim stands for WeChat Pay on 127.0.0.1.
//
// It answers the interfaces that the gateway calls (V3 parking sync of the smart business circle, V2 entry
// notification of the car-owner service and the download of platform certificates), sends the callbacks that
// WeChat Pay sends, changes its keys and breaks its answers on demand. It is strict where WeChat Pay is lenient or silent: whatever the documents do not
// allow is refused, and the refusal says what was wrong.
//
// Its XML, JSON and cryptography are its own, made of the standard library alone. It imports nothing else
// of this module, so that a mistake in the gateway's signing cannot hide behind the same mistake here.
//
// The local stack, the demo, cmd/parkctl and tests may import it. No function that is deployed may.
//
// The rules come from WeChat Pay's pages: V2 用户入场通知 (doc/v2/partner/4011988204 and
// doc/v2/merchant/4011985272), 车牌状态变更通知 (doc/v2/merchant/4011987424) and 安全规范
// (wiki/doc/api/app/app.php?chapter=4_3); V3 商圈会员停车状态同步 (doc/v3/merchant/4012535502), request
// signing and signature verification (doc/v3/merchant/4012365336 to 4012365342), the platform certificates
// (下载平台证书) and the change to the WeChat Pay public key (doc/v3/merchant/4012154180).
package wechatpaysim

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The routes that the simulator serves by POST; RouteCertificates is the other.
const (
	RouteParkings       = "/v3/businesscircle/parkings"
	RouteVehiclePartner = "/vehicle/partnerpay/notification"
	RouteVehicleDirect  = "/vehicle/pay/notification"
)

// Mode says how the merchant is known to WeChat Pay.
type Mode string

// The two modes: a service provider that acts for sub-merchants, and a merchant that acts for itself.
const (
	Partner Mode = "partner"
	Direct  Mode = "direct"
)

// Tolerance is how far a V3 request's timestamp may be from the simulator's clock, both ways.
const Tolerance = 5 * time.Minute

const (
	maxBody     = 64 << 10
	nonceMemory = 2 * Tolerance
	defaultKeep = 4096
)

// beijing is the zone of every time without an offset in V2.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// ErrConfig is wrapped by every error that New returns.
var ErrConfig = errors.New("wechatpaysim: bad configuration")

// Merchant is one merchant that the caller may act for, with the products that it has.
type Merchant struct {
	// SubMchID names the sub-merchant; it is empty in direct mode.
	SubMchID string
	// SubAppID is the appid bound to the sub-merchant for the car-owner service. In partner mode an empty
	// one means that the sub-merchant does not have that service.
	SubAppID string
	// BrandID and AppID are the brand of the smart business circle and the appid bound to it. A zero
	// BrandID means that the merchant has no business circle.
	BrandID int64
	AppID   string
}

// Config is what WeChat Pay knows of the merchant, and what the simulator is made of.
type Config struct {
	Mode  Mode
	MchID string
	AppID string
	// APIv2Keys are 32 characters each, newest first. Any of them is accepted; an answer is signed with the
	// key that the request was signed with, a callback with the first.
	APIv2Keys []string
	// APIv3Key has 32 bytes. Without one no V3 callback is sent, as with WeChat Pay.
	APIv3Key string
	// MerchantKeys are the public keys of the merchant API certificates, by serial number.
	MerchantKeys map[string]*rsa.PublicKey
	Merchants    []Merchant

	// Identity holds the platform's keys (see GenerateIdentity).
	Identity *Identity

	Now  func() time.Time
	Rand io.Reader
	// Transport carries the callbacks. It may be nil if none is sent.
	Transport http.RoundTripper
	// Observe, when set, is called once for every request, after the verdict and before the answer is
	// written. The context is the HTTP request's. Several goroutines may call it at once.
	Observe func(context.Context, Request)
	// Keep is how many of the latest requests are remembered; 0 stands for 4096.
	Keep int
}

// Request is one request that came in, with the verdict on it. Treat it as read-only.
type Request struct {
	// Seq counts from 1.
	Seq    int
	At     time.Time
	Method string
	// URI is the path and query exactly as they were sent.
	URI string
	// Route is one of the Route constants, or empty where nothing is served.
	Route  string
	Header http.Header
	Body   []byte
	// Fields are the body's fields by name, as far as reading came: V3 members, V2 elements, and what stood
	// inside scene_info under its own names.
	Fields map[string]string
	// Accepted tells whether the request was good. Reason says what was wrong when it was not; Code is
	// WeChat Pay's code for it.
	Accepted bool
	Code     string
	Reason   string
	// RequestID is the Request-ID of the answer.
	RequestID string
	// Status is the HTTP status of the answer, 0 when a fault left none.
	Status int
	// Fault is what was done to the answer, empty when nothing was.
	Fault FaultKind
}

// Simulator is WeChat Pay for one merchant. It is safe for concurrent use.
type Simulator struct {
	cfg      Config
	keys     atomic.Pointer[Keys]
	changing sync.Mutex // held while keys are changed
	closed   chan struct{}
	stop     sync.Once

	randomness sync.Mutex

	mu       sync.Mutex
	seq      int
	requests []Request
	faults   []Fault
	states   map[string]State
	nonces   map[string]time.Time
	swept    time.Time
}

var _ http.Handler = (*Simulator)(nil)

// New makes a simulator. Every error wraps ErrConfig and names the field, never its value.
func New(cfg Config) (*Simulator, error) {
	if err := check(cfg); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if cfg.Keep == 0 {
		cfg.Keep = defaultKeep
	}
	cfg.Merchants = slices.Clone(cfg.Merchants)
	s := &Simulator{
		cfg:    cfg,
		closed: make(chan struct{}),
		states: map[string]State{},
		nonces: map[string]time.Time{},
	}
	keys := cfg.keys().clone()
	s.keys.Store(&keys)
	return s, nil
}

// keys are those that the simulator starts with: both of the identity's are in use.
func (c Config) keys() Keys {
	return Keys{
		APIv2Keys: c.APIv2Keys, APIv3Key: c.APIv3Key, MerchantKeys: c.MerchantKeys,
		PublicKey: true, Certificates: []*Certificate{c.Identity.certificate},
	}
}

func check(cfg Config) error {
	if cfg.Mode != Partner && cfg.Mode != Direct {
		return errors.New("field Mode must be partner or direct")
	}
	if digits(cfg.MchID, 32) != "" || token(cfg.AppID, 32) != "" {
		return errors.New("field MchID must be digits, and AppID letters and digits, at most 32")
	}
	for i, m := range cfg.Merchants {
		if (m.SubMchID != "") != (cfg.Mode == Partner) {
			return fmt.Errorf("field Merchants[%d].SubMchID must be given in partner mode and only there", i)
		}
		if (m.BrandID != 0) != (m.AppID != "") {
			return fmt.Errorf("field Merchants[%d]: BrandID and AppID go together", i)
		}
	}
	if cfg.Identity == nil || cfg.Identity.publicKey == nil || cfg.Identity.certificate == nil {
		return errors.New("field Identity must come from GenerateIdentity or NewIdentity")
	}
	if err := cfg.keys().check(); err != nil {
		return err
	}
	if cfg.Now == nil || cfg.Rand == nil {
		return errors.New("fields Now and Rand must be given")
	}
	if cfg.Keep < 0 {
		return errors.New("field Keep must not be negative")
	}
	return nil
}

// Close lets go of the requests that a fault holds up. The simulator answers on as before.
func (s *Simulator) Close() {
	s.stop.Do(func() { close(s.closed) })
}

// ServeHTTP judges one request as WeChat Pay would, records it and answers it.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := Request{
		At:     s.cfg.Now(),
		Method: r.Method,
		URI:    r.RequestURI,
		Route:  routeOf(r.URL.Path),
		Header: r.Header.Clone(),
	}
	fault := s.takeFault(rec.Route)
	rec.Fault = fault.Kind
	if fault.Kind == FaultResetBeforeRead {
		rec.Reason = "not read: the connection was reset"
		s.record(r.Context(), rec)
		reset(w)
		return
	}
	id, err := s.random(requestIDDigits, 32)
	if err != nil {
		http.Error(w, "wechatpaysim: no randomness", http.StatusInternalServerError)
		return
	}
	rec.RequestID = id

	reply := s.judge(r, &rec)
	reply = s.replace(reply, fault, rec.Fields)
	if fault.Kind.answers() {
		rec.Status = reply.status
	}
	s.record(r.Context(), rec)
	s.write(w, r, reply, fault, rec.RequestID)
}

func routeOf(path string) string {
	switch path {
	case RouteParkings, RouteVehiclePartner, RouteVehicleDirect, RouteCertificates:
		return path
	}
	return ""
}

func methodOf(route string) string {
	if route == RouteCertificates {
		return http.MethodGet
	}
	return http.MethodPost
}

// judge reads the body, gives the verdict in rec and returns the answer to it.
func (s *Simulator) judge(r *http.Request, rec *Request) reply {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	rec.Body = body
	v2 := strings.HasPrefix(r.URL.Path, "/vehicle/")
	var no *refusal
	switch {
	case rec.Route == "" || r.Method != methodOf(rec.Route):
		no = &refusal{status: http.StatusNotFound, code: "RESOURCE_NOT_EXISTS", message: "no such interface", unsigned: true}
	case err != nil:
		no = &refusal{status: http.StatusBadRequest, code: "INVALID_REQUEST", message: "the body did not arrive in full", unsigned: true}
	case len(body) > maxBody:
		no = &refusal{status: http.StatusBadRequest, code: "INVALID_REQUEST", message: "the body is over 64 KiB", unsigned: true}
	}
	if v2 {
		return s.judgeV2(r, rec, no)
	}
	return s.judgeV3(r, rec, no)
}

// refuse writes a refusal into the record.
func (rec *Request) refuse(no *refusal) {
	rec.Code, rec.Reason = no.code, no.message
	if no.reason != "" {
		rec.Reason = no.reason
	}
}

// refusal is a request that WeChat Pay does not take.
type refusal struct {
	status  int    // HTTP, V3 only
	code    string // V3 code or V2 err_code; empty for an unsigned V2 refusal
	message string // what the caller is told
	reason  string // what the record says, where that is more than the caller is told
	detail  any    // V3 only
	// unsigned marks a V2 refusal at the level of communication: return_code=FAIL without a sign.
	unsigned bool
}

func (s *Simulator) record(ctx context.Context, rec Request) {
	s.mu.Lock()
	s.seq++
	rec.Seq = s.seq
	s.requests = append(s.requests, rec)
	if len(s.requests) >= 2*s.cfg.Keep {
		s.requests = slices.Clone(s.latest())
	}
	s.mu.Unlock()
	if s.cfg.Observe != nil {
		s.cfg.Observe(ctx, rec)
	}
}

// Requests returns the requests that came in, oldest first.
func (s *Simulator) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.latest())
}

// latest is what is still remembered; twice as much is held, so that dropping costs little.
func (s *Simulator) latest() []Request {
	return s.requests[max(0, len(s.requests)-s.cfg.Keep):]
}

// Forget drops the recorded requests. Seq goes on counting and used nonces stay used.
func (s *Simulator) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// State is what WeChat Pay knows of a car: whether its password-free service is usable, and how it pays.
type State struct {
	// UserState is NORMAL, BLOCKED, or whatever a test wants to see handled.
	UserState string
	// DeductMode is PROACTIVE or AUTOPAY; an empty one is left out of answers.
	DeductMode string
}

// SetState decides what an entry notification is answered for one car. The car is named by its plate
// number; in PARKING SPACE, which sends none, by sub_openid or else openid. Every other car is NORMAL and
// PROACTIVE.
func (s *Simulator) SetState(car string, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[car] = state
}

// Block makes the given plates BLOCKED.
func (s *Simulator) Block(plates ...string) {
	for _, p := range plates {
		s.SetState(p, State{UserState: "BLOCKED"})
	}
}

// StateOf tells what an entry notification for this car is answered.
func (s *Simulator) StateOf(car string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.states[car]; ok {
		return st
	}
	return State{UserState: "NORMAL", DeductMode: "PROACTIVE"}
}

// spendNonce tells whether a nonce is fresh, and remembers it for twice the tolerance.
func (s *Simulator) spendNonce(scheme, nonce string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) > nonceMemory {
		maps.DeleteFunc(s.nonces, func(_ string, seen time.Time) bool { return now.Sub(seen) > nonceMemory })
		s.swept = now
	}
	key := scheme + " " + nonce
	if seen, ok := s.nonces[key]; ok && now.Sub(seen) <= nonceMemory {
		return false
	}
	s.nonces[key] = now
	return true
}

const (
	alphanumeric    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	decimal         = "0123456789"
	requestIDDigits = "0123456789ABCDEF"
)

// random draws n characters of an alphabet, each equally likely.
func (s *Simulator) random(alphabet string, n int) (string, error) {
	s.randomness.Lock()
	defer s.randomness.Unlock()
	return randomText(s.cfg.Rand, alphabet, n)
}

func randomText(r io.Reader, alphabet string, n int) (string, error) {
	fair := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var b [64]byte
	for len(out) < n {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return "", fmt.Errorf("wechatpaysim: randomness: %w", err)
		}
		for _, c := range b {
			if int(c) < fair && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}
