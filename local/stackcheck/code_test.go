//go:build validate

package stackcheck

import (
	"encoding/json"
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wechat-parking-gateway/local/awscalls"
	"wechat-parking-gateway/local/gosource"
	"wechat-parking-gateway/local/samtemplate"
)

// facts is what the code says, which the template must agree with.
type facts struct {
	settings map[string][]string        // by function: the settings that it reads
	routes   map[string][]string        // by function: the route keys that it serves
	local    map[string][]string        // by function: the routes that the local front sends it
	calls    map[string][]awscalls.Call // by function: the recorded calls to AWS
	byLambda []lambdaCalls
	runbook  map[string]string // by alarm: wake or morning
}

// localAlone are settings that the template must not set.
var localAlone = map[string]string{
	"WEBHOOK_ALLOW_LOOPBACK": "the local stack's, whose vendors listen on loopback addresses",
}

// lambdaCalls are calls that Lambda itself makes with a function's role.
type lambdaCalls struct {
	Functions []string `json:"functions"`
	Actions   []string `json:"actions"`
	Resource  string   `json:"resource"`
	When      string   `json:"when"`
	Why       string   `json:"why"`
}

func readFacts(t testing.TB) *facts {
	t.Helper()
	f := &facts{settings: map[string][]string{}, routes: map[string][]string{}, local: map[string][]string{}, runbook: readRunbook(t)}
	readJSON(t, root+"testdata/aws_calls.json", &f.calls)
	readJSON(t, root+"testdata/lambda_calls.json", &f.byLambda)
	mains, err := filepath.Glob(root + "functions/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	for _, path := range mains {
		folder := filepath.Dir(path)
		name := filepath.Base(folder)
		p := parseFolder(t, folder)
		f.settings[name] = p.settings(t)
		f.routes[name] = p.routes(t)
	}
	local, err := samtemplate.Load(root + "template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	routes, err := local.Routes(commercial)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		name := strings.ToLower(strings.TrimSuffix(r.Function, "Function"))
		f.local[name] = append(f.local[name], r.Key)
	}
	return f
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// source is the Go source of one folder, without its tests.
type source struct {
	files     []*ast.File
	constants map[string]string
}

func parseFolder(t testing.TB, folder string) source {
	t.Helper()
	files, err := gosource.Files(folder + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	p := source{files: files, constants: map[string]string{}}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != len(spec.Names) {
				return true
			}
			for i, name := range spec.Names {
				if text, ok := gosource.Text(spec.Values[i]); ok {
					p.constants[name.Name] = text
				}
			}
			return true
		})
	}
	return p
}

// settings returns the names in calls of box.Settings.Required, List and the like.
func (p source) settings(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			called, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := called.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if on, ok := method.X.(*ast.SelectorExpr); !ok || on.Sel.Name != "Settings" || len(called.Args) == 0 {
				return true
			}
			name, ok := gosource.Text(called.Args[0])
			if !ok {
				t.Errorf("a setting's name is no literal in a call of Settings.%s: this test cannot tell what is read", method.Sel.Name)
			}
			if name != "" && localAlone[name] == "" {
				names = append(names, name)
			}
			return true
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// routes returns the keys of the adapter's routes.
func (p source) routes(t testing.TB) []string {
	t.Helper()
	var keys []string
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			pair, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			if field, ok := pair.Key.(*ast.Ident); !ok || field.Name != "Routes" {
				return true
			}
			served, ok := pair.Value.(*ast.CompositeLit)
			if !ok {
				t.Errorf("Routes is no literal: this test cannot tell what is served")
				return true
			}
			for _, e := range served.Elts {
				key := e.(*ast.KeyValueExpr).Key
				text, ok := gosource.Text(key)
				if name, isName := key.(*ast.Ident); isName {
					text, ok = p.constants[name.Name], p.constants[name.Name] != ""
				}
				if !ok {
					t.Errorf("a route's key is neither a literal nor a constant of its package: this test cannot tell what is served")
				}
				keys = append(keys, text)
			}
			return true
		})
	}
	slices.Sort(keys)
	return keys
}

// TestSettingsHaveOneReader: whatever a function's packages read from the environment beside its settings is set by Lambda.
func TestSettingsHaveOneReader(t *testing.T) {
	reads := 0
	for _, pattern := range []string{"functions/*/*.go", "shared/*/*.go"} {
		files, err := gosource.Files(root + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				called, ok := n.(*ast.CallExpr)
				if !ok || len(called.Args) != 1 {
					return true
				}
				method, ok := called.Fun.(*ast.SelectorExpr)
				if !ok || !strings.EqualFold(method.Sel.Name, "getenv") && method.Sel.Name != "LookupEnv" {
					return true
				}
				name, ok := gosource.Text(called.Args[0])
				if !ok {
					return true // package settings and package awsenv, which are given the names
				}
				reads++
				if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "_X_AMZN_") {
					t.Errorf("package %s reads %s, which is no setting that a function names in its main and none of Lambda's", file.Name, name)
				}
				return true
			})
		}
	}
	if reads == 0 {
		t.Error("found nothing that reads the environment: this test is blind")
	}
}
