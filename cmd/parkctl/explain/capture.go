package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Message is a captured message, as far as it was captured.
type Message struct {
	// Method and URI are a request's, Status is an answer's; each is zero where it is unknown.
	Method, URI string
	Status      int
	// Header has lower-case names; a header that came twice has two values.
	Header map[string][]string
	Body   []byte
	// At is when it was received, if the capture says so.
	At time.Time
	// Remarks say what was done to the capture to read it.
	Remarks []string
}

// ErrUnreadable says that a capture is of no form that is known.
var ErrUnreadable = errors.New("this is no captured message: want a raw HTTP message, header lines with an empty line and a body after them, an XML body, or the JSON of an API Gateway event")

// Parse reads a capture: a raw HTTP request or answer, also as curl -v shows it; header lines and a body; an XML body alone;
// or the JSON of an API Gateway event.
func Parse(capture []byte) (Message, error) {
	trimmed := bytes.TrimLeft(capture, " \t\r\n")
	withoutBOM, _ := bytes.CutPrefix(trimmed, []byte("\uFEFF"))
	switch {
	case len(withoutBOM) == 0:
		return Message{}, ErrUnreadable
	case withoutBOM[0] == '{':
		if m, ok := parseEvent(withoutBOM); ok {
			return m, nil
		}
		return Message{Body: trimmed, Remarks: []string{"a body without headers"}}, nil
	case withoutBOM[0] == '<', bytes.HasPrefix(withoutBOM, []byte("&lt;")):
		return Message{Body: trimmed, Remarks: []string{"a body without headers"}}, nil
	}
	return parseHTTP(trimmed)
}

// event is what is read of an API Gateway event, payload format 2.0, and of a function's answer.
type event struct {
	Version         string            `json:"version"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Headers         map[string]string `json:"headers"`
	Body            *string           `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	StatusCode      int               `json:"statusCode"`
	RequestContext  struct {
		HTTP struct {
			Method string `json:"method"`
			Path   string `json:"path"`
		} `json:"http"`
		TimeEpoch int64 `json:"timeEpoch"`
	} `json:"requestContext"`
}

func parseEvent(capture []byte) (Message, bool) {
	var ev event
	if json.Unmarshal(capture, &ev) != nil || ev.Headers == nil || ev.RequestContext.HTTP.Method == "" && ev.StatusCode == 0 {
		return Message{}, false
	}
	m := Message{
		Method: ev.RequestContext.HTTP.Method, Status: ev.StatusCode, Header: map[string][]string{},
		Remarks: []string{"an API Gateway event: the body is that of the event"},
	}
	if m.Method != "" {
		if m.URI = ev.RawPath; m.URI == "" {
			m.URI = ev.RequestContext.HTTP.Path
		}
		if ev.RawQueryString != "" {
			m.URI += "?" + ev.RawQueryString
		}
	}
	if ev.RequestContext.TimeEpoch > 0 {
		m.At = time.UnixMilli(ev.RequestContext.TimeEpoch)
	}
	for name, value := range ev.Headers {
		name = strings.ToLower(name)
		m.Header[name] = append(m.Header[name], value)
	}
	if ev.Body != nil {
		m.Body = []byte(*ev.Body)
	}
	if ev.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(string(m.Body))
		if err != nil {
			return Message{}, false
		}
		m.Body = decoded
		m.Remarks = append(m.Remarks, "isBase64Encoded: the body was decoded first")
	}
	return m, true
}

// parseHTTP reads a start line, if there is one, header lines, an empty line and a body. In front of a line may stand what
// curl -v writes there.
func parseHTTP(capture []byte) (Message, error) {
	m := Message{Header: map[string][]string{}}
	rest, curl, lines := capture, false, 0
	for len(rest) > 0 {
		raw, after, found := bytes.Cut(rest, []byte("\n"))
		line := strings.TrimSuffix(string(raw), "\r")
		if marked := strings.TrimPrefix(strings.TrimPrefix(line, "> "), "< "); marked != line || line == ">" || line == "<" {
			curl, line = true, strings.TrimPrefix(strings.TrimPrefix(marked, ">"), "<")
		} else if strings.HasPrefix(line, "* ") {
			rest = after
			continue
		}
		if strings.TrimSpace(line) == "" {
			rest = after
			break
		}
		if lines == 0 && m.startLine(line) {
			lines, rest = 1, after
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			if lines > 0 && curl {
				break // the body begins without an empty line
			}
			return Message{}, ErrUnreadable
		}
		name = strings.ToLower(name)
		m.Header[name] = append(m.Header[name], strings.TrimSpace(value))
		lines++
		rest = after
		if !found {
			rest = nil
		}
	}
	if lines == 0 {
		return Message{}, ErrUnreadable
	}
	m.Body = bytes.Clone(rest)
	m.length()
	if date := m.get("date"); date != "" && m.Status != 0 {
		if at, err := time.Parse(time.RFC1123, date); err == nil {
			m.At = at
		}
	}
	return m, nil
}

// startLine takes the first line of a request or an answer.
func (m *Message) startLine(line string) bool {
	words := strings.Fields(line)
	switch {
	case len(words) >= 2 && strings.HasPrefix(words[0], "HTTP/"):
		status, err := strconv.Atoi(words[1])
		m.Status = status
		return err == nil && 100 <= status && status <= 999
	case len(words) == 3 && strings.HasPrefix(words[2], "HTTP/") && isToken(words[0]):
		m.Method, m.URI = words[0], words[1]
		return true
	case len(words) == 2 && strings.HasPrefix(words[1], "/") && isToken(words[0]) && !strings.HasSuffix(words[0], ":"):
		m.Method, m.URI = words[0], words[1]
		return true
	}
	return false
}

// length compares the body with its Content-Length. Editors and pastes put a line end at the end of a file: what is more
// than the header says and only a line end is cut off.
func (m *Message) length() {
	want, err := strconv.Atoi(m.get("content-length"))
	if err != nil || want == len(m.Body) {
		return
	}
	if want < len(m.Body) && want >= 0 && strings.Trim(string(m.Body[want:]), "\r\n") == "" {
		m.Body = m.Body[:want]
		m.Remarks = append(m.Remarks, "the line end after the body is not the body's, by its Content-Length, and was cut off")
		return
	}
	m.Remarks = append(m.Remarks, fmt.Sprintf("Content-Length says %d, the captured body has %d bytes", want, len(m.Body)))
}

// truncated tells whether the body is shorter than its Content-Length says.
func (m Message) truncated() bool {
	want, err := strconv.Atoi(m.get("content-length"))
	return err == nil && want > len(m.Body)
}

// get returns the first value of a header.
func (m Message) get(name string) string {
	if values := m.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (m Message) has(prefix string) bool {
	for name := range m.Header {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isToken tells whether s can be a header's name (RFC 9110 5.6.2).
func isToken(s string) bool {
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return c <= ' ' || c > '~' || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0
	})
}

// Kind is whose message it is.
type Kind string

// The kinds of messages.
const (
	VendorRequest Kind = "vendor_request"
	VendorEvent   Kind = "vendor_event"
	V2Request     Kind = "v2_request"
	V2Answer      Kind = "v2_answer"
	V2Callback    Kind = "v2_callback"
	V3Request     Kind = "v3_request"
	V3Answer      Kind = "v3_answer"
	V3Callback    Kind = "v3_callback"
	Unknown       Kind = "unknown"
)

var describe = map[Kind]string{
	VendorRequest: "a vendor's request to the gateway (Standard Webhooks)",
	VendorEvent:   "the gateway's event to a vendor (Standard Webhooks)",
	V2Request:     "the gateway's V2 request to WeChat Pay (XML, HMAC-SHA256)",
	V2Answer:      "WeChat Pay's V2 answer (XML, HMAC-SHA256)",
	V2Callback:    "WeChat Pay's V2 callback (XML, HMAC-SHA256)",
	V3Request:     "the gateway's V3 request to WeChat Pay (Authorization, RSA-SHA256)",
	V3Answer:      "WeChat Pay's V3 answer (Wechatpay-* headers, RSA-SHA256)",
	V3Callback:    "WeChat Pay's V3 callback (Wechatpay-* headers, RSA-SHA256)",
	Unknown:       "not known",
}

// kindOf tells whose message it is, also when some of what it should have is not there.
func kindOf(m Message) Kind {
	body := bytes.TrimPrefix(bytes.TrimSpace(m.Body), []byte("\uFEFF"))
	switch {
	case strings.HasPrefix(m.get("authorization"), "WECHATPAY"):
		return V3Request
	case m.has("wechatpay-signature"), m.has("wechatpay-timestamp"), m.has("wechatpay-nonce"), isEnvelope(body):
		if m.Status != 0 || m.Method == "" && !isEnvelope(body) {
			return V3Answer
		}
		return V3Callback
	case strings.HasPrefix(m.get("webhook-id"), "evt_"):
		return VendorEvent
	case m.has("webhook-"), strings.HasPrefix(m.URI, "/v1/vendors/"):
		return VendorRequest
	case strings.HasPrefix(m.URI, "/v3/"):
		return V3Request
	case bytes.HasPrefix(body, []byte("<")), bytes.HasPrefix(body, []byte("&lt;")):
		switch {
		case bytes.Contains(body, []byte("return_code")):
			return V2Answer
		case bytes.Contains(body, []byte("scene_info")), strings.HasPrefix(m.URI, "/vehicle/"):
			return V2Request
		}
		return V2Callback
	}
	return Unknown
}

// isEnvelope tells whether a body is that of a V3 callback.
func isEnvelope(body []byte) bool {
	var envelope struct {
		EventType string          `json:"event_type"`
		Resource  json.RawMessage `json:"resource"`
	}
	return len(body) > 0 && body[0] == '{' && json.Unmarshal(body, &envelope) == nil && envelope.EventType != "" && envelope.Resource != nil
}
