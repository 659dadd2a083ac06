package platestate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type item = map[string]types.AttributeValue

var errNetwork = errors.New("connection reset by peer")

// fakeDynamoDB is one table. It evaluates conditions made of attribute_not_exists and of comparisons of numbers, joined
// by OR, and refuses placeholders that are unused or undefined.
type fakeDynamoDB struct {
	mu    sync.Mutex
	items map[string]item
	down  bool
}

func newFake() *fakeDynamoDB { return &fakeDynamoDB{items: map[string]item{}} }

func keyOf(i item) string { return i["pk"].(*types.AttributeValueMemberS).Value }

func (f *fakeDynamoDB) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errNetwork
	}
	if !aws.ToBool(in.ConsistentRead) || len(in.Key) != 1 {
		return nil, errors.New("fake: want a consistent read of a hash key")
	}
	return &dynamodb.GetItemOutput{Item: maps.Clone(f.items[keyOf(in.Key)])}, nil
}

func (f *fakeDynamoDB) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errNetwork
	}
	met, err := holds(f.items[keyOf(in.Item)], in)
	if err != nil {
		return nil, err
	}
	if !met {
		// The client returns it inside an operation error.
		return nil, fmt.Errorf("operation error DynamoDB: %w", &types.ConditionalCheckFailedException{})
	}
	f.items[keyOf(in.Item)] = maps.Clone(in.Item)
	return &dynamodb.PutItemOutput{}, nil
}

// holds evaluates the condition of a put over the old item.
func holds(old item, in *dynamodb.PutItemInput) (bool, error) {
	used := map[string]bool{}
	met := false
	for term := range strings.SplitSeq(aws.ToString(in.ConditionExpression), " OR ") {
		if placeholder, ok := strings.CutPrefix(term, "attribute_not_exists("); ok {
			placeholder = strings.TrimSuffix(placeholder, ")")
			used[placeholder] = true
			_, exists := old[in.ExpressionAttributeNames[placeholder]]
			met = met || !exists
			continue
		}
		words := strings.Fields(term)
		if len(words) != 3 {
			return false, errors.New("fake: cannot read the term " + term)
		}
		used[words[0]], used[words[2]] = true, true
		left, there := old[in.ExpressionAttributeNames[words[0]]].(*types.AttributeValueMemberN)
		right, ok := in.ExpressionAttributeValues[words[2]].(*types.AttributeValueMemberN)
		if !ok {
			return false, errors.New("fake: undefined value " + words[2])
		}
		met = met || there && compare(left.Value, words[1], right.Value)
	}
	if len(used) != len(in.ExpressionAttributeNames)+len(in.ExpressionAttributeValues) {
		return false, errors.New("fake: a placeholder is unused or undefined")
	}
	return met, nil
}

func compare(left, operator, right string) bool {
	l, errLeft := strconv.ParseInt(left, 10, 64)
	r, errRight := strconv.ParseInt(right, 10, 64)
	if errLeft != nil || errRight != nil {
		panic("fake: not a number")
	}
	switch operator {
	case "<":
		return l < r
	case "<=":
		return l <= r
	}
	panic("fake: unknown operator " + operator)
}
