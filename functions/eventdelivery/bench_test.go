package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/local/eventsource"
)

// The benchmarks run the function's own handler over its own egress client, which posts to real servers on loopback over
// TLS. Secrets Manager, DynamoDB and SQS are stand-ins in memory that take no time: what is measured is the gateway, and
// a real table's 5 to 10 ms for each of an event's four calls come on top. The vendors run in the same process, so their
// work is counted too, by the bare client as well.

// batchSize is how many events an invocation has, and how many posts of the bare client are under way.
const batchSize = 10

// leastRate is the number of events that one sandbox delivers to one vendor in a second at the least.
const leastRate = 300

// receiving is a vendor that takes everything. seen is called with each event's id, or nil.
func receiving(b *testing.B, seen func(id string)) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen != nil {
			seen(r.Header.Get("Webhook-Id"))
		}
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(s.Close)
	return s
}

// oneVendor is a sandbox that is handed batches one after the other, for one vendor.
type oneVendor struct {
	function lambda.Handler
	events   int // handed over so far
	taken    atomic.Int64
}

func newOneVendor(b *testing.B) *oneVendor {
	v := &oneVendor{}
	server := receiving(b, func(string) { v.taken.Add(1) })
	v.function = newFunction(vendorsAt(b, map[string]string{"acme": server.URL}), newTable(1000), newFairQueue(), authority(server))
	return v
}

// invoke hands over one batch of new events, as Lambda does.
func (v *oneVendor) invoke(b *testing.B) {
	records := make([]events.SQSMessage, batchSize)
	for i := range records {
		records[i] = events.SQSMessage{MessageId: strconv.Itoa(v.events), Body: plateEvent(b, "acme", v.events)}
		v.events++
	}
	payload, err := json.Marshal(events.SQSEvent{Records: records})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	if answer, err := v.function.Invoke(ctx, payload); err != nil || string(answer) != `{"batchItemFailures":[]}` {
		b.Fatalf("got %s, %v, want no failures", answer, err)
	}
}

// check fails the benchmark unless the vendor has every event.
func (v *oneVendor) check(b *testing.B) {
	if got := int(v.taken.Load()); got != v.events {
		b.Fatalf("the vendor took %d events, want %d", got, v.events)
	}
}

// BenchmarkDelivery is one invocation with ten events for one vendor in one sandbox, the making of the batch included.
// BenchmarkBareClient is its floor.
func BenchmarkDelivery(b *testing.B) {
	v := newOneVendor(b)
	v.invoke(b) // connects
	b.ReportAllocs()
	for b.Loop() {
		v.invoke(b)
	}
	v.check(b)
	rate := float64(b.N*batchSize) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "events/s")
	if rate < leastRate {
		b.Errorf("got %.0f events a second, want at least %d", rate, leastRate)
	}
}

// BenchmarkBareClient posts the same bodies with net/http's client, ten side by side.
func BenchmarkBareClient(b *testing.B) {
	server := receiving(b, nil)
	post := bareClient(b, authority(server))
	body := []byte(posted(b))
	batch := func() {
		var wg sync.WaitGroup
		for range batchSize {
			wg.Go(func() {
				if err := post(server.URL, body); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	batch()
	b.ReportAllocs()
	for b.Loop() {
		batch()
	}
	b.ReportMetric(float64(b.N*batchSize)/b.Elapsed().Seconds(), "events/s")
}

// posted returns the body that the function sends of one event.
func posted(b *testing.B) string {
	got := make(chan string, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	defer server.Close()
	f := newFunction(vendorsAt(b, map[string]string{"acme": server.URL}), newTable(10), newFairQueue(), authority(server))
	payload, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{MessageId: "1", Body: plateEvent(b, "acme", 1)}}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.Invoke(b.Context(), payload); err != nil {
		b.Fatal(err)
	}
	select {
	case body := <-got:
		return body
	default:
		b.Fatal("the event was not sent")
		return ""
	}
}

const (
	// manyEvents are delivered to see whether memory grows, and looked at every manyEvents/10.
	manyEvents = 100_000
	// mayGrow is how much more memory the last look may find than the second.
	mayGrow = 1.20
)

// BenchmarkDeliveryMemory delivers 100,000 events in one sandbox, and fails when memory is not flat. It takes as long as
// that takes, whatever -benchtime says.
func BenchmarkDeliveryMemory(b *testing.B) {
	var heap, resident []float64
	for b.Loop() {
		v := newOneVendor(b)
		heap, resident = nil, nil
		for v.events < manyEvents {
			v.invoke(b)
			if v.events%(manyEvents/10) == 0 {
				h, r := memory()
				heap, resident = append(heap, h), append(resident, r)
				b.Logf("after %6d events: %6.2f MiB of heap in use, %6.2f MiB resident", v.events, h, r)
			}
		}
		v.check(b)
	}
	b.ReportMetric(heap[9]/heap[1], "heap-growth")
	if resident[1] > 0 {
		b.ReportMetric(resident[9]/resident[1], "RSS-growth")
	}
	b.ReportMetric(float64(b.N*manyEvents)/b.Elapsed().Seconds(), "events/s")
	if heap[9] > mayGrow*heap[1] {
		b.Errorf("a leak: %.2f MiB of heap in use after all events, want at most %.0f %% of the %.2f MiB after a fifth of them",
			heap[9], mayGrow*100, heap[1])
	}
	if resident[9] > mayGrow*resident[1] {
		b.Errorf("a leak: %.2f MiB resident after all events, want at most %.0f %% of the %.2f MiB after a fifth of them",
			resident[9], mayGrow*100, resident[1])
	}
}

// memory returns the heap in use after a collection, and what the process has of the machine's memory (0 where /proc does
// not tell), in MiB.
func memory() (heap, resident float64) {
	// The first collection leaves what sync.Pools held.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	const mib = 1 << 20
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(statm)); len(fields) > 1 {
			pages, _ := strconv.Atoi(fields[1])
			resident = float64(pages*os.Getpagesize()) / mib
		}
	}
	return float64(m.HeapAlloc) / mib, resident
}

const (
	manyVendors = 20
	// arrivals is how many events of all vendors arrive in a second, at random.
	arrivals = 100
	// The time for which events arrive while all vendors are healthy, and while one hangs: long enough for its circuit to
	// be probed twice.
	healthyFor = 30 * time.Second
	hangingFor = 120 * time.Second
	// mayDelay is how many times as long the other vendors' median may be.
	mayDelay = 1.20
	hanging  = "vendor-00"
)

// BenchmarkHangingVendor has 20 vendors share the queue, first all healthy, then with one that takes requests and never
// answers. It prints how long the other vendors' events took from the queue to the vendor. The vendor that hangs has a
// twentieth of the events, as each of the others, or a third.
func BenchmarkHangingVendor(b *testing.B) {
	for _, share := range []struct {
		name string
		of   float64
	}{{"twentieth", 1.0 / manyVendors}, {"third", 1.0 / 3}} {
		b.Run(share.name, func(b *testing.B) {
			for b.Loop() {
				compare(b, share.of)
			}
		})
	}
}

func compare(b *testing.B, share float64) {
	before := newTraffic(b, false).run(b, share, healthyFor)
	b.Logf("all healthy:  %s", before)
	t := newTraffic(b, true)
	during := t.run(b, share, hangingFor)
	b.Logf("one hanging:  %s", during)
	t.mu.Lock() // against a try that begins only now
	defer t.mu.Unlock()
	const step = 10 * time.Second
	for from := time.Duration(0); from < hangingFor; from += step {
		b.Logf("%3.0f to %3.0f s:  %s, %d tries begun at that one", from.Seconds(), (from + step).Seconds(),
			during.between(from, from+step), len(t.tries.between(from, from+step)))
	}
	ratio := float64(during.quantile(0.5)) / float64(before.quantile(0.5))
	b.ReportMetric(ratio, "median-ratio")
	b.ReportMetric(float64(during.quantile(0.99))/float64(before.quantile(0.99)), "p99-ratio")
	if ratio >= mayDelay {
		b.Errorf("the other vendors' median is %.2f times as long, want less than %.2f", ratio, mayDelay)
	}
}

// delivered is when, from the beginning on, an event came to the queue, and how long it took to its vendor.
type delivered struct{ at, took time.Duration }

type times []delivered

func (t times) quantile(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	took := make([]time.Duration, len(t))
	for i, d := range t {
		took[i] = d.took
	}
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))]
}

func (t times) between(start, end time.Duration) times {
	return slices.DeleteFunc(slices.Clone(t), func(d delivered) bool { return d.at < start || d.at >= end })
}

func (t times) String() string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%5d events, median %8.2f ms, p90 %8.2f ms, p99 %8.2f ms, longest %8.2f ms",
		len(t), ms(t.quantile(0.5)), ms(t.quantile(0.9)), ms(t.quantile(0.99)), ms(t.quantile(1)))
}

// traffic is queue, event source, sandboxes and vendors. The event source is the local stack's, with the settings that
// the template has: five pollers, up to ten invocations at a time, up to ten events each. An invocation lasts as long as
// its slowest event, so one that waits for a vendor takes a tenth of the room.
type traffic struct {
	queue *fairQueue
	began time.Time
	idle  chan lambda.Handler

	mu    sync.Mutex
	sent  map[string]time.Time // by event id, of the vendors that do not hang and have not got it yet
	times times
	tries times // at the vendor that hangs
}

func newTraffic(b *testing.B, hangs bool) *traffic {
	t := &traffic{queue: newFairQueue(), idle: make(chan lambda.Handler, eventsource.DefaultMaximumConcurrency), sent: make(map[string]time.Time)}
	urls := make(map[string]string)
	var server *httptest.Server
	for i := range manyVendors {
		id := fmt.Sprintf("vendor-%02d", i)
		server = receiving(b, t.received)
		if id == hanging && hangs {
			server = t.never(b)
		}
		urls[id] = server.URL
	}
	table := newTable(100_000)
	for range cap(t.idle) {
		t.idle <- newFunction(vendorsAt(b, urls), table, t.queue, authority(server))
	}
	return t
}

// never is a vendor that takes a request and does not answer until the other side gives up.
func (t *traffic) never(b *testing.B) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		t.mu.Lock()
		t.tries = append(t.tries, delivered{at: time.Since(t.began)})
		t.mu.Unlock()
		<-r.Context().Done()
	}))
	b.Cleanup(s.Close)
	return s
}

func (t *traffic) received(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sent, ok := t.sent[id]; ok {
		t.times = append(t.times, delivered{at: sent.Sub(t.began), took: time.Since(sent)})
		delete(t.sent, id)
	}
}

// invoke runs an invocation in the sandbox that has been idle for longest: each comes to meet the vendor that hangs.
func (t *traffic) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	f := <-t.idle
	defer func() { t.idle <- f }()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return f.Invoke(ctx, payload)
}

// run has events arrive for a time, waits until all vendors but the one that hangs have theirs, and returns how long
// these took.
func (t *traffic) run(b *testing.B, share float64, length time.Duration) times {
	var over atomic.Bool // and invocations are broken off
	source, err := eventsource.Start(t.queue, t.invoke, eventsource.Options{
		QueueURL: eventsURL, QueueARN: "arn:aws:sqs:us-east-1:123456789012:events", ReportBatchItemFailures: true,
		Observe: func(batch eventsource.Batch) {
			if len(batch.Failed) > 0 && !over.Load() {
				b.Errorf("a batch failed: %v", batch.Err)
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	t.began = time.Now()
	random := mathrand.New(mathrand.NewPCG(1, 2))
	next := t.began
	for n := 0; next.Sub(t.began) < length; n++ {
		time.Sleep(time.Until(next))
		vendorID := hanging
		if random.Float64() >= share {
			vendorID = fmt.Sprintf("vendor-%02d", 1+random.IntN(manyVendors-1))
		}
		t.send(b, vendorID, n)
		next = next.Add(time.Duration(random.ExpFloat64() * float64(time.Second) / arrivals))
	}
	for wait := 0; t.missing() > 0; wait++ {
		if wait == 600 {
			b.Fatalf("%d events have not come to vendors that do not hang", t.missing())
		}
		time.Sleep(100 * time.Millisecond)
	}
	over.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.times
}

func (t *traffic) missing() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sent)
}

func (t *traffic) send(b *testing.B, vendorID string, n int) {
	body := plateEvent(b, vendorID, n)
	id := body[strings.Index(body, "evt_"):][:len("evt_")+40]
	if vendorID != hanging {
		t.mu.Lock()
		t.sent[id] = time.Now()
		t.mu.Unlock()
	}
	_, _ = t.queue.SendMessage(b.Context(), &sqs.SendMessageInput{
		QueueUrl: aws.String(eventsURL), MessageBody: &body, MessageGroupId: &vendorID,
	})
}
