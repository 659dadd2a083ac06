package explain_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/cmd/parkctl/explain"
)

// TestParse: one message in every form in which it may be captured reads as the same message.
func TestParse(t *testing.T) {
	const body = `{"a":"粤"}`
	header := map[string][]string{"webhook-id": {"1"}, "content-length": {fmt.Sprint(len(body))}}
	for _, row := range []struct {
		name, capture string
		want          explain.Message
	}{
		{"raw HTTP", "POST /p?q=1 HTTP/1.1\r\nWebhook-Id: 1\r\nContent-Length: 11\r\n\r\n" + body, explain.Message{Method: "POST", URI: "/p?q=1", Header: header, Body: []byte(body)}},
		{"with \\n alone", "POST /p?q=1 HTTP/1.1\nWebhook-Id: 1\nContent-Length: 11\n\n" + body, explain.Message{Method: "POST", URI: "/p?q=1", Header: header, Body: []byte(body)}},
		{"with the line end of an editor", "POST /p?q=1 HTTP/1.1\nWebhook-Id: 1\nContent-Length: 11\n\n" + body + "\n", explain.Message{
			Method: "POST", URI: "/p?q=1", Header: header, Body: []byte(body),
			Remarks: []string{"the line end after the body is not the body's, by its Content-Length, and was cut off"},
		}},
		{"as curl -v shows it", "* Connected\n> POST /p?q=1 HTTP/2\n> Webhook-Id: 1\n> Content-Length: 11\n>\n" + body, explain.Message{Method: "POST", URI: "/p?q=1", Header: header, Body: []byte(body)}},
		{"headers and a body", "webhook-id: 1\ncontent-length: 11\n\n" + body, explain.Message{Header: header, Body: []byte(body)}},
		{"an answer", "HTTP/1.1 204 No Content\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\n\r\n", explain.Message{
			Status: 204, Header: map[string][]string{"date": {"Mon, 30 Nov 2026 12:00:00 GMT"}}, Body: []byte{}, At: now,
		}},
		{"XML alone", "<xml></xml>\n", explain.Message{Body: []byte("<xml></xml>\n"), Remarks: []string{"a body without headers"}}},
		{"an API Gateway event", `{"version":"2.0","rawPath":"/p","rawQueryString":"q=1","headers":{"Webhook-Id":"1"},"body":"eyJhIjoi57KkIn0=","isBase64Encoded":true,` +
			`"requestContext":{"http":{"method":"POST"},"timeEpoch":1796040000000}}`, explain.Message{
			Method: "POST", URI: "/p?q=1", Header: map[string][]string{"webhook-id": {"1"}}, Body: []byte(body), At: time.UnixMilli(1796040000000),
			Remarks: []string{"an API Gateway event: the body is that of the event", "isBase64Encoded: the body was decoded first"},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := explain.Parse([]byte(row.capture))
			if err != nil || !got.At.Equal(row.want.At) {
				t.Fatalf("got %+v, %v", got, err)
			}
			got.At, row.want.At = time.Time{}, time.Time{}
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
	for _, capture := range []string{"", " \n", "hello", "POST /p HTTP/1.1\nno header here\n\n"} {
		if _, err := explain.Parse([]byte(capture)); !errors.Is(err, explain.ErrUnreadable) {
			t.Errorf("%q: got %v, want %v", capture, err, explain.ErrUnreadable)
		}
	}
}

// FuzzParse: no capture, however broken, ends the reader or the explanation, none verifies with keys that it was not made
// with, and every report is JSON that names a cause.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"POST /v1/vendors/a/vehicle/notifications HTTP/1.1\r\nWebhook-Id: 1\r\nWebhook-Timestamp: 1796040000\r\nWebhook-Signature: v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n{\"a\":[1,{\"b\":\"粤\"}]}",
		"> POST /v1/callbacks/businesscircle HTTP/2\n> wechatpay-serial: PUB_KEY_ID_1\n> wechatpay-timestamp: 1796040000\n> wechatpay-nonce: n\n> wechatpay-signature: AAAA\n>\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<xml><return_code>SUCCESS</return_code><sign>AA</sign></xml>",
		`{"headers":{"a":"b"},"body":"","requestContext":{"http":{"method":"POST"}}}`,
		"POST /v3/x HTTP/1.1\nAuthorization: WECHATPAY2-SHA256-RSA2048 mchid=\"1\",nonce_str=\"n\",signature=\"AA==\",timestamp=\"1\",serial_no=\"A\"\n\n",
		"&lt;xml&gt;", "<xml><scene_info>{\"scene_info\":{}}</scene_info><sign>A</sign></xml>", "\uFEFF{",
	} {
		f.Add([]byte(seed))
	}
	keys := explain.Keys{}
	keys.AddVendor("a", []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, nil)
	f.Fuzz(func(t *testing.T, capture []byte) {
		message, err := explain.Parse(capture)
		if err != nil {
			return
		}
		report := explain.Explain(message, keys, now)
		b, err := json.Marshal(report)
		if err != nil || report.Cause == "" || report.Why == "" || report.Verified || !strings.Contains(string(b), string(report.Kind)) {
			t.Errorf("got %s, %v", b, err)
		}
	})
}

func Example() {
	message, err := explain.Parse([]byte("POST /v1/vendors/acme/vehicle/notifications HTTP/1.1\nwebhook-id: visit-1\nwebhook-timestamp: 1796040000\n\n{}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	var keys explain.Keys
	keys.AddVendor("acme", []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, nil)
	report := explain.Explain(message, keys, time.Unix(1796040000, 0))
	fmt.Println(report.Cause, "-", report.Why)
	fmt.Println(report.Do)
	// Output:
	// header_lost - the message has no webhook-signature
	// let every proxy, CDN and API gateway on the way pass the header on; names are case-insensitive
}
