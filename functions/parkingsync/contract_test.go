package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/local/contract"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
)

// TestContractFields: the contract lists the fields that the function reads, with their types, and no others.
func TestContractFields(t *testing.T) {
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SameFields(route, schema); err != nil {
		t.Error(err)
	}
}

// TestContractFieldsDrift changes the contract in memory: TestContractFields would fail.
func TestContractFieldsDrift(t *testing.T) {
	for name, change := range map[string]struct{ old, new string }{
		"a field is added":         {"        state: {description: \"`IN`", "        more: {type: string}\n        state: {description: \"`IN`"},
		"a field is renamed":       {"        state: {description: \"`IN`", "        status: {description: \"`IN`"},
		"a field has another type": {"brandid: {description: The brand; may be left out likewise · 品牌 ID，可不传, type: integer, minimum: 1}", "brandid: {type: number}"},
	} {
		// The examples and what is required name the field that is renamed; without them the contract is still one.
		c, err := contract.WithoutExamples(change.old, change.new)
		if err != nil {
			t.Fatal(err)
		}
		err = c.SameFields(route, schema)
		if err == nil {
			t.Errorf("%s: nothing is noticed", name)
		}
		t.Log(err)
	}
}

// TestContractTakesWhatIsTaken draws bodies of fields in and out of the contract: Invoke fails the test when the function
// takes one that the contract does not have.
func TestContractTakesWhatIsTaken(t *testing.T) {
	r := newRig(t)
	options := map[string][]any{
		"sub_mchid": {nil, "", fixture.SubMchID, "1"}, "brandid": {nil, fixture.BrandID, 0, 1.5}, "appid": {nil, "", fixture.CircleAppID},
		"openid": {fixture.OpenID, "o", strings.Repeat("o", 64), strings.Repeat("o", 65), "o o", "", nil}, "state": {"IN", "OUT", "in", "", nil},
		"plate_number": {fixture.Plate, "粤BD12345", "粤B1234警", "粤b12345", "粤·B12345", ""},
		"time":         {"2022-06-01T10:43:39+08:00", "2022-06-01T02:43:39Z", "2022-06-01T02:43:39.25-01:30", "2022-06-01 10:43:39", "20220601104339", ""},
		"more":         {nil, nil, nil, ""},
	}
	taken := 0
	for n := range uint64(200) {
		e := r.event(fixture.VendorID, string(functest.Document(t, functest.Vary(n, seed, options))))
		e.Header = functest.SignedHeader(t, r.world.RequestSecret(fixture.VendorID), fmt.Sprint("fact-", n), time.Now(), e.Body)
		if a := functest.Invoke(t.Context(), t, r.adapter, e); a.Status == 204 {
			taken++
		}
	}
	if taken < 40 || taken > 180 {
		t.Errorf("%d of 200 bodies were taken: the draws are too narrow", taken)
	}
}
