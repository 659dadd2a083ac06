// Package secretstore edits the document of a secret in AWS Secrets Manager beside others who edit it with this package:
// nobody's change is lost, whoever else writes at the same time.
//
// PutSecretValue has no condition on what it replaces. What it has is a token, which becomes the new version's id, and a
// version is never written twice. [Store.Edit] derives the token from the version that it read, so that of all who read
// one version a single one can follow it; the others are refused, read what came of it, and change that.
//
// A version that was made current again by moving its label has a follower already. Edit sees that and takes the next
// token of the row, which is the same for all who meet that version.
//
// The operator's tool and the function that refreshes certificates import it. It knows nothing of what is in a document.
// Source: AWS Secrets Manager API Reference, "PutSecretValue".
package secretstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
)

// MaxSize is the most bytes that a secret holds.
const MaxSize = 65536

// current is the label of the version that everybody reads.
const current = "AWSCURRENT"

// A writer that lost waits for a time drawn from zero to a bound, which doubles from the first to the last of these.
const (
	firstWait = 20 * time.Millisecond
	lastWait  = 2 * time.Second
)

var (
	// ErrNotFound says that there is no such secret, or that it has no value.
	ErrNotFound = errors.New("there is no such secret with a value in this account and region")

	// ErrTooLarge says that the changed document does not fit a secret. Nothing was written.
	ErrTooLarge = errors.New("the document would be larger than a secret may be")

	// ErrContended says that the context ended while others kept writing. Nothing was written.
	ErrContended = errors.New("others kept changing the secret")

	// ErrUnknownOutcome says that the write was sent and that no answer came: it may have been done or not.
	ErrUnknownOutcome = errors.New("the secret may have been changed or not: look at it before you repeat this")
)

// API is what a [Store] calls. *secretsmanager.Client has it.
type API interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	PutSecretValue(context.Context, *secretsmanager.PutSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error)
}

// Store reads and edits secrets. It is safe for concurrent use.
type Store struct {
	api    API
	int64n func(n int64) int64
}

// Option changes how a [Store] works.
type Option func(*Store)

// WithRandom makes the store draw its waits with int64n, which returns a number in [0, n), instead of [rand.Int64N].
func WithRandom(int64n func(n int64) int64) Option {
	return func(s *Store) { s.int64n = int64n }
}

// New returns a store over api.
func New(api API, opts ...Option) *Store {
	s := &Store{api: api, int64n: rand.Int64N}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// Version is one version of a secret.
type Version struct {
	ID       string
	Document []byte

	binary bool // it is kept as SecretBinary
	label  bool // it is the current one
}

// Read returns the current version of a secret.
func (s *Store) Read(ctx context.Context, secretID string) (Version, error) {
	return s.read(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secretID, VersionStage: aws.String(current)})
}

// Result is what became of an edit.
type Result struct {
	// Version is the current one: the one that was written, or the one that needed no change.
	Version Version
	// Written tells whether a version was written.
	Written bool
	// Tries counts how often change was called: once more for each time that another writer was first.
	Tries int
}

// Edit changes a secret's document. change gets the current one, which it must not modify, and returns what is to be there
// instead; it is called again with the newer document whenever another writer was first, so it must decide anew each time
// and must not count on having been called once. When it returns the same bytes, nothing is written. Its error ends the
// edit and is returned as it is.
//
// Edit repeats until it is first or ctx ends. Where every other writer uses Edit too, none of them loses a change. Nothing
// holds back one that writes without looking, a person in the console: what it writes is taken as it is by the next Edit,
// but in the few milliseconds between Edit's look and its write it is overwritten, and is then the version AWSPREVIOUS.
func (s *Store) Edit(ctx context.Context, secretID string, change func(document []byte) ([]byte, error)) (Result, error) {
	for tries := 1; ; tries++ {
		v, err := s.Read(ctx, secretID)
		if err != nil {
			return Result{Tries: tries - 1}, s.contended(ctx, tries, err)
		}
		document, err := change(v.Document)
		if err != nil || bytes.Equal(document, v.Document) {
			return Result{Version: v, Tries: tries}, err
		}
		if len(document) > MaxSize {
			return Result{Version: v, Tries: tries}, fmt.Errorf("%w: %d bytes of at most %d", ErrTooLarge, len(document), MaxSize)
		}
		next, err := s.follow(ctx, secretID, v, document)
		if err == nil {
			return Result{Version: next, Written: true, Tries: tries}, nil
		}
		if !errors.Is(err, errLost) {
			return Result{Version: v, Tries: tries}, s.contended(ctx, tries, err)
		}
		if !s.wait(ctx, tries) {
			return Result{Version: v, Tries: tries}, fmt.Errorf("%w: %d tries: %w", ErrContended, tries, ctx.Err())
		}
	}
}

// errLost says that another writer was first.
var errLost = errors.New("another writer was first")

// follow writes the version after v.
func (s *Store) follow(ctx context.Context, secretID string, v Version, document []byte) (Version, error) {
	for row := 0; ; row++ {
		token := follower(v.ID, row)
		taken, err := s.read(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secretID, VersionId: &token})
		switch {
		case errors.Is(err, ErrNotFound):
			return s.put(ctx, secretID, token, Version{ID: token, Document: document, binary: v.binary, label: true})
		case err != nil:
			return Version{}, err
		case taken.label:
			return Version{}, errLost
		}
		// v was followed once and was made current again later, or has just been overtaken by more than one version. The
		// latter must not be undone.
		if now, err := s.Read(ctx, secretID); err != nil {
			return Version{}, err
		} else if now.ID != v.ID {
			return Version{}, errLost
		}
	}
}

// follower returns the id of the version that follows another, in the form of a UUID, as the console shows it.
func follower(versionID string, row int) string {
	sum := sha256.Sum256([]byte("follows\n" + versionID + "\n" + strconv.Itoa(row)))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func (s *Store) put(ctx context.Context, secretID, token string, v Version) (Version, error) {
	in := &secretsmanager.PutSecretValueInput{SecretId: &secretID, ClientRequestToken: &token, VersionStages: []string{current}}
	if v.binary {
		in.SecretBinary = v.Document
	} else {
		in.SecretString = aws.String(string(v.Document))
	}
	_, err := s.api.PutSecretValue(ctx, in)
	if err == nil {
		return v, nil
	}
	if _, exists := errors.AsType[*types.ResourceExistsException](err); exists {
		return Version{}, errLost
	}
	api, answered := errors.AsType[smithy.APIError](err)
	if !answered {
		return Version{}, fmt.Errorf("writing the secret %s: %w: %w", secretID, ErrUnknownOutcome, ended(ctx))
	}
	// The message of a refused request may repeat what was sent.
	refused := &refusedError{action: "PutSecretValue", secret: secretID, cause: api, quiet: true}
	// The SDK repeats a request, and the answer is the last attempt's: one before it, whose answer was lost, may have
	// written, and so may one that was answered 500.
	written, err := s.read(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secretID, VersionId: &token})
	switch {
	case errors.Is(err, ErrNotFound):
		return Version{}, refused
	case err != nil:
		return Version{}, fmt.Errorf("writing the secret %s: %w: %w", secretID, ErrUnknownOutcome, refused)
	case !bytes.Equal(written.Document, v.Document):
		return Version{}, errLost
	}
	return v, nil
}

func (s *Store) read(ctx context.Context, in *secretsmanager.GetSecretValueInput) (Version, error) {
	out, err := s.api.GetSecretValue(ctx, in)
	secretID := aws.ToString(in.SecretId)
	if err != nil {
		api, answered := errors.AsType[smithy.APIError](err)
		switch {
		case answered && api.ErrorCode() == (*types.ResourceNotFoundException)(nil).ErrorCode():
			return Version{}, fmt.Errorf("%w: %s", ErrNotFound, secretID)
		case answered:
			return Version{}, &refusedError{action: "GetSecretValue", secret: secretID, cause: api}
		}
		// The error of an answer that could not be decoded quotes the answer.
		return Version{}, fmt.Errorf("reading the secret %s: Secrets Manager cannot be reached or does not answer: %w", secretID, ended(ctx))
	}
	v := Version{ID: aws.ToString(out.VersionId), Document: out.SecretBinary, binary: out.SecretString == nil}
	if out.SecretString != nil {
		v.Document = []byte(*out.SecretString)
	}
	for _, stage := range out.VersionStages {
		v.label = v.label || stage == current
	}
	return v, nil
}

// limitExceeded is the code of an account's limits, of which a secret's number of versions is the one that is met here.
const limitExceeded = "LimitExceededException"

// errNoAnswer stands for a transport's error, which may quote what was sent or received.
var errNoAnswer = errors.New("no answer")

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return errNoAnswer
}

// contended says that others were in the way where ctx ended after a lost try.
func (s *Store) contended(ctx context.Context, tries int, err error) error {
	if tries > 1 && ctx.Err() != nil && !errors.Is(err, ErrUnknownOutcome) {
		return fmt.Errorf("%w: %d tries: %w", ErrContended, tries, ctx.Err())
	}
	return err
}

// wait waits before another try, and returns false when ctx ended.
func (s *Store) wait(ctx context.Context, tries int) bool {
	bound := lastWait
	if doublings := tries - 1; doublings < 7 {
		bound = min(lastWait, firstWait<<doublings)
	}
	timer := time.NewTimer(time.Duration(s.int64n(int64(bound) + 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refusedError is an answer of Secrets Manager that says no.
type refusedError struct {
	action, secret string
	cause          smithy.APIError
	quiet          bool // its message may hold what was sent
}

func (e *refusedError) Error() string {
	text := "the secret " + e.secret + ": Secrets Manager refused " + e.action + ": " + e.cause.ErrorCode()
	if e.cause.ErrorCode() == limitExceeded {
		return text + ": a secret takes about a hundred versions in 24 hours; put several changes into one, or wait"
	}
	// Who may not do what is said in the message alone, and it holds nothing else.
	if e.quiet && e.cause.ErrorCode() != "AccessDeniedException" {
		return text
	}
	return text + ": " + e.cause.ErrorMessage()
}

// ErrorCode returns the service's code.
func (e *refusedError) ErrorCode() string { return e.cause.ErrorCode() }
