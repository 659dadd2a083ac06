package main

import (
	"testing"

	"wechat-parking-gateway/local/contract"
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
