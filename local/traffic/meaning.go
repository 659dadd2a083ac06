package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/wechatpay"
)

// Merchant returns the merchant's document as it is now: keys may have been rotated since the last message.
type Merchant func(context.Context) (*merchant.Merchant, error)

// The schemes, in the words of those who wrote them.
const (
	schemeWebhook = "Standard Webhooks v1, HMAC-SHA256: id.timestamp.body"
	schemeV2      = "WeChat Pay V2, HMAC-SHA256"
	schemeV3      = "WeChat Pay V3, WECHATPAY2-SHA256-RSA2048"
)

// hiddenKey stands where the APIv2 key ends the text that is signed.
const hiddenKey = "&key=(the APIv2 key, not shown)"

// Front records what callers of the gateway send and get: vendors, and WeChat Pay with its callbacks.
func (r *Recorder) Front(handler http.Handler, merchants Merchant) http.Handler {
	if r == nil {
		return handler
	}
	fromVendor := r.tap(handler, reading{from: Vendor, to: Gateway, request: vendorCall, answer: gatewayAnswer})
	fromWeChatPay := r.tap(handler, reading{
		from: WeChatPay, to: Gateway,
		request: callback,
		answer: func(ctx context.Context, about, answer *Message, request, m message) {
			decrypt(ctx, merchants, about, request)
			callbackAnswer(about, answer, m)
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/v1/callbacks/") {
			fromWeChatPay.ServeHTTP(w, req)
			return
		}
		fromVendor.ServeHTTP(w, req)
	})
}

// WeChatPay records what the gateway sends to WeChat Pay and gets. The receiver's verdict comes by [Exchange.Judge].
func (r *Recorder) WeChatPay(handler http.Handler, merchants Merchant) http.Handler {
	if r == nil {
		return handler
	}
	return r.tap(handler, reading{
		from: Gateway, to: WeChatPay, request: weChatPayCall,
		answer: func(ctx context.Context, about, answer *Message, _, m message) {
			unanswered(about, answer)
			weChatPayAnswer(ctx, merchants, answer, m)
		},
	})
}

// Webhooks records what the gateway sends to a vendor and gets. The receiver's verdict comes by [Exchange.Judge].
func (r *Recorder) Webhooks(handler http.Handler, vendorID string) http.Handler {
	if r == nil {
		return handler
	}
	return r.tap(handler, reading{
		from: Gateway, to: Vendor,
		request: func(shown *Message, m message) {
			shown.Subject, shown.Function, shown.VendorID = Webhook, "eventdelivery", vendorID
			shown.Note = eventNote(m.body)
			shown.Detail.Canonical = webhookText(m)
		},
		answer: func(_ context.Context, about, answer *Message, _, m message) {
			unanswered(about, answer)
			answer.Verdict = verdictOf(m.status)
		},
	})
}

// Sends records what a function sends to its queues. Other calls of AWS go through unrecorded.
func (r *Recorder) Sends(handler http.Handler, function, deadLetterURL string) http.Handler {
	if r == nil {
		return handler
	}
	return r.tap(handler, reading{
		from: Gateway, to: Queue, silent: true,
		wanted: func(req *http.Request) bool {
			return strings.HasPrefix(req.Header.Get("X-Amz-Target"), "AmazonSQS.SendMessage")
		},
		request: func(shown *Message, m message) {
			shown.Function, shown.Subject = function, Enqueue
			shown.Line = strings.TrimPrefix(m.header.Get("X-Amz-Target"), "AmazonSQS.")
			sent(shown, m.body, deadLetterURL)
		},
		answer: func(_ context.Context, about, _ *Message, _, m message) {
			about.Status, about.Verdict = m.status, verdictOf(m.status)
			// SQS answers 200 to a batch of which it took nothing.
			var out struct{ Failed []json.RawMessage }
			if json.Unmarshal(m.body, &out) == nil && len(out.Failed) > 0 {
				about.Verdict, about.Reason = Failed, fmt.Sprintf("%d not taken", len(out.Failed))
			}
		},
	})
}

// Delivers records that the queue hands a batch of events to a function.
func (r *Recorder) Delivers(function string, invoke func(context.Context, []byte) ([]byte, error)) func(context.Context, []byte) ([]byte, error) {
	if r == nil {
		return invoke
	}
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		shown := Message{Kind: Request, From: Queue, To: Gateway, Function: function, Subject: Deliver, Line: "Lambda event source"}
		var batch struct{ Records []struct{ Body string } }
		if json.Unmarshal(payload, &batch) == nil && len(batch.Records) > 0 {
			notes := make([]string, 0, len(batch.Records))
			for _, record := range batch.Records {
				notes = append(notes, eventNote([]byte(record.Body)))
			}
			shown.Note = strings.Join(notes, ", ")
		}
		body, cut := keepUpTo(nil, payload, false)
		shown.Detail = Detail{Header: []Field{}, Body: string(body), Cut: cut}
		id := r.add(shown)
		answer, err := invoke(ctx, payload)
		r.change(id, func(m *Message) {
			m.Verdict = Accepted
			var out struct {
				BatchItemFailures []json.RawMessage `json:"batchItemFailures"`
			}
			switch {
			case err != nil:
				m.Verdict, m.Reason = Failed, "the function failed"
			case json.Unmarshal(answer, &out) == nil && len(out.BatchItemFailures) > 0:
				m.Verdict, m.Reason = Failed, fmt.Sprintf("%d stay on the queue", len(out.BatchItemFailures))
			}
		})
		return answer, err
	}
}

// vendorCall reads a vendor's call.
func vendorCall(shown *Message, m message) {
	shown.Subject = Call
	if rest, ok := strings.CutPrefix(m.path, "/v1/vendors/"); ok {
		id, route, _ := strings.Cut(rest, "/")
		shown.VendorID = id
		switch route {
		case "businesscircle/parkings":
			shown.Subject = Parkings
		case "vehicle/notifications":
			shown.Subject = Entry
		}
	}
	var body struct {
		State       string `json:"state"`
		PlateNumber string `json:"plate_number"`
	}
	// What cannot be read is shown as it is.
	_ = json.Unmarshal(m.body, &body)
	shown.Note = words(body.State, body.PlateNumber)
	if shown.Subject == Call {
		shown.Note = words(m.method, m.path)
	}
	shown.Detail.Canonical = webhookText(m)
}

// gatewayAnswer reads the gateway's answer to a vendor, from which its verdict on the call follows.
func gatewayAnswer(_ context.Context, about, answer *Message, _, m message) {
	var body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(m.body, &body)
	answer.Verdict, answer.Reason = verdictOf(m.status), body.Code
	if m.header.Get("Idempotency-Replayed") != "" {
		answer.Note = "Idempotency-Replayed"
	}
	switch {
	case m.status == 0:
		about.Verdict, about.Reason = Failed, "no answer"
	case body.Code == "" && m.status >= 400:
		// API Gateway's own answer: no function has seen the call.
		answer.Reason = body.Message
		about.Verdict, about.Reason = Refused, body.Message
	case m.status == http.StatusUnauthorized || m.status == http.StatusRequestEntityTooLarge:
		about.Verdict, about.Reason = Refused, body.Code
	default:
		about.Verdict = Verified
	}
}

// callback reads a callback of WeChat Pay's.
func callback(shown *Message, m message) {
	if id, ok := strings.CutPrefix(m.path, "/v1/callbacks/vehicle/"); ok {
		shown.Subject, shown.VendorID = PlateState, id
		if d, err := flatxml.Parse(m.body); err == nil {
			shown.Note = words(d.Get("vehicle_event_type"), d.Get("vehicle_event_des"), d.Get("plate_number"))
			shown.Detail.Canonical = v2Text(d)
		}
		return
	}
	shown.Subject = CircleEvent
	if e, _, err := wechatpay.ReadEnvelope(m.body); err == nil {
		shown.Note = e.EventType
	}
	shown.Detail.Canonical = v3Text(m)
}

// decrypt opens a V3 callback for the reader, whatever the gateway made of it.
func decrypt(ctx context.Context, merchants Merchant, about *Message, request message) {
	if about.Subject != CircleEvent {
		return
	}
	e, _, err := wechatpay.ReadEnvelope(request.body)
	if err != nil || e.Resource == nil {
		return
	}
	m, err := merchants(ctx)
	if err != nil {
		return
	}
	if resource, err := e.Open(m.V3Keys); err == nil {
		about.Detail.Decrypted = string(resource.JSON)
	}
}

// callbackAnswer reads the gateway's answer to WeChat Pay: V2 XML, or V3 JSON or nothing.
func callbackAnswer(about, answer *Message, m message) {
	reason, refused := "", m.status != http.StatusOK && m.status != http.StatusNoContent
	if d, err := flatxml.Parse(m.body); err == nil {
		refused = refused || d.Get("return_code") != "SUCCESS"
		if refused {
			reason = d.Get("return_msg")
		}
	} else {
		var body struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(m.body, &body)
		reason = body.Message
	}
	about.Verdict, about.Reason = Verified, ""
	switch {
	case m.status == 0:
		about.Verdict, about.Reason = Failed, "no answer"
	case m.status >= 500:
		about.Verdict, about.Reason = Failed, reason
	case refused:
		about.Verdict, about.Reason = Refused, reason
	}
	answer.Verdict, answer.Reason = about.Verdict, reason
	if answer.Verdict == Verified {
		answer.Verdict = Accepted
	}
}

// weChatPayCall reads the gateway's call to WeChat Pay.
func weChatPayCall(shown *Message, m message) {
	if strings.HasPrefix(m.path, "/vehicle/") {
		shown.Subject, shown.Function = NotifyEntry, "vehiclenotify"
		if d, err := flatxml.Parse(m.body); err == nil {
			var scene struct {
				Scene wechatpay.Scene `json:"scene_info"`
			}
			_ = json.Unmarshal([]byte(d.Get("scene_info")), &scene)
			shown.Note = scene.Scene.PlateNumber
			shown.Detail.Canonical = v2Text(d)
		}
		return
	}
	shown.Subject, shown.Note = Conversation, words(m.method, m.path)
	if m.path == "/v3/businesscircle/parkings" {
		shown.Subject, shown.Function = SyncParking, "parkingsync"
		var p wechatpay.Parking
		_ = json.Unmarshal(m.body, &p)
		shown.Note = words(p.State, p.PlateNumber)
	}
	shown.Detail.Canonical = requestV3Text(m)
}

// weChatPayAnswer verifies WeChat Pay's answer, as the gateway does.
func weChatPayAnswer(ctx context.Context, merchants Merchant, answer *Message, m message) {
	if m.status == 0 {
		return
	}
	known, err := merchants(ctx)
	if err != nil {
		return
	}
	if d, err := flatxml.Parse(m.body); err == nil && d.Get("return_code") != "" {
		answer.Detail.Canonical = v2Text(d)
		answer.Verdict, answer.Reason = Verified, words(d.Get("user_state"), d.Get("deduct_mode"))
		switch {
		case d.Get("sign") == "":
			answer.Verdict, answer.Reason = Refused, "unsigned: "+d.Get("return_msg")
		case signing.VerifyV2(d, known.V2Keys) != nil:
			answer.Verdict, answer.Reason = Unverified, "bad_signature"
		case d.Get("result_code") != "SUCCESS":
			answer.Verdict, answer.Reason = Refused, d.Get("err_code")
		}
		return
	}
	answer.Detail.Canonical = v3Text(m)
	header, err := wechatpay.SignatureHeader(func(name string) (string, int) {
		values := m.header.Values(name)
		return m.header.Get(name), len(values)
	})
	if err == nil {
		err = known.WeChatPayKeys.Verify(header, m.body, time.Now())
	}
	var body struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(m.body, &body)
	answer.Verdict, answer.Reason = Verified, body.Code
	switch {
	case m.status >= 500:
		answer.Verdict = Failed
	case m.status >= 400:
		answer.Verdict = Refused
	case err != nil:
		answer.Verdict, answer.Reason = Unverified, string(wechatpay.ReasonOf(err))
	}
}

// unanswered marks a request whose connection was ended.
func unanswered(about, answer *Message) {
	if answer.Status == 0 {
		answer.Verdict, answer.Reason = Failed, "no answer"
		if about.Verdict == "" {
			about.Verdict = Failed
		}
	}
}

func verdictOf(status int) Verdict {
	switch {
	case status == 0 || status >= 500:
		return Failed
	case status >= 300:
		return Refused
	}
	return Accepted
}

// sent reads what goes on a queue.
func sent(shown *Message, body []byte, deadLetterURL string) {
	type attribute struct{ StringValue string }
	var in struct {
		QueueURL          string `json:"QueueUrl"`
		MessageBody       string
		DelaySeconds      int
		MessageAttributes map[string]attribute
		Entries           []struct{ MessageBody string }
	}
	if json.Unmarshal(body, &in) != nil {
		return
	}
	var notes []string
	for _, entry := range in.Entries {
		notes = append(notes, eventNote([]byte(entry.MessageBody)))
	}
	if in.MessageBody != "" {
		notes = append(notes, eventNote([]byte(in.MessageBody)))
	}
	shown.Note = strings.Join(notes, ", ")
	switch {
	case in.QueueURL == deadLetterURL:
		shown.Subject, shown.Reason = Park, in.MessageAttributes["reason"].StringValue
	case in.DelaySeconds > 0:
		shown.Subject = Delay
		shown.Reason = words(fmt.Sprintf("+%d s", in.DelaySeconds), in.MessageAttributes["last_reason"].StringValue)
	}
}

// eventNote returns an event's type, out of a webhook or a queue message.
func eventNote(body []byte) string {
	var event struct {
		Type string `json:"type"`
		Data struct {
			State string `json:"state"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &event)
	return words(event.Type, event.Data.State)
}

func webhookText(m message) *Canonical {
	id, timestamp, signature := m.header.Get(stdwebhook.HeaderID), m.header.Get(stdwebhook.HeaderTimestamp), m.header.Get(stdwebhook.HeaderSignature)
	if id == "" && signature == "" {
		return nil
	}
	return &Canonical{Scheme: schemeWebhook, Text: stdwebhook.SignedText(id, timestamp, m.body), Signature: signature}
}

func v2Text(d flatxml.Document) *Canonical {
	if d.Get("sign") == "" {
		return nil
	}
	return &Canonical{Scheme: schemeV2, Text: signing.CanonicalV2(d) + hiddenKey, Signature: d.Get("sign")}
}

// v3Text is for WeChat Pay's answers and callbacks.
func v3Text(m message) *Canonical {
	signature := m.header.Get("Wechatpay-Signature")
	if signature == "" {
		return nil
	}
	text := signing.CanonicalAnswerV3(m.header.Get("Wechatpay-Timestamp"), m.header.Get("Wechatpay-Nonce"), m.body)
	return &Canonical{Scheme: schemeV3, Text: text, Signature: signature}
}

// requestV3Text is for calls to WeChat Pay, whose parts stand in the Authorization header.
func requestV3Text(m message) *Canonical {
	_, items, ok := strings.Cut(m.header.Get("Authorization"), " ")
	if !ok {
		return nil
	}
	parts := map[string]string{}
	for item := range strings.SplitSeq(items, ",") {
		name, value, _ := strings.Cut(item, "=")
		parts[name] = strings.Trim(value, `"`)
	}
	text := signing.CanonicalRequestV3(m.method, m.uri, parts["timestamp"], parts["nonce_str"], m.body)
	return &Canonical{Scheme: schemeV3, Text: text, Signature: parts["signature"]}
}

// words joins what there is.
func words(parts ...string) string {
	var there []string
	for _, p := range parts {
		if p != "" {
			there = append(there, p)
		}
	}
	return strings.Join(there, " ")
}
