// Package idempotency gives one answer per request id. A vendor that repeats a
// request, because an answer was lost or a queue of its own delivered twice,
// gets the stored answer instead of a second call to WeChat Pay.
//
// The functions that serve vendors use it, after a request is authenticated and
// validated and before WeChat Pay is called:
//
//	Claim ── Claimed ──▶ call WeChat Pay ──▶ Complete (keep the answer)
//	   │                              └────▶ Release  (nothing worth keeping: let a repeat try again)
//	   ├──── Replay ───▶ send the stored answer
//	   ├──── Mismatch ─▶ the id was used for another request
//	   └──── Running ──▶ the first request is still at work
//
// The delivery of events uses it in the same way, so that an event that a vendor
// took is not sent to it again: there an event stands in place of a request, and
// the vendor in place of WeChat Pay.
//
// # What is guaranteed
//
// Every step is one conditional write of one item, so DynamoDB decides every
// race. With clocks that agree within [Margin]:
//
//   - Of any number of callers that claim one key at one time, one is Claimed.
//     Nobody else is until it has called Release, or its deadline and Margin
//     have passed without Complete. Lambda ends an invocation at its deadline,
//     so a second claimant never works beside a first one that still runs.
//   - After Complete has returned nil, and for [Kept] (or what [KeepFor] says)
//     from its first call, by the clock that is furthest ahead, every Claim of
//     the key is a Replay of exactly
//     that answer, or a Mismatch. No write of an earlier claimant changes it, not
//     even one the network delivers late.
//   - Complete and Release by a claimant that was overtaken change nothing and
//     return ErrLostClaim.
//
// Clocks further apart than Margin can let two claimants work at a time; the
// last to claim is then the only one whose answer is kept.
//
// What is not guaranteed: a claimant that ends without Complete or Release
// (killed, or DynamoDB out of reach) may have called WeChat Pay; after its lease
// the same request is Claimed again and calls a second time. Until then, and
// when a Claim itself fails although its write went through, callers hear
// Running. Another request under that id is a Mismatch even past the lease: the
// id stays bound to the request that used it first, until Kept has passed or the
// claim is released.
//
// # The item
//
// The table's hash key is pk (S). Time to live is on expires_at (N, Unix
// seconds), but DynamoDB may take days to delete: expiry is compared with the
// caller's clock, in the condition of the claim.
//
//	pk           S  call#<vendor>#<route>#<id>
//	state        S  running | done
//	owner        S  the claimant's token, 32 hexadecimal digits
//	fingerprint  B  SHA-256 of the validated request
//	lease        N  Unix milliseconds; a running claim may be taken over from then on
//	expires_at   N  Unix seconds; the item counts as absent from then on
//	status, body N, B  the answer, when done
package idempotency

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	// Margin is how long a claim outlives its claimant's deadline, and so how far
	// two clocks may be apart.
	Margin = 5 * time.Second
	// Kept is how long an answer is replayed, and an id bound to its request,
	// where KeepFor says nothing else.
	Kept = 72 * time.Hour
)

var (
	// ErrLostClaim is returned by Complete and Release when the claim is not the
	// caller's any more: its lease passed and another claimant took over.
	ErrLostClaim = errors.New("idempotency: claim lost to another claimant")
	// ErrUnavailable is returned when DynamoDB did not answer, or with an error
	// (and when the random source fails). The write may have happened all the same.
	ErrUnavailable = errors.New("idempotency: store unavailable")
	// ErrMalformedRecord is returned when the item in the table is not one that
	// this package wrote.
	ErrMalformedRecord = errors.New("idempotency: malformed record")
	// ErrInvalidArgument is returned for a key that could be mistaken for
	// another, and for a deadline that has passed. Nothing is written.
	ErrInvalidArgument = errors.New("idempotency: invalid argument")
)

// API is the part of the DynamoDB client that the store uses.
type API interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// Key says which request an answer belongs to: an id is unique for one vendor
// and one route. No part is empty; VendorID and ID hold no '#'.
type Key struct{ VendorID, Route, ID string }

func (k Key) pk() (string, error) {
	if k.VendorID == "" || k.Route == "" || k.ID == "" {
		return "", fmt.Errorf("%w: a part of the key is empty", ErrInvalidArgument)
	}
	if strings.Contains(k.VendorID, "#") || strings.Contains(k.ID, "#") {
		return "", fmt.Errorf("%w: the key holds the separator #", ErrInvalidArgument)
	}
	return "call#" + k.VendorID + "#" + k.Route + "#" + k.ID, nil
}

// Answer is what is stored, and replayed.
type Answer struct {
	Status int
	Body   []byte
}

// Outcome is what a Claim came to.
type Outcome int

const (
	// Claimed means that the request is the caller's to carry out.
	Claimed Outcome = iota + 1
	// Replay means that the request was answered before.
	Replay
	// Mismatch means that the id belongs to another request.
	Mismatch
	// Running means that the same request is being carried out.
	Running
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	switch o {
	case Claimed:
		return "claimed"
	case Replay:
		return "replay"
	case Mismatch:
		return "mismatch"
	case Running:
		return "running"
	}
	return "Outcome(" + strconv.Itoa(int(o)) + ")"
}

// Result is the outcome of a Claim and what goes with it.
type Result struct {
	Outcome Outcome
	// Claim is set when Claimed.
	Claim *Claim
	// Answer is set when Replay.
	Answer Answer
	// RetryAfter is set when Running: the time until the claim's lease ends, in
	// whole seconds and at least one. By then the request has been answered or
	// may be claimed.
	RetryAfter time.Duration
}

// Claim is the right to carry out one request and to record its answer.
type Claim struct{ pk, owner string }

// Store keeps answers in a DynamoDB table. It is safe for concurrent use when
// its clock and its random source are.
type Store struct {
	api    API
	table  string
	now    func() time.Time
	random io.Reader
	kept   time.Duration
}

// Option changes how a [Store] works.
type Option func(*Store)

// KeepFor replaces [Kept], in whole seconds. All stores of one kind of key must
// agree on it.
func KeepFor(d time.Duration) Option { return func(s *Store) { s.kept = d } }

// New returns a store over the table. Owner tokens are read from random, which
// in production is crypto/rand.Reader.
func New(api API, table string, now func() time.Time, random io.Reader, options ...Option) *Store {
	s := &Store{api: api, table: table, now: now, random: random, kept: Kept}
	for _, option := range options {
		option(s)
	}
	return s
}

const (
	running = "running"
	done    = "done"
)

// Names in expressions go through placeholders: state, owner and status are
// among DynamoDB's reserved words.
const (
	claimCondition = "attribute_not_exists(#pk) OR #expires_at <= :now_s" +
		" OR (#state = :running AND #lease <= :now_ms AND #fingerprint = :fingerprint)"
	completeCondition = "#owner = :owner"
	completeUpdate    = "SET #state = :done, #status = :status, #body = :body, #expires_at = :expires_at REMOVE #lease"
	releaseCondition  = "attribute_not_exists(#pk) OR (#owner = :owner AND #state = :running)"
)

// Claim asks for the right to carry out the request with this fingerprint, a
// hash of the validated request, under key. The deadline is when the invocation
// ends at the latest; it must lie ahead.
//
// It is one conditional write. A claim that finds its own owner token (the write
// went through, its answer was lost and the client repeated it) is Claimed. An
// error is one of this package's and leaves open whether a claim was written.
func (s *Store) Claim(ctx context.Context, key Key, fingerprint [32]byte, deadline time.Time) (Result, error) {
	pk, err := key.pk()
	if err != nil {
		return Result{}, err
	}
	now := s.now()
	if !deadline.After(now) {
		return Result{}, fmt.Errorf("%w: the deadline has passed", ErrInvalidArgument)
	}
	owner, err := s.newOwner()
	if err != nil {
		return Result{}, err
	}
	_, err = s.api.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table,
		Item: map[string]types.AttributeValue{
			"pk":          text(pk),
			"state":       text(running),
			"owner":       text(owner),
			"fingerprint": binary(fingerprint[:]),
			"lease":       number(leaseEnd(deadline)),
			"expires_at":  number(now.Add(s.kept).Unix()),
		},
		ConditionExpression:      new(claimCondition),
		ExpressionAttributeNames: names("pk", "expires_at", "state", "lease", "fingerprint"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":now_s":       number(now.Unix()),
			":now_ms":      number(now.UnixMilli()),
			":running":     text(running),
			":fingerprint": binary(fingerprint[:]),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	claim := &Claim{pk: pk, owner: owner}
	if err == nil {
		return Result{Outcome: Claimed, Claim: claim}, nil
	}
	var refused *types.ConditionalCheckFailedException
	if !errors.As(err, &refused) {
		return Result{}, fmt.Errorf("%w: claim: %w", ErrUnavailable, err)
	}
	old, err := parseRecord(refused.Item)
	if err != nil {
		return Result{}, err
	}
	switch {
	case old.owner == owner:
		return Result{Outcome: Claimed, Claim: claim}, nil
	case old.expiresAt <= now.Unix():
		// The condition takes an expired item for absent; one that was refused
		// all the same is not to be replayed.
		return Result{}, fmt.Errorf("%w: refused although expired", ErrMalformedRecord)
	case !bytes.Equal(old.fingerprint, fingerprint[:]):
		return Result{Outcome: Mismatch}, nil
	case old.state == done:
		return Result{Outcome: Replay, Answer: old.answer}, nil
	default:
		return Result{Outcome: Running, RetryAfter: untilLease(old.lease, now)}, nil
	}
}

// Complete records the answer of a claimed request and keeps it for Kept, or for
// what KeepFor says. Calling it again with the same answer is harmless. A claim past its lease is completed
// all the same, unless another claimant took over.
func (s *Store) Complete(ctx context.Context, c *Claim, a Answer) error {
	_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                &s.table,
		Key:                      map[string]types.AttributeValue{"pk": text(c.pk)},
		UpdateExpression:         new(completeUpdate),
		ConditionExpression:      new(completeCondition),
		ExpressionAttributeNames: names("owner", "state", "status", "body", "expires_at", "lease"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":owner":      text(c.owner),
			":done":       text(done),
			":status":     number(int64(a.Status)),
			":body":       binary(a.Body),
			":expires_at": number(s.now().Add(s.kept).Unix()),
		},
	})
	return ended("complete", err)
}

// Release gives a claim back without an answer: the next Claim of the key, by
// whatever request, is Claimed. Releasing a claim that is already gone is
// harmless. A completed one stays, and the release is ErrLostClaim.
func (s *Store) Release(ctx context.Context, c *Claim) error {
	_, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                &s.table,
		Key:                      map[string]types.AttributeValue{"pk": text(c.pk)},
		ConditionExpression:      new(releaseCondition),
		ExpressionAttributeNames: names("pk", "owner", "state"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":owner":   text(c.owner),
			":running": text(running),
		},
	})
	return ended("release", err)
}

func ended(step string, err error) error {
	if err == nil {
		return nil
	}
	var refused *types.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return ErrLostClaim
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, step, err)
}

// newOwner draws a token that no other claim has: 128 random bits.
func (s *Store) newOwner() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", fmt.Errorf("%w: owner token: %w", ErrUnavailable, err)
	}
	return hex.EncodeToString(b[:]), nil
}

// leaseEnd returns when a claim may be taken over, in Unix milliseconds, rounded
// up: a lease never ends early.
func leaseEnd(deadline time.Time) int64 {
	return deadline.Add(Margin + time.Millisecond - 1).UnixMilli()
}

// untilLease returns how long a running claim has left, in whole seconds.
func untilLease(lease int64, now time.Time) time.Duration {
	left := time.UnixMilli(lease).Sub(now)
	seconds := math.Ceil(left.Seconds())
	return time.Duration(max(seconds, 1)) * time.Second
}
