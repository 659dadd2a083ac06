package main

import (
	"reflect"
	"testing"

	"wechat-parking-gateway/local/contract"
)

// TestContractAnswer: the contract lists the members that the function answers with, down to the products, and no others.
func TestContractAnswer(t *testing.T) {
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SameMembers("VendorInfo", reflect.TypeFor[answer]()); err != nil {
		t.Error(err)
	}
}

// TestContractAnswerDrift changes the contract in memory: TestContractAnswer would fail.
func TestContractAnswerDrift(t *testing.T) {
	for name, change := range map[string]struct{ old, new string }{
		"a member is added":           {"        server_time: {$ref", "        more: {type: string}\n        server_time: {$ref"},
		"a member of a product":       {"            sub_appid: {description", "            more: {type: string}\n            sub_appid: {description"},
		"members that are not listed": {"  VendorMerchant:\n      type: object\n      additionalProperties: false", "  VendorMerchant:\n      type: object"},
	} {
		c, err := contract.WithoutExamples(change.old, change.new)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SameMembers("VendorInfo", reflect.TypeFor[answer]()); err == nil {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
