//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/encoding/cbor"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/shared/stdwebhook"
)

// deployed is a stack of an AWS account. What CloudFormation and CloudWatch say of it comes from stand-ins, since the
// emulator's CloudFormation is not installed and its CloudWatch does not speak the SDK's protocol; all else comes from the
// emulator.
type deployed struct {
	*world
	status              string
	parameters, outputs map[string]string
	resources           map[string]string // physical id to type
	alarms              map[string]string // name to state
	oldest              time.Duration     // the age of the oldest event, 0 for no data
}

const deployedName = "parking-prod"

// newDeployed makes one, and points the environment at it as a profile would.
func newDeployed(t *testing.T, documents map[string]string) *deployed {
	t.Helper()
	w := newWorld(t, documents)
	d := &deployed{world: w, status: "UPDATE_COMPLETE", parameters: map[string]string{
		"MerchantSecretName": w.state.MerchantSecret, "MerchantKeySecretName": w.state.MerchantKeySecret,
		"VendorsSecretNames": w.state.VendorsSecrets[0], "WeChatPayBaseUrl": "http://127.0.0.1:1",
	}, outputs: map[string]string{
		"ApiUrl": "https://gateway.example.com", "EventsQueueUrl": w.state.EventsQueueURL, "EventsDeadLetterQueueUrl": w.state.DeadLetterQueueURL,
		"Version": "0.0.1",
	}, resources: map[string]string{}, alarms: map[string]string{}}
	server, watch := httptest.NewServer(http.HandlerFunc(d.cloudFormation)), httptest.NewServer(http.HandlerFunc(d.cloudWatch))
	t.Cleanup(server.Close)
	t.Cleanup(watch.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": w.endpoint, "AWS_ENDPOINT_URL_CLOUDFORMATION": server.URL, "AWS_ENDPOINT_URL_CLOUDWATCH": watch.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_REGION": moto.Region, "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_SESSION_TOKEN": "", stackVariable: "",
	} {
		t.Setenv(name, value)
	}
	return d
}

// cloudFormation answers as the Query API does.
func (d *deployed) cloudFormation(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("StackName")
	w.Header().Set("Content-Type", "text/xml")
	if name != deployedName {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>`, name)
		return
	}
	switch r.FormValue("Action") {
	case "DescribeStacks":
		fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>%s</StackName><CreationTime>2026-11-30T00:00:00Z</CreationTime><StackStatus>%s</StackStatus><Parameters>`, name, d.status)
		for key, value := range d.parameters {
			fmt.Fprintf(w, `<member><ParameterKey>%s</ParameterKey><ParameterValue>%s</ParameterValue></member>`, key, value)
		}
		fmt.Fprint(w, `</Parameters><Outputs>`)
		for key, value := range d.outputs {
			fmt.Fprintf(w, `<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>`, key, value)
		}
		fmt.Fprint(w, `</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
	case "ListStackResources":
		fmt.Fprint(w, `<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>`)
		for id, kind := range d.resources {
			fmt.Fprintf(w, `<member><LogicalResourceId>X</LogicalResourceId><PhysicalResourceId>%s</PhysicalResourceId><ResourceType>%s</ResourceType><LastUpdatedTimestamp>2026-11-30T00:00:00Z</LastUpdatedTimestamp><ResourceStatus>CREATE_COMPLETE</ResourceStatus></member>`, id, kind)
		}
		fmt.Fprint(w, `</StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>`)
	default:
		http.Error(w, "no such action", http.StatusBadRequest)
	}
}

// cloudWatch answers as its CBOR protocol does.
func (d *deployed) cloudWatch(w http.ResponseWriter, r *http.Request) {
	answer := cbor.Map{}
	switch r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] {
	case "DescribeAlarms":
		var list cbor.List
		for name, state := range d.alarms {
			list = append(list, cbor.Map{"AlarmName": cbor.String(name), "StateValue": cbor.String(state), "StateUpdatedTimestamp": epoch(time.Now())})
		}
		answer["MetricAlarms"] = list
	case "GetMetricStatistics":
		if d.oldest > 0 {
			answer["Datapoints"] = cbor.List{cbor.Map{"Timestamp": epoch(time.Now()), "Maximum": cbor.Float64(d.oldest.Seconds())}}
		}
	default:
		http.Error(w, "no such operation", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	// A client that has gone away is no fault.
	_, _ = w.Write(cbor.Encode(answer))
}

func epoch(at time.Time) *cbor.Tag {
	return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(at.UnixMilli()) / 1000)}
}

// parkctl runs a command line for this stack.
func (d *deployed) parkctl(args ...string) result {
	d.t.Helper()
	return parkctl(d.t, append(args, "--stack", deployedName)...)
}

// goodDocuments are secrets that are in order.
func goodDocuments(t *testing.T) (*fixture.World, map[string]string) {
	t.Helper()
	world, err := fixture.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]string{}
	for name, v := range map[string]any{"merchant": world.Merchant, "merchant-key": world.MerchantKey, "vendors": world.Vendors} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		documents[name] = string(b)
	}
	return world, documents
}

// TestDeployedVendor: what a command needs of a stack comes from the stack, and before it writes it says where.
func TestDeployedVendor(t *testing.T) {
	_, documents := goodDocuments(t)
	d := newDeployed(t, documents)
	t.Chdir(t.TempDir())
	got := d.parkctl("vendor", "add", "acme", "--sub-mchid", "1900000109", "--vehicle")
	if got.status != 0 || !strings.Contains(got.log, "profile default, region cn-north-1, account 123456789012, stack parking-prod") {
		t.Fatalf("got %+v, want it to say where it writes", got)
	}
	if file := readHandOver(t, "acme.gateway.env"); file.BaseURL != "https://gateway.example.com" {
		t.Errorf("got the address %s, want the stack's", file.BaseURL)
	}
	if got := d.parkctl("events", "list"); got.status != 0 || !strings.Contains(got.log, "0 undelivered") {
		t.Errorf("got %+v, want the stack's queues", got)
	}
	if got := parkctl(t, "vendor", "list", "--stack", "parking-prot"); got.status != failedStatus || !strings.Contains(got.log, "no such stack: parking-prot in region cn-north-1") {
		t.Errorf("got %+v, want a mistyped stack named", got)
	}
	t.Setenv(stackVariable, deployedName)
	if got := parkctl(t, "vendor", "list", "--json"); got.status != 0 || !strings.Contains(got.out, `"vendor":"acme"`) {
		t.Errorf("got %+v, want the stack of %s", got, stackVariable)
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if got := parkctl(t, "vendor", "list"); got.status != failedStatus || !strings.Contains(got.log, "no AWS region: pass --region") {
		t.Errorf("got %+v, want a missing region named", got)
	}
}

// TestDeployedSecretInit: secrets are made before their stack is.
func TestDeployedSecretInit(t *testing.T) {
	c := newConsole(t)
	newDeployed(t, nil)
	t.Chdir(c.folder)
	prefix := fmt.Sprint("before-", time.Now().UnixNano())
	got := parkctl(t, "secret", "init", "--stack", "not-yet", "--mode", "partner", "--mchid", fixture.MchID, "--appid", fixture.AppID,
		"--public-key", c.publicKeyID+"=pub_key.pem", "--api-v2-key-file", "v2.txt", "--api-v3-key-file", "v3.txt",
		"--merchant-secret", prefix+"/m", "--merchant-key-secret", prefix+"/k", "--vendors-secret", prefix+"/v")
	if got.status != 0 || !strings.Contains(got.log, "There is no stack not-yet") || !strings.Contains(got.log, "stack not-yet") || strings.Count(got.out, "created") != 3 {
		t.Errorf("got %+v, want three secrets, and to hear that the stack is not there", got)
	}
}

// TestCallADeployment: a call goes to the stack's address as a vendor of its secrets, or where a hand-over file says, and
// is signed as the functions verify it.
func TestCallADeployment(t *testing.T) {
	world, documents := goodDocuments(t)
	d := newDeployed(t, documents)
	t.Chdir(t.TempDir())
	secret := world.RequestSecret(fixture.VendorID)
	var verdict error
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			verdict = err
			return
		}
		message, err := stdwebhook.ParseHeader(r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature"))
		if err == nil {
			var parsed stdwebhook.Secret
			if parsed, err = stdwebhook.ParseSecret(secret); err == nil {
				err = message.Verify(body, []stdwebhook.Secret{parsed})
			}
		}
		verdict = err
		w.WriteHeader(http.StatusNoContent)
	}))
	defer gateway.Close()
	d.outputs["ApiUrl"] = gateway.URL
	if got := d.parkctl("call", "parking", "--vendor", fixture.VendorID); got.status != 0 || !strings.Contains(got.out, "HTTP 204") || verdict != nil {
		t.Errorf("got %+v, %v, want a call that verifies", got, verdict)
	}
	if got := d.parkctl("call", "parking"); got.status != usageStatus || !strings.Contains(got.log, "--vendor") {
		t.Errorf("got %+v, want the vendor asked for", got)
	}
	got := d.parkctl("vendor", "add", "acme", "--sub-mchid", "1900000109", "--vehicle")
	if got.status != 0 {
		t.Fatalf("got %+v", got)
	}
	secret = readHandOver(t, "acme.gateway.env").RequestSecret
	verdict = io.EOF
	if got := parkctl(t, "call", "entry", "--handover", "acme.gateway.env", "--json"); got.status != 0 || !strings.Contains(got.out, `"status":204`) || verdict != nil {
		t.Errorf("got %+v, %v, want a call that verifies", got, verdict)
	}
	if got := parkctl(t, "call", "entry", "--handover", "acme.gateway.env", "--vendor", "other"); got.status != usageStatus {
		t.Errorf("got %+v, want two vendors refused", got)
	}
}

// lines are a doctor's lines by what they are about.
func lines(t *testing.T, out string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for text := range strings.Lines(out) {
		var line struct{ Status, What, Detail, Do string }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if line.Status != "ok" && line.Do == "" {
			t.Errorf("%s: it does not say what to do", text)
		}
		found[line.What] = line.Status + " " + line.Detail
	}
	return found
}

// TestDoctor: each thing that is out of order has its line, and one that fails makes the status 1.
func TestDoctor(t *testing.T) {
	_, documents := goodDocuments(t)
	d := newDeployed(t, documents)
	server := emulated(t)
	alarm := deployedName + "-FunctionErrorsAlarm-1ABC"
	d.resources[alarm] = "AWS::CloudWatch::Alarm"
	d.alarms[alarm] = "OK"
	tableName, hashKey := fmt.Sprint("table-", time.Now().UnixNano()), "pk"
	if _, err := dynamodb.NewFromConfig(server.Config()).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &tableName, BillingMode: dynamodbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: &hashKey, AttributeType: dynamodbtypes.ScalarAttributeTypeS}},
		KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: &hashKey, KeyType: dynamodbtypes.KeyTypeHash}},
	}); err != nil {
		t.Fatal(err)
	}
	d.outputs["IdempotencyTableName"] = tableName
	off := time.Duration(0)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusNotFound)
	}))
	defer elsewhere.Close()
	d.outputs["ApiUrl"], d.parameters["WeChatPayBaseUrl"] = elsewhere.URL, elsewhere.URL

	got := d.parkctl("doctor", "--json")
	found := lines(t, got.out)
	if got.status != 0 {
		t.Errorf("got %+v, want warnings alone", got)
	}
	for what, want := range map[string]string{
		"region": "ok cn-north-1, partition aws-cn", "credentials": "ok account 123456789012", "stack": "warn parking-prod is UPDATE_COMPLETE, version 0.0.1",
		"secrets": "ok merchant 10000098", "encryption": "ok", "events queue": "ok 0 waiting", "dead letters": "ok none", "table": "warn " + tableName,
		"ICP": "warn AWS China serves no API", "address": "ok", "WeChat Pay": "ok", "clock": "ok", "alarms": "ok 1, none in ALARM",
	} {
		if !strings.HasPrefix(found[what], want) {
			t.Errorf("%s: got %q, want %q", what, found[what], want)
		}
	}

	// Everything that can be out of order.
	d.alarms[alarm], d.oldest = "ALARM", time.Hour
	body := `{"id":"evt_1","vendor_id":"acme","type":"gateway.ping"}`
	if _, err := sqs.NewFromConfig(server.Config()).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &d.state.DeadLetterQueueURL, MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
	d.status, d.outputs["ApiUrl"], off = "UPDATE_ROLLBACK_FAILED", "http://127.0.0.1:1", 10*time.Minute
	d.outputs["IdempotencyTableName"] = "nowhere"
	key := "arn:aws-cn:kms:cn-north-1:123456789012:key/5f4b2f7e-0000-4000-8000-000000000000"
	if _, err := d.secrets.UpdateSecret(t.Context(), &secretsmanager.UpdateSecretInput{SecretId: &d.state.MerchantKeySecret, KmsKeyId: &key}); err != nil {
		t.Fatal(err)
	}
	d.parameters["MerchantSecretName"] = "nowhere"
	got = d.parkctl("doctor", "--json")
	found = lines(t, got.out)
	if got.status != failedStatus {
		t.Errorf("got %+v, want status 1", got)
	}
	for what, want := range map[string]string{
		"stack": "fail parking-prod is UPDATE_ROLLBACK_FAILED", "secrets": "fail errors: 1, warnings: 0; the first: nowhere: there is no such secret", "dead letters": "warn 1 events", "table": "fail",
		"encryption": "fail " + d.state.MerchantKeySecret, "address": "fail", "alarm": "fail " + alarm, "events queue": "warn 0 waiting, 0 in delivery, 0 for a later try, the oldest 1h0m0s",
	} {
		if !strings.HasPrefix(found[what], want) {
			t.Errorf("%s: got %q, want %q", what, found[what], want)
		}
	}
	if !strings.Contains(got.out, `"status":"fail","what":"clock","detail":"-`) {
		t.Errorf("got %s, want a clock that is far off", got.out)
	}
	d.parameters["WeChatPayBaseUrl"] = "http://127.0.0.1:1"
	if found := lines(t, d.parkctl("doctor", "--json").out); !strings.HasPrefix(found["WeChat Pay"], "warn") || !strings.Contains(found["WeChat Pay"], "not reached from this machine") {
		t.Errorf("got %q, want an unreachable WeChat Pay to be a warning", found["WeChat Pay"])
	}
	if got := parkctl(t, "doctor", "--stack", "nowhere"); got.status != failedStatus || !strings.Contains(got.out, "fail  stack") {
		t.Errorf("got %+v, want a missing stack among the lines", got)
	}
}
