package awscalls_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/awscalls"
)

// TestCalls holds what is noted of calls as the SDK really makes them, side by side.
func TestCalls(t *testing.T) {
	r := awscalls.New()
	var heard sync.Map
	server := httptest.NewServer(r.Note(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		heard.Store(req.Header.Get("X-Amz-Target"), string(body))
		_, _ = io.WriteString(w, "{}")
	}), "ParkingSync", map[string]string{
		"table-1": "IdempotencyTable", "https://sqs.example/events": "EventsQueue", "gateway/merchant": "MerchantSecretName",
	}))
	defer server.Close()
	config := aws.Config{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	key := func(pk string) map[string]dynamodbtypes.AttributeValue {
		return map[string]dynamodbtypes.AttributeValue{"pk": &dynamodbtypes.AttributeValueMemberS{Value: pk}}
	}
	tables, queues, secrets := dynamodb.NewFromConfig(config), sqs.NewFromConfig(config), secretsmanager.NewFromConfig(config)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			_, _ = tables.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("table-1"), Item: key("plate#5f0c")})
			_, _ = tables.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("table-1"), Item: key("call#acme#vehicle/notifications#in-1")})
			_, _ = tables.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("table-1"), Item: key("call#other#vehicle/notifications#in-2")})
			_, _ = tables.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("table-1"), Key: key("strange#1")})
			_, _ = tables.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("table-2"), Key: key("call#acme#events#evt_1")})
			_, _ = queues.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: aws.String("https://sqs.example/events"),
				Entries: []sqstypes.SendMessageBatchRequestEntry{{Id: aws.String("1"), MessageBody: aws.String("body")}}})
			_, _ = queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("https://sqs.example/events"), MessageBody: aws.String("body")})
			_, _ = secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("gateway/merchant")})
		})
	}
	wg.Wait()
	if _, err := http.Post(server.URL, "text/plain", strings.NewReader("no call of AWS")); err != nil {
		t.Fatal(err)
	}
	want := map[string][]awscalls.Call{"ParkingSync": {
		{Action: "dynamodb:DeleteItem", Resource: "not in the template: table-2", Key: "call#*#events#*"},
		{Action: "dynamodb:GetItem", Resource: "IdempotencyTable", Key: "not known"},
		{Action: "dynamodb:PutItem", Resource: "IdempotencyTable", Key: "call#*#vehicle/notifications#*"},
		{Action: "dynamodb:PutItem", Resource: "IdempotencyTable", Key: "plate#*"},
		{Action: "not known: ", Resource: "not known"},
		{Action: "secretsmanager:GetSecretValue", Resource: "MerchantSecretName"},
		{Action: "sqs:SendMessage", Resource: "EventsQueue"},
	}}
	if diff := cmp.Diff(want, r.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if body, ok := heard.Load("DynamoDB_20120810.PutItem"); !ok || !strings.Contains(fmt.Sprint(body), "table-1") {
		t.Errorf("the service heard %v, want the call as it was made", body)
	}
}

func TestNilRecorder(t *testing.T) {
	var none *awscalls.Recorder
	next := http.NotFoundHandler()
	if got := none.Note(next, "f", nil); fmt.Sprintf("%p", got) != fmt.Sprintf("%p", next) {
		t.Error("got another handler, want the next one")
	}
}

func Example() {
	r := awscalls.New()
	service := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	h := r.Note(service, "NotifyCallback", map[string]string{"https://sqs.example/events": "EventsQueue"})
	call := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"https://sqs.example/events"}`))
	call.Header.Set("X-Amz-Target", "AmazonSQS.SendMessageBatch")
	h.ServeHTTP(httptest.NewRecorder(), call)
	fmt.Println(r.Calls())
	// Output: map[NotifyCallback:[{sqs:SendMessage EventsQueue }]]
}
