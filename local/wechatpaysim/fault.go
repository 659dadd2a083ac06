package wechatpaysim

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// FaultKind says what is done to an answer.
type FaultKind string

// The kinds of faults. The request is judged and recorded all the same, except where it is not read.
const (
	// FaultStatus answers with Status. With a Code, V3 gives {"code","message"} and V2 an unsigned
	// return_code=FAIL with the code as return_msg. Without one the answer is a proxy's: HTML, unsigned.
	FaultStatus FaultKind = "status"
	// FaultSystemError answers as WeChat Pay does when it fails itself: V3 500 SYSTEM_ERROR, V2 a signed
	// result_code=FAIL with SYSTEMERROR.
	FaultSystemError FaultKind = "system error"
	// FaultErrCode answers V2 with a signed result_code=FAIL and Code.
	FaultErrCode FaultKind = "err_code"
	// FaultDelay answers after Delay.
	FaultDelay FaultKind = "delay"
	// FaultHang reads the request and never answers; the connection is reset when the client has gone or
	// the simulator is closed.
	FaultHang FaultKind = "hang"
	// FaultResetBeforeRead and FaultResetAfterRead reset the connection instead of answering.
	FaultResetBeforeRead FaultKind = "reset before read"
	FaultResetAfterRead  FaultKind = "reset after read"
	// FaultTruncated ends the connection in the middle of the answer: of the body, or of the status line
	// where there is no body.
	FaultTruncated FaultKind = "truncated"
	// FaultWrongSignature signs with another key than the one that is named or due.
	FaultWrongSignature FaultKind = "wrong signature"
	// FaultNoSignature leaves out the V3 Wechatpay-* headers, or the V2 sign: an unsigned success.
	FaultNoSignature FaultKind = "no signature"
	// FaultProbe is a signature probe: the signature begins with WECHATPAY/SIGNTEST/.
	FaultProbe FaultKind = "probe"
	// FaultEncryption encrypts the certificates with another APIv3 key. RouteCertificates only.
	FaultEncryption FaultKind = "undecryptable"
	// FaultUnknownSerial names a WeChat Pay public key that nobody has. V3 only.
	FaultUnknownSerial FaultKind = "unknown serial"
	// FaultStale signs correctly, with a timestamp ten minutes old. V3 only.
	FaultStale FaultKind = "stale"
)

var (
	kindsOfBoth = []FaultKind{
		FaultStatus, FaultSystemError, FaultDelay, FaultHang, FaultResetBeforeRead, FaultResetAfterRead,
		FaultTruncated, FaultWrongSignature, FaultNoSignature, FaultProbe,
	}
	kindsOfV2 = []FaultKind{FaultErrCode}
	kindsOfV3 = []FaultKind{FaultUnknownSerial, FaultStale}
	// kindsOfDownloads go with RouteCertificates alone.
	kindsOfDownloads = []FaultKind{FaultEncryption}
)

// ErrFault is wrapped by what Inject refuses.
var ErrFault = errors.New("wechatpaysim: bad fault")

// Fault is one way to break answers.
type Fault struct {
	// Route is one of the Route constants; an empty one means every route that the kind fits.
	Route string
	// Times is how many requests it meets; 0 means all until ClearFaults.
	Times int
	Kind  FaultKind
	// Status, Code and Message are for FaultStatus and FaultErrCode.
	Status  int
	Code    string
	Message string
	// Delay is waited before the answer, with any kind.
	Delay time.Duration
}

func (k FaultKind) fits(route string) bool {
	v3 := route == RouteParkings || route == RouteCertificates
	return slices.Contains(kindsOfBoth, k) || slices.Contains(kindsOfV3, k) && v3 || slices.Contains(kindsOfV2, k) && !v3 ||
		slices.Contains(kindsOfDownloads, k) && route == RouteCertificates
}

// answers tells whether any complete status line reaches the client.
func (k FaultKind) answers() bool {
	return k != FaultHang && k != FaultResetBeforeRead && k != FaultResetAfterRead
}

// Inject adds a fault. A request meets the oldest fault that fits it, and no other.
func (s *Simulator) Inject(f Fault) error {
	switch {
	case f.Route != "" && routeOf(f.Route) == "":
		return fmt.Errorf("%w: no such route", ErrFault)
	case !slices.Contains(slices.Concat(kindsOfBoth, kindsOfV2, kindsOfV3, kindsOfDownloads), f.Kind):
		return fmt.Errorf("%w: no such kind", ErrFault)
	case f.Route != "" && !f.Kind.fits(f.Route):
		return fmt.Errorf("%w: the kind does not fit the route", ErrFault)
	case f.Times < 0 || f.Delay < 0:
		return fmt.Errorf("%w: Times and Delay must not be negative", ErrFault)
	case f.Kind == FaultStatus && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("%w: Status must be 200 to 599", ErrFault)
	case f.Kind == FaultErrCode && f.Code == "":
		return fmt.Errorf("%w: Code must be given", ErrFault)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
	return nil
}

// ClearFaults ends all faults. A request that one holds up already stays held.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Simulator) takeFault(route string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		f := &s.faults[i]
		if route == "" || f.Route != "" && f.Route != route || !f.Kind.fits(route) {
			continue
		}
		taken := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return taken
	}
	return Fault{}
}

// reply is an answer before it is signed.
type reply struct {
	v2     bool
	status int
	page   bool   // body is a proxy's HTML page
	body   []byte // V3, or the page
	serial string // V3: names the key that signs
	signer *rsa.PrivateKey
	// certificates, when set, are what the body lists.
	certificates *Keys

	doc []Element // V2
	key string    // V2: the APIv2 key that signs; empty for an unsigned answer
}

func (out reply) v3Error(status int, code, message string, detail any) reply {
	type errorBody struct {
		Code    string `json:"code"`
		Detail  any    `json:"detail,omitempty"`
		Message string `json:"message"`
	}
	out.status, out.certificates = status, nil
	out.body, _ = marshal(errorBody{code, detail, message}) // strings and numbers always marshal
	return out
}

func (out reply) v2Fail(message string) reply {
	out.key = ""
	out.doc = []Element{{"return_code", "FAIL"}, {"return_msg", message}}
	return out
}

func (out reply) v2Answer(echo []Element, result string, more ...Element) reply {
	out.doc = slices.Concat([]Element{{"return_code", "SUCCESS"}, {"return_msg", "OK"}}, echo,
		[]Element{{"result_code", result}})
	for _, e := range more {
		if e.Value != "" {
			out.doc = append(out.doc, e)
		}
	}
	return out
}

// replace puts another answer in the place of the true one, where the fault asks for that.
func (s *Simulator) replace(out reply, f Fault, fields map[string]string) reply {
	switch f.Kind {
	case FaultStatus:
		return out.withStatus(f)
	case FaultSystemError:
		if !out.v2 {
			return out.v3Error(http.StatusInternalServerError, "SYSTEM_ERROR", "系统错误", nil)
		}
		f.Code, f.Message = "SYSTEMERROR", "系统错误"
	case FaultErrCode:
	default:
		return out
	}
	if keys := s.keys.Load().APIv2Keys; out.key == "" && len(keys) > 0 {
		out.key = keys[0]
	}
	return out.v2Answer(s.echo(fields), "FAIL", Element{"err_code", f.Code}, Element{"err_code_des", f.Message})
}

func (out reply) withStatus(f Fault) reply {
	out.status = f.Status
	switch {
	case f.Code == "":
		out.page, out.certificates = true, nil
		out.body = fmt.Appendf(nil, "<html><h1>%d %s</h1></html>\n", f.Status, http.StatusText(f.Status))
		return out
	case out.v2:
		return out.v2Fail(f.Code)
	}
	return out.v3Error(f.Status, f.Code, f.Message, nil)
}

// write sends the answer, or what the fault makes of it.
func (s *Simulator) write(w http.ResponseWriter, r *http.Request, out reply, f Fault, requestID string) {
	if !s.wait(r.Context(), f) || f.Kind == FaultResetAfterRead {
		reset(w)
		return
	}
	header, body, err := s.render(out, f.Kind)
	if err != nil {
		http.Error(w, "wechatpaysim: the answer could not be signed", http.StatusInternalServerError)
		return
	}
	header.Set(headerReqID, requestID)
	maps.Copy(w.Header(), header)
	if f.Kind == FaultTruncated {
		truncate(w, out.status, body)
		return
	}
	w.WriteHeader(out.status)
	// The client may have gone; the record stands all the same.
	_, _ = w.Write(body)
}

// wait holds the answer back as the fault says, and tells whether there is one to give.
func (s *Simulator) wait(ctx context.Context, f Fault) bool {
	var due <-chan time.Time
	switch {
	case f.Kind == FaultHang:
	case f.Delay == 0:
		return true
	default:
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-due:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

// render signs an answer, rightly or as the fault wants it.
func (s *Simulator) render(out reply, kind FaultKind) (http.Header, []byte, error) {
	if out.page {
		return http.Header{"Content-Type": {"text/html"}}, out.body, nil
	}
	if out.v2 {
		body, err := s.renderV2(out, kind)
		return http.Header{"Content-Type": {"text/xml; charset=utf-8"}}, body, err
	}
	if out.certificates != nil {
		key := out.certificates.APIv3Key
		if kind == FaultEncryption {
			var err error
			if key, err = s.random(alphanumeric, 32); err != nil {
				return nil, nil, err
			}
		}
		var err error
		if out.body, err = s.listCertificates(out.certificates, key); err != nil {
			return nil, nil, err
		}
	}
	header, err := s.renderV3(out, kind)
	return header, out.body, err
}

func (s *Simulator) renderV2(out reply, kind FaultKind) ([]byte, error) {
	doc := slices.Clone(out.doc)
	if out.key == "" {
		return writeXML(doc, true), nil
	}
	n, err := s.random(alphanumeric, 32)
	if err != nil {
		return nil, err
	}
	doc = append(doc, Element{"nonce_str", n})
	sign := signV2(fieldsOf(doc), out.key)
	switch kind {
	case FaultNoSignature:
		return writeXML(doc, true), nil
	case FaultWrongSignature:
		sign = signV2(fieldsOf(doc), n)
	case FaultProbe:
		sign = probePrefix + sign
	}
	return writeXML(append(doc, Element{"sign", sign}), true), nil
}

func (s *Simulator) renderV3(out reply, kind FaultKind) (http.Header, error) {
	sealed := seal{serial: out.serial, key: out.signer, at: s.cfg.Now()}
	switch kind {
	case FaultWrongSignature:
		sealed.wrongKey = true
	case FaultProbe:
		sealed.probe = true
	case FaultStale:
		sealed.at = sealed.at.Add(-2 * Tolerance)
	case FaultUnknownSerial:
		sealed.unknown = true
	}
	header, err := s.sealV3(sealed, out.body)
	if err != nil {
		return nil, err
	}
	if kind == FaultNoSignature {
		clear(header)
	}
	if len(out.body) > 0 {
		header.Set("Content-Type", "application/json; charset=utf-8")
	}
	return header, nil
}

// seal says how a V3 message of the platform is signed.
type seal struct {
	serial   string // names the key
	key      *rsa.PrivateKey
	at       time.Time
	wrongKey bool // sign with the platform's other key
	probe    bool
	unknown  bool // name a public key that nobody has
}

func (s *Simulator) sealV3(how seal, body []byte) (http.Header, error) {
	n, err := s.random(alphanumeric, 32)
	if err != nil {
		return nil, err
	}
	key := how.key
	if how.wrongKey {
		key = s.cfg.Identity.other(how.serial)
	}
	at := strconv.FormatInt(how.at.Unix(), 10)
	signature, err := signRSA(key, platformMessage(at, n, body))
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: signing: %w", err)
	}
	if how.probe {
		signature = probePrefix + signature
	}
	if how.unknown {
		tail, err := s.random(decimal, 32)
		if err != nil {
			return nil, err
		}
		how.serial = "PUB_KEY_ID_99" + tail
	}
	header := http.Header{}
	header.Set("Wechatpay-Timestamp", at)
	header.Set("Wechatpay-Nonce", n)
	header.Set("Wechatpay-Signature", signature)
	header.Set(headerSerial, how.serial)
	header.Set("Wechatpay-Signature-Type", scheme)
	return header, nil
}

// truncate writes the head and half of the body, or, without a body, half of a status line, and ends the
// connection.
func truncate(w http.ResponseWriter, status int, body []byte) {
	if len(body) == 0 {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = buffered.WriteString("HTTP/1.1 " + strconv.Itoa(status))
		_ = buffered.Flush()
		_ = conn.Close()
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP reset, or aborts the handler where there is no connection to reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
