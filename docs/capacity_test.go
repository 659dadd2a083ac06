package docs_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/vendor"
)

var update = flag.Bool("update", false, "make the tables of capacity.md anew")

var (
	assumption = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9.]+) \\|")
	carParks   = []float64{100, 1_000, 10_000, 100_000}
)

// row is a line of a table: what it says of a number of car parks.
type row struct {
	name  string
	value func(carParks float64) float64
}

// written returns a table of rows. The last row of the costs is their sum.
func written(head string, rows []row, format func(float64) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n\n| %s |", head)
	for _, n := range carParks {
		fmt.Fprintf(&b, " %s car parks |", grouped(n))
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(carParks)) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |", r.name)
		for _, n := range carParks {
			fmt.Fprintf(&b, " %s |", format(r.value(n)))
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// grouped writes a number with commas, and small ones with a digit after the point.
func grouped(v float64) string {
	if v < 10 && v != float64(int(v)) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// TestCapacity: the tables of capacity.md follow from its assumptions.
func TestCapacity(t *testing.T) {
	b, err := os.ReadFile("capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	assumed, used := map[string]float64{}, map[string]bool{}
	for _, m := range assumption.FindAllStringSubmatch(page, -1) {
		if assumed[m[1]], err = strconv.ParseFloat(m[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	of := func(name string) float64 {
		v, found := assumed[name]
		if !found {
			t.Fatalf("capacity.md assumes nothing of %s", name)
		}
		used[name] = true
		return v
	}

	visits := func(n float64) float64 { return n * of("visits_a_day") }
	calls := func(n float64) float64 { return visits(n) * (of("entry_calls") + of("sync_calls")) }
	callbacks := func(n float64) float64 { return visits(n) * of("callbacks") }
	writes := func(n float64) float64 { return calls(n)*of("call_writes") + callbacks(n)*of("event_writes") }
	peak := func(day float64) float64 { return day * of("peak_hour_share") / 3600 }
	batches := func(n float64) float64 { return peak(callbacks(n)) / of("events_a_batch") * of("delivery_seconds") }
	busy := func(n float64) float64 {
		return peak(calls(n))*of("call_seconds") + peak(callbacks(n))*of("callback_seconds") + batches(n)
	}
	merchants := func(n float64) float64 { return n / of("car_parks_a_merchant") }
	millions := func(day float64) float64 { return day * 30 / 1e6 }

	traffic := written("", []row{
		{"vendors' calls a day", calls},
		{"callbacks a day, each an event to a vendor", callbacks},
		{"calls a second in the busiest hour", func(n float64) float64 { return peak(calls(n)) }},
		{"callbacks a second in the busiest hour", func(n float64) float64 { return peak(callbacks(n)) }},
		{"sandboxes busy then", busy},
		{"writes to the table a second then", func(n float64) float64 { return peak(writes(n)) }},
		{"sub-merchants", merchants},
	}, grouped)

	limits := written("limit", []row{
		{"`VendorRateLimit`, entry route", func(n float64) float64 { return peak(visits(n)*of("entry_calls")) / of("quota_route") }},
		{"`DeliveryMaximumConcurrency`", func(n float64) float64 { return batches(n) / of("quota_batches") }},
		{"merchants in four secrets", func(n float64) float64 { return merchants(n) / of("quota_merchants") }},
		{"writes of a new table", func(n float64) float64 { return peak(writes(n)) / of("quota_table") }},
		{"Lambda's concurrency", func(n float64) float64 { return busy(n) / of("quota_concurrency") }},
		{"API Gateway", func(n float64) float64 { return peak(calls(n)+callbacks(n)) / of("quota_api") }},
	}, func(v float64) string { return grouped(v*100) + " %" })

	costs := []row{
		{"API Gateway", func(n float64) float64 { return millions(calls(n)+callbacks(n)) * of("price_api") }},
		{"Lambda", func(n float64) float64 {
			invocations := calls(n) + callbacks(n) + callbacks(n)/of("events_a_batch")
			seconds := calls(n)*of("call_seconds") + callbacks(n)*of("callback_seconds") + callbacks(n)/of("events_a_batch")*of("delivery_seconds")
			return millions(invocations)*of("price_invocation") + seconds*30*of("memory_gb")*of("price_gb_second")
		}},
		{"DynamoDB", func(n float64) float64 {
			// An answer is kept for 3 days, a delivered event for 7.
			stored := (calls(n)*3 + callbacks(n)*7) * of("record_kb") / 1e6
			return millions(writes(n))*of("price_write") + stored*of("price_table_gb")
		}},
		// Sent, received and deleted; the latter two in batches.
		{"SQS", func(n float64) float64 { return millions(callbacks(n)*(1+2/of("events_a_batch"))) * of("price_sqs") }},
		{"CloudWatch Logs", func(n float64) float64 {
			return ((calls(n)+callbacks(n))*of("call_log_bytes") + callbacks(n)*of("event_log_bytes")) * 30 / 1e9 * of("price_log_gb")
		}},
		{"fixed", func(float64) float64 { return of("price_fixed") }},
	}
	parts := slices.Clone(costs)
	total := func(n float64) (sum float64) {
		for _, r := range parts {
			sum += r.value(n)
		}
		return sum
	}
	costs = append(costs,
		row{"**total**", total},
		row{"for one car park, in cents", func(n float64) float64 { return total(n) / n * 100 }})

	want := page
	for mark, text := range map[string]string{"traffic": traffic, "limits": limits, "cost": written("", costs, grouped)} {
		before, rest, found := strings.Cut(want, "<!-- "+mark+" -->")
		_, after, closed := strings.Cut(rest, "<!-- end of "+mark+" -->")
		if !found || !closed {
			t.Fatalf("capacity.md has no marks for %s", mark)
		}
		want = before + "<!-- " + mark + " -->" + text + "\n<!-- end of " + mark + " -->" + after
	}
	for name := range assumed {
		if !used[name] {
			t.Errorf("nothing is computed from %s", name)
		}
	}
	if *update {
		if err := os.WriteFile("capacity.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != page {
		t.Error("the tables do not follow from the assumptions: go test ./docs -run TestCapacity -update")
	}
}

// TestMerchantsInASecret: 600 merchants with both products, of ten vendors, are a document that a secret can hold.
func TestMerchantsInASecret(t *testing.T) {
	const vendors, merchants, limit = 10, 600, 65_536
	type object = map[string]any
	document := object{}
	for v := range vendors {
		var list []any
		for m := range merchants / vendors {
			list = append(list, object{
				"sub_mchid":      fmt.Sprintf("19%08d", v*1000+m),
				"vehicle":        object{},
				"businesscircle": object{"brandid": 1000 + m, "appid": "wx931386123456789e"},
			})
		}
		document[fmt.Sprintf("vendor-%d", v)] = object{
			"request_secrets": []string{"whsec_" + strings.Repeat("A", 30) + strconv.Itoa(v) + "A"}, "webhook_secrets": []string{"whsec_" + strings.Repeat("B", 30) + strconv.Itoa(v) + "A"},
			"webhook_url": "https://parking.example.com/webhooks/wechat", "merchants": list,
		}
	}
	b, err := json.Marshal(object{"vendors": document})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vendor.Parse([][]byte{b}); err != nil {
		t.Fatalf("the functions would refuse it: %v", err)
	}
	t.Logf("%d bytes, %d a merchant", len(b), len(b)/merchants)
	if len(b) > limit {
		t.Errorf("got %d bytes, want at most %d", len(b), limit)
	}
}
