package visit_test

import (
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/local/transcript"
	"wechat-parking-gateway/local/visit"
	"wechat-parking-gateway/local/wechatpaysim"
)

// TestHeard: what WeChat Pay received is told with the scheme that it was verified by.
func TestHeard(t *testing.T) {
	fields := map[string]string{"state": "IN", "nonce_str": "n1"}
	for name, row := range map[string]struct {
		request wechatpaysim.Request
		want    string
	}{
		"a member's car": {wechatpaysim.Request{Method: "POST", URI: "/p", Route: wechatpaysim.RouteParkings, Accepted: true, Fields: fields}, "POST /p  RSA-SHA256 verified, state IN\n"},
		"an entry":       {wechatpaysim.Request{Method: "POST", URI: "/v", Route: wechatpaysim.RouteVehiclePartner, Accepted: true, Fields: fields}, "POST /v  HMAC-SHA256 verified, nonce n1\n"},
		"a direct entry": {wechatpaysim.Request{Method: "POST", URI: "/v", Route: wechatpaysim.RouteVehicleDirect, Accepted: true, Fields: fields}, "POST /v  HMAC-SHA256 verified, nonce n1\n"},
		"certificates":   {wechatpaysim.Request{Method: "GET", URI: "/v3/certificates", Route: wechatpaysim.RouteCertificates, Accepted: true}, "GET /v3/certificates  RSA-SHA256 verified\n"},
		"a refusal":      {wechatpaysim.Request{Method: "POST", URI: "/p", Route: wechatpaysim.RouteParkings, Code: "SIGN_ERROR", Reason: "why"}, "POST /p  REFUSED SIGN_ERROR: why\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			visit.Heard(transcript.New(&out, false, time.Now))(row.request)
			if !strings.HasSuffix(out.String(), row.want) {
				t.Errorf("got %q, want it to end with %q", out.String(), row.want)
			}
		})
	}
}
