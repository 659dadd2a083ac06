package main

import (
	"reflect"
	"testing"

	"wechat-parking-gateway/local/contract"
)

// TestContractEvent: the contract lists the members of a plate's event, and superseded, which the delivery adds.
func TestContractEvent(t *testing.T) {
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SameMembers("PlateStateChanged", reflect.TypeFor[plateStateChanged](), "superseded"); err != nil {
		t.Error(err)
	}
}

// TestContractEventDrift changes the contract in memory: TestContractEvent would fail.
func TestContractEventDrift(t *testing.T) {
	for name, change := range map[string]struct{ old, new string }{
		"a member is added":           {"        superseded: {description", "        more: {type: string}\n        superseded: {description"},
		"a member is renamed":         {"        occurred_at: {$ref", "        happened_at: {$ref"},
		"a member is not always sent": {"deduct_mode, occurred_at, superseded, wechatpay]", "deduct_mode, superseded, wechatpay]"},
	} {
		c, err := contract.WithoutExamples(change.old, change.new)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SameMembers("PlateStateChanged", reflect.TypeFor[plateStateChanged](), "superseded"); err == nil {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
