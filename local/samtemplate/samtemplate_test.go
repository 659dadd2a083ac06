package samtemplate_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/samtemplate"
)

// good uses everything that the package knows.
const good = `AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Name: {Type: String, Default: "a,b", AllowedPattern: "[a-z,]+", MaxLength: 6}
  Days: {Type: Number, Default: 7, AllowedValues: [7, 14]}
  Most: {Type: Number, Default: 4, MinValue: 2, MaxValue: 1000}
Rules:
  ShortNeedsFew:
    RuleCondition: !Equals [7, !Ref Days]
    Assertions:
      - {Assert: !Not [!Equals [!Ref Most, 5]], AssertDescription: Days of 7 does not go with Most of 5}
Conditions:
  IsChina: !Equals [!Ref AWS::Partition, aws-cn]
  Fresh: !And [!Not [!Condition IsChina], !Equals [!Ref Days, 7]]
  Any: !Or [!Condition IsChina, !Condition Fresh]
Globals:
  Function: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, Timeout: 3, Environment: {Variables: {SHARED: "1"}}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefaultRouteSettings: {ThrottlingRateLimit: 1}
  Hello:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      Architectures: [arm64]
      Timeout: 5
      MemorySize: 128
      AutoPublishAlias: live
      Tracing: !If [IsChina, PassThrough, Active]
      ReservedConcurrentExecutions: !If [Any, !Ref AWS::NoValue, 5]
      RecursiveLoop: !If [IsChina, !Ref AWS::NoValue, Allow]
      Environment:
        Variables:
          SUB: !Sub "${Queue.QueueName}/${AWS::Region}/${!literal}/${Name}"
          SUB_MAP: !Sub ["${X}-${Name}", {X: !Ref Days}]
          JOINED: !Join ["+", [x, !Ref Days, true]]
          SECOND: !Select [1, !Split [",", !Ref Name]]
          CHOSEN: !If [Fresh, fresh, !Ref Nowhere]
          LONG: {"Fn::If": [Any, {Ref: Queue}, none]}
          ABSENT: !If [IsChina, x, !Ref AWS::NoValue]
          TABLE_ARN: !GetAtt [Table, Arn]
      Events:
        Get:
          Type: HttpApi
          Properties: {ApiId: !Ref Api, Method: GET, Path: "/{id}", PayloadFormatVersion: "2.0"}
        Jobs:
          Type: SQS
          Properties:
            Queue: {"Fn::GetAtt": [Dead, Arn]}
            BatchSize: 5
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: !Ref Most}
  ChinaOnly:
    Type: AWS::SQS::Queue
    Condition: IsChina
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: !Ref Days
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
  Dead:
    Type: AWS::SQS::Queue
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
`

func goodValues() samtemplate.Values {
	return samtemplate.Values{
		Partition: "aws", Region: "eu-west-1",
		Physical: map[string]samtemplate.Physical{
			"Queue": {Ref: "queue-url", Attributes: map[string]string{"QueueName": "queue-name"}},
			"Dead":  {Attributes: map[string]string{"Arn": "dead-arn"}},
			"Table": {Ref: "table", Attributes: map[string]string{"Arn": "table-arn"}},
		},
	}
}

func TestEvaluation(t *testing.T) {
	template, err := samtemplate.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	functions, err := template.Functions(goodValues())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"SHARED": "1", "SUB": "queue-name/eu-west-1/${literal}/a,b", "SUB_MAP": "7-a,b", "JOINED": "x+7+true", "SECOND": "b",
		"CHOSEN": "fresh", "LONG": "queue-url", "TABLE_ARN": "table-arn",
	}
	if diff := cmp.Diff(want, functions[0].Environment); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	queues, err := template.Queues(goodValues())
	if err != nil {
		t.Fatal(err)
	}
	if len(queues) != 2 || queues[0].LogicalID != "Dead" || queues[1].Attributes["VisibilityTimeout"] != "7" {
		t.Errorf("got %v, want Dead and then Queue with a visibility timeout of 7", queues)
	}
}

func TestQueueEvent(t *testing.T) {
	template, err := samtemplate.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	got, err := template.EventSources(goodValues())
	if err != nil {
		t.Fatal(err)
	}
	want := []samtemplate.EventSource{{
		Function: "Hello", QueueARN: "dead-arn", BatchSize: 5, MaximumConcurrency: 4, ReportBatchItemFailures: true,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event sources (-want +got):\n%s", diff)
	}
	routes, err := template.Routes(goodValues())
	if err != nil || len(routes) != 1 || routes[0].Key != "GET /{id}" {
		t.Errorf("got routes %v, %v, want the HTTP API's alone", routes, err)
	}
}

func TestConditionalResource(t *testing.T) {
	template, err := samtemplate.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	v := goodValues()
	v.Partition = "aws-cn"
	queues, err := template.Queues(v)
	if err != nil {
		t.Fatal(err)
	}
	if len(queues) != 3 || queues[0].LogicalID != "ChinaOnly" {
		t.Errorf("got %v, want ChinaOnly among the three", queues)
	}
}

// readAll asks for everything that a template holds.
func readAll(b []byte, v samtemplate.Values) error {
	t, err := samtemplate.Parse(b)
	if err != nil {
		return err
	}
	_, errFunctions := t.Functions(v)
	_, errRoutes := t.Routes(v)
	_, errTables := t.Tables(v)
	_, errQueues := t.Queues(v)
	_, errSources := t.EventSources(v)
	return errors.Join(errFunctions, errRoutes, errTables, errQueues, errSources)
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name, old, new string
		want           error
		says           string
	}{
		{"unknown tag", "!Ref Days, 7]", "!ImportValue Days, 7]", samtemplate.ErrUnsupported, "tag !ImportValue"},
		{"unknown tag where nobody looks", "Resources:", "Outputs: {A: {Value: !Base64 x}}\nResources:", samtemplate.ErrUnsupported, "tag !Base64"},
		{"unknown function", `"Fn::If"`, `"Fn::FindInMap"`, samtemplate.ErrUnsupported, "function Fn::FindInMap"},
		{"function beside another key", "{Ref: Queue}", "{Ref: Queue, Other: x}", samtemplate.ErrInvalid, "Ref beside other keys"},
		{"unknown section", "Globals:", "Mappings: {}\nGlobals:", samtemplate.ErrUnsupported, "Mappings"},
		{"unknown property of a rule", "    Assertions:\n", "    Else: x\n    Assertions:\n", samtemplate.ErrUnsupported, "ShortNeedsFew: Else"},
		{"rule without assertions", "    Assertions:\n", "    Assertion:\n", samtemplate.ErrInvalid, "ShortNeedsFew: Assertions: "},
		{"unknown property of an assertion", "AssertDescription:", "AssertText:", samtemplate.ErrUnsupported, "AssertText"},
		{"rule that is no condition", "RuleCondition: !Equals [7, !Ref Days]", "RuleCondition: !Ref Days", samtemplate.ErrInvalid, "rule ShortNeedsFew: "},
		{"rule against a default", "Default: 4", "Default: 5", samtemplate.ErrInvalid, "rule ShortNeedsFew: invalid template: Days of 7 does not go with Most of 5"},
		{"reserved concurrency", "[Any, !Ref AWS::NoValue, 5]", "[Any, 5, 6]", samtemplate.ErrUnsupported, "ReservedConcurrentExecutions: other than absent"},
		{"networks", "AutoPublishAlias: live", "VpcConfig: {SubnetIds: [subnet-1]}", samtemplate.ErrUnsupported, "VpcConfig: other than absent"},
		{"unknown property of the API", "DefaultRouteSettings:", "CorsConfiguration:", samtemplate.ErrUnsupported, "CorsConfiguration"},
		{"unknown global", "  Function: {CodeUri", "  Api: {CodeUri", samtemplate.ErrUnsupported, "Globals: Api"},
		{"unknown type", "AWS::Serverless::HttpApi", "AWS::Serverless::Api", samtemplate.ErrUnsupported, "AWS::Serverless::Api"},
		{"unknown resource attribute", "Condition: IsChina", "CreationPolicy: {}", samtemplate.ErrUnsupported, "ChinaOnly: CreationPolicy"},
		{"unknown function property", "MemorySize: 128", "SnapStart: x", samtemplate.ErrUnsupported, "Hello: SnapStart"},
		{"unknown queue property", "VisibilityTimeout:", "FifoQueue:", samtemplate.ErrUnsupported, "Queue: FifoQueue"},
		{"unknown redrive property", "maxReceiveCount: 3", "maxReceives: 3", samtemplate.ErrUnsupported, "maxReceives"},
		{"unknown table property", "KeySchema:", "StreamSpecification: {}\n      KeySchema:", samtemplate.ErrUnsupported, "StreamSpecification"},
		{"range key", "KeyType: HASH", "KeyType: RANGE", samtemplate.ErrUnsupported, "RANGE instead of HASH"},
		{"key not defined", "[{AttributeName: pk, AttributeType: S}]", "[{AttributeName: id, AttributeType: S}]", samtemplate.ErrInvalid, "must name one attribute"},
		{"unknown event", "Type: HttpApi", "Type: S3", samtemplate.ErrUnsupported, "S3 instead of HttpApi"},
		{"unknown queue event property", "BatchSize: 5", "MaximumBatchingWindowInSeconds: 5", samtemplate.ErrUnsupported, "MaximumBatchingWindowInSeconds"},
		{"queue event without a queue", `            Queue: {"Fn::GetAtt": [Dead, Arn]}` + "\n", "", samtemplate.ErrInvalid, "an SQS event without Queue"},
		{"batch too large", "BatchSize: 5", "BatchSize: 11", samtemplate.ErrInvalid, "BatchSize"},
		{"other function response", "[ReportBatchItemFailures]", "[Other]", samtemplate.ErrUnsupported, "Other instead of ReportBatchItemFailures"},
		{"unknown scaling property", "{MaximumConcurrency: !Ref Most}", "{MinimumPollers: 2}", samtemplate.ErrUnsupported, "must hold MaximumConcurrency alone"},
		{"too little concurrency", "MaximumConcurrency: !Ref Most", "MaximumConcurrency: 1", samtemplate.ErrInvalid, "must be 2 to 1000"},
		{"unknown way with loops", "!Ref AWS::NoValue, Allow]", "!Ref AWS::NoValue, Permit]", samtemplate.ErrInvalid, "must be Allow or Terminate"},
		{"default below its least", "Default: 4", "Default: 1", samtemplate.ErrInvalid, "not between MinValue and MaxValue"},
		{"least of a text", `AllowedPattern: `, "MinValue: 1, AllowedPattern: ", samtemplate.ErrInvalid, "for numbers"},
		{"most not a number", "MaxValue: 1000", "MaxValue: x", samtemplate.ErrInvalid, "must be a number"},
		{"implicit API", "ApiId: !Ref Api, ", "", samtemplate.ErrUnsupported, "an event without ApiId"},
		{"other API", "ApiId: !Ref Api", "ApiId: !Ref Queue", samtemplate.ErrUnsupported, "must be !Ref of an HTTP API"},
		{"stage", "DefaultRouteSettings: {ThrottlingRateLimit: 1}", "StageName: v1", samtemplate.ErrUnsupported, "v1 instead of $default"},
		{"payload 1.0", `PayloadFormatVersion: "2.0"`, `PayloadFormatVersion: "1.0"`, samtemplate.ErrUnsupported, "PayloadFormatVersion"},
		{"any method", "Method: GET", "Method: ANY", samtemplate.ErrUnsupported, `route "ANY"`},
		{"route twice", "        Get:\n", "        Again: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: '/{id}', PayloadFormatVersion: '2.0'}}\n        Get:\n", samtemplate.ErrInvalid, "it is there twice"},
		{"key twice", "MemorySize: 128", "Timeout: 6", samtemplate.ErrInvalid, `"Timeout" is there twice`},
		{"alias", "Architectures: [arm64]", "Architectures: &a [arm64]", samtemplate.ErrUnsupported, "anchors and aliases"},
		{"second document", "Transform: AWS::Serverless-2016-10-31", "---\nTransform: AWS::Serverless-2016-10-31", samtemplate.ErrInvalid, "something follows"},
		{"not YAML", "Resources:", "Resources: ]", samtemplate.ErrInvalid, "yaml"},
		{"octal", "MemorySize: 128", "MemorySize: 0200", samtemplate.ErrUnsupported, `number "0200"`},
		{"two architectures", "[arm64]", "[arm64, x86_64]", samtemplate.ErrUnsupported, "2 items"},
		{"list in Globals too", "Function: {", "Function: {Architectures: [arm64], ", samtemplate.ErrUnsupported, "in Globals and in a function"},
		{"no such name", "!Ref Days, true", "!Ref Dayz, true", samtemplate.ErrInvalid, "Dayz"},
		{"not made yet", "{Ref: Queue}", "{Ref: Dead}", samtemplate.ErrUnresolved, "Dead"},
		{"attribute not supplied", "Queue.QueueName", "Queue.Arn", samtemplate.ErrUnresolved, "Queue.Arn"},
		{"region not supplied", "AWS::Region", "AWS::AccountId", samtemplate.ErrUnresolved, "AWS::AccountId"},
		{"no such item", "!Select [1", "!Select [2", samtemplate.ErrInvalid, "no item 2"},
		{"no such condition", "!If [Fresh", "!If [Stale", samtemplate.ErrInvalid, "Stale"},
		{"circular condition", "Fresh: !And [!Not [!Condition IsChina]", "Fresh: !And [!Not [!Condition Any]", samtemplate.ErrInvalid, "depends on itself"},
		{"dead-letter queue is none", "!GetAtt Dead.Arn", "!GetAtt Table.Arn", samtemplate.ErrInvalid, "must be the ARN of a queue"},
		{"dead-letter queue redrives", "!GetAtt Dead.Arn", "!GetAtt Queue.Arn", samtemplate.ErrUnsupported, "redrive policy itself"},
		{"parameter type", "Type: Number, Default: 7", "Type: CommaDelimitedList, Default: 7", samtemplate.ErrUnsupported, "CommaDelimitedList instead of String"},
		{"parameter property", "AllowedPattern: ", "MinLength: 1, AllowedPattern: ", samtemplate.ErrUnsupported, "MinLength"},
		{"default against its pattern", `"[a-z,]+"`, `"[a-z]+"`, samtemplate.ErrInvalid, "does not match AllowedPattern"},
		{"default not allowed", "Default: 7", "Default: 8", samtemplate.ErrInvalid, "not one of AllowedValues"},
		{"parameter without a value", `Default: "a,b", `, "", samtemplate.ErrUnresolved, "parameter Name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Count(good, tt.old) != 1 {
				t.Fatalf("%q is in the template %d times, want once", tt.old, strings.Count(good, tt.old))
			}
			err := readAll([]byte(strings.Replace(good, tt.old, tt.new, 1)), goodValues())
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.want, tt.says)
			}
		})
	}
}

func TestParameters(t *testing.T) {
	template, err := samtemplate.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, parameter, value string
		want                   error
	}{
		{"allowed", "Days", "14", nil},
		{"not allowed", "Days", "15", samtemplate.ErrInvalid},
		{"not a number", "Days", "x", samtemplate.ErrInvalid},
		{"refused by a rule", "Most", "5", samtemplate.ErrInvalid},
		{"least", "Most", "2", nil},
		{"most", "Most", "1000", nil},
		{"below the least", "Most", "1", samtemplate.ErrInvalid},
		{"above the most", "Most", "1001", samtemplate.ErrInvalid},
		{"pattern matches the whole value", "Name", "ab-c", samtemplate.ErrInvalid},
		{"as long as it may be", "Name", "a,b,cd", nil},
		{"too long", "Name", "a,b,cde", samtemplate.ErrInvalid},
		{"unknown", "Nmae", "x", samtemplate.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := goodValues()
			v.Parameters = map[string]string{tt.parameter: tt.value}
			if _, err := template.Queues(v); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	real, err := os.ReadFile("../../template.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(real)
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := readAll(b, goodValues())
		for _, known := range []error{nil, samtemplate.ErrInvalid, samtemplate.ErrUnsupported, samtemplate.ErrUnresolved} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Errorf("got %v, want one of the package's errors", err)
	})
}

func Example() {
	template, err := samtemplate.Load("../../template.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	v := samtemplate.Values{Partition: "aws", Physical: map[string]samtemplate.Physical{}}
	queues, _ := template.Queues(v)
	tables, _ := template.Tables(v)
	for _, q := range queues { // make each, and say what it is called
		v.Physical[q.LogicalID] = samtemplate.Physical{Ref: "http://127.0.0.1/" + q.LogicalID}
	}
	for _, table := range tables {
		v.Physical[table.LogicalID] = samtemplate.Physical{Ref: "local-" + table.LogicalID}
	}
	functions, _ := template.Functions(v)
	for _, f := range functions {
		fmt.Println(f.LogicalID, f.Timeout, f.Environment["IDEMPOTENCY_TABLE"]+f.Environment["EVENTS_QUEUE_URL"])
	}
	// Output:
	// EventDeliveryFunction 30s local-IdempotencyTablehttp://127.0.0.1/EventsQueue
	// NotifyCallbackFunction 5s http://127.0.0.1/EventsQueue
	// ParkingSyncFunction 15s local-IdempotencyTable
	// VehicleNotifyFunction 15s local-IdempotencyTable
	// VendorInfoFunction 10s
}
