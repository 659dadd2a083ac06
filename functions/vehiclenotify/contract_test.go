package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/local/contract"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
)

// sides are what the contract says of the function, by the names of the tests that compare them.
var sides = map[string]func(*contract.Contract) error{
	"TestContractFields": func(c *contract.Contract) error { return c.SameFields(route, schema) },
	"TestContractAnswer": func(c *contract.Contract) error { return c.SameMembers("EntryAnswer", reflect.TypeFor[answer]()) },
}

func compare(t *testing.T) {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := sides[t.Name()](c); err != nil {
		t.Error(err)
	}
}

// TestContractFields: the contract lists the fields that the function reads, with their types, and no others.
func TestContractFields(t *testing.T) { compare(t) }

// TestContractAnswer: it lists the members that the function answers with.
func TestContractAnswer(t *testing.T) { compare(t) }

// TestContractDrift changes the contract in memory, and names the test that would fail.
func TestContractDrift(t *testing.T) {
	for name, change := range map[string]struct{ old, new, fails string }{
		"a field is added": {"        space_number: {description", "        more: {type: string}\n        space_number: {description", "TestContractFields"},
		"a field is gone": {
			"        car_type: {description: 大型车 (large) or 小型车 (small); may be left out · 车型，可不传, type: string, enum: [大型车, 小型车, \"\"]}\n", "",
			"TestContractFields",
		},
		"a field has another type":             {"type: [string, integer], pattern", "type: string, pattern", "TestContractFields"},
		"a member of the answer is added":      {"        user_state: {description", "        more: {type: string}\n        user_state: {description", "TestContractAnswer"},
		"a member of the answer may be absent": {"required: [password_free_available, user_state, deduct_mode, wechatpay]", "required: [password_free_available]", "TestContractAnswer"},
	} {
		c, err := contract.WithoutExamples(change.old, change.new)
		if err != nil {
			t.Fatal(err)
		}
		for test, compare := range sides {
			if err := compare(c); (err != nil) != (test == change.fails) {
				t.Errorf("%s: %s: got %v", name, test, err)
			}
		}
	}
}

// TestContractTakesWhatIsTaken draws bodies of fields in and out of the contract: Invoke fails the test when the function
// takes one that the contract does not have.
func TestContractTakesWhatIsTaken(t *testing.T) {
	r := newRig(t)
	options := map[string][]any{
		"appid": {nil, "", fixture.AppID, "wx1"}, "mch_id": {nil, "", fixture.MchID}, "sub_appid": {nil, "", fixture.SubAppID},
		"sub_mch_id": {nil, "", fixture.SubMchID}, "nonce_str": {nil, "", "anything 任意"}, "sign_type": {nil, "", "HMAC-SHA256", "MD5"},
		"version": {nil, "", "2.0", "3.0"}, "trade_scene": {"PARKING", "PARKING SPACE"}, "scene_info": {nil, "", `{"scene_info":{"free_time":"60"}}`},
		"start_time":   {"20170926114339", "2017-09-26T11:43:39+08:00", "2017-09-26T03:43:39Z", "2017-09-26T03:43:39.5Z", "2017-09-26 11:43:39", ""},
		"plate_number": {nil, "", fixture.Plate, "粤BD12345", "粤B1234警", "粤b12345"}, "notify_url": {nil, "", fixture.WebhookURL, "https://other.example/"},
		"car_type": {nil, "", "大型车", "小型车", "中型车"}, "parking_name": {nil, "", fixture.ParkingName, strings.Repeat("场", 32), strings.Repeat("场", 33)},
		"free_time": {"0", "1200", 0, 1200, 999999999, 1000000000, "01", "", nil}, "openid": {nil, "", fixture.OpenID}, "sub_openid": {nil, "", fixture.OpenID, strings.Repeat("o", 33)},
		"space_number": {nil, "", "D6666", strings.Repeat("车", 16), strings.Repeat("车", 17)}, "more": {nil, nil, nil, nil, ""},
	}
	taken := 0
	for seed := range uint64(300) {
		body := seedParking
		if seed%2 == 0 {
			body = seedSpace
		}
		e := r.event(fixture.VendorID, string(functest.Document(t, functest.Vary(seed, body, options))))
		e.Header = functest.SignedHeader(t, r.world.RequestSecret(fixture.VendorID), fmt.Sprint("fact-", seed), time.Now(), e.Body)
		if a := functest.Invoke(t.Context(), t, r.adapter, e); a.Status == 200 {
			taken++
		}
	}
	if taken < 50 || taken > 250 {
		t.Errorf("%d of 300 bodies were taken: the draws are too narrow", taken)
	}
}
