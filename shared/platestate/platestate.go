// Package platestate remembers, for each plate, when the newest state that a vendor was sent occurred. Events of one
// plate overtake each other, since each has a retry plan of its own; with this record an older one is sent as
// superseded instead of undoing a newer one at the vendor.
//
// The delivery of vehicle.plate_state_changed events uses it: it asks [Store.Newest] before it sends an event and calls
// [Store.Advance] after the vendor took it.
//
// # What is guaranteed
//
// Advance is one conditional write, so DynamoDB decides every race: whatever the order in which calls arrive, and
// however often one is repeated, the record holds the newest moment of those whose Advance was carried out within
// [Kept] (by the clock that is furthest ahead). Newest is a strongly consistent read: it sees every Advance that
// returned nil before it began.
//
// What is not guaranteed: a newer event that is on its way to the vendor, or whose Advance failed, is not seen. So of
// two events that are sent side by side, the older may be sent as the latest; the vendor that cares compares
// occurred_at. After Kept the record counts as absent.
//
// # The item
//
// It shares the table of package idempotency, whose hash key is pk (S) and whose time to live is on expires_at (N);
// expiry is compared with the caller's clock.
//
//	pk           S  plate#<SHA-256 of vendor, mchid, sub_mchid and plate, in hexadecimal>
//	occurred_at  N  Unix milliseconds
//	expires_at   N  Unix seconds; the item counts as absent from then on
package platestate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Kept is how long a plate's newest moment is remembered after it was last moved forward.
const Kept = 7 * 24 * time.Hour

var (
	// ErrUnavailable is returned when DynamoDB did not answer, or with an error. A write may have happened all the same.
	ErrUnavailable = errors.New("platestate: store unavailable")
	// ErrMalformedRecord is returned when the item in the table is not one that this package wrote.
	ErrMalformedRecord = errors.New("platestate: malformed record")
)

// API is the part of the DynamoDB client that the store uses.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// Key says whose state is meant: what one vendor knows of one plate at one merchant. SubMchID is empty for the calling
// merchant itself.
type Key struct{ VendorID, MchID, SubMchID, PlateNumber string }

// pk keeps the plate out of the table's keys, and so out of DynamoDB's metrics and logs. None of the parts holds a NUL,
// so no two keys are the same text.
func (k Key) pk() types.AttributeValue {
	sum := sha256.Sum256([]byte(strings.Join([]string{k.VendorID, k.MchID, k.SubMchID, k.PlateNumber}, "\x00")))
	return &types.AttributeValueMemberS{Value: "plate#" + hex.EncodeToString(sum[:])}
}

// Store keeps the moments in a DynamoDB table. It is safe for concurrent use when its clock is.
type Store struct {
	api   API
	table string
	now   func() time.Time
}

// New returns a store over the table.
func New(api API, table string, now func() time.Time) *Store {
	return &Store{api: api, table: table, now: now}
}

// forward holds for a moment that is newer than the record's, and where there is no record any more.
const forward = "attribute_not_exists(#pk) OR #occurred_at < :occurred_at OR #expires_at <= :now"

// Newest returns when the newest state sent for key occurred, to the millisecond; ok is false when none is known. The
// error is one of this package's.
func (s *Store) Newest(ctx context.Context, key Key) (occurredAt time.Time, ok bool, err error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.table,
		Key:            map[string]types.AttributeValue{"pk": key.pk()},
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	if out.Item == nil {
		return time.Time{}, false, nil
	}
	expiresAt, err := integer(out.Item, "expires_at")
	if err != nil {
		return time.Time{}, false, err
	}
	if expiresAt <= s.now().Unix() {
		return time.Time{}, false, nil
	}
	milliseconds, err := integer(out.Item, "occurred_at")
	if err != nil {
		return time.Time{}, false, err
	}
	return time.UnixMilli(milliseconds), true, nil
}

// Advance notes that a state that occurred then was sent for key. Where a newer one is noted already, nothing changes
// and there is no error. Calling it again is harmless.
func (s *Store) Advance(ctx context.Context, key Key, occurredAt time.Time) error {
	now := s.now()
	moment := number(occurredAt.UnixMilli())
	_, err := s.api.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table,
		Item: map[string]types.AttributeValue{
			"pk": key.pk(), "occurred_at": moment, "expires_at": number(now.Add(Kept).Unix()),
		},
		ConditionExpression: aws.String(forward),
		ExpressionAttributeNames: map[string]string{
			"#pk": "pk", "#occurred_at": "occurred_at", "#expires_at": "expires_at",
		},
		ExpressionAttributeValues: map[string]types.AttributeValue{":occurred_at": moment, ":now": number(now.Unix())},
	})
	var newer *types.ConditionalCheckFailedException
	if err == nil || errors.As(err, &newer) {
		return nil
	}
	return fmt.Errorf("%w: write: %w", ErrUnavailable, err)
}

func integer(item map[string]types.AttributeValue, name string) (int64, error) {
	v, ok := item[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0, fmt.Errorf("%w: attribute %s", ErrMalformedRecord, name)
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: attribute %s", ErrMalformedRecord, name)
	}
	return n, nil
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
