package docs_test

import (
	"encoding/json"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wechat-parking-gateway/local/gosource"
	"wechat-parking-gateway/local/samtemplate"
)

// Lambda's and CloudWatch's own fields, and what stands in them:
// https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
var (
	lambdaFields = []string{
		"@timestamp", "@log", "@message", "level", "message", "type", "record.status", "record.errorType",
		"record.metrics.durationMs", "record.metrics.initDurationMs", "record.metrics.maxMemoryUsedMB",
	}
	lambdaValues = []string{"platform.report", "platform.initReport", "error", "timeout", "failure", "WARN", "ERROR"}
)

// wordsOfQueries are what a query is made of beside fields.
var wordsOfQueries = []string{
	"fields", "filter", "sort", "stats", "limit", "by", "as", "in", "and", "or", "like", "desc", "asc",
	"ispresent", "count", "max", "bin", "m", "h",
}

var (
	fence     = regexp.MustCompile("(?s)```\n(.*?)```")
	quotation = regexp.MustCompile(`"([^"]*)"`)
	regex     = regexp.MustCompile(`like /[^/\n]+/`)
	named     = regexp.MustCompile(`\bas (\w+)`)
	word      = regexp.MustCompile(`@?[A-Za-z_][\w.]*`)
)

// TestRunbookQueries: a query that names a field, a message or a reason that there is not would find nothing, at night.
func TestRunbookQueries(t *testing.T) {
	var page []byte
	for _, name := range []string{"runbook.md", "telemetry.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		page = append(page, text...)
	}
	logged, written := telemetryFields(t), sourceTexts(t)
	access := accessFields(t)
	queries := fence.FindAllStringSubmatch(string(page), -1)
	if len(queries) < 15 {
		t.Fatalf("got %d queries: this test is blind", len(queries))
	}
	for _, q := range queries {
		lines := strings.SplitN(q[1], "\n", 2)
		where, ok := strings.CutPrefix(lines[0], "# ")
		if !ok {
			t.Errorf("a query does not say which log groups it is for:\n%s", q[1])
			continue
		}
		fields := slices.Concat(lambdaFields, logged)
		if strings.Contains(where, "/access") {
			fields = access
		}
		query := lines[1]
		for _, value := range quotation.FindAllStringSubmatch(regex.ReplaceAllString(query, ""), -1) {
			text := value[1]
			if strings.HasSuffix(text, "_ID") || strings.HasSuffix(text, "_HASH") || strings.HasPrefix(text, "/v1/") || slices.Contains(lambdaValues, text) {
				continue // placeholders, routes, Lambda's own
			}
			if !slices.Contains(written, text) {
				t.Errorf("%q stands in no source of the functions:\n%s", text, q[1])
			}
		}
		rest := quotation.ReplaceAllString(regex.ReplaceAllString(query, ""), "")
		for _, name := range named.FindAllStringSubmatch(rest, -1) {
			fields = append(fields, name[1])
		}
		for _, name := range word.FindAllString(rest, -1) {
			if !slices.Contains(wordsOfQueries, name) && !slices.Contains(fields, name) {
				t.Errorf("nothing is logged as %s:\n%s", name, q[1])
			}
		}
	}
}

// TestRunbookCommands: what the runbook says to run is there, as parkctl's own help has it.
func TestRunbookCommands(t *testing.T) {
	page, err := os.ReadFile("runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("`parkctl ([a-z ]+)`").FindAllStringSubmatch(string(page), -1)
	if len(commands) < 5 {
		t.Fatalf("got %d commands: this test is blind", len(commands))
	}
	for _, c := range commands {
		help := "../cmd/parkctl/testdata/help/parkctl-" + strings.ReplaceAll(c[1], " ", "-") + ".txt"
		if _, err := os.Stat(help); err != nil {
			t.Errorf("parkctl %s: %v", c[1], err)
		}
	}
}

// telemetryFields returns the closed list of fields of log lines.
func telemetryFields(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, file := range files(t, "../shared/telemetry/*.go") {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Key" {
				name, _ := gosource.Text(spec.Values[0])
				names = append(names, name)
			}
			return true
		})
	}
	if len(names) < 20 {
		t.Fatalf("found the fields %q alone", names)
	}
	return names
}

// sourceTexts returns every text that stands in the functions' sources.
func sourceTexts(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, pattern := range []string{"../functions/*/*.go", "../shared/*/*.go"} {
		for _, file := range files(t, pattern) {
			ast.Inspect(file, func(n ast.Node) bool {
				if text, ok := gosource.Text(n); ok {
					texts = append(texts, text)
				}
				return true
			})
		}
	}
	return texts
}

func files(t *testing.T, pattern string) []*ast.File {
	t.Helper()
	found, err := gosource.Files(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// accessFields returns the fields of the API's access log.
func accessFields(t *testing.T) []string {
	t.Helper()
	template, err := samtemplate.Load("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := template.Properties("HttpApi", samtemplate.Values{Partition: "aws", Symbolic: true})
	if err != nil {
		t.Fatal(err)
	}
	settings, _ := p["AccessLogSettings"].(map[string]any)
	format, _ := settings["Format"].(string)
	var line map[string]string
	if err := json.Unmarshal([]byte(format), &line); err != nil {
		t.Fatal(err)
	}
	names := []string{"@timestamp", "@message"}
	for name := range line {
		names = append(names, name)
	}
	return names
}
