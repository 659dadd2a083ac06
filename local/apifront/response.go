package apifront

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// errResponse says that a function's answer is none that API Gateway takes.
var errResponse = errors.New("apifront: not a response of payload format 2.0")

// response is a function's answer, understood.
type response struct {
	status  int
	headers map[string]string
	cookies []string
	body    []byte
}

// parseResponse reads a function's answer. JSON that is no object, or an object
// without a statusCode, is a whole body: 200 with application/json, and a JSON
// string is the text that it stands for.
func parseResponse(answer []byte) (response, error) {
	if !json.Valid(answer) {
		return response{}, fmt.Errorf("%w: not JSON", errResponse)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(answer, &members); err != nil || members["statusCode"] == nil {
		return inferred(answer), nil
	}
	return explicit(members)
}

func inferred(answer []byte) response {
	body := bytes.TrimSpace(answer)
	var text string
	if body[0] == '"' && json.Unmarshal(body, &text) == nil {
		body = []byte(text)
	}
	return response{
		status:  http.StatusOK,
		headers: map[string]string{"Content-Type": "application/json"},
		body:    body,
	}
}

func explicit(members map[string]json.RawMessage) (response, error) {
	var r response
	var err error
	if r.status, err = strconv.Atoi(string(members["statusCode"])); err != nil || r.status < 200 || r.status > 599 {
		return response{}, fmt.Errorf("%w: statusCode", errResponse)
	}
	if r.headers, err = parseHeaders(members["headers"]); err != nil {
		return response{}, err
	}
	if err := optional(members["cookies"], &r.cookies); err != nil {
		return response{}, fmt.Errorf("%w: cookies", errResponse)
	}
	for _, cookie := range r.cookies {
		if !validValue(cookie) {
			return response{}, fmt.Errorf("%w: cookies", errResponse)
		}
	}
	var encoded bool
	if err := optional(members["isBase64Encoded"], &encoded); err != nil {
		return response{}, fmt.Errorf("%w: isBase64Encoded", errResponse)
	}
	var body string
	if err := optional(members["body"], &body); err != nil {
		return response{}, fmt.Errorf("%w: body", errResponse)
	}
	r.body = []byte(body)
	if encoded {
		if r.body, err = base64.StdEncoding.DecodeString(body); err != nil {
			return response{}, fmt.Errorf("%w: body is not base64", errResponse)
		}
	}
	return r, nil
}

// optional decodes a member that may be absent or null.
func optional(raw json.RawMessage, v any) error {
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, v)
}

// parseHeaders reads the headers, whose values may be strings, numbers and
// booleans.
func parseHeaders(raw json.RawMessage) (map[string]string, error) {
	var members map[string]json.RawMessage
	if err := optional(raw, &members); err != nil {
		return nil, fmt.Errorf("%w: headers", errResponse)
	}
	headers := make(map[string]string, len(members))
	for name, raw := range members {
		value := string(raw)
		if strings.ContainsAny(value[:1], `{[n`) {
			return nil, fmt.Errorf("%w: header values", errResponse)
		}
		if value[0] == '"' {
			if err := json.Unmarshal(raw, &value); err != nil {
				return nil, fmt.Errorf("%w: header values", errResponse)
			}
		}
		if !validName(name) || !validValue(value) {
			return nil, fmt.Errorf("%w: headers", errResponse)
		}
		headers[name] = value
	}
	return headers, nil
}

// validName reports whether a header's name is a token of RFC 9110.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// validValue reports whether a header's value stays on its line.
func validValue(value string) bool { return !strings.ContainsAny(value, "\r\n\x00") }

// reservedHeader reports whether the front sets a response header itself.
func reservedHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Keep-Alive", "Content-Length", "Te", "Trailer", "Transfer-Encoding", "Upgrade", requestIDHeader:
		return true
	}
	return false
}

func (r response) write(w http.ResponseWriter) {
	header := w.Header()
	for _, name := range slices.Sorted(maps.Keys(r.headers)) {
		if !reservedHeader(name) {
			header.Set(name, r.headers[name])
		}
	}
	for _, cookie := range r.cookies {
		header.Add("Set-Cookie", cookie)
	}
	hasBody := r.status != http.StatusNoContent && r.status != http.StatusNotModified
	if hasBody {
		header.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	if len(r.body) > 0 && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(r.status)
	if hasBody {
		_, _ = w.Write(r.body) // a client that went away is not told
	}
}
