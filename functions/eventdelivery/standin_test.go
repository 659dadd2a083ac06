package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/egress"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/platestate"
	"wechat-parking-gateway/shared/secrets"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/vendor"
)

// newFunction puts the function together as main does, over stand-ins for AWS: a sandbox of its own, with its own cached
// secrets, circuits and connections. Its log lines are written and thrown away.
func newFunction(api secrets.API, table *table, queue queue, roots *x509.CertPool) lambda.Handler {
	d := &delivery.Deliverer{
		Vendors: secrets.New(api, []string{"vendors"}, vendor.Parse),
		Sender:  sender{egress.New(egress.Options{AllowLoopback: true, Timeout: delivery.Timeout, RootCAs: roots})},
		Seen:    idempotency.New(table, "table", time.Now, rand.Reader, idempotency.KeepFor(delivery.Kept)),
		States:  platestate.New(table, "table", time.Now),
		Circuit: delivery.NewCircuit(time.Now),
		Now:     time.Now,
		Random:  mathrand.Int64N,
	}
	h := &handler{
		deliverer: d, queue: queue, eventsURL: eventsURL, deadURL: deadURL, now: time.Now,
		logger: telemetry.NewLogger(slog.NewJSONHandler(io.Discard, nil)),
	}
	return lambda.NewHandler(h.handle)
}

// plateEvent returns the queue message of a plate's state that changed: of all events the one that takes the most work.
// No two numbers have a plate in common.
func plateEvent(b *testing.B, vendorID string, n int) string {
	b.Helper()
	m := event.Message{
		ID: event.V2ID(strconv.Itoa(n), vendorID), VendorID: vendorID, Type: event.VehiclePlateStateChanged,
		Timestamp: "2026-11-22T18:00:00+08:00",
		Data: fmt.Appendf(nil, `{"mchid":"1900000100","sub_mchid":"1900000109","plate_number":"粤B%05d","password_free_available":false,`+
			`"state":"BLOCKED","reason":"OVERDUE","deduct_mode":"PROACTIVE","occurred_at":"2026-11-22T18:00:00+08:00",`+
			`"wechatpay":{"appid":"wxcbda96de0b165486","mch_id":"1900000100","sub_mch_id":"1900000109","openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",`+
			`"plate_number_info":"粤B%05d","vehicle_event_type":"BLOCKED","vehicle_event_createtime":"20261122180000"}}`, n, n),
	}
	body, err := m.Encode()
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// secretsManager holds one secret.
type secretsManager struct{ document string }

func (s secretsManager) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(s.document), VersionId: aws.String("1")}, nil
}

// vendorsAt returns the vendors' secret for webhook URLs by vendor id.
func vendorsAt(b *testing.B, urls map[string]string) secretsManager {
	b.Helper()
	vendors := make(map[string]any, len(urls))
	for id, url := range urls {
		vendors[id] = map[string]any{
			"request_secrets": []string{"whsec_cmVxdWVzdCBzZWNyZXQ="}, "webhook_secrets": []string{"whsec_d2ViaG9vayBzZWNyZXQ="},
			"webhook_url": url, "merchants": []map[string]string{{"sub_mchid": "1900000109"}},
		}
	}
	document, err := json.Marshal(map[string]any{"vendors": vendors})
	if err != nil {
		b.Fatal(err)
	}
	return secretsManager{string(document)}
}

type item = map[string]dynamotypes.AttributeValue

// table is a DynamoDB table that the two stores share, with what their conditions mean in place of the expressions. It
// forgets its oldest items beyond room, so that what grows in a long run is not the stand-in.
type table struct {
	room int

	mu    sync.Mutex
	items map[string]item
	order []string // of items, the oldest first
}

func newTable(room int) *table { return &table{room: room, items: make(map[string]item)} }

func pkOf(key item) string { return key["pk"].(*dynamotypes.AttributeValueMemberS).Value }

func numberOf(i item, name string) int64 {
	v, ok := i[name].(*dynamotypes.AttributeValueMemberN)
	if !ok {
		return 0
	}
	n, _ := strconv.ParseInt(v.Value, 10, 64)
	return n
}

func (t *table) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pk := pkOf(in.Item)
	old, there := t.items[pk]
	refused := there && numberOf(old, "lease") > time.Now().UnixMilli() || old["status"] != nil
	if strings.HasPrefix(pk, "plate#") {
		refused = there && numberOf(old, "occurred_at") >= numberOf(in.Item, "occurred_at")
	}
	if refused {
		return nil, &dynamotypes.ConditionalCheckFailedException{Item: old}
	}
	if !there {
		t.order = append(t.order, pk)
	}
	t.items[pk] = in.Item
	if len(t.order) > t.room {
		delete(t.items, t.order[0])
		t.order = slices.Delete(t.order, 0, 1)
	}
	return &dynamodb.PutItemOutput{}, nil
}

// UpdateItem completes a claim.
func (t *table) UpdateItem(_ context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, there := t.items[pkOf(in.Key)]
	if !there {
		return nil, &dynamotypes.ConditionalCheckFailedException{}
	}
	delete(i, "lease")
	for _, name := range []string{"state", "status", "body", "expires_at"} {
		i[name] = in.ExpressionAttributeValues[":"+name]
	}
	i["state"] = in.ExpressionAttributeValues[":done"]
	return &dynamodb.UpdateItemOutput{}, nil
}

// DeleteItem gives a claim back.
func (t *table) DeleteItem(_ context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pk := pkOf(in.Key)
	delete(t.items, pk)
	if i := slices.Index(t.order, pk); i >= 0 {
		t.order = slices.Delete(t.order, i, i+1)
	}
	return &dynamodb.DeleteItemOutput{}, nil
}

func (t *table) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &dynamodb.GetItemOutput{Item: t.items[pkOf(in.Key)]}, nil
}

// fairQueue is a standard queue whose messages have a group, as far as an event source and the function use one. It is
// fair in this way: of the messages that wait, the next is of the group that has the fewest in flight, and among those the
// oldest. (Amazon SQS Developer Guide, "Amazon SQS fair queues": messages of groups that have disproportionately many in
// flight come after the others'; the exact rule is not published.) Messages that were received stay hidden.
type fairQueue struct {
	mu       sync.Mutex
	sent     int
	waiting  []*queued // that may be received, the oldest first
	inFlight map[string]int
	groups   map[string]string // by receipt handle, of messages in flight
	arrived  chan struct{}     // closed and replaced when a message may be received
}

type queued struct {
	types.Message
	group string
}

func newFairQueue() *fairQueue {
	return &fairQueue{inFlight: make(map[string]int), groups: make(map[string]string), arrived: make(chan struct{})}
}

// SendMessage takes a message, and forgets one for the dead-letter queue.
func (q *fairQueue) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if aws.ToString(in.QueueUrl) == deadURL {
		return &sqs.SendMessageOutput{}, nil
	}
	q.mu.Lock()
	q.sent++
	id := strconv.Itoa(q.sent)
	q.mu.Unlock()
	m := &queued{
		Message: types.Message{MessageId: &id, ReceiptHandle: &id, Body: in.MessageBody, MessageAttributes: in.MessageAttributes},
		group:   aws.ToString(in.MessageGroupId),
	}
	if in.DelaySeconds > 0 {
		time.AfterFunc(time.Duration(in.DelaySeconds)*time.Second, func() { q.show(m) })
	} else {
		q.show(m)
	}
	return &sqs.SendMessageOutput{}, nil
}

func (q *fairQueue) show(m *queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, m)
	close(q.arrived)
	q.arrived = make(chan struct{})
}

func (q *fairQueue) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	ends := time.NewTimer(time.Duration(in.WaitTimeSeconds) * time.Second)
	defer ends.Stop()
	for {
		found, arrived := q.take(int(in.MaxNumberOfMessages))
		if len(found) > 0 {
			return &sqs.ReceiveMessageOutput{Messages: found}, nil
		}
		select {
		case <-arrived:
		case <-ends.C:
			return &sqs.ReceiveMessageOutput{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take puts messages in flight.
func (q *fairQueue) take(count int) (found []types.Message, arrived <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(found) < count && len(q.waiting) > 0 {
		next := 0
		for i, m := range q.waiting {
			if q.inFlight[m.group] < q.inFlight[q.waiting[next].group] {
				next = i
			}
		}
		m := q.waiting[next]
		q.waiting = slices.Delete(q.waiting, next, next+1)
		q.inFlight[m.group]++
		q.groups[*m.ReceiptHandle] = m.group
		found = append(found, m.Message)
	}
	return found, q.arrived
}

func (q *fairQueue) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range in.Entries {
		q.inFlight[q.groups[*e.ReceiptHandle]]--
		delete(q.groups, *e.ReceiptHandle)
	}
	return &sqs.DeleteMessageBatchOutput{}, nil
}

// authority issued the certificate of every httptest server that speaks TLS.
func authority(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// bareClient is net/http's client with as many connections as there are events side by side.
func bareClient(b *testing.B, roots *x509.CertPool) func(url string, body []byte) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: batchSize}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: delivery.Timeout}
	return func(url string, body []byte) error {
		res, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
}
