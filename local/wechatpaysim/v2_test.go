package wechatpaysim

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entry is a V2 request that is good unless edited.
type entry struct {
	uri         string
	contentType string
	fields      map[string]string
	key         string
	body        func(string) string
}

func goodEntry(t testing.TB, scene string) *entry {
	e := &entry{
		uri: RouteVehiclePartner, contentType: "application/xml; charset=utf-8", key: v2Key,
		fields: map[string]string{
			"appid": "wxcbda96de0b165486", "mch_id": mchID, "sub_appid": "wxcbda96de0b165489", "sub_mch_id": "1900000109",
			"nonce_str": freshNonce(t), "sign_type": "HMAC-SHA256", "version": "3.0", "trade_scene": "PARKING",
			"scene_info": scene,
		},
		body: func(b string) string { return b },
	}
	if scene == spaceScene {
		e.fields["version"], e.fields["trade_scene"] = "2.0", "PARKING SPACE"
	}
	return e
}

func (e *entry) request(t testing.TB) *http.Request {
	t.Helper()
	fields := clone(e.fields)
	if _, ok := fields["sign"]; !ok {
		fields["sign"] = signV2(fields, e.key)
	}
	var doc []Element
	for _, name := range sortedNames(fields) {
		if fields[name] != "(absent)" {
			doc = append(doc, Element{name, fields[name]})
		}
	}
	r := httptest.NewRequest("POST", e.uri, strings.NewReader(e.body(string(writeXML(doc, true)))))
	r.Header.Set("Content-Type", e.contentType)
	return r
}

func answerFields(t testing.TB, b []byte) map[string]string {
	t.Helper()
	doc, err := parseXML(b)
	if err != nil {
		t.Fatalf("answer %s: %v", b, err)
	}
	return fieldsOf(doc)
}

// checkAnswerSign takes sign and nonce_str out of a V2 answer after checking them.
func checkAnswerSign(t testing.TB, got map[string]string, key string) {
	t.Helper()
	if got["sign"] != signV2(got, key) || len(got["nonce_str"]) != 32 {
		t.Errorf("got a wrong sign in %v", got)
	}
	delete(got, "sign")
	delete(got, "nonce_str")
}

func TestEntryAccepted(t *testing.T) {
	for _, tc := range []struct {
		name  string
		scene string
		edit  func(*entry)
		set   func(*Simulator)
		key   string
		want  map[string]string
	}{
		{"lot", lotScene, func(*entry) {}, func(*Simulator) {}, v2Key,
			map[string]string{"user_state": "NORMAL", "deduct_mode": "PROACTIVE"}},
		{"space", spaceScene, func(*entry) {}, func(*Simulator) {}, v2Key,
			map[string]string{"user_state": "NORMAL", "deduct_mode": "PROACTIVE"}},
		{"old key", lotScene, func(e *entry) { e.key = oldV2Key }, func(*Simulator) {}, oldV2Key,
			map[string]string{"user_state": "NORMAL", "deduct_mode": "PROACTIVE"}},
		{"blocked", lotScene, func(*entry) {}, func(s *Simulator) { s.Block("粤A00000", "粤B888888") }, v2Key,
			map[string]string{"user_state": "BLOCKED"}},
		{"blocked space", spaceScene, func(*entry) {}, func(s *Simulator) { s.Block("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o") }, v2Key,
			map[string]string{"user_state": "BLOCKED"}},
		{"autopay", lotScene, func(*entry) {}, func(s *Simulator) { s.SetState("粤B888888", State{"NORMAL", "AUTOPAY"}) }, v2Key,
			map[string]string{"user_state": "NORMAL", "deduct_mode": "AUTOPAY"}},
		{"private line", lotScene, func(e *entry) {
			e.fields["scene_info"] = strings.Replace(lotScene, "https://weixin.qq.com", "http://127.0.0.1:8080/v1", 1)
		}, func(*Simulator) {}, v2Key,
			map[string]string{"user_state": "NORMAL", "deduct_mode": "PROACTIVE"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSim(t, testConfig(t))
			tc.set(s)
			e := goodEntry(t, tc.scene)
			tc.edit(e)
			w := serve(s, e.request(t))
			if rec := last(t, s); !rec.Accepted || rec.Status != 200 {
				t.Fatalf("got %q, want accepted", rec.Reason)
			}
			got := answerFields(t, w.Body.Bytes())
			checkAnswerSign(t, got, tc.key)
			for k, v := range map[string]string{
				"return_code": "SUCCESS", "return_msg": "OK", "result_code": "SUCCESS", "appid": "wxcbda96de0b165486",
				"mch_id": mchID, "sub_appid": "wxcbda96de0b165489", "sub_mch_id": "1900000109",
			} {
				tc.want[k] = v
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntryRecordsSceneFields(t *testing.T) {
	s := newSim(t, testConfig(t))
	serve(s, goodEntry(t, lotScene).request(t))
	got := last(t, s).Fields
	for name, want := range map[string]string{
		"plate_number": "粤B888888", "free_time": "1200", "notify_url": "https://weixin.qq.com/notify", "scene_info": lotScene,
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

func TestEntryDirect(t *testing.T) {
	s := newSim(t, directConfig(t))
	e := goodEntry(t, lotScene)
	e.uri = RouteVehicleDirect
	delete(e.fields, "sub_appid")
	delete(e.fields, "sub_mch_id")
	serve(s, e.request(t))
	if rec := last(t, s); !rec.Accepted {
		t.Errorf("got %q, want accepted", rec.Reason)
	}
	e.fields["nonce_str"] = freshNonce(t)
	e.fields["sub_mch_id"] = "1900000109"
	serve(s, e.request(t))
	if got, want := last(t, s).Reason, "sub_mch_id is not a field of this interface"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e = goodEntry(t, strings.Replace(lotScene, `"free_time"`, `"sub_openid":"o","free_time"`, 1))
	delete(e.fields, "sub_appid")
	delete(e.fields, "sub_mch_id")
	e.uri = RouteVehiclePartner
	serve(s, e.request(t))
	if got, want := last(t, s).Reason, "Permission denied: this interface is not for this kind of merchant"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEntryRefused(t *testing.T) {
	field := func(name, value string) func(*entry) {
		return func(e *entry) { e.fields[name] = value }
	}
	without := func(name string) func(*entry) {
		return func(e *entry) { delete(e.fields, name) }
	}
	raw := func(old, new string) func(*entry) {
		return func(e *entry) { e.body = func(b string) string { return strings.Replace(b, old, new, 1) } }
	}
	lot := func(old, new string) func(*entry) {
		return func(e *entry) { e.fields["scene_info"] = strings.Replace(lotScene, old, new, 1) }
	}
	space := func(old, new string) func(*entry) {
		return func(e *entry) {
			e.fields["version"], e.fields["trade_scene"] = "2.0", "PARKING SPACE"
			e.fields["scene_info"] = strings.Replace(spaceScene, old, new, 1)
		}
	}
	const format = "参数格式校验错误: "
	for _, tc := range []struct {
		name string
		edit func(*entry)
		code string // empty: return_code=FAIL, unsigned
		want string // the reason in the record
	}{
		{"Content-Type", func(e *entry) { e.contentType = "application/json" }, "", format + "Content-Type is not XML in UTF-8"},
		{"charset", func(e *entry) { e.contentType = "text/xml; charset=gbk" }, "", format + "Content-Type is not XML in UTF-8"},
		{"query", func(e *entry) { e.uri += "?a=1" }, "", format + "the path must be sent exactly, without a query"},
		{"not XML", raw("</xml>", ""), "", "XML格式错误: not well-formed"},
		{"empty body", func(e *entry) { e.body = func(string) string { return "" } }, "", "XML格式错误: no root"},
		{"other root", func(e *entry) {
			e.body = func(b string) string { return strings.NewReplacer("<xml>", "<XML>", "</xml>", "</XML>").Replace(b) }
		}, "", "XML格式错误: the root is not xml"},
		{"DTD", raw("<xml>", `<!DOCTYPE xml [<!ENTITY a "b">]><xml>`), "", "XML格式错误: a DTD"},
		{"comment", raw("<xml>", "<xml><!-- -->"), "", "XML格式错误: a comment"},
		{"instruction", raw("<xml>", "<xml><?a b?>"), "", "XML格式错误: a processing instruction"},
		{"attribute", raw("<appid>", `<appid a="b">`), "", "XML格式错误: an attribute or a namespace"},
		{"nested", raw("<appid>", "<appid><a>b</a>"), "", "XML格式错误: a nested element"},
		{"twice", raw("<appid>", "<mch_id>1</mch_id><mch_id>1</mch_id><appid>"), "", "XML格式错误: an element stands twice"},
		{"text between", raw("<appid>", "text<appid>"), "", "XML格式错误: text outside the elements"},
		{"text after", raw("</xml>", "</xml>text"), "", "XML格式错误: text outside the elements"},
		{"second root", raw("</xml>", "</xml><xml></xml>"), "", "XML格式错误: something follows the root"},
		{"not UTF-8", raw("粤", "\xd4\xc1"), "", "XML格式错误: not UTF-8"},
		{"GBK declared", raw("<xml>", `<?xml version="1.0" encoding="GBK"?><xml>`), "", "XML格式错误: not well-formed"},

		{"other mch_id", field("mch_id", "10000099"), "", "商户号mch_id不存在"},
		{"MD5", field("sign_type", "MD5"), "", format + "sign_type must be HMAC-SHA256"},
		{"no sign_type", without("sign_type"), "", format + "sign_type must be HMAC-SHA256"},
		{"no nonce_str", without("nonce_str"), "", format + "nonce_str must be letters and digits"},
		{"long nonce_str", field("nonce_str", strings.Repeat("n", 33)), "", format + "nonce_str is over 32 characters"},
		{"no sign", field("sign", "(absent)"), "", "签名失败: sign is missing"},
		{"lower-case sign", func(e *entry) { e.fields["sign"] = strings.ToLower(signV2(e.fields, v2Key)) }, "", "签名失败: sign does not match these elements and any APIv2 key"},
		{"other key", func(e *entry) { e.key = v3Key }, "", "签名失败: sign does not match these elements and any APIv2 key"},
		{"changed byte", raw("大型车", "小型车"), "", "签名失败: sign does not match these elements and any APIv2 key"},
		{"added element", raw("<appid>", "<a>b</a><appid>"), "", "签名失败: sign does not match these elements and any APIv2 key"},

		{"direct twin", func(e *entry) { e.uri = RouteVehicleDirect }, "INVALID_REQUEST", "Permission denied: this interface is not for this kind of merchant"},
		{"flattened", field("start_time", "20170926114339"), "PARAM_ERROR", "start_time is not a field of this interface"},
		{"no appid", without("appid"), "PARAM_ERROR", "appid is required"},
		{"no sub_appid", without("sub_appid"), "PARAM_ERROR", "sub_appid is required"},
		{"empty sub_appid", field("sub_appid", ""), "PARAM_ERROR", "sub_appid is empty"},
		{"no sub_mch_id", without("sub_mch_id"), "PARAM_ERROR", "sub_mch_id is required"},
		{"no scene_info", without("scene_info"), "PARAM_ERROR", "scene_info is required"},
		{"trade_scene", field("trade_scene", "PARKING_SPACE"), "PARAM_ERROR", "trade_scene must be PARKING or PARKING SPACE"},
		{"version", field("version", "1.0"), "PARAM_ERROR", "version must be 3.0 or 2.0"},
		{"version of the other scene", field("version", "2.0"), "PARAM_ERROR", "version must be 3.0 in trade_scene PARKING"},
		{"version of a space", func(e *entry) { space("", "")(e); e.fields["version"] = "3.0" }, "PARAM_ERROR", "version must be 2.0 in trade_scene PARKING SPACE"},
		{"other appid", field("appid", "wx1"), "APPID_MCHID_NOT_MATCH", "appid is not bound to mch_id"},
		{"foreign sub_mch_id", field("sub_mch_id", "1900000999"), "NOAUTH", "sub_mch_id is no sub-merchant with this service"},
		{"without the service", field("sub_mch_id", "1900000110"), "NOAUTH", "sub_mch_id is no sub-merchant with this service"},
		{"unbound sub_appid", field("sub_appid", "wx1"), "APPID_MCHID_NOT_MATCH", "sub_appid is not bound to sub_mch_id"},

		{"long scene", lot("欢乐海岸停车场", strings.Repeat("欢", 341)), "PARAM_ERROR", "scene_info is over 1024 bytes"},
		{"newline", lot("}}", "}}\n"), "PARAM_ERROR", "scene_info begins or ends with white space"},
		{"escaped Han", lot("粤", `\u7ca4`), "PARAM_ERROR", `scene_info holds a \u or \/ escape: send raw UTF-8`},
		{"escaped slash", lot("https://", `https:\/\/`), "PARAM_ERROR", `scene_info holds a \u or \/ escape: send raw UTF-8`},
		{"not JSON", lot("}}", "}"), "PARAM_ERROR", "scene_info: not a JSON object"},
		{"not nested", lot(lotScene, `{"start_time":"20170926114339"}`), "PARAM_ERROR", "scene_info: must hold one member, called scene_info again"},
		{"beside", lot("{", `{"a":"b",`), "PARAM_ERROR", "scene_info: must hold one member, called scene_info again"},
		{"nested as text", lot(lotScene, `{"scene_info":"{}"}`), "PARAM_ERROR", "scene_info: must hold an object called scene_info"},
		{"duplicate", lot(`"free_time"`, `"free_time":"1","free_time"`), "PARAM_ERROR", "scene_info: a member stands twice"},
		{"free_time a number", lot(`"1200"`, "1200"), "PARAM_ERROR", "scene_info: free_time must be a string"},
		{"free_time negative", lot(`"1200"`, `"-1"`), "PARAM_ERROR", "scene_info: free_time must be digits in trade_scene PARKING"},
		{"free_time padded", lot(`"1200"`, `"01200"`), "PARAM_ERROR", "scene_info: free_time has a leading zero in trade_scene PARKING"},
		{"no free_time", lot(`"free_time":"1200",`, ""), "PARAM_ERROR", "scene_info: free_time is required in trade_scene PARKING"},
		{"start_time RFC 3339", lot("20170926114339", "2017-09-26T11:43:39+08:00"), "PARAM_ERROR", "scene_info: start_time must be yyyyMMddHHmmss in trade_scene PARKING"},
		{"no such day", lot("20170926", "20170931"), "PARAM_ERROR", "scene_info: start_time must be yyyyMMddHHmmss in trade_scene PARKING"},
		{"plate", lot("粤B", "粤B·"), "PARAM_ERROR", "scene_info: plate_number may hold upper-case letters, digits and Chinese characters alone in trade_scene PARKING"},
		{"no parking_name", lot(`,"parking_name":"欢乐海岸停车场"`, ""), "PARAM_ERROR", "scene_info: parking_name is required in trade_scene PARKING"},
		{"long parking_name", lot("欢乐海岸停车场", strings.Repeat("欢", 33)), "PARAM_ERROR", "scene_info: parking_name is over 32 characters in trade_scene PARKING"},
		{"car_type", lot("大型车", "BIG"), "PARAM_ERROR", "scene_info: car_type must be 大型车 or 小型车 in trade_scene PARKING"},
		{"empty car_type", lot("大型车", ""), "PARAM_ERROR", "scene_info: car_type is empty in trade_scene PARKING"},
		{"notify_url query", lot("/notify", "/notify?a=b"), "PARAM_ERROR", "scene_info: notify_url must have no query and no fragment in trade_scene PARKING"},
		{"notify_url http", lot("https", "http"), "PARAM_ERROR", "scene_info: notify_url must be https outside a private line in trade_scene PARKING"},
		{"notify_url without path", lot("/notify", ""), "PARAM_ERROR", "scene_info: notify_url must have a path in trade_scene PARKING"},
		{"notify_url relative", lot("https://weixin.qq.com", ""), "PARAM_ERROR", "scene_info: notify_url must be a full address in trade_scene PARKING"},
		{"notify_url too long", lot("/notify", "/"+strings.Repeat("n", 256)), "PARAM_ERROR", "scene_info: notify_url is over 256 characters in trade_scene PARKING"},
		{"space_number in a lot", lot(`"free_time"`, `"space_number":"D6666","free_time"`), "PARAM_ERROR", "scene_info: space_number is not a field of this interface in trade_scene PARKING"},
		{"openid in a lot", lot(`"free_time"`, `"openid":"o","free_time"`), "PARAM_ERROR", "scene_info: openid is not a field of this interface in trade_scene PARKING"},
		{"plate in a space", space(`"free_time"`, `"plate_number":"粤B888888","free_time"`), "PARAM_ERROR", "scene_info: plate_number is not a field of this interface in trade_scene PARKING SPACE"},
		{"notify_url in a space", space(`"free_time"`, `"notify_url":"https://a.cn/n","free_time"`), "PARAM_ERROR", "scene_info: notify_url is not a field of this interface in trade_scene PARKING SPACE"},
		{"no space_number", space(`,"space_number":"D6666"`, ""), "PARAM_ERROR", "scene_info: space_number is required in trade_scene PARKING SPACE"},
		{"long space_number", space("D6666", strings.Repeat("D", 17)), "PARAM_ERROR", "scene_info: space_number is over 16 characters in trade_scene PARKING SPACE"},
		{"long sub_openid", space("oUpF8", strings.Repeat("o", 32)), "PARAM_ERROR", "scene_info: sub_openid is over 32 characters in trade_scene PARKING SPACE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSim(t, testConfig(t))
			e := goodEntry(t, lotScene)
			tc.edit(e)
			w := serve(s, e.request(t))
			rec := last(t, s)
			if rec.Accepted || w.Code != 200 || rec.Code != tc.code || rec.Reason != tc.want {
				t.Errorf("got %d %s %q, want %s %q", w.Code, rec.Code, rec.Reason, tc.code, tc.want)
			}
			got := answerFields(t, w.Body.Bytes())
			if tc.code == "" {
				message, _, _ := strings.Cut(tc.want, ": sign ")
				if diff := cmp.Diff(map[string]string{"return_code": "FAIL", "return_msg": message}, got); diff != "" {
					t.Errorf("unsigned answer (-want +got):\n%s", diff)
				}
				return
			}
			checkAnswerSign(t, got, v2Key)
			if got["return_code"] != "SUCCESS" || got["result_code"] != "FAIL" || got["err_code"] != tc.code || got["err_code_des"] != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestEntryNonceReplay(t *testing.T) {
	s := newSim(t, testConfig(t))
	e := goodEntry(t, lotScene)
	serve(s, e.request(t))
	serve(s, e.request(t))
	if rec := last(t, s); rec.Accepted || rec.Reason != "nonce_str was used before" {
		t.Errorf("got %q, want a replay refused", rec.Reason)
	}
}

func TestEntryWrongMethodAndPath(t *testing.T) {
	s := newSim(t, testConfig(t))
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", RouteVehiclePartner, nil),
		httptest.NewRequest("POST", "/vehicle/partnerpay/notify", nil),
	} {
		w := serve(s, r)
		if got := answerFields(t, w.Body.Bytes()); w.Code != 404 || got["return_code"] != "FAIL" {
			t.Errorf("got %d %v, want 404 FAIL", w.Code, got)
		}
	}
}

func TestXMLRoundTrip(t *testing.T) {
	doc := []Element{{"a", "]]>"}, {"b", "<&>\"'"}, {"c", "一\r\n二\t"}, {"d", ""}}
	for _, cdata := range []bool{true, false} {
		got, err := parseXML(writeXML(doc, cdata))
		if err != nil || !slices.Equal(got, doc) {
			t.Errorf("cdata %v: got %q, %v, want %q", cdata, got, err, doc)
		}
	}
}
