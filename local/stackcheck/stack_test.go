//go:build validate

package stackcheck

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"wechat-parking-gateway/local/samtemplate"
)

const root = "../../"

// variant is one way to deploy the template.
type variant struct {
	name       string
	values     samtemplate.Values
	parameters map[string]string // over the defaults
}

const account = "123456789012"

var (
	commercial = samtemplate.Values{
		Partition: "aws", URLSuffix: "amazonaws.com", Region: "ap-southeast-1", AccountID: account, StackName: "gateway", Symbolic: true,
	}
	china = samtemplate.Values{
		Partition: "aws-cn", URLSuffix: "amazonaws.com.cn", Region: "cn-north-1", AccountID: account, StackName: "gateway", Symbolic: true,
	}
)

// everyOption turns on everything that is off by default.
func everyOption(v samtemplate.Values) map[string]string {
	arn := func(service, rest string) string {
		return "arn:" + v.Partition + ":" + service + ":" + v.Region + ":" + account + ":" + rest
	}
	return map[string]string{
		"MerchantSecretName":        "test/merchant",
		"MerchantKeySecretName":     "test/merchant-key",
		"VendorsSecretNames":        "test/vendors-1,test/vendors-2,test/vendors-3,test/vendors-4",
		"DomainName":                "parking.example.com",
		"CertificateArn":            arn("acm", "certificate/1"),
		"CallbackBaseUrl":           "https://callbacks.example.com/wechat",
		"SecretsKmsKeyArn":          arn("kms", "key/1"),
		"SubnetIds":                 "subnet-00000001,subnet-00000002",
		"SecurityGroupIds":          "sg-00000001",
		"AlarmTopicArn":             arn("sns", "alarms"),
		"ParkingSyncConcurrency":    "11",
		"VehicleNotifyConcurrency":  "12",
		"NotifyCallbackConcurrency": "13",
		"EventDeliveryConcurrency":  "14",
		"VendorInfoConcurrency":     "15",
		"CertificateRefresh":        "on",
		// Not options, but each differs from the others here, so that none can stand in another's place.
		"VendorRateLimit":    "101",
		"VendorBurstLimit":   "102",
		"CallbackRateLimit":  "103",
		"CallbackBurstLimit": "104",
		"LogRetentionDays":   "30",
	}
}

func variants() []variant {
	return []variant{
		{"aws, every option off", commercial, nil},
		{"aws, every option on", commercial, everyOption(commercial)},
		{"aws, a domain alone", commercial, map[string]string{
			"DomainName": everyOption(commercial)["DomainName"], "CertificateArn": everyOption(commercial)["CertificateArn"],
		}},
		{"aws-cn, every option off", china, nil},
		{"aws-cn, every option on", china, everyOption(china)},
	}
}

// stack is what a deployment would make. What only has a name once it is made is called <LogicalId> or
// <LogicalId.Attribute>.
type stack struct {
	values     samtemplate.Values
	parameters map[string]string
	resources  map[string]samtemplate.Resource
	outputs    map[string]string
}

func (s *stack) china() bool { return s.values.Partition == "aws-cn" }

// has tells whether an option, a parameter that is empty by default, is on.
func (s *stack) has(option string) bool { return s.parameters[option] != "" }

// ofType returns the logical ids of the resources of a type, sorted.
func (s *stack) ofType(kind string) []string {
	var ids []string
	for id, r := range s.resources {
		if r.Type == kind {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// functions returns the functions' names without the word Function, sorted.
func (s *stack) functions() []string {
	var names []string
	for _, id := range s.ofType("AWS::Lambda::Function") {
		names = append(names, strings.TrimSuffix(id, "Function"))
	}
	return names
}

func (s *stack) property(id string, path ...any) any { return at(s.resources[id].Properties, path...) }

// at goes down maps by keys and lists by indexes, and returns nil where there is nothing.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	if m, ok := v.(map[string]any); ok && m == nil {
		return nil
	}
	return v
}

// listed returns the items of a list, or the one item that stands where a list may.
func listed(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// words is listed for texts.
func words(v any) []string {
	var all []string
	for _, item := range listed(v) {
		all = append(all, fmt.Sprint(item))
	}
	return all
}

// template returns template.yaml in JSON.
var template = sync.OnceValues(func() (map[string]any, error) {
	b, err := os.ReadFile(root + "template.yaml")
	if err != nil {
		return nil, err
	}
	if b, err = samtemplate.ToJSON(b); err != nil {
		return nil, err
	}
	var t map[string]any
	return t, json.Unmarshal(b, &t)
})

// fresh returns a copy of the template that may be changed.
func fresh(t testing.TB) map[string]any {
	t.Helper()
	original, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return cloned(t, original)
}

// errTransform is why a template makes nothing on AWS.
var errTransform = errors.New("the transform refuses it")

// transformer is AWS's transform, waiting for templates.
type transformer struct {
	in   io.WriteCloser
	out  *bufio.Reader
	last []byte // what came of the template before
}

// newTransformer starts the transform for a region; it ends with the test.
func newTransformer(t testing.TB, region string) *transformer {
	t.Helper()
	cmd := exec.Command(".venv/bin/python", "-B", "tools/python/expand_template.py", "-")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION="+region, "AWS_REGION="+region)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (make validate installs what this test needs)", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the transform: %v", err)
		}
	})
	return &transformer{in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

// expand returns what a template makes in a variant, or why it makes nothing.
func (tr *transformer) expand(template map[string]any, v variant) (*stack, error) {
	parameters := v.parameters
	if parameters == nil {
		parameters = map[string]string{}
	}
	// SAM is given the parameters, as the service gives them: it looks into some.
	line, err := json.Marshal(map[string]any{"template": template, "parameters": parameters})
	if err != nil {
		return nil, err
	}
	if _, err := tr.in.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	answered, err := tr.out.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var answer struct {
		Expanded json.RawMessage `json:"expanded"`
		Error    string          `json:"error"`
	}
	if err := json.Unmarshal(answered, &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%w: %s", errTransform, answer.Error)
	}
	tr.last = answer.Expanded
	return evaluate(answer.Expanded, v)
}

// evaluate works an expanded template out for a variant.
func evaluate(expanded []byte, v variant) (*stack, error) {
	parsed, err := samtemplate.ParseExpanded(expanded)
	if err != nil {
		return nil, err
	}
	values := v.values
	values.Parameters = v.parameters
	s := &stack{values: values, parameters: v.parameters}
	if s.resources, err = parsed.Resources(values); err != nil {
		return nil, err
	}
	s.outputs, err = parsed.Outputs(values)
	return s, err
}
