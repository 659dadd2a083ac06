package idempotency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type item = map[string]types.AttributeValue

// fault is what happens to one call on its way.
type fault int

const (
	noFault      fault = iota
	answerLost         // the call is carried out, its answer is lost, the client repeats it
	allLost            // the call is carried out, and so is no repetition: the caller gets an error
	neverArrived       // the call is not carried out; the caller gets an error
)

var errNetwork = errors.New("connection reset by peer")

// fakeDynamoDB is one table. It evaluates the expressions it is sent, as far as
// this package uses the language, and refuses what the real one refuses: names
// that are not placeholders, placeholders that are unused or undefined.
type fakeDynamoDB struct {
	mu    sync.Mutex
	items map[string]item
	next  fault
	// late holds the calls whose caller has given up: the network may still
	// deliver them.
	late []func()
}

func newFake() *fakeDynamoDB { return &fakeDynamoDB{items: map[string]item{}} }

// call carries out do under the fault that is due.
func (f *fakeDynamoDB) call(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := f.next
	f.next = noFault
	switch due {
	case answerLost:
		_ = do()
		return do()
	case allLost:
		_ = do()
		f.late = append(f.late, func() { _ = do() })
		return errNetwork
	case neverArrived:
		f.late = append(f.late, func() { _ = do() })
		return errNetwork
	}
	return do()
}

func (f *fakeDynamoDB) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := f.call(func() error {
		x := newExpression(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
		pk := keyOf(in.Item)
		if err := f.check(x, pk, in.ConditionExpression, in.ReturnValuesOnConditionCheckFailure); err != nil {
			return err
		}
		f.items[pk] = maps.Clone(in.Item)
		return x.unused()
	})
	return &dynamodb.PutItemOutput{}, err
}

func (f *fakeDynamoDB) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := f.call(func() error {
		x := newExpression(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
		pk := keyOf(in.Key)
		if err := f.check(x, pk, in.ConditionExpression, in.ReturnValuesOnConditionCheckFailure); err != nil {
			return err
		}
		updated := maps.Clone(f.items[pk])
		if updated == nil {
			updated = maps.Clone(in.Key)
		}
		x.update(updated, aws.ToString(in.UpdateExpression))
		f.items[pk] = updated
		return x.unused()
	})
	return &dynamodb.UpdateItemOutput{}, err
}

func (f *fakeDynamoDB) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := f.call(func() error {
		x := newExpression(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
		pk := keyOf(in.Key)
		if err := f.check(x, pk, in.ConditionExpression, in.ReturnValuesOnConditionCheckFailure); err != nil {
			return err
		}
		delete(f.items, pk)
		return x.unused()
	})
	return &dynamodb.DeleteItemOutput{}, err
}

func keyOf(i item) string { return i["pk"].(*types.AttributeValueMemberS).Value }

func (f *fakeDynamoDB) check(x *expression, pk string, condition *string, returned types.ReturnValuesOnConditionCheckFailure) error {
	old, exists := f.items[pk]
	if x.condition(old, aws.ToString(condition)) {
		return nil
	}
	refused := &types.ConditionalCheckFailedException{Message: aws.String("The conditional request failed")}
	if exists && returned == types.ReturnValuesOnConditionCheckFailureAllOld {
		refused.Item = maps.Clone(old)
	}
	// The client returns it inside an operation error.
	return fmt.Errorf("operation error DynamoDB: %w", refused)
}

// expression evaluates condition and update expressions. A mistake in one of
// them panics: no test means to make one.
type expression struct {
	names  map[string]string
	values item
	used   map[string]bool
	tokens []string
	old    item
}

func newExpression(names map[string]string, values item) *expression {
	return &expression{names: names, values: values, used: map[string]bool{}}
}

var token = regexp.MustCompile(`\s*(<=|=|\(|\)|,|[#:]?[A-Za-z_]+)`)

func (x *expression) scan(text string) {
	x.tokens = nil
	for text = strings.TrimSpace(text); text != ""; {
		at := token.FindStringSubmatchIndex(text)
		if at == nil || at[0] != 0 {
			panic("fake: cannot read expression at " + text)
		}
		x.tokens = append(x.tokens, text[at[2]:at[3]])
		text = text[at[1]:]
	}
}

func (x *expression) peek() string {
	if len(x.tokens) == 0 {
		return ""
	}
	return x.tokens[0]
}

func (x *expression) take() string {
	t := x.peek()
	x.tokens = x.tokens[min(1, len(x.tokens)):]
	return t
}

func (x *expression) expect(want string) {
	if got := x.take(); got != want {
		panic("fake: got " + got + ", want " + want)
	}
}

func (x *expression) condition(old item, text string) bool {
	x.scan(text)
	x.old = old
	met := x.or()
	if len(x.tokens) > 0 {
		panic("fake: left over: " + strings.Join(x.tokens, " "))
	}
	return met
}

func (x *expression) or() bool {
	met := x.and()
	for x.peek() == "OR" {
		x.take()
		right := x.and()
		met = met || right
	}
	return met
}

func (x *expression) and() bool {
	met := x.term()
	for x.peek() == "AND" {
		x.take()
		right := x.term()
		met = met && right
	}
	return met
}

func (x *expression) term() bool {
	switch x.peek() {
	case "(":
		x.take()
		met := x.or()
		x.expect(")")
		return met
	case "attribute_not_exists":
		x.take()
		x.expect("(")
		_, exists := x.old[x.name()]
		x.expect(")")
		return !exists
	}
	left := x.operand()
	operator := x.take()
	right := x.operand()
	return compare(left, operator, right)
}

// name takes an attribute's placeholder. A bare name would collide with one of
// DynamoDB's reserved words some day.
func (x *expression) name() string {
	placeholder := x.take()
	name, ok := x.names[placeholder]
	if !ok {
		panic("fake: undefined name " + placeholder)
	}
	x.used[placeholder] = true
	return name
}

func (x *expression) operand() types.AttributeValue {
	if !strings.HasPrefix(x.peek(), ":") {
		return x.old[x.name()]
	}
	placeholder := x.take()
	value, ok := x.values[placeholder]
	if !ok {
		panic("fake: undefined value " + placeholder)
	}
	x.used[placeholder] = true
	return value
}

// compare is false for an absent attribute and for two types.
func compare(left types.AttributeValue, operator string, right types.AttributeValue) bool {
	var order int
	switch l := left.(type) {
	case *types.AttributeValueMemberN:
		r, ok := right.(*types.AttributeValueMemberN)
		if !ok {
			return false
		}
		order = rational(l.Value).Cmp(rational(r.Value))
	case *types.AttributeValueMemberS:
		r, ok := right.(*types.AttributeValueMemberS)
		if !ok {
			return false
		}
		order = strings.Compare(l.Value, r.Value)
	case *types.AttributeValueMemberB:
		r, ok := right.(*types.AttributeValueMemberB)
		if !ok {
			return false
		}
		order = bytes.Compare(l.Value, r.Value)
	default:
		return false
	}
	switch operator {
	case "=":
		return order == 0
	case "<=":
		return order <= 0
	}
	panic("fake: unknown operator " + operator)
}

func rational(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("fake: not a number: " + s)
	}
	return r
}

func (x *expression) update(i item, text string) {
	x.scan(text)
	x.old = maps.Clone(i)
	for len(x.tokens) > 0 {
		switch clause := x.take(); clause {
		case "SET":
			for {
				name := x.name()
				x.expect("=")
				i[name] = x.operand()
				if x.peek() != "," {
					break
				}
				x.take()
			}
		case "REMOVE":
			for {
				delete(i, x.name())
				if x.peek() != "," {
					break
				}
				x.take()
			}
		default:
			panic("fake: unknown clause " + clause)
		}
	}
}

// unused is DynamoDB's ValidationException for placeholders that no expression
// mentions.
func (x *expression) unused() error {
	for name := range x.names {
		if !x.used[name] {
			return errors.New("fake: unused name " + name)
		}
	}
	for value := range x.values {
		if !x.used[value] {
			return errors.New("fake: unused value " + value)
		}
	}
	return nil
}

// refusing refuses every put with the same old item.
type refusing struct {
	*fakeDynamoDB
	old item
}

func (r refusing) PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return nil, &types.ConditionalCheckFailedException{Item: r.old}
}
