// Package awsfault stands between a function and the AWS APIs and breaks calls on demand: throttled, failed, timed out,
// cut off, or carried out and never answered. It understands nothing of a call but its action, so that whatever the SDK
// sends goes through as it is.
package awsfault

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is one way in which a call goes wrong.
type Kind string

// The kinds. Before says that the service never heard the call, after that it carried it out.
const (
	None        Kind = ""
	Throttle    Kind = "throttled"
	Fail        Kind = "answered 500"
	ResetBefore Kind = "cut off before"
	ResetAfter  Kind = "answer lost after"
	Hang        Kind = "no answer in time"
	KillBefore  Kind = "process killed before"
	KillAfter   Kind = "process killed after"
)

// Kinds returns every kind but None.
func Kinds() []Kind {
	return []Kind{Throttle, Fail, ResetBefore, ResetAfter, Hang, KillBefore, KillAfter}
}

// Call is one call of a function to AWS.
type Call struct {
	Function string // whose proxy it came through
	Action   string // such as SendMessageBatch
}

// Options say how calls go wrong.
type Options struct {
	// Target is the address of the AWS APIs.
	Target string
	// Decide chooses what happens to a call; nil lets every call through. It is called once a call, by several goroutines.
	Decide func(Call) Kind
	// Kill ends the processes of a function, for KillBefore and KillAfter.
	Kill func(function string)
	// Hang is how long Hang holds a call; the caller has given up by then.
	Hang time.Duration
}

// Proxy is the way of every function to the AWS APIs. It is safe for concurrent use.
type Proxy struct {
	options atomic.Pointer[Options]
	client  http.Client

	mu     sync.Mutex
	counts map[Kind]int
	calls  map[Call]int
}

// New returns a proxy without a target: Use gives it one.
func New() *Proxy {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.DisableCompression = true
	return &Proxy{client: http.Client{Transport: transport}, counts: map[Kind]int{}, calls: map[Call]int{}}
}

// Use sets the target and the faults from now on.
func (p *Proxy) Use(options Options) { p.options.Store(&options) }

// Counts returns how often each kind of fault happened, and Calls how often each action was called.
func (p *Proxy) Counts() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make(map[Kind]int, len(p.counts))
	for k, n := range p.counts {
		counts[k] = n
	}
	return counts
}

// Calls returns how often each function called each action.
func (p *Proxy) Calls() map[Call]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := make(map[Call]int, len(p.calls))
	for c, n := range p.calls {
		calls[c] = n
	}
	return calls
}

// Handler returns the way of one function.
func (p *Proxy) Handler(function string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(function, w, r) })
}

func (p *Proxy) serve(function string, w http.ResponseWriter, r *http.Request) {
	options := p.options.Load()
	if options == nil {
		http.Error(w, "awsfault: no target", http.StatusBadGateway)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	call := Call{Function: function, Action: action(r)}
	kind := None
	if options.Decide != nil {
		kind = options.Decide(call)
	}
	p.note(call, kind)
	switch kind {
	case Throttle:
		answer(w, http.StatusBadRequest, "ThrottlingException")
		return
	case Fail:
		answer(w, http.StatusInternalServerError, "InternalServerError")
		return
	case KillBefore:
		options.Kill(function)
		return
	case ResetBefore:
		panic(http.ErrAbortHandler)
	case Hang:
		select {
		case <-r.Context().Done():
		case <-time.After(options.Hang):
		}
		panic(http.ErrAbortHandler)
	}
	res, err := p.forward(r, options.Target, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch kind {
	case ResetAfter:
		panic(http.ErrAbortHandler)
	case KillAfter:
		options.Kill(function)
		return
	}
	for name, values := range res.header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.status)
	// A caller that has gone away needs no answer.
	_, _ = w.Write(res.body)
}

func (p *Proxy) note(call Call, kind Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[call]++
	if kind != None {
		p.counts[kind]++
	}
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

// forward carries a call to the target, whatever becomes of the caller meanwhile: a call that reached a service is carried
// out there.
func (p *Proxy) forward(r *http.Request, target string, body []byte) (reply, error) {
	req, err := http.NewRequest(r.Method, target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header = r.Header.Clone()
	res, err := p.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, out}, err
}

// action reads the action from X-Amz-Target, which all three services send: AmazonSQS.SendMessageBatch.
func action(r *http.Request) string {
	target := r.Header.Get("X-Amz-Target")
	return target[strings.LastIndexByte(target, '.')+1:]
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"__type":"`+code+`","message":"injected"}`)
}
