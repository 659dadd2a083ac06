package contract_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"wechat-parking-gateway/api"
	"wechat-parking-gateway/local/contract"
	"wechat-parking-gateway/local/samtemplate"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/plate"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/wechatpay"
)

func load(t *testing.T) *contract.Contract {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const template = "../../template.yaml"

// routesOf returns the routes of a template's text.
func routesOf(text string) ([]string, error) {
	parsed, err := samtemplate.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	v := samtemplate.Values{Partition: "aws", Physical: map[string]samtemplate.Physical{"HttpApi": {Ref: "api-1"}}}
	routes, err := parsed.Routes(v)
	var keys []string
	for _, r := range routes {
		keys = append(keys, r.Key)
	}
	return keys, err
}

// What a check holds against the contract, in one value, so that it can be changed in a test of the checks.
type world struct {
	contract   *contract.Contract
	template   string
	codes      []problem.Code
	fieldCodes []problem.FieldCode
	reasons    []wechatpay.Reason
	events     []string
	version    string
}

func newWorld(t *testing.T) world {
	return world{
		contract: load(t), template: read(t, template), codes: problem.Codes(), fieldCodes: problem.FieldCodes(), reasons: wechatpay.Reasons(),
		events: append(event.Types(), event.GatewayPing), version: strings.TrimSpace(read(t, "../../VERSION")),
	}
}

func words[T ~string](list []T) (all []string) {
	for _, v := range list {
		all = append(all, string(v))
	}
	return all
}

// The checks, by the names of the tests that make them.
var checks = map[string]func(world) error{
	"TestRoutes": func(w world) error {
		routes, err := routesOf(w.template)
		if err != nil {
			return err
		}
		return w.contract.SameRoutes(routes)
	},
	"TestCodes": func(w world) error {
		if err := w.contract.SameEnum("ProblemCode", words(w.codes)); err != nil {
			return err
		}
		return w.contract.SameCodes(w.codes)
	},
	"TestFieldCodes": func(w world) error { return w.contract.SameEnum("FieldCode", words(w.fieldCodes)) },
	// A failure of the gateway's own has no reason of the list, and is answered as internal_error.
	"TestCallbackReasons": func(w world) error {
		return w.contract.SameEnum("CallbackReason", append(words(w.reasons), "internal_error"))
	},
	"TestEvents": func(w world) error { return w.contract.SameEvents(w.events) },
	"TestListedEvents": func(w world) error {
		return w.contract.SameEnum("ListedEventType", w.events[:len(w.events)-1])
	},
	"TestVersion": func(w world) error {
		if got := w.contract.Version(); got != w.version {
			return fmt.Errorf("the contract is of version %s, the project of %s", got, w.version)
		}
		return nil
	},
	"TestPing": func(w world) error { return w.contract.SameMembers("Ping", reflect.TypeFor[event.PingData]()) },
	"TestFieldError": func(w world) error {
		return w.contract.SameMembers("FieldError", reflect.TypeFor[problem.FieldError]())
	},
	"TestWeChatPayWords": func(w world) error {
		return w.contract.SameMembers("WeChatPayWords", reflect.TypeFor[problem.WeChatPay]())
	},
}

func check(t *testing.T) {
	t.Helper()
	if err := checks[t.Name()](newWorld(t)); err != nil {
		t.Error(err)
	}
}

func TestRoutes(t *testing.T)          { check(t) }
func TestCodes(t *testing.T)           { check(t) }
func TestFieldCodes(t *testing.T)      { check(t) }
func TestCallbackReasons(t *testing.T) { check(t) }
func TestEvents(t *testing.T)          { check(t) }
func TestListedEvents(t *testing.T)    { check(t) }
func TestVersion(t *testing.T)         { check(t) }
func TestPing(t *testing.T)            { check(t) }
func TestFieldError(t *testing.T)      { check(t) }
func TestWeChatPayWords(t *testing.T)  { check(t) }

// change replaces one text of another, which must be there.
func change(t *testing.T, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %q to change", old)
	}
	return strings.Replace(text, old, new, 1)
}

// TestDrift changes one side in memory and names the test that fails then, and no other does.
func TestDrift(t *testing.T) {
	contractWith := func(old, new string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			c, err := contract.With(old, new)
			if err != nil {
				t.Fatal(err)
			}
			w.contract = c
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *world)
		fails  string
	}{
		{"nothing", func(*testing.T, *world) {}, ""},
		{"a route is added to the template", func(t *testing.T, w *world) {
			w.template = change(t, w.template, "Method: GET\n            Path: /v1/vendors/{vendor_id}\n",
				"Method: GET\n            Path: /v1/vendors/{vendor_id}/more\n")
		}, "TestRoutes"},
		{"a route of the template takes another method", func(t *testing.T, w *world) {
			w.template = change(t, w.template, "Method: GET", "Method: PUT")
		}, "TestRoutes"},
		{"a route is added to the contract", contractWith("  /v1/callbacks/businesscircle:\n", "  /v1/callbacks/more:\n    post:\n      operationId: more\n"+
			"      responses: {\"204\": {description: More}}\n  /v1/callbacks/businesscircle:\n"), "TestRoutes"},
		{"a code is added to Go", func(_ *testing.T, w *world) { w.codes = append(w.codes, "new_code") }, "TestCodes"},
		{"a code is taken from Go", func(_ *testing.T, w *world) { w.codes = w.codes[1:] }, "TestCodes"},
		{"a code is added to the contract's list", contractWith("        - malformed_json\n", "        - malformed_json\n        - new_code\n"), "TestCodes"},
		{"a code stands under another status", func(t *testing.T, w *world) {
			contractWith("code: {const: unsupported_media_type}", "code: {enum: [unsupported_media_type, in_progress]}")(t, w)
		}, "TestCodes"},
		{"a field code is added to Go", func(_ *testing.T, w *world) { w.fieldCodes = append(w.fieldCodes, "new") }, "TestFieldCodes"},
		{"a field code is added to the contract", contractWith("enum: [required, unknown_field,", "enum: [required, new, unknown_field,"), "TestFieldCodes"},
		{"a reason is added to Go", func(_ *testing.T, w *world) { w.reasons = append(w.reasons, "new") }, "TestCallbackReasons"},
		{"a reason is taken from the contract", contractWith("probe, malformed,", "malformed,"), "TestCallbackReasons"},
		{"an event is renamed in the contract", contractWith("  gateway.ping:\n", "  gateway.pong:\n"), "TestEvents"},
		{"the project's version changes", func(_ *testing.T, w *world) { w.version = "9.9.9" }, "TestVersion"},
		{"a member is added to an event of the contract", contractWith("required: [vendor_id, message]\n      properties:\n",
			"required: [vendor_id, message]\n      properties:\n        more: {type: string}\n"), "TestPing"},
		{"a member of an event is no longer required", contractWith("required: [vendor_id, message]", "required: [vendor_id]"), "TestPing"},
		{"a member is added to a field's error", contractWith("        pointer: {description: \"RFC 6901", "        more: {type: string}\n        pointer: {description: \"RFC 6901"), "TestFieldError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.change(t, &w)
			var failed []string
			for name, check := range checks {
				if err := check(w); err != nil {
					failed = append(failed, name)
					t.Logf("%s: %v", name, err)
				}
			}
			if got := strings.Join(failed, " "); got != tt.fails {
				t.Errorf("got failures of %q, want %q", got, tt.fails)
			}
		})
	}
}

// TestBrokenContracts: what is not OpenAPI, or an example that its own schema refuses, is no contract.
func TestBrokenContracts(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"no YAML":                             {"openapi: 3.1.1", "openapi: [3.1.1", "yaml"},
		"a reference to nothing":              {"#/components/responses/Unauthorized", "#/components/responses/Unknown", "Unknown"},
		"a keyword that is none":              {"required: [openid, plate_number, state, time]", "requires: [openid]", "extra sibling fields: [requires]"},
		"an example of a request":             {"state: IN\n", "state: INN\n", "example in: "},
		"an example without a field":          {"{openid: oUpF8uMuAJOM2pxb1Q, plate_number: 粤B888888, state: OUT,", "{plate_number: 粤B888888, state: OUT,", "property \"openid\" is missing"},
		"an example of a header":              {"example: visit-4711-in", "example: visit.4711", "parameter \"WebhookID\": invalid example"},
		"an example of an answer":             {"mode: direct\n", "mode: director\n", "example direct: "},
		"an example of an error":              {"code: FAIL, message: queue_unavailable", "code: FAIL, message: queue", "example queue: "},
		"an example of an event":              {"data: {vendor_id: demo-parking, message:", "data: {vendor: demo-parking, message:", "example ping: "},
		"an error's errors without a pointer": {"errors: [{pointer: /plate_number, code", "errors: [{code", "example invalid_fields: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := contract.With(tt.old, tt.new)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.300v, want an error about %s", err, tt.want)
			}
		})
	}
}

// TestPlates: every plate that the code accepts is one of the contract's.
func TestPlates(t *testing.T) {
	m := regexp.MustCompile(`(?s)PlateNumber:.*?pattern: "([^"]*)"`).FindSubmatch(api.OpenAPI)
	if m == nil {
		t.Fatal("the contract has no pattern of plates")
	}
	pattern := regexp.MustCompile(string(m[1]))
	accepted := 0
	for r := rune(' '); r <= 0xFFFF; r++ {
		for _, text := range []string{"粤B88888" + string(r), "粤B88888" + string(r) + "1", string(r) + "B88888", string(r) + "B888888"} {
			if _, _, ok := plate.Check(text); ok {
				accepted++
				if !pattern.MatchString(text) {
					t.Errorf("the contract refuses %q", text)
				}
			}
		}
	}
	if accepted < 10000 {
		t.Errorf("only %d plates were tried", accepted)
	}
}

// TestBothLanguages: every summary is told in English and in Chinese.
func TestBothLanguages(t *testing.T) {
	english, chinese := regexp.MustCompile(`[A-Za-z]{2}`), regexp.MustCompile(`\p{Han}`)
	summaries := load(t).Summaries()
	for _, s := range summaries {
		if !english.MatchString(s) || !chinese.MatchString(s) {
			t.Errorf("not in both languages: %q", s)
		}
	}
	if len(summaries) < 40 {
		t.Errorf("got %d summaries", len(summaries))
	}
}
