// Package eventsource plays Lambda's event source mapping for an SQS queue: it long-polls the queue, makes the event that
// a function gets in the cloud, invokes the function, and deletes what the function did not report as failed. What failed
// stays on the queue until its visibility timeout ends; nothing here brings it back earlier.
//
// A poller receives only when there is room for one more invocation, so messages never wait out of sight for a function
// that is busy. It differs from the service in three ways: the number of pollers stands still, failed invocations do not
// slow it down, and events are not filtered.
//
// Only local/, cmd/ and tests may import this package. The rules are those of the Lambda developer guide, "Using Lambda with
// Amazon SQS", "Lambda parameters for Amazon SQS event source mappings" and "Handling errors for an SQS event source in
// Lambda" (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
package eventsource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Defaults of [Options].
const (
	DefaultBatchSize          = 10
	DefaultMaximumConcurrency = 10
	DefaultPollers            = 5
	DefaultWait               = 20 * time.Second
)

// What the services allow.
const (
	maxBatchSize = 10_000
	maxWindow    = 5 * time.Minute
	maxWait      = 20 * time.Second
	// maxReceive is the most messages that one call to SQS receives or deletes.
	maxReceive = 10
	// maxGathered ends the gathering of a batch, in bytes of its event. It leaves one more receive, of 1 MiB at the most
	// and escaped, below the 6 MB of an invocation.
	maxGathered = 4 << 20
)

const (
	// receivePause follows a receive that failed.
	receivePause = time.Second
	// deleteTime is how long the deletion of one batch may take; it goes on when the source is closed.
	deleteTime = 5 * time.Second
	// deleteTries and deletePause are for what SQS could not delete; the pause doubles.
	deleteTries = 3
	deletePause = 100 * time.Millisecond
)

var (
	// ErrOptions says that a queue cannot be polled as described.
	ErrOptions = errors.New("eventsource: bad options")
	// ErrReceive says that the queue could not be read. The poller goes on after a second.
	ErrReceive = errors.New("eventsource: receiving failed")
	// ErrDelete says that messages could not be deleted. They will be received once more.
	ErrDelete = errors.New("eventsource: deleting failed")
	// ErrInvocation says that the invocation failed, and the whole batch with it.
	ErrInvocation = errors.New("eventsource: the invocation failed")
	// ErrResponse says that the function's answer is not a partial batch response, by which the whole batch failed.
	ErrResponse = errors.New("eventsource: not a partial batch response")
)

// API is what a source needs of SQS; *sqs.Client has it. A receive takes as long as Options.Wait, so an HTTP client with
// a shorter timeout will not do.
type API interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// Invoke hands an event to the function and returns its answer. An error means that the function failed or never ran. It
// must return when ctx ends.
type Invoke func(ctx context.Context, payload []byte) ([]byte, error)

// Options describe the mapping. QueueURL and QueueARN must be given; the zero value of everything else works.
type Options struct {
	// QueueURL is where the queue is read, QueueARN what its events say that they come from.
	QueueURL, QueueARN string
	// BatchSize is the most messages of one event, 1 to 10,000; zero means DefaultBatchSize. More than 10 need a Window
	// of a second or more, as in Lambda.
	BatchSize int
	// Window is how long to gather messages after the first receive that found any, in whole seconds up to 5 minutes. At
	// zero an event holds what one receive gave.
	Window time.Duration
	// MaximumConcurrency caps the invocations at one time; zero means DefaultMaximumConcurrency.
	MaximumConcurrency int
	// Pollers is how many receives wait at one time; zero means DefaultPollers, and more than MaximumConcurrency are cut to
	// that.
	Pollers int
	// Wait is how long one receive waits for messages, in whole seconds up to 20; zero means DefaultWait.
	Wait time.Duration
	// ReportBatchItemFailures reads the function's answer as a partial batch response. Without it every answer means that
	// the whole batch is done.
	ReportBatchItemFailures bool
	// Observe, when set, is told of every batch when it is over, and OnError of everything that went wrong with the queue
	// itself (ErrReceive, ErrDelete). Both may be called by several goroutines at once.
	Observe func(Batch)
	OnError func(error)
}

// Batch is what became of one event.
type Batch struct {
	// MessageIDs are the messages of the event, in its order, and Failed those of them that stay on the queue.
	MessageIDs, Failed []string
	// Err is nil, or wraps ErrInvocation or ErrResponse, and then every message failed.
	Err error
	// Took is how long the invocation took.
	Took time.Duration
}

// Source is a mapping at work. It is safe for concurrent use.
type Source struct {
	api     API
	invoke  Invoke
	options Options
	region  string

	// slots holds one element for each invocation that runs or may come of a receive that waits.
	slots chan struct{}
	work  sync.WaitGroup

	// polling ends first, then running, which is the context of invocations.
	polling, running         context.Context
	stopPolling, stopRunning context.CancelFunc
}

// Start begins to poll the queue. The error wraps ErrOptions.
func Start(api API, invoke Invoke, options Options) (*Source, error) {
	options, region, err := options.checked()
	if err != nil {
		return nil, err
	}
	s := &Source{
		api: api, invoke: invoke, options: options, region: region,
		slots: make(chan struct{}, options.MaximumConcurrency),
	}
	s.running, s.stopRunning = context.WithCancel(context.Background())
	s.polling, s.stopPolling = context.WithCancel(s.running)
	for range options.Pollers {
		s.work.Go(s.poll)
	}
	return s, nil
}

// checked fills in the defaults and returns the queue's region too.
func (o Options) checked() (Options, string, error) {
	for _, d := range []struct {
		field *int
		value int
	}{{&o.BatchSize, DefaultBatchSize}, {&o.MaximumConcurrency, DefaultMaximumConcurrency}, {&o.Pollers, DefaultPollers}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	// arn:partition:sqs:region:account:name
	arn := strings.Split(o.QueueARN, ":")
	for _, rule := range []struct {
		broken bool
		want   string
	}{
		{o.QueueURL == "", "QueueURL must be given"},
		{len(arn) != 6 || arn[0] != "arn" || arn[2] != "sqs" || arn[3] == "", "QueueARN must be the ARN of a queue"},
		{o.BatchSize < 1 || o.BatchSize > maxBatchSize, "BatchSize must be 1 to 10,000"},
		{o.BatchSize > maxReceive && o.Window == 0, "a BatchSize of more than 10 needs a Window"},
		{o.Window < 0 || o.Window > maxWindow || o.Window%time.Second != 0, "Window must be whole seconds up to 5 minutes"},
		{o.MaximumConcurrency < 1, "MaximumConcurrency must be positive"},
		{o.Pollers < 1, "Pollers must be positive"},
		{o.Wait < time.Second || o.Wait > maxWait || o.Wait%time.Second != 0, "Wait must be 1 to 20 whole seconds"},
	} {
		if rule.broken {
			return o, "", fmt.Errorf("%w: %s", ErrOptions, rule.want)
		}
	}
	o.Pollers = min(o.Pollers, o.MaximumConcurrency)
	return o, arn[3], nil
}

// Shutdown stops polling and waits for the invocations that run. When ctx ends first it gives up on them, as Close does,
// and returns the error of ctx. In every case no goroutine of the source is left when it returns. Messages that a
// receive had already taken when it was stopped appear again when their visibility timeout ends.
func (s *Source) Shutdown(ctx context.Context) error {
	s.stopPolling()
	stop := context.AfterFunc(ctx, s.stopRunning)
	s.work.Wait()
	s.stopRunning()
	if !stop() {
		return ctx.Err()
	}
	return nil
}

// Close stops polling, ends the context of the invocations that run and returns when no goroutine of the source is left.
// The batches of those invocations have failed. It may be called more than once, and after Shutdown.
func (s *Source) Close() {
	s.stopRunning()
	s.work.Wait()
}

// poll receives batches, one after the other, until polling ends.
func (s *Source) poll() {
	for s.take() {
		batch, err := s.gather()
		if len(batch) == 0 {
			s.leave()
		} else {
			s.work.Go(func() {
				defer s.leave()
				s.process(batch)
			})
		}
		// What ends with polling is no fault of the queue.
		if err != nil && s.polling.Err() == nil {
			s.complain(ErrReceive, err)
			pause(s.polling, receivePause)
		}
	}
}

// take waits for room for one more invocation, and tells whether to go on.
func (s *Source) take() bool {
	select {
	case s.slots <- struct{}{}:
	case <-s.polling.Done():
		return false
	}
	if s.polling.Err() != nil {
		s.leave()
		return false
	}
	return true
}

func (s *Source) leave() { <-s.slots }

// gather receives the messages of one event. It may return messages and an error.
func (s *Source) gather() ([]record, error) {
	batch, err := s.receive(s.options.BatchSize, s.options.Wait)
	if err != nil || len(batch) == 0 || s.options.Window == 0 {
		return batch, err
	}
	ends := time.Now().Add(s.options.Window)
	size := sizeOf(batch)
	for len(batch) < s.options.BatchSize && size < maxGathered {
		left := time.Until(ends)
		if left <= 0 {
			break
		}
		more, err := s.receive(s.options.BatchSize-len(batch), left)
		if err != nil {
			return batch, err
		}
		batch = append(batch, more...)
		size += sizeOf(more)
	}
	return batch, nil
}

// receive waits for at most count messages, and for wait rounded up to whole seconds.
func (s *Source) receive(count int, wait time.Duration) ([]record, error) {
	seconds := (min(wait, s.options.Wait) + time.Second - 1) / time.Second
	out, err := s.api.ReceiveMessage(s.polling, &sqs.ReceiveMessageInput{
		QueueUrl:                    &s.options.QueueURL,
		MaxNumberOfMessages:         int32(min(count, maxReceive)),
		WaitTimeSeconds:             int32(seconds),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		return nil, err
	}
	batch := make([]record, 0, len(out.Messages))
	for _, m := range out.Messages {
		batch = append(batch, recordOf(m, s.options.QueueARN, s.region))
	}
	return batch, nil
}

// process sees one event through.
func (s *Source) process(batch []record) {
	started := time.Now()
	failed, err := s.run(batch)
	over := Batch{Err: err, Took: time.Since(started)}
	var done []record
	for _, r := range batch {
		over.MessageIDs = append(over.MessageIDs, r.MessageID)
		if err != nil || failed[r.MessageID] {
			over.Failed = append(over.Failed, r.MessageID)
			continue
		}
		done = append(done, r)
	}
	s.remove(done)
	if s.options.Observe != nil {
		s.options.Observe(over)
	}
}

// run invokes the function and returns the messages that it reported as failed.
func (s *Source) run(batch []record) (map[string]bool, error) {
	payload, err := encode(batch)
	if err != nil {
		return nil, fmt.Errorf("%w: making the event: %w", ErrInvocation, err)
	}
	answer, err := s.invoke(s.running, payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvocation, err)
	}
	if !s.options.ReportBatchItemFailures {
		return nil, nil
	}
	return failures(answer, batch)
}

// remove deletes messages, and goes on when the source is closed meanwhile: the function is done with them.
func (s *Source) remove(done []record) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.running), deleteTime)
	defer cancel()
	for len(done) > 0 {
		n := min(len(done), maxReceive)
		if err := s.removeFew(ctx, done[:n]); err != nil {
			s.complain(ErrDelete, err)
		}
		done = done[n:]
	}
}

// removeFew deletes at most maxReceive messages, those that fail again up to deleteTries times.
func (s *Source) removeFew(ctx context.Context, left []record) error {
	delay := deletePause
	for try := 1; ; try++ {
		var err error
		if left, err = s.removeOnce(ctx, left); err == nil {
			return nil
		}
		if try == deleteTries || ctx.Err() != nil {
			return err
		}
		pause(ctx, delay)
		delay *= 2
	}
}

// removeOnce returns the messages that could not be deleted, and why.
func (s *Source) removeOnce(ctx context.Context, done []record) ([]record, error) {
	entries, byID := entriesOf(done)
	out, err := s.api.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &s.options.QueueURL, Entries: entries})
	if err != nil {
		return done, err
	}
	var left []record
	var why []error
	for _, f := range out.Failed {
		if r, ok := byID[deref(f.Id)]; ok {
			left = append(left, r)
			why = append(why, fmt.Errorf("message %s: %s", r.MessageID, deref(f.Code)))
		}
	}
	return left, errors.Join(why...)
}

func (s *Source) complain(kind, cause error) {
	if s.options.OnError != nil {
		s.options.OnError(fmt.Errorf("%w: %w", kind, cause))
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
