package wechatpay_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/wechatpay"
)

func codeV3(code string) string { return `{"code":"` + code + `","message":"说明"}` }

// TestRefusalsV3 is the table of what a V3 answer that is no success means, with the number of tries it takes.
func TestRefusalsV3(t *testing.T) {
	const long = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_ABCDEF" // 33
	for name, tc := range map[string]struct {
		status  int
		body    string
		pairs   []string
		kind    wechatpay.Kind
		code    string
		message string
		retry   time.Duration
		tries   int
	}{
		"parameter":             {400, codeV3("PARAM_ERROR"), nil, wechatpay.Refused, "PARAM_ERROR", "说明", 0, 1},
		"request":               {400, codeV3("INVALID_REQUEST"), nil, wechatpay.Refused, "INVALID_REQUEST", "说明", 0, 1},
		"not found":             {404, codeV3("RESOURCE_NOT_EXISTS"), nil, wechatpay.Refused, "RESOURCE_NOT_EXISTS", "说明", 0, 1},
		"409":                   {409, "", nil, wechatpay.Refused, "", "", 0, 1},
		"a page":                {400, "<html>400</html>", nil, wechatpay.Refused, "", "", 0, 1},
		"a code not known":      {418, codeV3("BRAND_NEW"), nil, wechatpay.Refused, "BRAND_NEW", "说明", 0, 1},
		"signature":             {401, codeV3("SIGN_ERROR"), nil, wechatpay.SignatureRejected, "SIGN_ERROR", "说明", 0, 1},
		"401 alone":             {401, "", nil, wechatpay.SignatureRejected, "", "", 0, 1},
		"signature under 400":   {400, codeV3("SIGN_ERROR"), nil, wechatpay.SignatureRejected, "SIGN_ERROR", "说明", 0, 1},
		"signature, V2's word":  {400, codeV3("SIGNERROR"), nil, wechatpay.SignatureRejected, "SIGNERROR", "说明", 0, 1},
		"permission":            {403, codeV3("NO_AUTH"), nil, wechatpay.NoPermission, "NO_AUTH", "说明", 0, 1},
		"403 alone":             {403, "<html>", nil, wechatpay.NoPermission, "", "", 0, 1},
		"permission under 400":  {400, codeV3("NO_AUTH"), nil, wechatpay.NoPermission, "NO_AUTH", "说明", 0, 1},
		"NOAUTH":                {400, codeV3("NOAUTH"), nil, wechatpay.NoPermission, "NOAUTH", "说明", 0, 1},
		"PERMISSION_DENIED":     {400, codeV3("PERMISSION_DENIED"), nil, wechatpay.NoPermission, "PERMISSION_DENIED", "说明", 0, 1},
		"429 alone":             {429, "", nil, wechatpay.RateLimited, "", "", 5 * time.Second, 1},
		"RATELIMIT_EXCEEDED":    {429, codeV3("RATELIMIT_EXCEEDED"), []string{"Retry-After", "7"}, wechatpay.RateLimited, "RATELIMIT_EXCEEDED", "说明", 7 * time.Second, 1},
		"RATELIMIT_EXCEED":      {403, codeV3("RATELIMIT_EXCEED"), nil, wechatpay.RateLimited, "RATELIMIT_EXCEED", "说明", 5 * time.Second, 1},
		"RATE_LIMITED":          {400, codeV3("RATE_LIMITED"), nil, wechatpay.RateLimited, "RATE_LIMITED", "说明", 5 * time.Second, 1},
		"FREQUENCY_LIMITED":     {400, codeV3("FREQUENCY_LIMITED"), nil, wechatpay.RateLimited, "FREQUENCY_LIMITED", "说明", 5 * time.Second, 1},
		"FREQUENCY_LIMIT":       {400, codeV3("FREQUENCY_LIMIT"), nil, wechatpay.RateLimited, "FREQUENCY_LIMIT", "说明", 5 * time.Second, 1},
		"FREQ_LIMIT":            {400, codeV3("FREQ_LIMIT"), nil, wechatpay.RateLimited, "FREQ_LIMIT", "说明", 5 * time.Second, 1},
		"Retry-After a date":    {429, "", []string{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"}, wechatpay.RateLimited, "", "", 5 * time.Second, 1},
		"Retry-After negative":  {429, "", []string{"Retry-After", "-3"}, wechatpay.RateLimited, "", "", 5 * time.Second, 1},
		"Retry-After zero":      {429, "", []string{"Retry-After", "0"}, wechatpay.RateLimited, "", "", 5 * time.Second, 1},
		"Retry-After of a week": {429, "", []string{"Retry-After", "604800"}, wechatpay.RateLimited, "", "", time.Hour, 1},
		"Retry-After overflows": {429, "", []string{"Retry-After", "9223372036854775807"}, wechatpay.RateLimited, "", "", time.Hour, 1},
		"system error":          {500, codeV3("SYSTEM_ERROR"), nil, wechatpay.Unavailable, "SYSTEM_ERROR", "说明", 0, 3},
		"system error, V2's":    {500, codeV3("SYSTEMERROR"), nil, wechatpay.Unavailable, "SYSTEMERROR", "说明", 0, 3},
		"system error, 400":     {400, codeV3("SYSTEM_ERROR"), nil, wechatpay.Unavailable, "SYSTEM_ERROR", "说明", 0, 3},
		"SERVICE_UNAVAILABLE":   {503, codeV3("SERVICE_UNAVAILABLE"), nil, wechatpay.Unavailable, "SERVICE_UNAVAILABLE", "说明", 0, 3},
		"502 page":              {502, "<html>502</html>", nil, wechatpay.Unavailable, "", "", 0, 3},
		"504":                   {504, "", nil, wechatpay.Unavailable, "", "", 0, 3},
		"500 of a parameter":    {500, codeV3("PARAM_ERROR"), nil, wechatpay.Unavailable, "PARAM_ERROR", "说明", 0, 3},
		"202, try again":        {202, "", nil, wechatpay.Unavailable, "", "", 0, 3},
		"a redirect":            {307, "", []string{"Location", "https://example.com/"}, wechatpay.Unavailable, "", "", 0, 3},
		"code in lower case":    {400, codeV3("param_error"), nil, wechatpay.Refused, "", "说明", 0, 1},
		"code with digits":      {400, codeV3("E10086"), nil, wechatpay.Refused, "", "说明", 0, 1},
		"code of a plate":       {400, codeV3(plateNumber), nil, wechatpay.Refused, "", "说明", 0, 1},
		"code of 32":            {400, codeV3(long[:32]), nil, wechatpay.Refused, long[:32], "说明", 0, 1},
		"code of 33":            {400, codeV3(long), nil, wechatpay.Refused, "", "说明", 0, 1},
		"code is a number":      {400, `{"code":1,"message":"说明"}`, nil, wechatpay.Refused, "", "", 0, 1},
		"a detail, not uniform": {400, `{"code":"PARAM_ERROR","message":"说明","detail":{"field":[1]}}`, nil, wechatpay.Refused, "PARAM_ERROR", "说明", 0, 1},
		"control characters":    {400, `{"code":"PARAM_ERROR","message":"a\u0000b\r\n\u0085c"}`, nil, wechatpay.Refused, "PARAM_ERROR", "abc", 0, 1},
		"a long message":        {400, `{"code":"PARAM_ERROR","message":"` + strings.Repeat("停", 100) + `"}`, nil, wechatpay.Refused, "PARAM_ERROR", strings.Repeat("停", 85), 0, 1},
		"256 bytes":             {400, `{"code":"PARAM_ERROR","message":"` + strings.Repeat("x", 257) + `"}`, nil, wechatpay.Refused, "PARAM_ERROR", strings.Repeat("x", 256), 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := client(answer(tc.status, tc.body, tc.pairs...))
				keys := &functest.Source[wechatpay.V3Keys]{Value: keysV3()}
				got := failure(t, c.SyncParking(t.Context(), keys, parking))
				want := wechatpay.Error{Kind: tc.kind, HTTPStatus: tc.status, Code: tc.code, Message: tc.message, RetryAfter: tc.retry}
				if *got != want {
					t.Errorf("got %+v, want %+v", *got, want)
				}
				if len(s.requests) != tc.tries {
					t.Errorf("got %d tries, want %d", len(s.requests), tc.tries)
				}
				if tc.message != "" && strings.Contains(got.Error(), tc.message) {
					t.Errorf("got %q, want no message in it", got)
				}
			})
		})
	}
}

// TestRefusalsV2 is the same table for V2. A refusal is believed signed or not: it only chooses the status.
func TestRefusalsV2(t *testing.T) {
	returned := func(message string) flatxml.Document {
		return flatxml.Document{{Name: "return_code", Value: "FAIL"}, {Name: "return_msg", Value: message}}
	}
	result := func(code, description string) flatxml.Document {
		d := set(drop(drop(entryAnswer, "user_state"), "deduct_mode"), "result_code", "FAIL")
		return append(d, flatxml.Element{Name: "err_code", Value: code}, flatxml.Element{Name: "err_code_des", Value: description})
	}
	for name, tc := range map[string]struct {
		document flatxml.Document
		kind     wechatpay.Kind
		code     string
		message  string
		retry    time.Duration
		tries    int
	}{
		"return_msg of a parameter": {returned("参数格式校验错误"), wechatpay.Refused, "", "参数格式校验错误", 0, 1},
		"return_msg is absent":      {flatxml.Document{{Name: "return_code", Value: "FAIL"}}, wechatpay.Refused, "", "", 0, 1},
		"return_msg of a sign":      {returned("签名失败"), wechatpay.SignatureRejected, "", "签名失败", 0, 1},
		"return_msg of permission":  {returned("商户号没有权限"), wechatpay.NoPermission, "", "商户号没有权限", 0, 1},
		"return_msg of frequency":   {returned("频率超限"), wechatpay.RateLimited, "", "频率超限", 5 * time.Second, 1},
		"return_msg of the system":  {returned("系统繁忙"), wechatpay.Unavailable, "", "系统繁忙", 0, 3},
		"return_msg SYSTEMERROR":    {returned("SYSTEMERROR"), wechatpay.Unavailable, "", "SYSTEMERROR", 0, 3},
		"return_msg SYSTEM_ERROR":   {returned("SYSTEM_ERROR"), wechatpay.Unavailable, "", "SYSTEM_ERROR", 0, 3},
		"PARAM_ERROR":               {result("PARAM_ERROR", "参数错误"), wechatpay.Refused, "PARAM_ERROR", "参数错误", 0, 1},
		"PARAM_ERROR of a plate":    {result("PARAM_ERROR", "Plate Number Query ERROR"), wechatpay.Refused, "PARAM_ERROR", "Plate Number Query ERROR", 0, 1},
		"VEHICLE_AUTH_ERROR":        {result("VEHICLE_AUTH_ERROR", "-"), wechatpay.Refused, "VEHICLE_AUTH_ERROR", "-", 0, 1},
		"a code not known":          {result("BRAND_NEW", "-"), wechatpay.Refused, "BRAND_NEW", "-", 0, 1},
		"INVALID_REQUEST":           {result("INVALID_REQUEST", "nonce_str was used"), wechatpay.Refused, "INVALID_REQUEST", "nonce_str was used", 0, 1},
		"INVALID_REQUEST, denied":   {result("INVALID_REQUEST", "Permission denied"), wechatpay.NoPermission, "INVALID_REQUEST", "Permission denied", 0, 1},
		"words of permission":       {result("INVALID_REQUEST", "非法参数/权限被拒"), wechatpay.NoPermission, "INVALID_REQUEST", "非法参数/权限被拒", 0, 1},
		"NOAUTH":                    {result("NOAUTH", "-"), wechatpay.NoPermission, "NOAUTH", "-", 0, 1},
		"NO_AUTH":                   {result("NO_AUTH", "-"), wechatpay.NoPermission, "NO_AUTH", "-", 0, 1},
		"PERMISSION_DENIED":         {result("PERMISSION_DENIED", "-"), wechatpay.NoPermission, "PERMISSION_DENIED", "-", 0, 1},
		"SIGNERROR":                 {result("SIGNERROR", "-"), wechatpay.SignatureRejected, "SIGNERROR", "-", 0, 1},
		"SIGN_ERROR":                {result("SIGN_ERROR", "-"), wechatpay.SignatureRejected, "SIGN_ERROR", "-", 0, 1},
		"FREQUENCY_LIMITED":         {result("FREQUENCY_LIMITED", "-"), wechatpay.RateLimited, "FREQUENCY_LIMITED", "-", 5 * time.Second, 1},
		"FREQ_LIMIT":                {result("FREQ_LIMIT", "-"), wechatpay.RateLimited, "FREQ_LIMIT", "-", 5 * time.Second, 1},
		"SYSTEMERROR":               {result("SYSTEMERROR", "系统错误"), wechatpay.Unavailable, "SYSTEMERROR", "系统错误", 0, 3},
		"SYSTEM_ERROR":              {result("SYSTEM_ERROR", "-"), wechatpay.Unavailable, "SYSTEM_ERROR", "-", 0, 3},
		"the code beats the words":  {result("NOAUTH", "系统错误"), wechatpay.NoPermission, "NOAUTH", "系统错误", 0, 1},
		"a code in lower case":      {result("noauth", "-"), wechatpay.Refused, "", "-", 0, 1},
	} {
		for _, key := range []string{"", apiV2Key} {
			t.Run(name+" signed="+map[bool]string{true: "yes", false: "no"}[key != ""], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, s := client(answer(200, signedXML(key, tc.document)))
					keys := &functest.Source[wechatpay.V2Keys]{Value: keysV2(apiV2Key)}
					got, err := c.NotifyEntry(t.Context(), keys, entry)
					want := wechatpay.Error{Kind: tc.kind, HTTPStatus: 200, Code: tc.code, Message: tc.message, RetryAfter: tc.retry}
					if e := failure(t, err); *e != want {
						t.Errorf("got %+v, want %+v", *e, want)
					}
					if got.Document != nil {
						t.Errorf("got a document with the failure, want none")
					}
					if len(s.requests) != tc.tries {
						t.Errorf("got %d tries, want %d", len(s.requests), tc.tries)
					}
				})
			})
		}
	}
}

// TestStatusesV2 holds V2 answers whose HTTP status is not 200, and 200s that are no answer.
func TestStatusesV2(t *testing.T) {
	good := signedXML(apiV2Key, entryAnswer)
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   wechatpay.Kind
		tries  int
	}{
		"500 with a good body": {500, good, wechatpay.Unavailable, 3},
		"502":                  {502, "<html>", wechatpay.Unavailable, 3},
		"429":                  {429, "", wechatpay.RateLimited, 1},
		"404":                  {404, "", wechatpay.Refused, 1},
		"403":                  {403, "", wechatpay.NoPermission, 1},
		"401":                  {401, "", wechatpay.SignatureRejected, 1},
		"302":                  {302, "", wechatpay.Unavailable, 3},
		"204":                  {204, "", wechatpay.Unavailable, 3},
		"200 of a page":        {200, "<html><h1>OK</h1></html>", wechatpay.Unverified, 3},
		"200 of nothing":       {200, "", wechatpay.Unverified, 3},
		"200 of JSON":          {200, `{"return_code":"SUCCESS"}`, wechatpay.Unverified, 3},
		"no return_code":       {200, signedXML(apiV2Key, drop(entryAnswer, "return_code")), wechatpay.Unverified, 3},
		"another return_code":  {200, signedXML(apiV2Key, set(entryAnswer, "return_code", "success")), wechatpay.Unverified, 3},
		"no result_code":       {200, signedXML(apiV2Key, drop(entryAnswer, "result_code")), wechatpay.Unverified, 3},
		"two roots":            {200, good + good, wechatpay.Unverified, 3},
		"a document type":      {200, "<!DOCTYPE xml>" + good, wechatpay.Unverified, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := client(answer(tc.status, tc.body))
				_, err := c.NotifyEntry(t.Context(), &functest.Source[wechatpay.V2Keys]{Value: keysV2(apiV2Key)}, entry)
				if e := failure(t, err); e.Kind != tc.kind || e.HTTPStatus != tc.status {
					t.Errorf("got kind %d of status %d, want %d of %d", e.Kind, e.HTTPStatus, tc.kind, tc.status)
				}
				if len(s.requests) != tc.tries {
					t.Errorf("got %d tries, want %d", len(s.requests), tc.tries)
				}
			})
		})
	}
}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]wechatpay.Error{
		"wechatpay: refused: PARAM_ERROR": {Kind: wechatpay.Refused, Code: "PARAM_ERROR", Message: plateNumber},
		"wechatpay: no permission":        {Kind: wechatpay.NoPermission, Message: plateNumber},
		"wechatpay: rate limited":         {Kind: wechatpay.RateLimited},
		"wechatpay: signature rejected":   {Kind: wechatpay.SignatureRejected},
		"wechatpay: unavailable":          {Kind: wechatpay.Unavailable},
		"wechatpay: answer not verified":  {Kind: wechatpay.Unverified},
		"wechatpay: outcome unknown":      {Kind: wechatpay.Unknown},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
