//go:build e2e

package moto_test

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/local/samtemplate"
)

// What the repository's template asks for is what moto then says there is.
func TestCreate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := moto.Start(ctx, "../../.venv/bin/moto_server", filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	template, err := samtemplate.Load("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v := samtemplate.Values{
		Partition: "aws-cn", URLSuffix: "amazonaws.com.cn", Region: moto.Region, AccountID: "123456789012", StackName: "gateway",
	}
	if v.Physical, err = server.Create(ctx, template, v); err != nil {
		t.Fatal(err)
	}
	const account = ":cn-north-1:123456789012:"
	want := map[string]samtemplate.Physical{
		"EventsQueue": {
			Ref: server.URL() + "/123456789012/gateway-EventsQueue",
			Attributes: map[string]string{
				"Arn": "arn:aws-cn:sqs" + account + "gateway-EventsQueue", "QueueName": "gateway-EventsQueue",
			},
		},
		"EventsDeadLetterQueue": {
			Ref: server.URL() + "/123456789012/gateway-EventsDeadLetterQueue",
			Attributes: map[string]string{
				"Arn": "arn:aws-cn:sqs" + account + "gateway-EventsDeadLetterQueue", "QueueName": "gateway-EventsDeadLetterQueue",
			},
		},
		"IdempotencyTable": {
			Ref:        "gateway-IdempotencyTable",
			Attributes: map[string]string{"Arn": "arn:aws-cn:dynamodb" + account + "table/gateway-IdempotencyTable"},
		},
	}
	if diff := cmp.Diff(want, v.Physical); diff != "" {
		t.Fatalf("made (-want +got):\n%s", diff)
	}

	t.Run("queues", func(t *testing.T) { checkQueues(ctx, t, sqs.NewFromConfig(server.Config()), v) })
	t.Run("table", func(t *testing.T) {
		checkTable(ctx, t, dynamodb.NewFromConfig(server.Config()), "gateway-IdempotencyTable")
	})
	t.Run("settings", func(t *testing.T) {
		functions, err := template.Functions(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := functions[0].Environment["EVENTS_QUEUE_URL"]; got != want["EventsQueue"].Ref {
			t.Errorf("got EVENTS_QUEUE_URL %q, want %q", got, want["EventsQueue"].Ref)
		}
	})
	t.Run("secrets", func(t *testing.T) {
		_, err := secretsmanager.NewFromConfig(server.Config()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{
			Name: aws.String("wechat-parking/merchant"), SecretString: aws.String("{}"),
		})
		if err != nil {
			t.Error(err)
		}
	})

	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(server.URL(), "http://")); err == nil {
		c.Close()
		t.Error("got a connection after Close, want none")
	}
}

func checkQueues(ctx context.Context, t *testing.T, client *sqs.Client, v samtemplate.Values) {
	attributes := func(id string) map[string]string {
		out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: aws.String(v.Physical[id].Ref), AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.Attributes
	}
	events, dead := attributes("EventsQueue"), attributes("EventsDeadLetterQueue")
	for name, want := range map[string]string{
		"MessageRetentionPeriod": "1209600", "VisibilityTimeout": "180", "ReceiveMessageWaitTimeSeconds": "20",
	} {
		if got := events[name]; got != want {
			t.Errorf("EventsQueue: got %s %q, want %q", name, got, want)
		}
	}
	if got := dead["MessageRetentionPeriod"]; got != "1209600" {
		t.Errorf("EventsDeadLetterQueue: got MessageRetentionPeriod %q, want 1209600", got)
	}
	var policy struct {
		Arn     string      `json:"deadLetterTargetArn"`
		Maximum json.Number `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(events["RedrivePolicy"]), &policy); err != nil {
		t.Fatal(err)
	}
	if policy.Arn != v.Physical["EventsDeadLetterQueue"].Attributes["Arn"] || policy.Maximum != "1000" {
		t.Errorf("got redrive policy %+v, want the dead-letter queue after 1000 receives", policy)
	}
}

func checkTable(ctx context.Context, t *testing.T, client *dynamodb.Client, name string) {
	table, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	got := table.Table
	if key := got.KeySchema; len(key) != 1 || aws.ToString(key[0].AttributeName) != "pk" || key[0].KeyType != dynamodbtypes.KeyTypeHash {
		t.Errorf("got key %+v, want the hash key pk", key)
	}
	if d := got.AttributeDefinitions; len(d) != 1 || d[0].AttributeType != dynamodbtypes.ScalarAttributeTypeS {
		t.Errorf("got attributes %+v, want pk of type S", d)
	}
	if got.BillingModeSummary == nil || got.BillingModeSummary.BillingMode != dynamodbtypes.BillingModePayPerRequest {
		t.Errorf("got billing %+v, want PAY_PER_REQUEST", got.BillingModeSummary)
	}
	if got.SSEDescription == nil || got.SSEDescription.Status != dynamodbtypes.SSEStatusEnabled {
		t.Errorf("got encryption %+v, want it enabled", got.SSEDescription)
	}
	ttl, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if d := ttl.TimeToLiveDescription; aws.ToString(d.AttributeName) != "expires_at" || d.TimeToLiveStatus != dynamodbtypes.TimeToLiveStatusEnabled {
		t.Errorf("got time to live %+v, want expires_at", d)
	}
	backups, err := client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if d := backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription; d.PointInTimeRecoveryStatus != dynamodbtypes.PointInTimeRecoveryStatusEnabled {
		t.Errorf("got point-in-time recovery %+v, want it enabled", d)
	}
}
