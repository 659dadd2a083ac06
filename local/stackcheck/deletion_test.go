//go:build validate

package stackcheck

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// deletion takes one thing out of the template: a key of a map or an item of a list.
type deletion struct{ path []any }

func (d deletion) String() string {
	var text strings.Builder
	for i, step := range d.path {
		if i > 0 {
			text.WriteString("/")
		}
		fmt.Fprint(&text, step)
	}
	return text.String()
}

// group says which line of the template a deletion is about.
func (d deletion) group() string {
	text := d.String()
	switch {
	case strings.Contains(text, "/PolicyDocument") || strings.Contains(text, "/ManagedPolicyArns") || strings.Contains(text, "/AssumeRole"):
		return "policy lines"
	case strings.Contains(text, "/Environment/Variables/"):
		return "settings"
	case strings.Contains(text, "/Events/"):
		return "routes and event sources"
	case strings.Contains(text, "Alarm"):
		return "alarms"
	}
	return "everything else"
}

// deletions returns every deletion below v. What a call of CloudFormation's holds goes with the call, except that the
// branches of If are looked into.
func deletions(v any, path ...any) []deletion {
	var all []deletion
	switch v := v.(type) {
	case map[string]any:
		if branches, ok := v["Fn::If"].([]any); ok {
			for i := 1; i < len(branches); i++ {
				all = append(all, deletions(branches[i], append(slices.Clone(path), "Fn::If", i)...)...)
			}
			return all
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if strings.HasPrefix(key, "Fn::") || key == "Ref" {
				return nil
			}
			below := append(slices.Clone(path), key)
			all = append(all, deletion{below})
			all = append(all, deletions(v[key], below...)...)
		}
	case []any:
		for i := range v {
			below := append(slices.Clone(path), i)
			all = append(all, deletion{below})
			all = append(all, deletions(v[i], below...)...)
		}
	}
	return all
}

// from takes the thing out of v, which it returns: of a list only a shorter copy can be returned.
func (d deletion) from(v any) any { return without(v, d.path) }

func without(v any, path []any) any {
	switch step := path[0].(type) {
	case string:
		m := v.(map[string]any)
		if len(path) == 1 {
			delete(m, step)
		} else {
			m[step] = without(m[step], path[1:])
		}
		return m
	case int:
		l := v.([]any)
		if len(path) == 1 {
			return slices.Delete(slices.Clone(l), step, step+1)
		}
		l[step] = without(l[step], path[1:])
		return l
	}
	return v
}

// harmless says why nothing has to notice a deletion, or "".
func harmless(d deletion) string {
	last, _ := d.path[len(d.path)-1].(string)
	text := d.String()
	switch {
	case last == "Label" || last == "Description" && (len(d.path) != 4 || !strings.HasSuffix(d.path[1].(string), "Function")):
		return "it is for people, or TestChangeOfParameterMakesVersions"
	case last == "BuildMethod" || strings.HasSuffix(text, "Function/Metadata"):
		return "sam build and make build are compared byte for byte"
	case text == "Globals/Function/DeploymentPreference/Alarms/Fn::If/2/0":
		return "an empty list is the same"
	case last == "AutoPublishAliasAllProperties":
		return "TestChangeMakesVersion"
	case text == "Resources/HttpApi/Properties/StageName" || last == "PayloadFormatVersion":
		return "SAM's default is the same"
	}
	return ""
}

// TestDeletions takes every thing there is in Globals and Resources out of the template, one at a time: each policy line,
// each setting, each route, each property. A check must fail every time, or the template must be one that AWS refuses.
func TestDeletions(t *testing.T) {
	f := readFacts(t)
	whole := variant{"aws, every option on", commercial, everyOption(commercial)}
	none := variant{"aws-cn, every option off", china, nil}
	original := fresh(t)
	var all []deletion
	for _, section := range []string{"Globals", "Resources"} {
		all = append(all, deletions(original[section], section)...)
	}
	first := newTransformer(t, commercial.Region)
	if s, err := first.expand(original, whole); err != nil {
		t.Fatal(err)
	} else if failed := failures(s, f); len(failed) > 0 {
		t.Fatalf("checks fail before anything was deleted: %v", slices.Sorted(maps.Keys(failed)))
	}
	expanded := first.last

	var mu sync.Mutex
	noticed := map[string]map[string]int{} // by group: how often each check failed
	var wg sync.WaitGroup
	work := make(chan deletion)
	for range 2 {
		tr := newTransformer(t, commercial.Region)
		wg.Go(func() {
			for d := range work {
				v := whole
				if d.path[len(d.path)-1] == "Condition" && len(d.path) == 3 {
					v = none // what has a condition is then there although nobody asked for it
				}
				names := noticers(t, tr, d, original, expanded, v, f)
				mu.Lock()
				if noticed[d.group()] == nil {
					noticed[d.group()] = map[string]int{}
				}
				for _, name := range names {
					name, _, _ = strings.Cut(name, " (")
					noticed[d.group()][name]++
				}
				noticed[d.group()]["deletions"]++
				mu.Unlock()
				if len(names) == 0 {
					t.Errorf("no check notices that %s is gone", d)
				}
				if d.group() != "everything else" && d.group() != "alarms" {
					t.Logf("without %s: fails %s", d, strings.Join(names, ", "))
				}
			}
		})
	}
	skipped := 0
	wg.Go(func() {
		defer close(work)
		for _, d := range all {
			if harmless(d) != "" {
				skipped++
				continue
			}
			work <- d
		}
	})
	wg.Wait()
	t.Logf("%d deletions, %d more that are harmless", len(all)-skipped, skipped)
	for _, group := range slices.Sorted(maps.Keys(noticed)) {
		t.Logf("%s: %v", group, noticed[group])
	}
	// A check that nothing sets off may as well not be there.
	for _, c := range checks {
		if !slices.ContainsFunc(slices.Collect(maps.Values(noticed)), func(m map[string]int) bool { return m[c.name] > 0 }) && c.name != "wildcards" && c.name != "partition" {
			t.Errorf("no deletion sets off the check %q", c.name)
		}
	}
}

// noticers returns the names of the checks that fail without the thing that d takes away.
func noticers(t *testing.T, tr *transformer, d deletion, original map[string]any, expanded []byte, v variant, f *facts) []string {
	s, err := expandedWithout(t, tr, d, original, expanded, v)
	if err != nil {
		return []string{"expansion (" + strings.SplitN(err.Error(), "\n", 2)[0] + ")"}
	}
	return slices.Sorted(maps.Keys(failures(s, f)))
}

// expandedWithout expands the template without the thing. The transform leaves CloudFormation's own resources alone, so
// that of those the thing is taken out of what was expanded already.
func expandedWithout(t *testing.T, tr *transformer, d deletion, original map[string]any, expanded []byte, v variant) (*stack, error) {
	whole := len(d.path) == 2
	id, _ := d.path[1].(string)
	kind := fmt.Sprint(at(original, d.path[0], id, "Type"))
	if whole || d.path[0] == "Globals" || strings.HasPrefix(kind, "AWS::Serverless::") {
		changed, _ := d.from(cloned(t, original)).(map[string]any)
		return tr.expand(changed, v)
	}
	var template map[string]any
	if err := json.Unmarshal(expanded, &template); err != nil {
		t.Error(err)
	}
	b, err := json.Marshal(d.from(template))
	if err != nil {
		t.Error(err)
	}
	return evaluate(b, v)
}

func cloned(t testing.TB, template map[string]any) map[string]any {
	b, err := json.Marshal(template)
	if err != nil {
		t.Error(err)
	}
	var copied map[string]any
	if err := json.Unmarshal(b, &copied); err != nil {
		t.Error(err)
	}
	return copied
}

// TestAdditions: what nobody asked for is noticed as well as what is missing.
func TestAdditions(t *testing.T) {
	f := readFacts(t)
	v := variant{"aws, every option on", commercial, everyOption(commercial)}
	tr := newTransformer(t, commercial.Region)
	role := []any{"Resources", "ParkingSyncRole", "Properties", "Policies", 0, "PolicyDocument", "Statement"}
	tests := []struct {
		name string
		add  func(template map[string]any)
		want string
	}{
		{"a setting that nobody reads", func(template map[string]any) {
			at(template, "Resources", "NotifyCallbackFunction", "Properties", "Environment", "Variables").(map[string]any)["EXTRA"] = "x"
		}, "settings"},
		{"a route that no code serves", func(template map[string]any) {
			at(template, "Resources", "VendorInfoFunction", "Properties", "Events").(map[string]any)["Extra"] = map[string]any{
				"Type": "HttpApi", "Properties": map[string]any{"ApiId": map[string]any{"Ref": "HttpApi"}, "Method": "GET", "Path": "/extra"},
			}
		}, "routes"},
		{"an action that nobody calls", func(template map[string]any) {
			st := at(template, append(role, 1)...).(map[string]any)
			st["Action"] = append(st["Action"].([]any), "dynamodb:Scan")
		}, "permissions"},
		{"every action", func(template map[string]any) {
			at(template, append(role, 0)...).(map[string]any)["Action"] = "secretsmanager:*"
		}, "wildcards"},
		{"every secret", func(template map[string]any) { at(template, append(role, 0)...).(map[string]any)["Resource"] = "*" }, "wildcards"},
		{"another account may take the role", func(template map[string]any) {
			at(template, "Resources", "ParkingSyncRole", "Properties", "AssumeRolePolicyDocument", "Statement", 0).(map[string]any)["Principal"] = "*"
		}, "trust"},
		{"a queue without a dead-letter queue", func(template map[string]any) {
			template["Resources"].(map[string]any)["ExtraQueue"] = map[string]any{"Type": "AWS::SQS::Queue"}
		}, "queues"},
		{"an address in the access log", func(template map[string]any) {
			settings := at(template, "Resources", "HttpApi", "Properties", "AccessLogSettings").(map[string]any)
			settings["Format"] = strings.Replace(settings["Format"].(string), "{", `{"ip":"$context.identity.sourceIp",`, 1)
		}, "access log"},
		{"an alarm on a metric that nobody emits", func(template map[string]any) {
			at(template, "Resources", "CallbacksFailedAlarm", "Properties").(map[string]any)["MetricName"] = "CallbackFailed"
		}, "metrics"},
		{"an alarm on a reason that there is not", func(template map[string]any) {
			at(template, "Resources", "CallbackVendorAlarm", "Properties", "Dimensions", 1).(map[string]any)["Value"] = "not_that_vendor"
		}, "metrics"},
		{"an alarm on the probes", func(template map[string]any) {
			at(template, "Resources", "CallbacksFailedAlarm", "Properties").(map[string]any)["MetricName"] = "SignatureProbes"
		}, "watched"},
		{"another timeout than the alarm's", func(template map[string]any) {
			at(template, "Resources", "ParkingSyncFunction", "Properties").(map[string]any)["Timeout"] = 20
		}, "watched"},
		{"an alarm that is not in the runbook", func(template map[string]any) {
			resources := template["Resources"].(map[string]any)
			resources["ExtraAlarm"] = resources["CallbacksFailedAlarm"]
		}, "runbook"},
		{"an ARN of the other partition", func(template map[string]any) {
			at(template, "Resources", "NotifyCallbackFunction", "Properties", "Environment", "Variables").(map[string]any)["EVENTS_QUEUE_URL"] = "arn:aws-cn:sqs:x"
		}, "partition"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			template := fresh(t)
			tt.add(template)
			s, err := tr.expand(template, v)
			if err != nil {
				t.Fatal(err)
			}
			failed := failures(s, f)
			if failed[tt.want] == nil {
				t.Errorf("the check %q passes; these fail: %v", tt.want, slices.Sorted(maps.Keys(failed)))
			}
		})
	}
}

// TestEveryWildcardIsNeeded: a reason for what is not there any more would let it come back unseen.
func TestEveryWildcardIsNeeded(t *testing.T) {
	s, err := newTransformer(t, commercial.Region).expand(fresh(t), variant{"", commercial, everyOption(commercial)})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, role := range s.ofType("AWS::IAM::Role") {
		statements, _ := s.statements(role)
		for _, st := range statements {
			for _, action := range st.actions {
				for _, resource := range st.resources {
					found[narrowed(action, resource)] = true
				}
			}
		}
	}
	for name := range wide {
		if !found[name] {
			t.Errorf("%s has a reason, and no role has it", name)
		}
	}
}

// TestRules: parameters that need each other are refused before anything is made.
func TestRules(t *testing.T) {
	tr := newTransformer(t, commercial.Region)
	for _, parameters := range []map[string]string{
		{"DomainName": "parking.example.com"},
		{"SubnetIds": "subnet-00000001"},
	} {
		_, err := tr.expand(fresh(t), variant{"", commercial, parameters})
		if err == nil || !strings.Contains(err.Error(), "needs") {
			t.Errorf("%v: got %v, want a rule that says what else it needs", parameters, err)
		}
	}
}
