package eventsource_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"wechat-parking-gateway/local/eventsource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// function is a function in memory that answers with what answer makes of an event.
type function struct {
	answer func(context.Context, events.SQSEvent) ([]byte, error)

	mu       sync.Mutex
	payloads [][]byte
	batches  [][]string // the bodies of each event
	running  int
	most     int // the most invocations at one time
}

func (f *function) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event events.SQSEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	var bodies []string
	for _, r := range event.Records {
		bodies = append(bodies, r.Body)
	}
	f.mu.Lock()
	f.payloads = append(f.payloads, payload)
	f.batches = append(f.batches, bodies)
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	if f.answer == nil {
		return []byte(`{"batchItemFailures":[]}`), nil
	}
	return f.answer(ctx, event)
}

// events returns the bodies of each event so far, and the most invocations that there were at one time.
func (f *function) events() ([][]string, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.batches), f.most
}

// heard is what a source told of itself.
type heard struct {
	mu      sync.Mutex
	batches []eventsource.Batch
	errs    []error
}

func (h *heard) observe(b eventsource.Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches = append(h.batches, b)
}

func (h *heard) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs = append(h.errs, err)
}

// options are valid options, with one poller, that tests change.
func options(h *heard) eventsource.Options {
	return eventsource.Options{
		QueueURL: queueURL, QueueARN: queueARN, Pollers: 1, ReportBatchItemFailures: true, Observe: h.observe, OnError: h.fail,
	}
}

func start(t *testing.T, q *queue, f *function, o eventsource.Options) *eventsource.Source {
	t.Helper()
	s, err := eventsource.Start(q, f.invoke, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func TestBatchIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f, h := &queue{}, &function{}, &heard{}
		var ids []string
		for _, body := range numbers(1, 12) {
			ids = append(ids, q.send(body, nil))
		}
		o := options(h)
		o.MaximumConcurrency = 1
		s := start(t, q, f, o)
		synctest.Wait()
		s.Close()
		if diff := cmp.Diff([][]string{numbers(1, 10), numbers(11, 12)}, f.batches); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if left := q.left(); len(left) != 0 {
			t.Errorf("left on the queue: got %q, want none", left)
		}
		var told []string
		for _, b := range h.batches {
			if b.Err != nil || b.Failed != nil {
				t.Errorf("got batch %+v, want success", b)
			}
			told = append(told, b.MessageIDs...)
		}
		slices.Sort(told)
		if diff := cmp.Diff(ids, told); diff != "" {
			t.Errorf("observed messages (-want +got):\n%s", diff)
		}
		first := q.receives[0]
		if first.WaitTimeSeconds != 20 || first.MaxNumberOfMessages != 10 ||
			!slices.Equal(first.MessageSystemAttributeNames, []types.MessageSystemAttributeName{"All"}) ||
			!slices.Equal(first.MessageAttributeNames, []string{"All"}) || *first.QueueUrl != queueURL {
			t.Errorf("got receive %+v, want a long poll for ten messages with all attributes", first)
		}
	})
}

// What an answer means is taken from "Success and failure conditions" of the developer guide. Each row is one answer to a
// batch of the bodies a, b and c, whose ids end in 1, 2 and 3.
func TestPartialBatchResponse(t *testing.T) {
	const id = "00000000-0000-4000-8000-00000000000"
	all := []string{"a", "b", "c"}
	for _, tc := range []struct {
		name   string
		answer string
		left   []string
		err    error
	}{
		{"no failures", `{"batchItemFailures":[]}`, []string{}, nil},
		{"null list", `{"batchItemFailures":null}`, []string{}, nil},
		{"empty answer", `{}`, []string{}, nil},
		{"null", `null`, []string{}, nil},
		{"another member", `{"statusCode":200}`, []string{}, nil},
		{"one failure", `{"batchItemFailures":[{"itemIdentifier":"` + id + `2"}]}`, []string{"b"}, nil},
		{"two failures", `{"batchItemFailures":[{"itemIdentifier":"` + id + `3"},{"itemIdentifier":"` + id + `1"}]}`, []string{"a", "c"}, nil},
		{"one failure twice", `{"batchItemFailures":[{"itemIdentifier":"` + id + `2"},{"itemIdentifier":"` + id + `2"}]}`, []string{"b"}, nil},
		{"all failed", `{"batchItemFailures":[{"itemIdentifier":"` + id + `1"},{"itemIdentifier":"` + id + `2"},{"itemIdentifier":"` + id + `3"}]}`, all, nil},

		{"nothing", ``, all, eventsource.ErrResponse},
		{"not JSON", `done`, all, eventsource.ErrResponse},
		{"cut short", `{"batchItemFailures":[`, all, eventsource.ErrResponse},
		{"text", `"done"`, all, eventsource.ErrResponse},
		{"list", `[]`, all, eventsource.ErrResponse},
		{"list is an object", `{"batchItemFailures":{}}`, all, eventsource.ErrResponse},
		{"empty identifier", `{"batchItemFailures":[{"itemIdentifier":""}]}`, all, eventsource.ErrResponse},
		{"null identifier", `{"batchItemFailures":[{"itemIdentifier":null}]}`, all, eventsource.ErrResponse},
		{"misspelt identifier", `{"batchItemFailures":[{"ItemIdentifier":"` + id + `2"}]}`, all, eventsource.ErrResponse},
		{"number", `{"batchItemFailures":[{"itemIdentifier":2}]}`, all, eventsource.ErrResponse},
		{"null item", `{"batchItemFailures":[null]}`, all, eventsource.ErrResponse},
		{"unknown message", `{"batchItemFailures":[{"itemIdentifier":"` + id + `4"}]}`, all, eventsource.ErrResponse},
		{"known and unknown message", `{"batchItemFailures":[{"itemIdentifier":"` + id + `2"},{"itemIdentifier":"` + id + `4"}]}`, all, eventsource.ErrResponse},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, h := &queue{}, &heard{}
				for _, body := range all {
					q.send(body, nil)
				}
				s := start(t, q, &function{answer: func(context.Context, events.SQSEvent) ([]byte, error) {
					return []byte(tc.answer), nil
				}}, options(h))
				synctest.Wait()
				s.Close()
				if diff := cmp.Diff(tc.left, q.left()); diff != "" {
					t.Errorf("left on the queue (-want +got):\n%s", diff)
				}
				if len(h.batches) != 1 {
					t.Fatalf("got %d batches, want 1", len(h.batches))
				}
				if b := h.batches[0]; !errors.Is(b.Err, tc.err) || len(b.Failed) != len(tc.left) {
					t.Errorf("got error %v and %d failed, want %v and %d", b.Err, len(b.Failed), tc.err, len(tc.left))
				}
			})
		})
	}
}

func TestWithoutReportBatchItemFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &queue{}, &heard{}
		id := q.send("a", nil)
		o := options(h)
		o.ReportBatchItemFailures = false
		s := start(t, q, &function{answer: func(context.Context, events.SQSEvent) ([]byte, error) {
			return []byte(`{"batchItemFailures":[{"itemIdentifier":"` + id + `"}]}`), nil
		}}, o)
		synctest.Wait()
		s.Close()
		if left := q.left(); len(left) != 0 {
			t.Errorf("left on the queue: got %q, want none", left)
		}
	})
}

// A failed invocation fails its batch, which comes again when its visibility timeout ends, and not before.
func TestFailedInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &queue{}, &heard{}
		broken := errors.New("broken")
		first := true
		f := &function{answer: func(context.Context, events.SQSEvent) ([]byte, error) {
			if first {
				first = false
				return nil, broken
			}
			return []byte("null"), nil
		}}
		q.send("a", nil)
		q.send("b", nil)
		s := start(t, q, f, options(h))
		time.Sleep(visibility - time.Nanosecond)
		synctest.Wait()
		if batches, _ := f.events(); len(batches) != 1 || len(q.left()) != 2 {
			t.Errorf("before the visibility timeout: got %d events, left %q, want 1 and both messages", len(batches), q.left())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		s.Close()
		if diff := cmp.Diff([][]string{{"a", "b"}, {"a", "b"}}, f.batches); diff != "" || len(q.left()) != 0 {
			t.Errorf("left %q, want none; events (-want +got):\n%s", q.left(), diff)
		}
		if !strings.Contains(string(f.payloads[1]), `"ApproximateReceiveCount":"2"`) {
			t.Errorf("the second event does not say that it is the second: %s", f.payloads[1])
		}
		if b := h.batches[0]; !errors.Is(b.Err, eventsource.ErrInvocation) || !errors.Is(b.Err, broken) || len(b.Failed) != 2 {
			t.Errorf("got %+v, want both failed by ErrInvocation and its cause", b)
		}
	})
}

// Receives stop while every slot is taken, so that no message waits out of sight.
func TestMaximumConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &queue{}, &heard{}
		for _, body := range numbers(1, 10) {
			q.send(body, nil)
		}
		f := &function{answer: func(context.Context, events.SQSEvent) ([]byte, error) {
			time.Sleep(10 * time.Second)
			return []byte("null"), nil
		}}
		o := options(h)
		o.BatchSize, o.MaximumConcurrency, o.Pollers = 1, 3, 5
		began := time.Now()
		s := start(t, q, f, o)
		synctest.Wait()
		batches, _ := f.events()
		if calls, waiting := q.polls(); calls != 3 || len(batches) != 3 || waiting != 0 {
			t.Errorf("got %d receives, %d events, %d waiting, want 3, 3 and 0", calls, len(batches), waiting)
		}
		time.Sleep(40*time.Second - time.Nanosecond)
		synctest.Wait()
		if batches, most := f.events(); len(batches) != 10 || most != 3 {
			t.Errorf("after %v: got %d events, %d at one time, want 10 and 3", time.Since(began), len(batches), most)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if _, waiting := q.polls(); waiting != 3 || len(q.left()) != 0 {
			t.Errorf("at rest: got %d receives waiting, left %q, want 3 and none", waiting, q.left())
		}
		s.Close()
	})
}

// One poller is enough for as many invocations as there may be.
func TestOnePollerFillsTheConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &queue{}, &heard{}
		for _, body := range numbers(1, 8) {
			q.send(body, nil)
		}
		f := &function{answer: func(context.Context, events.SQSEvent) ([]byte, error) {
			time.Sleep(10 * time.Second)
			return []byte("null"), nil
		}}
		o := options(h)
		o.BatchSize, o.MaximumConcurrency = 1, 4
		s := start(t, q, f, o)
		time.Sleep(20*time.Second + time.Millisecond)
		synctest.Wait()
		s.Close()
		if f.most != 4 || len(q.left()) != 0 {
			t.Errorf("got %d at one time, left %q, want 4 and none", f.most, q.left())
		}
	})
}

func TestWindow(t *testing.T) {
	for _, tc := range []struct {
		name  string
		size  int
		first int // messages that are there at once
		after time.Duration
		want  [][]string
		at    time.Duration
	}{
		{"ends with the window", 100, 3, 2 * time.Second, [][]string{numbers(1, 4)}, 5 * time.Second},
		{"ends with a full batch", 12, 11, 2 * time.Second, [][]string{numbers(1, 12)}, 2 * time.Second},
		{"several receives", 25, 24, 6 * time.Second, [][]string{numbers(1, 24)}, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, h := &queue{}, &heard{}
				f := &function{}
				began := time.Now()
				var at time.Duration
				f.answer = func(context.Context, events.SQSEvent) ([]byte, error) {
					at = time.Since(began).Round(time.Second)
					return []byte("null"), nil
				}
				for _, body := range numbers(1, tc.first) {
					q.send(body, nil)
				}
				o := options(h)
				o.BatchSize, o.Window = tc.size, 5*time.Second
				s := start(t, q, f, o)
				time.Sleep(tc.after)
				q.send(strconv.Itoa(tc.first+1), nil)
				time.Sleep(5*time.Second - tc.after + 100*time.Millisecond)
				synctest.Wait()
				batches, _ := f.events()
				if diff := cmp.Diff(tc.want, batches[:1]); diff != "" || at != tc.at {
					t.Errorf("at %v, want %v; events (-want +got):\n%s", at, tc.at, diff)
				}
				s.Close()
			})
		})
	}
}

// A batch that is gathered ends before its event outgrows an invocation.
func TestLargeMessagesEndABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f, h := &queue{}, &function{}, &heard{}
		for range 60 {
			q.send(strings.Repeat("x", 100<<10), nil)
		}
		o := options(h)
		o.BatchSize, o.Window = 1000, time.Minute
		s := start(t, q, f, o)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		s.Close()
		for i, payload := range f.payloads {
			if len(payload) > 6<<20 {
				t.Errorf("event %d: got %d bytes, want at most 6 MB", i, len(payload))
			}
		}
		if len(f.payloads) != 2 || len(q.left()) != 0 {
			t.Errorf("got %d events, %d messages left, want 2 and 0", len(f.payloads), len(q.left()))
		}
	})
}

func TestReceiveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		q, f, h := &queue{receiveErr: []error{down, down}}, &function{}, &heard{}
		q.send("a", nil)
		s := start(t, q, f, options(h))
		time.Sleep(2*time.Second - time.Nanosecond)
		synctest.Wait()
		batches, _ := f.events()
		if calls, _ := q.polls(); calls != 2 || len(batches) != 0 {
			t.Errorf("got %d receives and %d events, want 2 and 0", calls, len(batches))
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		s.Close()
		if len(q.left()) != 0 {
			t.Error("the message is left on the queue")
		}
		if len(h.errs) != 2 || !errors.Is(h.errs[0], eventsource.ErrReceive) || !errors.Is(h.errs[0], down) {
			t.Errorf("got errors %v, want two ErrReceive with their cause, and none for Close", h.errs)
		}
	})
}

func TestDeleteIsTriedAgain(t *testing.T) {
	refused := errors.New("refused")
	for _, tc := range []struct {
		name    string
		fails   int   // deletions of the first of two messages
		err     error // of the whole call
		deletes int
		left    []string
		want    error
	}{
		{"works", 0, nil, 1, []string{}, nil},
		{"works the third time", 2, nil, 3, []string{}, nil},
		{"never works", 9, nil, 3, []string{"a"}, eventsource.ErrDelete},
		{"call fails", 0, refused, 3, []string{"a", "b"}, refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, f, h := &queue{deleteErr: tc.err}, &function{}, &heard{}
				q.deleteFails = map[string]int{q.send("a", nil): tc.fails}
				q.send("b", nil)
				s := start(t, q, f, options(h))
				time.Sleep(time.Second)
				synctest.Wait()
				s.Close()
				if q.deletes != tc.deletes {
					t.Errorf("got %d deletions, want %d", q.deletes, tc.deletes)
				}
				if diff := cmp.Diff(tc.left, q.left()); diff != "" {
					t.Errorf("left on the queue (-want +got):\n%s", diff)
				}
				if err := errors.Join(h.errs...); !errors.Is(err, tc.want) || tc.want != nil && !errors.Is(err, eventsource.ErrDelete) {
					t.Errorf("got error %v, want %v", err, tc.want)
				}
			})
		})
	}
}

// Close gives up on invocations; what they had taken stays on the queue.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &queue{}, &heard{}
		q.send("a", nil)
		s := start(t, q, &function{answer: func(ctx context.Context, _ events.SQSEvent) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, options(h))
		synctest.Wait()
		began := time.Now()
		s.Close()
		s.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v, want no time", took)
		}
		if len(q.left()) != 1 || q.waiting != 0 || !errors.Is(h.batches[0].Err, context.Canceled) {
			t.Errorf("got left %q, %d waiting, batches %+v", q.left(), q.waiting, h.batches)
		}
	})
}

// An invocation that ends well while the source is closed is not run again.
func TestCloseDeletesWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &queue{}, &heard{}
		q.send("a", nil)
		s := start(t, q, &function{answer: func(ctx context.Context, _ events.SQSEvent) ([]byte, error) {
			<-ctx.Done()
			return []byte("null"), nil
		}}, options(h))
		synctest.Wait()
		s.Close()
		if len(q.left()) != 0 {
			t.Error("the message is left on the queue")
		}
	})
}

func TestShutdown(t *testing.T) {
	for _, tc := range []struct {
		name  string
		grace time.Duration
		took  time.Duration
		left  int
		want  error
	}{
		{"waits", time.Minute, 10 * time.Second, 0, nil},
		{"gives up", time.Second, time.Second, 1, context.DeadlineExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, h := &queue{}, &heard{}
				q.send("a", nil)
				s := start(t, q, &function{answer: func(ctx context.Context, _ events.SQSEvent) ([]byte, error) {
					work := time.NewTimer(10 * time.Second)
					defer work.Stop()
					select {
					case <-work.C:
						return []byte("null"), nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}}, options(h))
				synctest.Wait()
				q.hide(q.send("b", nil), time.Hour)
				ctx, cancel := context.WithTimeout(t.Context(), tc.grace)
				defer cancel()
				began := time.Now()
				err := s.Shutdown(ctx)
				if took := time.Since(began); !errors.Is(err, tc.want) || took != tc.took {
					t.Errorf("got %v after %v, want %v after %v", err, took, tc.want, tc.took)
				}
				if left := q.left(); len(left) != tc.left+1 || q.waiting != 0 {
					t.Errorf("got left %q, %d waiting, want %d and the one to come, and 0", left, q.waiting, tc.left)
				}
				s.Close()
			})
		})
	}
}

func TestStartRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*eventsource.Options)
		want string
	}{
		{"no URL", func(o *eventsource.Options) { o.QueueURL = "" }, "QueueURL must be given"},
		{"no ARN", func(o *eventsource.Options) { o.QueueARN = "" }, "QueueARN must be the ARN of a queue"},
		{"ARN of a table", func(o *eventsource.Options) { o.QueueARN = "arn:aws:dynamodb:cn-north-1:123456789012:table" }, "QueueARN must be the ARN of a queue"},
		{"batch of -1", func(o *eventsource.Options) { o.BatchSize = -1 }, "BatchSize must be 1 to 10,000"},
		{"batch of 10,001", func(o *eventsource.Options) { o.BatchSize = 10_001 }, "BatchSize must be 1 to 10,000"},
		{"large batch without a window", func(o *eventsource.Options) { o.BatchSize = 11 }, "a BatchSize of more than 10 needs a Window"},
		{"window of 1.5 s", func(o *eventsource.Options) { o.Window = 1500 * time.Millisecond }, "Window must be whole seconds up to 5 minutes"},
		{"window of 301 s", func(o *eventsource.Options) { o.Window = 301 * time.Second }, "Window must be whole seconds up to 5 minutes"},
		{"negative concurrency", func(o *eventsource.Options) { o.MaximumConcurrency = -1 }, "MaximumConcurrency must be positive"},
		{"negative pollers", func(o *eventsource.Options) { o.Pollers = -1 }, "Pollers must be positive"},
		{"wait of 21 s", func(o *eventsource.Options) { o.Wait = 21 * time.Second }, "Wait must be 1 to 20 whole seconds"},
		{"wait of 1.5 s", func(o *eventsource.Options) { o.Wait = 1500 * time.Millisecond }, "Wait must be 1 to 20 whole seconds"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(&heard{})
			tc.edit(&o)
			_, err := eventsource.Start(&queue{}, (&function{}).invoke, o)
			if !errors.Is(err, eventsource.ErrOptions) || err.Error() != "eventsource: bad options: "+tc.want {
				t.Errorf("got %v, want ErrOptions: %s", err, tc.want)
			}
		})
	}
}
