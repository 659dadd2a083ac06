package main

import (
	"reflect"
	"testing"

	"wechat-parking-gateway/local/contract"
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
