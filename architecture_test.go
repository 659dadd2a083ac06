package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "wechat-parking-gateway/"

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Dir        string
	Standard   bool
	GoFiles    []string
	Imports    []string
}

// list runs go list with the functions' own build settings.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Standard,GoFiles,Imports", "-tags", "lambda.norpc"}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v", args, err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list %q: %v", args, err)
		}
		packages = append(packages, p)
	}
}

// floors puts the rooms one above the other: a package imports only packages of lower floors. What a floor may see of the
// outside world stands in TestEdges.
var floors = [][]string{
	{"shared/trace"},
	{"shared/flatxml", "shared/problem", "shared/strictjson", "shared/jsonedit", "shared/stdwebhook", "shared/beijingtime", "shared/settings", "shared/telemetry", "shared/egress", "shared/preconnect", "shared/charset"},
	{"shared/signing", "shared/plate", "shared/event", "shared/idempotency", "shared/platestate", "shared/awsenv", "shared/secrets", "shared/secretstore"},
	{"shared/merchant", "shared/vendor", "shared/httpapi"},
	{"shared/wechatpay", "shared/sandbox", "shared/delivery"},
	{"shared/vendorapi"},
	{"functions/parkingsync", "functions/vehiclenotify", "functions/notifycallback", "functions/eventdelivery", "functions/vendorinfo", "functions/certrefresh"},
}

func floorOf(room string) int {
	return slices.IndexFunc(floors, func(rooms []string) bool { return slices.Contains(rooms, room) })
}

// TestDirection: data flows one way, from the event to the signature, and nothing lower imports anything higher.
func TestDirection(t *testing.T) {
	for _, p := range list(t, "./shared/...", "./functions/...") {
		room := strings.TrimPrefix(p.ImportPath, module)
		if strings.Contains(room, "/internal/") {
			continue
		}
		floor := floorOf(room)
		if floor < 0 {
			t.Errorf("%s stands on no floor: give it one in architecture_test.go", room)
			continue
		}
		for _, imported := range p.Imports {
			below, ours := strings.CutPrefix(imported, module)
			if ours && floorOf(below) >= floor {
				t.Errorf("%s imports %s, which is not below it", room, below)
			}
			if ours && floorOf(below) < 0 {
				t.Errorf("%s imports %s, which is not part of a function", room, below)
			}
		}
	}
}

// TestEdges: AWS stays at the edges, and the cryptography knows no network.
func TestEdges(t *testing.T) {
	forbidden := []struct {
		rooms, imports []string
		why            string
	}{
		{
			[]string{"shared/flatxml", "shared/signing", "shared/strictjson", "shared/jsonedit", "shared/stdwebhook", "shared/plate", "shared/problem", "shared/beijingtime", "shared/trace"},
			[]string{"net", "net/http", "os", "log/slog", "github.com/aws/"},
			"it is pure: bytes, keys and a clock",
		},
		{
			[]string{"shared/merchant", "shared/vendor", "shared/httpapi", "shared/wechatpay", "shared/vendorapi", "shared/delivery", "shared/egress"},
			[]string{"github.com/aws/"},
			"AWS types stay in the stores, in package sandbox and in main",
		},
	}
	for _, p := range list(t, "./shared/...") {
		room := strings.TrimPrefix(p.ImportPath, module)
		for _, rule := range forbidden {
			if !slices.Contains(rule.rooms, room) {
				continue
			}
			for _, imported := range p.Imports {
				if slices.ContainsFunc(rule.imports, func(f string) bool {
					return imported == f || strings.HasSuffix(f, "/") && strings.HasPrefix(imported, f)
				}) {
					t.Errorf("%s imports %s, but %s", room, imported, rule.why)
				}
			}
		}
	}
}

// TestBootstraps: what tests and the local stack need never reaches a function, and neither does what only costs start-up
// time and size there.
func TestBootstraps(t *testing.T) {
	forbidden := map[string]string{
		"github.com/aws/aws-sdk-go-v2/config":                 "1 ms of start-up and half a megabyte; package awsenv reads what Lambda sets",
		"github.com/spf13/cobra":                              "parkctl's",
		"golang.org/x/term":                                   "parkctl's",
		"golang.org/x/text":                                   "parkctl's",
		"github.com/aws/aws-sdk-go-v2/service/cloudformation": "parkctl's",
		"github.com/aws/aws-sdk-go-v2/service/cloudwatch":     "parkctl's",
		"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs": "parkctl's",
		"github.com/aws/aws-sdk-go-v2/service/sts":            "parkctl's",
		"go.yaml.in/yaml/v3":                                  "the local stack's",
		"github.com/standard-webhooks":                        "the demo vendor's and tests'",
		"github.com/getkin/kin-openapi":                       "tests'",
		"github.com/swaggest/swgui":                           "the reference page's",
		"github.com/google/go-cmp":                            "tests'",
		"pgregory.net/rapid":                                  "tests'",
		"go.uber.org/goleak":                                  "tests'",
		"github.com/chromedp":                                 "the browser test's",
		"testing":                                             "tests'",
		module + "local":                                      "the local stack's",
		module + "cmd":                                        "parkctl's",
	}
	for _, p := range list(t, "-deps", "./functions/...") {
		for prefix, why := range forbidden {
			if p.ImportPath == prefix || strings.HasPrefix(p.ImportPath, prefix+"/") {
				t.Errorf("a function links %s: %s", p.ImportPath, why)
			}
		}
	}
}

// TestPackageDocs: every package says what it is for.
func TestPackageDocs(t *testing.T) {
	for _, p := range list(t, "./...") {
		documented := len(p.GoFiles) == 0
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || file.Doc != nil
		}
		if !documented {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestVersion: the file VERSION says which version this is; a deployed stack, the contract and the changelog say the same.
func TestVersion(t *testing.T) {
	version, err := os.ReadFile("VERSION")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\n$`).Match(version) {
		t.Errorf("VERSION holds %q, want a version such as 1.2.3 alone", version)
	}
	template, err := os.ReadFile("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	number := strings.TrimSpace(string(version))
	for _, text := range []string{
		"\n  Version:\n    Description: Version of the gateway.\n    Value: " + number + " ", // the output
		" Settings of " + number + ": ", // in the description of ReadVendorsPolicy
	} {
		if !strings.Contains(string(template), text) {
			t.Errorf("template.yaml does not say %q, and VERSION says %s", text, number)
		}
	}
	for name, line := range map[string]string{"CHANGELOG.md": `(?m)^## \[([0-9.]+)\]`, "api/openapi.yaml": `(?m)^  version: (.*)$`} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(line).FindSubmatch(text); m == nil || string(m[1]) != number {
			t.Errorf("%s does not name version %s first", name, number)
		}
	}
}

// maxBootstrap is the budget of one function's executable, for arm64, in bytes.
const maxBootstrap = 10_000_000

// TestBuild: make writes a static bootstrap and nothing else, within the budget of size, and twice the same bytes.
func TestBuild(t *testing.T) {
	for _, name := range []string{"ParkingSyncFunction", "VehicleNotifyFunction", "NotifyCallbackFunction", "EventDeliveryFunction", "VendorInfoFunction", "CertRefreshFunction"} {
		t.Run(name, func(t *testing.T) {
			var first []byte
			for range 2 {
				folder := t.TempDir()
				cmd := exec.Command("make", "--silent", "build-"+name, "ARTIFACTS_DIR="+folder, "GOARCH=arm64")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("make: %v\n%s", err, out)
				}
				entries, err := os.ReadDir(folder)
				if err != nil || len(entries) != 1 || entries[0].Name() != "bootstrap" {
					t.Fatalf("got %v, %v, want a bootstrap alone", entries, err)
				}
				built, err := os.ReadFile(filepath.Join(folder, "bootstrap"))
				if err != nil {
					t.Fatal(err)
				}
				if len(built) > maxBootstrap {
					t.Errorf("got %d bytes, want at most %d", len(built), maxBootstrap)
				}
				if first != nil && !slices.Equal(built, first) {
					t.Error("a second build gave other bytes")
				}
				first = built
			}
		})
	}
}

// What one function links and does before its main, at the most. Most of it is the AWS SDK's: each service more costs about
// 100 KiB of initialisation.
const (
	maxPackages   = 310
	maxInitBytes  = 1_300_000
	maxInitAllocs = 8_000
)

// TestStart: what a start costs before main is counted, since no time can be trusted: the packages that are linked, and
// what their initialisation allocates (GODEBUG=inittrace=1, https://pkg.go.dev/runtime#hdr-Environment_Variables).
func TestStart(t *testing.T) {
	folders, err := os.ReadDir("functions")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		t.Run(folder.Name(), func(t *testing.T) {
			path := "./functions/" + folder.Name()
			if got := len(list(t, "-deps", path)); got > maxPackages {
				t.Errorf("got %d packages, want at most %d", got, maxPackages)
			}
			bootstrap := filepath.Join(t.TempDir(), "bootstrap")
			build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", bootstrap, path)
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			start := exec.Command(bootstrap)
			start.Env = []string{"GODEBUG=inittrace=1"}
			// Without its settings the function ends at the beginning of main.
			out, _ := start.CombinedOutput()
			traced, bytes, allocs := 0, 0, 0
			for line := range strings.Lines(string(out)) {
				var name string
				var at, clock float64
				var n, a int
				if got, _ := fmt.Sscanf(line, "init %s @%f ms, %f ms clock, %d bytes, %d allocs", &name, &at, &clock, &n, &a); got == 5 {
					traced, bytes, allocs = traced+1, bytes+n, allocs+a
				}
			}
			if traced == 0 {
				t.Fatalf("no package's initialisation was traced:\n%s", out)
			}
			t.Logf("%d bytes, %d allocations", bytes, allocs)
			if bytes > maxInitBytes || allocs > maxInitAllocs {
				t.Errorf("got %d bytes and %d allocations, want at most %d and %d", bytes, allocs, maxInitBytes, maxInitAllocs)
			}
		})
	}
}
