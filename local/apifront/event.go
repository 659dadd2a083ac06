package apifront

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// event is what a function gets: payload format 2.0, with the members in the
// order of the developer guide. Members without a value are left out, as the
// service leaves them out.
type event struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        requestContext    `json:"requestContext"`
	PathParameters        map[string]string `json:"pathParameters,omitempty"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`      // 02/Jan/2006:15:04:05 +0000
	TimeEpoch    int64       `json:"timeEpoch"` // Unix milliseconds
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// timeLayout is that of the common log format.
const timeLayout = "02/Jan/2006:15:04:05 -0700"

// event builds the payload of one request. rawPath is the decoded path: the
// service decodes it in an HTTP API, whatever the name says.
func (f *front) event(r *http.Request, id string, m matched, body []byte) ([]byte, error) {
	now := f.options.Now()
	headers, err := f.headers(r, now, len(body))
	if err != nil {
		return nil, err
	}
	domain := domainName(r.Host)
	prefix, _, _ := strings.Cut(domain, ".")
	e := event{
		Version:               "2.0",
		RouteKey:              m.route.key,
		RawPath:               r.URL.Path,
		RawQueryString:        r.URL.RawQuery,
		Cookies:               cookies(r.Header),
		Headers:               headers,
		QueryStringParameters: queryParameters(r.URL.RawQuery),
		PathParameters:        m.parameters,
		RequestContext: requestContext{
			AccountID:    f.options.AccountID,
			APIID:        f.options.APIID,
			DomainName:   domain,
			DomainPrefix: prefix,
			HTTP: httpContext{
				Method:    r.Method,
				Path:      r.URL.Path,
				Protocol:  r.Proto,
				SourceIP:  sourceIP(r.RemoteAddr),
				UserAgent: r.UserAgent(),
			},
			RequestID: id,
			RouteKey:  m.route.key,
			Stage:     "$default",
			Time:      now.UTC().Format(timeLayout),
			TimeEpoch: now.UnixMilli(),
		},
	}
	e.setBody(r.Header.Get("Content-Type"), body)
	return encode(e)
}

// encode marshals without the escapes that are meant for HTML.
func encode(e event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("apifront: event: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (e *event) setBody(contentType string, body []byte) {
	if len(body) == 0 {
		return
	}
	if isText(contentType) {
		e.Body = string(body)
		return
	}
	e.Body = base64.StdEncoding.EncodeToString(body)
	e.IsBase64Encoded = true
}

// isText reports whether a body of this content type reaches a function as it
// is. A body of any other type, or of none, is encoded.
func isText(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		// Parameters that make no sense leave the type before them as it is.
		mediaType, _, _ = strings.Cut(contentType, ";")
		mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	}
	switch mediaType {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(mediaType, "text/")
}

// notForwarded reports whether a header is between the client and API Gateway
// only, or is a member of the event of its own.
func notForwarded(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Cookie":
		return true
	}
	return false
}

// headers are the request's headers as a function sees them: lower-case names,
// the values of a repeated one joined with a comma, and what the service adds. A
// function always sees https and port 443, for that is all it can see deployed.
func (f *front) headers(r *http.Request, now time.Time, bodySize int) (map[string]string, error) {
	headers := make(map[string]string, len(r.Header)+6)
	for name, values := range r.Header {
		if !notForwarded(name) {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	headers["host"] = r.Host
	headers["content-length"] = strconv.Itoa(bodySize)
	headers["x-forwarded-proto"] = "https"
	headers["x-forwarded-port"] = "443"
	peers := append(slices.Clone(r.Header.Values("X-Forwarded-For")), sourceIP(r.RemoteAddr))
	headers["x-forwarded-for"] = strings.Join(peers, ", ")
	if headers["x-amzn-trace-id"] == "" {
		var b [12]byte
		if _, err := io.ReadFull(f.options.Random, b[:]); err != nil {
			return nil, fmt.Errorf("apifront: trace id: %w", err)
		}
		headers["x-amzn-trace-id"] = fmt.Sprintf("Root=1-%08x-%x", uint32(now.Unix()), b)
	}
	return headers, nil
}

// cookies are the name=value pairs of every Cookie header.
func cookies(h http.Header) []string {
	var pairs []string
	for _, line := range h.Values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if pair = strings.TrimSpace(pair); pair != "" {
				pairs = append(pairs, pair)
			}
		}
	}
	return pairs
}

// queryParameters are the decoded parameters, the values of a repeated one
// joined with a comma in the order of the query. What cannot be decoded stays as
// it is.
func queryParameters(raw string) map[string]string {
	var parameters map[string]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if parameters == nil {
			parameters = make(map[string]string)
		}
		if earlier, repeated := parameters[name]; repeated {
			value = earlier + "," + value
		}
		parameters[name] = value
	}
	return parameters
}

func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

// domainName is the Host header without a port: deployed domains have none.
func domainName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func sourceIP(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
