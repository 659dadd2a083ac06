package wechatpaysim

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	sceneLot   = "PARKING"
	sceneSpace = "PARKING SPACE"
	signType   = "HMAC-SHA256"
)

// judgeV2 gives the verdict on a V2 request, unless no is one already. Whatever fails before the signature
// holds is answered return_code=FAIL without a sign; what fails after it, result_code=FAIL with one.
func (s *Simulator) judgeV2(r *http.Request, rec *Request, no *refusal) reply {
	out := reply{v2: true, status: http.StatusOK}
	if no == nil {
		out.key, no = s.checkV2(r, rec)
	}
	if no == nil {
		rec.Accepted = true
		st := s.StateOf(car(rec.Fields))
		return out.v2Answer(s.echo(rec.Fields), "SUCCESS",
			Element{"user_state", st.UserState}, Element{"deduct_mode", st.DeductMode})
	}
	rec.refuse(no)
	if no.status == http.StatusNotFound {
		out.status = no.status
	}
	if no.unsigned {
		return out.v2Fail(no.message)
	}
	return out.v2Answer(s.echo(rec.Fields), "FAIL",
		Element{"err_code", no.code}, Element{"err_code_des", no.message})
}

// car names the car for StateOf.
func car(fields map[string]string) string {
	for _, name := range []string{"plate_number", "sub_openid", "openid"} {
		if v := fields[name]; v != "" {
			return v
		}
	}
	return ""
}

func (s *Simulator) echo(fields map[string]string) []Element {
	doc := []Element{{"appid", s.cfg.AppID}, {"mch_id", s.cfg.MchID}}
	for _, name := range []string{"sub_appid", "sub_mch_id"} {
		if v := fields[name]; v != "" {
			doc = append(doc, Element{name, v})
		}
	}
	return doc
}

// checkV2 returns the APIv2 key that the request was signed with, as soon as it is known.
func (s *Simulator) checkV2(r *http.Request, rec *Request) (string, *refusal) {
	if rec.URI != rec.Route {
		return "", unsigned("参数格式校验错误: the path must be sent exactly, without a query")
	}
	if len(r.Header.Values("Content-Type")) != 1 || !isMedia(r.Header.Get("Content-Type"), "application/xml", "text/xml") {
		return "", unsigned("参数格式校验错误: Content-Type is not XML in UTF-8")
	}
	doc, err := parseXML(rec.Body)
	if err != nil {
		return "", unsigned(err.Error())
	}
	rec.Fields = fieldsOf(doc)
	key, no := s.checkSign(rec.Fields)
	if no != nil {
		return "", no
	}
	if !s.spendNonce("v2", rec.Fields["nonce_str"], rec.At) {
		return key, refused("INVALID_REQUEST", "nonce_str was used before")
	}
	return key, s.checkEntry(rec)
}

func (s *Simulator) checkSign(fields map[string]string) (string, *refusal) {
	if fields["mch_id"] != s.cfg.MchID {
		return "", unsigned("商户号mch_id不存在")
	}
	if fields["sign_type"] != signType {
		return "", unsigned("参数格式校验错误: sign_type must be HMAC-SHA256")
	}
	if issue := nonce(fields["nonce_str"]); issue != "" {
		return "", unsigned("参数格式校验错误: nonce_str " + issue)
	}
	for _, key := range s.keys.Load().APIv2Keys {
		if hmac.Equal([]byte(signV2(fields, key)), []byte(fields["sign"])) {
			return key, nil
		}
	}
	no := unsigned("签名失败")
	no.reason = "签名失败: sign does not match these elements and any APIv2 key"
	if fields["sign"] == "" {
		no.reason = "签名失败: sign is missing"
	}
	return "", no
}

func (s *Simulator) checkEntry(rec *Request) *refusal {
	partner := s.cfg.Mode == Partner
	if partner != (rec.Route == RouteVehiclePartner) {
		return refused("INVALID_REQUEST", "Permission denied: this interface is not for this kind of merchant")
	}
	if field, issue := apply(s.entryRules(), rec.Fields); issue != "" {
		return refused(codeParam, field+" "+issue)
	}
	if rec.Fields["appid"] != s.cfg.AppID {
		return refused("APPID_MCHID_NOT_MATCH", "appid is not bound to mch_id")
	}
	if partner {
		if no := s.checkVehicleMerchant(rec.Fields["sub_mch_id"], rec.Fields["sub_appid"]); no != nil {
			return no
		}
	}
	return s.checkScene(rec)
}

func (s *Simulator) entryRules() []rule {
	rules := []rule{
		{"appid", true, limit(token, 32)},
		{"mch_id", true, limit(digits, 32)},
		{"nonce_str", true, nonce},
		{"sign_type", true, oneOf(signType)},
		{"sign", true, func(string) string { return "" }}, // verified before
		{"trade_scene", true, oneOf(sceneLot, sceneSpace)},
		{"version", true, oneOf("3.0", "2.0")},
		{"scene_info", true, sceneText},
	}
	if s.cfg.Mode == Partner {
		rules = append(rules, rule{"sub_appid", true, limit(token, 32)}, rule{"sub_mch_id", true, limit(digits, 32)})
	}
	return rules
}

func (s *Simulator) checkVehicleMerchant(subMchID, subAppID string) *refusal {
	known := false
	for _, m := range s.cfg.Merchants {
		if m.SubMchID != subMchID || m.SubAppID == "" {
			continue
		}
		known = true
		if m.SubAppID == subAppID {
			return nil
		}
	}
	if !known {
		return refused("NOAUTH", "sub_mch_id is no sub-merchant with this service")
	}
	return refused("APPID_MCHID_NOT_MATCH", "sub_appid is not bound to sub_mch_id")
}

// sceneText holds the JSON text itself against what trips WeChat Pay: at most 1024 bytes (whether the page
// means bytes or characters is not known; bytes are the stricter), and no \u or \/ escape.
func sceneText(v string) string {
	if len(v) > 1024 {
		return "is over 1024 bytes"
	}
	if strings.TrimSpace(v) != v {
		return "begins or ends with white space"
	}
	for i := 0; i < len(v)-1; i++ {
		if v[i] != '\\' {
			continue
		}
		i++
		if v[i] == 'u' || v[i] == '/' {
			return `holds a \u or \/ escape: send raw UTF-8`
		}
	}
	return ""
}

// readScene returns what stands in {"scene_info":{…}}, all of it strings.
func readScene(v string) (map[string]string, error) {
	outer, err := parseObject([]byte(v))
	if err != nil {
		return nil, err
	}
	if len(outer) != 1 || outer[0].name != "scene_info" {
		return nil, errors.New("must hold one member, called scene_info again")
	}
	inner, ok := outer[0].value.([]member)
	if !ok {
		return nil, errors.New("must hold an object called scene_info")
	}
	fields := make(map[string]string, len(inner))
	for _, m := range inner {
		if fields[m.name], ok = m.value.(string); !ok {
			return nil, errors.New(printable(m.name) + " must be a string")
		}
	}
	return fields, nil
}

func (s *Simulator) checkScene(rec *Request) *refusal {
	scene := rec.Fields["trade_scene"]
	version, rules := "3.0", lotRules
	if scene == sceneSpace {
		version, rules = "2.0", s.spaceRules
	}
	if rec.Fields["version"] != version {
		return refused(codeParam, "version must be "+version+" in trade_scene "+scene)
	}
	inside, err := readScene(rec.Fields["scene_info"])
	if err != nil {
		return refused(codeParam, "scene_info: "+err.Error())
	}
	for name, v := range inside {
		if _, outside := rec.Fields[name]; !outside {
			rec.Fields[name] = v
		}
	}
	if field, issue := apply(rules(), inside); issue != "" {
		return refused(codeParam, "scene_info: "+printable(field)+" "+issue+" in trade_scene "+scene)
	}
	return nil
}

func lotRules() []rule {
	return []rule{
		{"start_time", true, stamp},
		{"plate_number", true, plate},
		{"notify_url", false, notifyURL},
		{"car_type", false, oneOf("大型车", "小型车")},
		{"parking_name", true, limit(text, 32)},
		{"free_time", true, seconds},
	}
}

func (s *Simulator) spaceRules() []rule {
	rules := []rule{
		{"start_time", true, stamp},
		{"car_type", false, oneOf("大型车", "小型车")},
		{"parking_name", false, limit(text, 32)},
		{"free_time", true, seconds},
		{"openid", false, limit(token, 32)},
		{"space_number", true, limit(text, 16)},
	}
	if s.cfg.Mode == Partner {
		rules = append(rules, rule{"sub_openid", false, limit(token, 32)})
	}
	return rules
}

// printable keeps a name that came from outside fit for a message.
func printable(name string) string {
	if token(name, 32) != "" {
		return "a member"
	}
	return name
}

func unsigned(message string) *refusal {
	return &refusal{message: message, unsigned: true}
}

// refused is a signed refusal; its description is cut at 128 characters, as the pages say.
func refused(code, message string) *refusal {
	if utf8.RuneCountInString(message) > 128 {
		message = string([]rune(message)[:128])
	}
	return &refusal{code: code, message: message}
}
