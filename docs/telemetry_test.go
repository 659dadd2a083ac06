package docs_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/telemetry"
)

// TestTelemetryIsExplained: the tables of fields and of metrics are the closed lists of the code, no row less and no row
// more, and say of a metric what its definition says.
func TestTelemetryIsExplained(t *testing.T) {
	page, err := os.ReadFile("telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	section := func(title string) string {
		_, rest, _ := strings.Cut(string(page), "\n## "+title+"\n")
		text, _, _ := strings.Cut(rest, "\n## ")
		return text
	}
	var fields []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ").FindAllStringSubmatch(section("Log lines"), -1) {
		fields = append(fields, m[1])
	}
	logged := telemetryFields(t)
	slices.Sort(fields)
	slices.Sort(logged)
	if !slices.Equal(fields, logged) {
		t.Errorf("got rows for the fields %v, want %v", fields, logged)
	}

	got := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\| ([^|]+) \\| ").FindAllStringSubmatch(section("Metrics"), -1) {
		got[m[1]] = m[2] + "; " + m[3]
	}
	every := []string{"parkingsync", "vehiclenotify", "notifycallback", "eventdelivery", "vendorinfo", "certrefresh"}
	for d := range telemetry.Metrics() {
		want := d.Unit
		if len(d.Dimensions) > 1 {
			want += ", by reason"
		}
		switch {
		case len(d.Functions) == len(every):
			want += "; all"
		case slices.Equal(d.Functions, every[:5]):
			want += "; all but certrefresh"
		default:
			want += "; " + strings.Join(d.Functions, ", ")
		}
		if got[string(d.Metric)] != want {
			t.Errorf("%s: got %q, want %q", d.Metric, got[string(d.Metric)], want)
		}
		delete(got, string(d.Metric))
	}
	if len(got) != 0 {
		t.Errorf("got rows %v of what is no metric", got)
	}
}
