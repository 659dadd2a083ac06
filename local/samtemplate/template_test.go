package samtemplate_test

import (
	"slices"
	"strconv"
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
	v.Symbolic = true
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
