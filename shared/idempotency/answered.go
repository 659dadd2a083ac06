package idempotency

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// GetAPI is the part of the DynamoDB client that Answered uses.
type GetAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Answered tells an operator's tool whether a request has its answer, without claiming anything: for an event, whether
// the vendor took it.
func Answered(ctx context.Context, api GetAPI, table string, key Key, now time.Time) (bool, error) {
	pk, err := key.pk()
	if err != nil {
		return false, err
	}
	out, err := api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}},
	})
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(out.Item) == 0 {
		return false, nil
	}
	r, err := parseRecord(out.Item)
	if err != nil {
		return false, err
	}
	return r.state == done && now.Unix() < r.expiresAt, nil
}
