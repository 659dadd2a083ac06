//go:build validate

package stackcheck

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/samtemplate"
)

// check is one thing that must hold of a stack. It returns a sentence for each breach.
type check struct {
	name  string
	check func(*stack, *facts) []string
}

// checks are all of them. TestMutations shows of each that it can fail.
var checks = []check{
	{"types", checkTypes},
	{"functions", checkFunctions},
	{"settings", checkSettings},
	{"routes", checkRoutes},
	{"throttles", checkThrottles},
	{"access log", checkAccessLog},
	{"event sources", checkEventSources},
	{"queues", checkQueues},
	{"tables", checkTables},
	{"logs", checkLogs},
	{"deployments", checkDeployments},
	{"permissions", checkPermissions},
	{"trust", checkTrust},
	{"wildcards", checkWildcards},
	{"alarms", checkAlarms},
	{"metrics", checkMetrics},
	{"watched", checkWatched},
	{"dashboard", checkDashboard},
	{"runbook", checkRunbook},
	{"domain", checkDomain},
	{"partition", checkPartition},
}

// failures runs every check and returns what failed, by name.
func failures(s *stack, f *facts) map[string][]string {
	failed := map[string][]string{}
	for _, c := range checks {
		if breaches := c.check(s, f); len(breaches) > 0 {
			failed[c.name] = breaches
		}
	}
	return failed
}

// breaches collects sentences.
type breaches []string

func (b *breaches) add(format string, args ...any) { *b = append(*b, fmt.Sprintf(format, args...)) }

// equal adds a breach where got is not want.
func (b *breaches) equal(what string, got, want any) {
	if diff := cmp.Diff(want, got); diff != "" {
		b.add("%s (-want +got):\n%s", what, diff)
	}
}

func TestEveryVariantPassesEveryCheck(t *testing.T) {
	f := readFacts(t)
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			s, err := newTransformer(t, v.values.Region).expand(fresh(t), v)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range checks {
				for _, breach := range c.check(s, f) {
					t.Errorf("%s: %s", c.name, breach)
				}
			}
			t.Logf("%d resources, %d checks", len(s.resources), len(checks))
		})
	}
}

// TestEveryOptionIsOn: an option that everyOption does not know is one that no check has seen on.
func TestEveryOptionIsOn(t *testing.T) {
	for name, parameter := range fresh(t)["Parameters"].(map[string]any) {
		if def := at(parameter, "Default"); (def == "" || def == "off") && everyOption(commercial)[name] == "" {
			t.Errorf("parameter %s is off by default: give it a value in everyOption", name)
		}
	}
}

// types are those that the gateway is made of, each of which CloudFormation has in both partitions.
var types = []string{
	"AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::ApiMapping", "AWS::ApiGatewayV2::DomainName", "AWS::ApiGatewayV2::Stage",
	"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup",
	"AWS::DynamoDB::Table", "AWS::Events::Rule", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role", "AWS::Lambda::Alias",
	"AWS::Lambda::EventSourceMapping", "AWS::Lambda::Function", "AWS::Lambda::Permission", "AWS::Lambda::Version",
	"AWS::Logs::LogGroup", "AWS::SQS::Queue",
}

func checkTypes(s *stack, _ *facts) []string {
	var b breaches
	for id, r := range s.resources {
		if !slices.Contains(types, r.Type) {
			b.add("%s is of type %q, which is not on the list", id, r.Type)
		}
	}
	return b
}

func folder(function string) string { return strings.ToLower(function) }

func checkFunctions(s *stack, f *facts) []string {
	var b breaches
	var want []string
	for name := range f.settings {
		if name != "certrefresh" || s.parameters["CertificateRefresh"] == "on" {
			want = append(want, name)
		}
	}
	var got []string
	for _, name := range s.functions() {
		got = append(got, folder(name))
		id := name + "Function"
		b.equal(id+": architecture", s.property(id, "Architectures"), any([]any{"arm64"}))
		b.equal(id+": runtime", s.property(id, "Runtime"), any("provided.al2023"))
		b.equal(id+": handler", s.property(id, "Handler"), any("bootstrap"))
		b.equal(id+": role", s.property(id, "Role"), any("<"+name+"Role.Arn>"))
		b.equal(id+": logs", s.property(id, "LoggingConfig"), any(map[string]any{"LogFormat": "JSON", "LogGroup": "<" + name + "Logs>"}))
		for _, number := range []string{"MemorySize", "Timeout"} {
			if _, ok := s.property(id, number).(int); !ok {
				b.add("%s has no %s of its own", id, number)
			}
		}
		tracing := "Active"
		if s.china() {
			tracing = "PassThrough"
		}
		b.equal(id+": tracing", s.property(id, "TracingConfig", "Mode"), any(tracing))
		var reserved any
		if limit := s.parameters[name+"Concurrency"]; limit != "" {
			reserved = limit
		}
		b.equal(id+": reserved concurrency", s.property(id, "ReservedConcurrentExecutions"), reserved)
		var subnets, groups any
		if s.has("SubnetIds") && callsOut(f, name) {
			subnets, groups = split(s.parameters["SubnetIds"]), split(s.parameters["SecurityGroupIds"])
		}
		b.equal(id+": subnets", s.property(id, "VpcConfig", "SubnetIds"), subnets)
		b.equal(id+": security groups", s.property(id, "VpcConfig", "SecurityGroupIds"), groups)
	}
	slices.Sort(want)
	slices.Sort(got)
	b.equal("functions of the stack and folders below functions/", got, want)
	return b
}

// callsOut tells whether a function calls other hosts than AWS's. Its calls then need the fixed address.
func callsOut(f *facts, function string) bool {
	settings := f.settings[folder(function)]
	return slices.Contains(settings, "WECHATPAY_BASE_URL") || slices.Contains(settings, "EVENTS_DLQ_URL")
}

func split(list string) any {
	var items []any
	for item := range strings.SplitSeq(list, ",") {
		items = append(items, item)
	}
	return items
}

func checkSettings(s *stack, f *facts) []string {
	var b breaches
	for _, name := range s.functions() {
		id := name + "Function"
		variables, _ := s.property(id, "Environment", "Variables").(map[string]any)
		b.equal(id+": settings set and settings read", slices.Sorted(maps.Keys(variables)), f.settings[folder(name)])
		for setting, want := range map[string]any{
			"MERCHANT_SECRET_ID":     s.parameter("MerchantSecretName", "wechat-parking/merchant"),
			"MERCHANT_KEY_SECRET_ID": s.parameter("MerchantKeySecretName", "wechat-parking/merchant-key"),
			"VENDORS_SECRET_IDS":     s.parameter("VendorsSecretNames", "wechat-parking/vendors"),
			"IDEMPOTENCY_TABLE":      "<IdempotencyTable>",
			"EVENTS_QUEUE_URL":       "<EventsQueue>",
			"EVENTS_DLQ_URL":         "<EventsDeadLetterQueue>",
			"WECHATPAY_BASE_URL":     "https://api.mch.weixin.qq.com",
			"WECHATPAY_BACKUP_URL":   "https://api2.mch.weixin.qq.com",
			"CALLBACK_BASE_URL":      s.callbackBaseURL(),
		} {
			if got, set := variables[setting]; set {
				b.equal(id+": "+setting, got, want)
			}
		}
	}
	return b
}

func (s *stack) parameter(name, def string) string {
	if v := s.parameters[name]; v != "" {
		return v
	}
	return def
}

func (s *stack) callbackBaseURL() string {
	switch {
	case s.has("CallbackBaseUrl"):
		return s.parameters["CallbackBaseUrl"]
	case s.has("DomainName"):
		return "https://" + s.parameters["DomainName"]
	}
	return ""
}

var invokes = regexp.MustCompile(`^arn:[a-z-]+:apigateway:[a-z0-9-]+:lambda:path/2015-03-31/functions/<(\w+)FunctionAliaslive>/invocations$`)

func checkRoutes(s *stack, f *facts) []string {
	var b breaches
	got := map[string][]string{}
	paths, _ := s.property("HttpApi", "Body", "paths").(map[string]any)
	for path, methods := range paths {
		for method, operation := range methods.(map[string]any) {
			key := strings.ToUpper(method) + " " + path
			integration := at(operation, "x-amazon-apigateway-integration")
			uri := invokes.FindStringSubmatch(fmt.Sprint(at(integration, "uri")))
			if uri == nil {
				b.add("%s does not invoke the alias live of a function", key)
				continue
			}
			b.equal(key+": payload", at(integration, "payloadFormatVersion"), any("2.0"))
			if !s.mayInvoke(uri[1], path) {
				b.add("%s: the API may not invoke %sFunction", key, uri[1])
			}
			got[folder(uri[1])] = append(got[folder(uri[1])], key)
		}
	}
	for _, keys := range got {
		slices.Sort(keys)
	}
	served := map[string][]string{}
	for name, keys := range f.routes {
		if len(keys) > 0 {
			served[name] = keys
		}
	}
	b.equal("routes of the API and of the code", got, served)
	b.equal("routes of the API and of the local front", got, f.local)
	return b
}

func (s *stack) mayInvoke(function, path string) bool {
	path = regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "*")
	return slices.ContainsFunc(s.ofType("AWS::Lambda::Permission"), func(id string) bool {
		return s.property(id, "FunctionName") == "<"+function+"FunctionAliaslive>" &&
			s.property(id, "Principal") == "apigateway.amazonaws.com" && s.property(id, "Action") == "lambda:InvokeFunction" &&
			strings.HasSuffix(fmt.Sprint(s.property(id, "SourceArn")), path)
	})
}

// checkThrottles: callbacks have limits of their own on each route; the API's metrics are kept by route.
func checkThrottles(s *stack, f *facts) []string {
	var b breaches
	const stage = "HttpApiApiGatewayDefaultStage"
	limits := func(rate, burst string) any {
		return map[string]any{"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst, "DetailedMetricsEnabled": true}
	}
	b.equal("every other route", s.property(stage, "DefaultRouteSettings"),
		limits(s.parameter("VendorRateLimit", "300"), s.parameter("VendorBurstLimit", "600")))
	callbacks := map[string]any{}
	for _, key := range f.routes["notifycallback"] {
		callbacks[key] = limits(s.parameter("CallbackRateLimit", "300"), s.parameter("CallbackBurstLimit", "600"))
	}
	b.equal("routes of callbacks", s.property(stage, "RouteSettings"), any(callbacks))
	return b
}

// loggable are the variables of API Gateway's that say nothing of a person, nor which car park called.
var loggable = []string{
	"requestTime", "requestId", "routeKey", "protocol", "status", "responseLength", "responseLatency", "error.responseType",
	"integrationStatus", "integrationLatency", "integration.error",
}

func checkAccessLog(s *stack, _ *facts) []string {
	var b breaches
	settings := s.property("HttpApiApiGatewayDefaultStage", "AccessLogSettings")
	b.equal("log group", at(settings, "DestinationArn"), any("<AccessLogs.Arn>"))
	format := fmt.Sprint(at(settings, "Format"))
	var fields map[string]string
	if err := json.Unmarshal([]byte(format), &fields); err != nil {
		b.add("the format is no JSON: %v", err)
	}
	for name, value := range fields {
		variable, ok := strings.CutPrefix(value, "$context.")
		if !ok || !slices.Contains(loggable, variable) {
			b.add("field %s holds %s, which is not on the list of what may be logged", name, value)
		}
	}
	for _, needed := range []string{"requestId", "routeKey", "status"} {
		if !strings.Contains(format, `"$context.`+needed+`"`) {
			b.add("$context.%s is missing, by which a request is found", needed)
		}
	}
	return b
}

func checkEventSources(s *stack, f *facts) []string {
	var b breaches
	sources := map[string]bool{}
	for _, id := range s.ofType("AWS::Lambda::EventSourceMapping") {
		alias, _ := s.property(id, "FunctionName").(string)
		name, ok := strings.CutSuffix(strings.TrimPrefix(alias, "<"), "FunctionAliaslive>")
		if !ok {
			b.add("%s invokes %s, not the alias live of a function", id, alias)
		}
		sources[folder(name)] = true
		b.equal(id+": what failed comes again alone", s.property(id, "FunctionResponseTypes"), any([]any{"ReportBatchItemFailures"}))
		var loops any = "Allow"
		if s.china() {
			loops = nil
		}
		b.equal(name+": sends to the queue that invokes it", s.property(name+"Function", "RecursiveLoop"), loops)
		b.equal(id+": batch", s.property(id, "BatchSize"), any(10))
		b.equal(id+": concurrency", s.property(id, "ScalingConfig", "MaximumConcurrency"), any(s.parameter("DeliveryMaximumConcurrency", "10")))
		queue := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(s.property(id, "EventSourceArn")), "<"), ".Arn>")
		timeout, _ := s.property(name+"Function", "Timeout").(int)
		b.equal(queue+": hidden for six times the function's timeout", s.property(queue, "VisibilityTimeout"), any(6*timeout))
	}
	want := map[string]bool{}
	for name, settings := range f.settings {
		if slices.Contains(settings, "EVENTS_DLQ_URL") {
			want[name] = true
		}
	}
	b.equal("functions that a queue invokes", sources, want)
	scheduled := map[string]any{}
	for _, id := range s.ofType("AWS::Events::Rule") {
		alias := fmt.Sprint(s.property(id, "Targets", 0, "Arn"))
		scheduled[alias] = s.property(id, "ScheduleExpression")
		if !slices.ContainsFunc(s.ofType("AWS::Lambda::Permission"), func(permission string) bool {
			return s.property(permission, "FunctionName") == alias && s.property(permission, "Principal") == "events.amazonaws.com" &&
				s.property(permission, "SourceArn") == "<"+id+".Arn>"
		}) {
			b.add("%s may not invoke %s", id, alias)
		}
	}
	schedules := map[string]any{}
	if s.parameters["CertificateRefresh"] == "on" {
		schedules["<CertRefreshFunctionAliaslive>"] = "rate(12 hours)"
	}
	b.equal("what is invoked by a schedule", scheduled, schedules)
	return b
}

// retained adds a breach where a deletion or a replacement would take the data along.
func (b *breaches) retained(id string, r samtemplate.Resource) {
	if r.DeletionPolicy != "Retain" || r.UpdateReplacePolicy != "Retain" {
		b.add("%s is not retained when it is deleted or replaced", id)
	}
}

// longest is how long SQS keeps a message at most, in seconds.
const longest = 14 * 24 * 3600

func checkQueues(s *stack, _ *facts) []string {
	var b breaches
	queues := s.ofType("AWS::SQS::Queue")
	dead := map[string]bool{}
	for _, id := range queues {
		if target, ok := s.property(id, "RedrivePolicy", "deadLetterTargetArn").(string); ok {
			dead[strings.TrimSuffix(strings.TrimPrefix(target, "<"), ".Arn>")] = true
		}
	}
	for _, id := range queues {
		r := s.resources[id]
		b.retained(id, r)
		b.equal(id+": encrypted", at(r.Properties, "SqsManagedSseEnabled"), any(true))
		b.equal(id+": kept", at(r.Properties, "MessageRetentionPeriod"), any(longest))
		if redrive := at(r.Properties, "RedrivePolicy"); redrive == nil && !dead[id] {
			b.add("%s has no dead-letter queue", id)
		} else if receives, _ := at(redrive, "maxReceiveCount").(int); redrive != nil && receives < 1 {
			b.add("%s: maxReceiveCount is missing", id)
		} else if redrive != nil {
			b.equal(id+": receives wait for messages", at(r.Properties, "ReceiveMessageWaitTimeSeconds"), any(20))
		}
	}
	for id := range dead {
		if s.resources[id].Type != "AWS::SQS::Queue" {
			b.add("%s is no queue of the stack", id)
		}
	}
	if len(queues) == 0 {
		b.add("there is no queue")
	}
	return b
}

func checkTables(s *stack, _ *facts) []string {
	var b breaches
	tables := s.ofType("AWS::DynamoDB::Table")
	for _, id := range tables {
		r := s.resources[id]
		b.retained(id, r)
		b.equal(id, any(r.Properties), any(map[string]any{
			"BillingMode":                      "PAY_PER_REQUEST",
			"AttributeDefinitions":             []any{map[string]any{"AttributeName": "pk", "AttributeType": "S"}},
			"KeySchema":                        []any{map[string]any{"AttributeName": "pk", "KeyType": "HASH"}},
			"TimeToLiveSpecification":          map[string]any{"AttributeName": "expires_at", "Enabled": true},
			"SSESpecification":                 map[string]any{"SSEEnabled": true},
			"PointInTimeRecoverySpecification": map[string]any{"PointInTimeRecoveryEnabled": true},
		}))
	}
	if len(tables) == 0 {
		b.add("there is no table")
	}
	return b
}

func checkLogs(s *stack, _ *facts) []string {
	var b breaches
	want := map[string]any{"AccessLogs": "/aws/vendedlogs/gateway/access"}
	for _, name := range s.functions() {
		want[name+"Logs"] = "/aws/lambda/gateway/" + folder(name)
	}
	got := map[string]any{}
	for _, id := range s.ofType("AWS::Logs::LogGroup") {
		r := s.resources[id]
		got[id] = at(r.Properties, "LogGroupName")
		b.equal(id+": kept for days", at(r.Properties, "RetentionInDays"), any(s.parameter("LogRetentionDays", "90")))
		if r.DeletionPolicy != "Delete" || r.UpdateReplacePolicy != "Delete" {
			b.add("%s: must say that it is deleted with the stack", id)
		}
	}
	b.equal("log groups", got, want)
	return b
}

// checkDeployments: each function has the alias live, which CodeDeploy takes to a new version under the alarms' eyes.
func checkDeployments(s *stack, _ *facts) []string {
	var b breaches
	for _, name := range s.functions() {
		id := name + "Function"
		version := ""
		for _, v := range s.ofType("AWS::Lambda::Version") {
			if s.property(v, "FunctionName") == "<"+id+">" {
				version = v
				if s.resources[v].DeletionPolicy != "Retain" {
					b.add("%s: a version that goes with the next deployment cannot be gone back to", id)
				}
			}
		}
		b.equal(id+": alias", s.resources[id+"Aliaslive"].Properties, map[string]any{
			"Name": "live", "FunctionName": "<" + id + ">", "FunctionVersion": "<" + version + ".Version>",
		})
		b.equal(version+": description", s.property(version, "Description"), any("<ReadVendorsPolicy>"))
		if !strings.Contains(fmt.Sprint(s.property(id, "Description")), "<ReadVendorsPolicy>") {
			b.add("%s: its description does not name ReadVendorsPolicy; Lambda publishes no version of what has not changed", id)
		}
		group := s.resources[id+"DeploymentGroup"].Properties
		b.equal(id+": role of its deployments", at(group, "ServiceRoleArn"), any("<DeploymentRole.Arn>"))
		kind := s.parameter("DeploymentType", "Canary10Percent5Minutes")
		b.equal(id+": way of its deployments", at(group, "DeploymentConfigName"), any("CodeDeployDefault.Lambda"+kind))
		b.equal(id+": rolled back", at(group, "AutoRollbackConfiguration"), any(map[string]any{
			"Enabled": true, "Events": []any{"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"},
		}))
		var watching []string
		for _, alarm := range listed(at(group, "AlarmConfiguration", "Alarms")) {
			watching = append(watching, s.alarmCalled(fmt.Sprint(at(alarm, "Name"))))
		}
		slices.Sort(watching)
		var rolling []string
		for _, alarm := range s.ofType("AWS::CloudWatch::Alarm") {
			if strings.Contains(fmt.Sprint(s.property(alarm, "AlarmDescription")), "Rolls a deployment back.") {
				rolling = append(rolling, alarm)
			}
		}
		if kind == "AllAtOnce" {
			rolling = nil
		} else if len(rolling) < 3 {
			b.add("only %v roll deployments back, and a new version's crashes, panics and 5xx must", rolling)
		}
		b.equal(id+": alarms that roll it back, by its deployments and by their descriptions", watching, rolling)
	}
	return b
}

// alarmCalled returns the logical id of the alarm of that name.
func (s *stack) alarmCalled(name string) string {
	for _, id := range s.ofType("AWS::CloudWatch::Alarm") {
		if given := s.property(id, "AlarmName"); given == name || given == nil && name == "<"+id+">" {
			return id
		}
	}
	return "no alarm is called " + name
}

func TestAllAtOnceIsNotHeldBackByAlarms(t *testing.T) {
	f := readFacts(t)
	v := variant{"aws, all at once", commercial, map[string]string{"DeploymentType": "AllAtOnce"}}
	s, err := newTransformer(t, v.values.Region).expand(fresh(t), v)
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range checkDeployments(s, f) {
		t.Error(breach)
	}
}

// TestChangeMakesVersion: a property that changes in the template gives its function, and only that function, a new version.
func TestChangeMakesVersion(t *testing.T) {
	tr := newTransformer(t, commercial.Region)
	before, err := tr.expand(fresh(t), variant{"", commercial, nil})
	if err != nil {
		t.Fatal(err)
	}
	template := fresh(t)
	at(template, "Resources", "VehicleNotifyFunction", "Properties").(map[string]any)["Timeout"] = 14
	after, err := tr.expand(template, variant{"", commercial, nil})
	if err != nil {
		t.Fatal(err)
	}
	versions := after.ofType("AWS::Lambda::Version")
	for _, id := range before.ofType("AWS::Lambda::Version") {
		function := fmt.Sprint(before.property(id, "FunctionName"))
		if got, want := slices.Contains(versions, id), function != "<VehicleNotifyFunction>"; got != want {
			t.Errorf("%s: got an unchanged version %v, want %v", function, got, want)
		}
	}
}

// TestChangeOfParameterMakesVersions: SAM gives a function no new version when only the value of a parameter changes. So
// whatever parameter changes a function's settings changes the description of ReadVendorsPolicy, which CloudFormation then
// replaces, and checkDeployments sees that functions and versions are described by its ARN.
func TestChangeOfParameterMakesVersions(t *testing.T) {
	tr := newTransformer(t, commercial.Region)
	before, err := tr.expand(fresh(t), variant{"", commercial, nil})
	if err != nil {
		t.Fatal(err)
	}
	others := everyOption(commercial)
	others["WeChatPayBaseUrl"], others["WeChatPayBackupUrl"] = "https://simulator.example.com", "https://backup.example.com"
	touching := 0
	for name, value := range others {
		parameters := map[string]string{name: value}
		switch name { // the rules want both
		case "DomainName":
			parameters["CertificateArn"] = others["CertificateArn"]
		case "SubnetIds":
			parameters["SecurityGroupIds"] = others["SecurityGroupIds"]
		}
		after, err := tr.expand(fresh(t), variant{"", commercial, parameters})
		if err != nil {
			t.Fatal(err)
		}
		touched := false
		for _, function := range before.ofType("AWS::Lambda::Function") {
			for _, property := range []string{"Environment", "VpcConfig", "MemorySize", "Timeout", "TracingConfig", "LoggingConfig"} {
				touched = touched || !cmp.Equal(before.property(function, property), after.property(function, property))
			}
		}
		if !touched {
			continue
		}
		touching++
		if got := after.property("ReadVendorsPolicy", "Description"); got == before.property("ReadVendorsPolicy", "Description") {
			t.Errorf("parameter %s changes a function and no version: name it in the description of ReadVendorsPolicy", name)
		}
	}
	if touching < 8 {
		t.Errorf("only %d parameters change a function: this test is blind", touching)
	}
}

// TestDescriptionsReplace: CloudFormation replaces a managed policy and a version whose description changes, as its own schemas
// say, which cfn-lint brings along.
func TestDescriptionsReplace(t *testing.T) {
	const script = `
import json, sys
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER as schemas
json.dump({f"{r} {t}": schemas.get_resource_schema(r, t).schema["createOnlyProperties"]
    for r in ("ap-southeast-1", "cn-north-1") for t in ("AWS::IAM::ManagedPolicy", "AWS::Lambda::Version")}, sys.stdout)
`
	cmd := exec.Command(".venv/bin/python", "-B", "-c", script)
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var replacing map[string][]string
	if err := json.Unmarshal(out, &replacing); err != nil {
		t.Fatal(err)
	}
	if len(replacing) != 4 {
		t.Errorf("got %d types, want two in two regions", len(replacing))
	}
	for kind, properties := range replacing {
		if !slices.Contains(properties, "/properties/Description") {
			t.Errorf("%s is not replaced when its description changes, but for %v", kind, properties)
		}
	}
}

// TestDescriptionsFit: with every parameter and the stack's name as long as they may be, IAM takes the description of
// ReadVendorsPolicy, of at most 1000 characters, and Lambda those of the functions.
func TestDescriptionsFit(t *testing.T) {
	template := fresh(t)
	description := at(template, "Resources", "ReadVendorsPolicy", "Properties", "Description", "Fn::Sub").(string)
	longest := regexp.MustCompile(`\$\{(\w+)\}`).ReplaceAllStringFunc(description, func(m string) string {
		length := int(number(at(template, "Parameters", m[2:len(m)-1], "MaxLength")))
		if length == 0 {
			t.Errorf("parameter %s has no MaxLength", m)
		}
		return strings.Repeat("x", length)
	})
	if len(longest) > 1000 {
		t.Errorf("got up to %d characters, want at most 1000", len(longest))
	}
	// A function's description holds the policy's ARN, whose last part is a name of at most 128 characters.
	arn := len("arn:aws-cn:iam::"+account+":policy/") + 128
	for id, r := range template["Resources"].(map[string]any) {
		if at(r, "Type") == "AWS::Serverless::Function" {
			text := fmt.Sprint(at(r, "Properties", "Description", "Fn::Sub"))
			if length := len(strings.Replace(text, "${ReadVendorsPolicy}", "", 1)) + arn; length > 256 {
				t.Errorf("%s: its description may have %d characters, and Lambda takes 256", id, length)
			}
		}
	}
}

func checkDomain(s *stack, _ *facts) []string {
	var b breaches
	api := "https://<HttpApi>.execute-api." + s.values.Region + "." + s.values.URLSuffix
	base := s.callbackBaseURL()
	if base == "" {
		base = api
	}
	b.equal("output BusinessCircleCallbackUrl", s.outputs["BusinessCircleCallbackUrl"], base+"/v1/callbacks/businesscircle")
	mapping, domain := s.resources["ApiDomainMapping"].Properties, s.resources["ApiDomain"].Properties
	if !s.has("DomainName") {
		b.equal("output ApiUrl", s.outputs["ApiUrl"], api)
		if mapping != nil || domain != nil || s.outputs["DomainTarget"] != "" {
			b.add("there is a domain that nobody asked for")
		}
		return b
	}
	b.equal("output ApiUrl", s.outputs["ApiUrl"], "https://"+s.parameters["DomainName"])
	b.equal("output DomainTarget", s.outputs["DomainTarget"], "<ApiDomain.RegionalDomainName>")
	b.equal("domain", domain, map[string]any{
		"DomainName": s.parameters["DomainName"],
		"DomainNameConfigurations": []any{map[string]any{
			"CertificateArn": s.parameters["CertificateArn"], "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2",
		}},
	})
	b.equal("domain's mapping", mapping, map[string]any{
		"ApiId": "<HttpApi>", "DomainName": "<ApiDomain>", "Stage": "<HttpApiApiGatewayDefaultStage>",
	})
	return b
}

// checkPartition: nothing names the other partition, and what China lacks is not asked for there.
func checkPartition(s *stack, _ *facts) []string {
	var b breaches
	for id, r := range s.resources {
		eachText(r.Properties, func(text string) {
			if strings.Contains(text, "arn:aws") && !strings.Contains(text, "arn:"+s.values.Partition+":") {
				b.add("%s: %s is of another partition", id, text)
			}
			if s.china() && strings.Contains(text, "xray:") {
				b.add("%s: %s, but China has no X-Ray for Lambda", id, text)
			}
		})
	}
	return b
}

// eachText calls do for every text in v, keys aside.
func eachText(v any, do func(string)) {
	switch v := v.(type) {
	case string:
		do(v)
	case []any:
		for _, item := range v {
			eachText(item, do)
		}
	case map[string]any:
		for _, item := range v {
			eachText(item, do)
		}
	}
}

// number reads a number that may be written as a text.
func number(v any) float64 {
	n, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
	return n
}
