package samtemplate_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/samtemplate"
)

// values are what the repository's template is worked out with, after its table and queues were made.
func values() samtemplate.Values {
	return samtemplate.Values{
		Partition: "aws-cn", URLSuffix: "amazonaws.com.cn", Region: "cn-north-1", AccountID: "123456789012", StackName: "gateway",
		Physical: map[string]samtemplate.Physical{
			"IdempotencyTable": {Ref: "table-1", Attributes: map[string]string{"Arn": "arn:table-1"}},
			"EventsQueue":      {Ref: "https://sqs/events-1", Attributes: map[string]string{"Arn": "arn:events-1"}},
			"EventsDeadLetterQueue": {
				Ref: "https://sqs/dead-1", Attributes: map[string]string{"Arn": "arn:dead-1"},
			},
			"ReadMerchantPolicy": {Ref: "arn:read-merchant"},
			"ReadVendorsPolicy":  {Ref: "arn:read-vendors"},
			"ParkingSyncLogs":    {Ref: "logs", Attributes: map[string]string{"Arn": "arn:logs-parkingsync"}},
			"VehicleNotifyLogs":  {Ref: "logs", Attributes: map[string]string{"Arn": "arn:logs-vehiclenotify"}},
			"NotifyCallbackLogs": {Ref: "logs", Attributes: map[string]string{"Arn": "arn:logs-notifycallback"}},
			"EventDeliveryLogs":  {Ref: "logs", Attributes: map[string]string{"Arn": "arn:logs-eventdelivery"}},
			"VendorInfoLogs":     {Ref: "logs", Attributes: map[string]string{"Arn": "arn:logs-vendorinfo"}},
			"CertRefreshLogs":    {Ref: "logs", Attributes: map[string]string{"Arn": "arn:logs-certrefresh"}},
		},
	}
}

func load(t *testing.T) *samtemplate.Template {
	t.Helper()
	template, err := samtemplate.Load("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestRoutes(t *testing.T) {
	got, err := load(t).Routes(values())
	if err != nil {
		t.Fatal(err)
	}
	want := []samtemplate.Route{
		{Key: "GET /v1/vendors/{vendor_id}", Function: "VendorInfoFunction"},
		{Key: "POST /v1/callbacks/businesscircle", Function: "NotifyCallbackFunction"},
		{Key: "POST /v1/callbacks/vehicle/{vendor_id}", Function: "NotifyCallbackFunction"},
		{Key: "POST /v1/vendors/{vendor_id}/businesscircle/parkings", Function: "ParkingSyncFunction"},
		{Key: "POST /v1/vendors/{vendor_id}/vehicle/notifications", Function: "VehicleNotifyFunction"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestFunctions(t *testing.T) {
	v := values()
	v.Parameters = map[string]string{
		"VendorsSecretNames": "vendors-a,vendors-b", "CallbackBaseUrl": "https://parking.example.com/gateway",
	}
	got, err := load(t).Functions(v)
	if err != nil {
		t.Fatal(err)
	}
	function := func(id string, timeout time.Duration, environment map[string]string) samtemplate.Function {
		return samtemplate.Function{
			LogicalID: id, CodeURI: ".", Handler: "bootstrap", Runtime: "provided.al2023", Architecture: "arm64",
			BuildMethod: "makefile", Timeout: timeout, MemoryMB: 512, Environment: environment,
		}
	}
	want := []samtemplate.Function{
		function("EventDeliveryFunction", 30*time.Second, map[string]string{
			"VENDORS_SECRET_IDS": "vendors-a,vendors-b",
			"EVENTS_QUEUE_URL":   "https://sqs/events-1",
			"EVENTS_DLQ_URL":     "https://sqs/dead-1",
			"IDEMPOTENCY_TABLE":  "table-1",
		}),
		function("NotifyCallbackFunction", 5*time.Second, map[string]string{
			"MERCHANT_SECRET_ID": "wechat-parking/merchant",
			"VENDORS_SECRET_IDS": "vendors-a,vendors-b",
			"EVENTS_QUEUE_URL":   "https://sqs/events-1",
		}),
		function("ParkingSyncFunction", 15*time.Second, map[string]string{
			"MERCHANT_SECRET_ID":     "wechat-parking/merchant",
			"MERCHANT_KEY_SECRET_ID": "wechat-parking/merchant-key",
			"VENDORS_SECRET_IDS":     "vendors-a,vendors-b",
			"IDEMPOTENCY_TABLE":      "table-1",
			"WECHATPAY_BASE_URL":     "https://api.mch.weixin.qq.com",
			"WECHATPAY_BACKUP_URL":   "https://api2.mch.weixin.qq.com",
		}),
		function("VehicleNotifyFunction", 15*time.Second, map[string]string{
			"MERCHANT_SECRET_ID": "wechat-parking/merchant",
			"VENDORS_SECRET_IDS": "vendors-a,vendors-b",
			"IDEMPOTENCY_TABLE":  "table-1",
			"WECHATPAY_BASE_URL": "https://api.mch.weixin.qq.com",
			"CALLBACK_BASE_URL":  "https://parking.example.com/gateway",
		}),
		function("VendorInfoFunction", 10*time.Second, map[string]string{
			"MERCHANT_SECRET_ID": "wechat-parking/merchant",
			"VENDORS_SECRET_IDS": "vendors-a,vendors-b",
		}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
}

// TestCertificateRefresh: the function and its schedule are there where the operator asks for them, and only there.
func TestCertificateRefresh(t *testing.T) {
	v := values()
	template := load(t)
	for _, state := range []string{"off", "on"} {
		v.Parameters = map[string]string{"CertificateRefresh": state}
		functions, err := template.Functions(v)
		if err != nil {
			t.Fatal(err)
		}
		schedules, err := template.Schedules(v)
		if err != nil {
			t.Fatal(err)
		}
		want := []samtemplate.Schedule{{Function: "CertRefreshFunction", Every: 12 * time.Hour}}
		i := slices.IndexFunc(functions, func(f samtemplate.Function) bool { return f.LogicalID == "CertRefreshFunction" })
		if state == "off" {
			want = nil
			if i >= 0 {
				t.Error("it is there by default")
			}
		} else if i < 0 {
			t.Error("it is not there when it is on")
		} else if diff := cmp.Diff(map[string]string{
			"MERCHANT_SECRET_ID": "wechat-parking/merchant", "MERCHANT_KEY_SECRET_ID": "wechat-parking/merchant-key",
			"WECHATPAY_BASE_URL": "https://api.mch.weixin.qq.com", "WECHATPAY_BACKUP_URL": "https://api2.mch.weixin.qq.com",
		}, functions[i].Environment); diff != "" {
			t.Errorf("settings (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, schedules); diff != "" {
			t.Errorf("%s: schedules (-want +got):\n%s", state, diff)
		}
	}
}

// TestNoTestSettings: what loosens a rule for tests is never deployed.
func TestNoTestSettings(t *testing.T) {
	v := values()
	v.Parameters = map[string]string{"CertificateRefresh": "on"}
	functions, err := load(t).Functions(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		for _, name := range []string{"WEBHOOK_ALLOW_LOOPBACK", "SECRETS_LIFE_FOR_TESTS"} {
			if _, set := f.Environment[name]; set {
				t.Errorf("%s: the template sets %s", f.LogicalID, name)
			}
		}
	}
}

func TestTables(t *testing.T) {
	got, err := load(t).Tables(samtemplate.Values{})
	if err != nil {
		t.Fatal(err)
	}
	want := []samtemplate.Table{{
		LogicalID: "IdempotencyTable", HashKey: "pk", HashKeyType: "S", TTLAttribute: "expires_at",
		BillingMode: "PAY_PER_REQUEST", Encrypted: true, PointInTimeRecovery: true, DeletionPolicy: "Retain",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestQueues(t *testing.T) {
	got, err := load(t).Queues(samtemplate.Values{})
	if err != nil {
		t.Fatal(err)
	}
	want := []samtemplate.Queue{{
		LogicalID:      "EventsDeadLetterQueue",
		Attributes:     map[string]string{"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "1209600"},
		DeletionPolicy: "Retain",
	}, {
		LogicalID: "EventsQueue",
		Attributes: map[string]string{
			"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "1209600", "VisibilityTimeout": "180",
			"ReceiveMessageWaitTimeSeconds": "20",
		},
		DeadLetterQueue: "EventsDeadLetterQueue", MaxReceiveCount: 1000, DeletionPolicy: "Retain",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
}

func TestEventSources(t *testing.T) {
	got, err := load(t).EventSources(values())
	if err != nil {
		t.Fatal(err)
	}
	want := []samtemplate.EventSource{{
		Function: "EventDeliveryFunction", QueueARN: "arn:events-1", BatchSize: 10, MaximumConcurrency: 10,
		ReportBatchItemFailures: true,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event sources (-want +got):\n%s", diff)
	}
}

// A message stays hidden for six times as long as the function may work on it, and a loop is allowed where Lambda looks
// for loops.
func TestDeliveryFitsItsQueue(t *testing.T) {
	template, v := load(t), values()
	functions, err := template.Functions(v)
	if err != nil {
		t.Fatal(err)
	}
	queues, err := template.Queues(v)
	if err != nil {
		t.Fatal(err)
	}
	want := strconv.Itoa(6 * int(functions[0].Timeout.Seconds()))
	if got := queues[1].Attributes["VisibilityTimeout"]; functions[0].LogicalID != "EventDeliveryFunction" || got != want {
		t.Errorf("got a visibility timeout of %s s, want %s", got, want)
	}
	v.Physical["EventDeliveryRole"] = samtemplate.Physical{Attributes: map[string]string{"Arn": "arn:role"}}
	for partition, want := range map[string]any{"aws": "Allow", "aws-us-gov": "Allow", "aws-cn": nil} {
		v.Partition = partition
		properties, err := template.Properties("EventDeliveryFunction", v)
		if err != nil {
			t.Fatal(err)
		}
		if got := properties["RecursiveLoop"]; got != want {
			t.Errorf("%s: got RecursiveLoop %v, want %v", partition, got, want)
		}
	}
}

// Each function may do exactly what is below: whoever parses callbacks cannot read the merchant's private key.
func TestLeastPrivilege(t *testing.T) {
	v := values()
	v.Parameters = map[string]string{"VendorsSecretNames": "vendors-a,vendors-b"}
	const secret = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:"
	ids := []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
	logs := []string{"logs:CreateLogStream", "logs:PutLogEvents"}

	readAll := []any{"arn:read-merchant", "arn:read-vendors"}
	tests := []struct {
		resource string
		want     []statement
		attached []any
	}{
		{"ReadMerchantPolicy", []statement{{[]string{"secretsmanager:GetSecretValue"}, []string{secret + "wechat-parking/merchant-??????"}}}, nil},
		{"ReadVendorsPolicy", []statement{{[]string{"secretsmanager:GetSecretValue"}, []string{
			secret + "vendors-a-??????", secret + "vendors-b-??????", secret + "-??????", secret + "-??????",
		}}}, nil},
		{"ParkingSyncRole", []statement{
			{[]string{"secretsmanager:GetSecretValue"}, []string{secret + "wechat-parking/merchant-key-??????"}},
			{ids, []string{"arn:table-1"}},
			{logs, []string{"arn:logs-parkingsync"}},
		}, readAll},
		{"VehicleNotifyRole", []statement{
			{ids, []string{"arn:table-1"}},
			{logs, []string{"arn:logs-vehiclenotify"}},
		}, readAll},
		{"NotifyCallbackRole", []statement{
			{[]string{"sqs:SendMessage"}, []string{"arn:events-1"}},
			{logs, []string{"arn:logs-notifycallback"}},
		}, readAll},
		{"EventDeliveryRole", []statement{
			{[]string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}, []string{"arn:events-1"}},
			{[]string{"sqs:SendMessage"}, []string{"arn:events-1", "arn:dead-1"}},
			{[]string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}, []string{"arn:table-1"}},
			{logs, []string{"arn:logs-eventdelivery"}},
		}, []any{"arn:read-vendors"}},
		{"VendorInfoRole", []statement{{logs, []string{"arn:logs-vendorinfo"}}}, readAll},
		{"CertRefreshRole", []statement{
			{[]string{"secretsmanager:GetSecretValue"}, []string{secret + "wechat-parking/merchant-key-??????"}},
			{[]string{"secretsmanager:PutSecretValue"}, []string{secret + "wechat-parking/merchant-??????"}},
			{logs, []string{"arn:logs-certrefresh"}},
		}, []any{"arn:read-merchant"}},
	}
	template := load(t)
	for _, tt := range tests {
		t.Run(tt.resource, func(t *testing.T) {
			properties, err := template.Properties(tt.resource, v)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, statements(t, properties)); diff != "" {
				t.Errorf("statements (-want +got):\n%s", diff)
			}
			if attached := properties["ManagedPolicyArns"]; strings.HasSuffix(tt.resource, "Role") {
				if diff := cmp.Diff(tt.attached, attached); diff != "" {
					t.Errorf("attached policies (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestEveryFunctionHasItsOwnRoleAndLogs(t *testing.T) {
	v := values()
	template := load(t)
	functions, err := template.Functions(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		name := strings.TrimSuffix(f.LogicalID, "Function")
		v.Physical[name+"Role"] = samtemplate.Physical{Attributes: map[string]string{"Arn": "arn:role-" + name}}
		v.Physical[name+"Logs"] = samtemplate.Physical{Ref: "logs-" + name}
		v.Physical["HttpApi"] = samtemplate.Physical{Ref: "api-1"}
		properties, err := template.Properties(f.LogicalID, v)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := properties["Role"], "arn:role-"+name; got != want {
			t.Errorf("%s: got role %v, want %s", f.LogicalID, got, want)
		}
		want := map[string]any{"LogGroup": "logs-" + name} // LogFormat is among Globals
		if diff := cmp.Diff(want, properties["LoggingConfig"]); diff != "" {
			t.Errorf("%s: logs (-want +got):\n%s", f.LogicalID, diff)
		}
		logs, err := template.Properties(name+"Logs", v)
		if err != nil {
			t.Fatal(err)
		}
		want = map[string]any{"LogGroupName": "/aws/lambda/gateway/" + strings.ToLower(name), "RetentionInDays": "90"}
		if diff := cmp.Diff(want, logs); diff != "" {
			t.Errorf("%s: log group (-want +got):\n%s", f.LogicalID, diff)
		}
	}
}

type statement struct{ Actions, Resources []string }

// statements reads a ManagedPolicy's document, or all of a role's, and requires Allow and nothing but these keys.
func statements(t *testing.T, properties map[string]any) []statement {
	t.Helper()
	documents := []any{properties["PolicyDocument"]}
	if policies, ok := properties["Policies"].([]any); ok {
		documents = nil
		for _, p := range policies {
			documents = append(documents, p.(map[string]any)["PolicyDocument"])
		}
	}
	var all []statement
	for _, d := range documents {
		for _, s := range d.(map[string]any)["Statement"].([]any) {
			m := s.(map[string]any)
			delete(m, "Condition") // only narrows what is allowed
			if len(m) != 3 || m["Effect"] != "Allow" {
				t.Errorf("got statement %v, want Effect Allow, Action, Resource and a Condition alone", m)
			}
			all = append(all, statement{oneOrMore(m["Action"]), oneOrMore(m["Resource"])})
		}
	}
	return all
}

func oneOrMore(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	var out []string
	for _, item := range v.([]any) {
		out = append(out, item.(string))
	}
	return slices.Clip(out)
}
