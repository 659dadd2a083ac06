package wechatpaysim

import (
	"encoding/json"
	"slices"
	"testing"
)

func FuzzParseXML(f *testing.F) {
	f.Add([]byte(success))
	f.Add([]byte("<?xml version=\"1.0\"?>\n<xml><a>1 &lt; 2</a><b/><c>&#13;]]&gt;</c></xml>"))
	f.Add([]byte("<xml><a><![CDATA[b]]>c</a></xml> "))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := parseXML(b)
		if err != nil {
			return
		}
		for _, cdata := range []bool{true, false} {
			again, err := parseXML(writeXML(doc, cdata))
			if err != nil || !slices.Equal(doc, again) {
				t.Errorf("got %q, %v after writing %q", again, err, doc)
			}
		}
	})
}

func FuzzParseObject(f *testing.F) {
	f.Add([]byte(parkingBody))
	f.Add([]byte(lotScene))
	f.Add([]byte(`{"a":1.5e3,"b":null,"c":{"d":true}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		members, err := parseObject(b)
		if err != nil {
			return
		}
		var want map[string]any
		if err := json.Unmarshal(b, &want); err != nil || len(want) != len(members) {
			t.Errorf("got %d members, encoding/json %d, %v", len(members), len(want), err)
		}
	})
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add(`WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="n",signature="s=",timestamp="1",serial_no="5A"`)
	f.Fuzz(func(t *testing.T, header string) {
		a, err := parseAuthorization(header)
		if err != nil {
			return
		}
		again, err := parseAuthorization(scheme + ` serial_no="` + a.serialNo + `",mchid="` + a.mchid + `",nonce_str="` + a.nonce +
			`",timestamp="` + a.timestamp + `",signature="` + a.signature + `"`)
		if err != nil || again != a {
			t.Errorf("got %+v, %v, want %+v", again, err, a)
		}
	})
}

func FuzzReadScene(f *testing.F) {
	f.Add(lotScene)
	f.Add(spaceScene)
	f.Fuzz(func(t *testing.T, v string) {
		fields, err := readScene(v)
		if err != nil {
			return
		}
		b, err := marshal(map[string]any{"scene_info": fields})
		if err != nil {
			t.Fatal(err)
		}
		again, err := readScene(string(b))
		if err != nil || len(again) != len(fields) {
			t.Errorf("got %v, %v after writing %v", again, err, fields)
		}
	})
}
