// Package docs_test holds the documentation against the code.
package docs_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"wechat-parking-gateway/api"
	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/egress"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/wechatpay"
)

// TestEveryCodeIsExplained: what the tables of the documentation explain, in both languages, are the closed lists of the
// code, no word less and no word more.
func TestEveryCodeIsExplained(t *testing.T) {
	want := map[string][]string{"errors": nil, "events": nil}
	add := func(page string, words ...string) { want[page] = append(want[page], words...) }
	for _, c := range problem.Codes() {
		add("errors", string(c))
	}
	for _, c := range problem.FieldCodes() {
		add("errors", string(c))
	}
	for _, r := range wechatpay.Reasons() {
		add("errors", string(r))
	}
	add("events", delivery.ParkReasons()...)
	add("events", "gave_up: <last reason>", "http_<status>")
	for _, r := range egress.Reasons() {
		// The invocation's own end is a failure of ours: it is never why an event waits or was given up.
		if r != egress.ErrCanceled {
			add("events", string(r))
		}
	}
	for page, words := range want {
		slices.Sort(words)
		words = slices.Compact(words)
		for _, name := range []string{page + ".md", page + ".zh-CN.md"} {
			for _, word := range words {
				if !slices.Contains(explained(t, name), word) {
					t.Errorf("%s does not explain %s", name, word)
				}
			}
			for _, word := range explained(t, name) {
				if !slices.Contains(words, word) {
					t.Errorf("%s explains %s, which the code does not know", name, word)
				}
			}
		}
	}
}

// TestEveryEventIsExplained: the table of the events' types, in both languages, is the code's list.
func TestEveryEventIsExplained(t *testing.T) {
	want := append(event.Types(), event.GatewayPing, "wechatpay.<EVENT_TYPE>")
	slices.Sort(want)
	for _, name := range []string{"events.md", "events.zh-CN.md"} {
		if got := column(t, name, "type", "类型"); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestEveryFieldIsExplained: the guide's tables of fields, in both languages, are those of the contract.
func TestEveryFieldIsExplained(t *testing.T) {
	var contract struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `yaml:"properties"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(api.OpenAPI, &contract); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, schema := range []string{"ParkingRequest", "EntryRequest"} {
		for name := range contract.Components.Schemas[schema].Properties {
			names[name] = true
		}
	}
	want := slices.Sorted(maps.Keys(names))
	for _, name := range []string{"guide.md", "guide.zh-CN.md"} {
		if got := column(t, name, "field", "字段"); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func explained(t *testing.T, page string) []string {
	t.Helper()
	return column(t, page, "code", "reason", "last reason", "错误码", "原因")
}

var quoted = regexp.MustCompile("`([^`]+)`")

// column returns, sorted, the words in code style of those columns of a page's tables that have one of the headings.
func column(t *testing.T, page string, headings ...string) []string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	at := -1 // the column within the table that is being read
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "|") {
			at = -1
			continue
		}
		if heading := slices.IndexFunc(cells, func(cell string) bool { return slices.Contains(headings, strings.Trim(cell, "| ")) }); heading >= 0 {
			at = heading
			continue
		}
		if at >= 0 && at < len(cells) {
			for _, m := range quoted.FindAllStringSubmatch(cells[at], -1) {
				words[m[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(words))
}
