package lambdahost

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Paths and headers of the Runtime API, version 2018-06-01.
const (
	pathNext      = "GET /2018-06-01/runtime/invocation/next"
	pathResponse  = "POST /2018-06-01/runtime/invocation/{id}/response"
	pathError     = "POST /2018-06-01/runtime/invocation/{id}/error"
	pathInitError = "POST /2018-06-01/runtime/init/error"

	headerRequestID = "Lambda-Runtime-Aws-Request-Id"
	headerDeadline  = "Lambda-Runtime-Deadline-Ms"
	headerARN       = "Lambda-Runtime-Invoked-Function-Arn"
	headerTrace     = "Lambda-Runtime-Trace-Id"

	// As a header of an error, and as a trailer of an answer that failed while it
	// was being written.
	headerErrorType = "Lambda-Runtime-Function-Error-Type"
	headerErrorBody = "Lambda-Runtime-Function-Error-Body"
)

// maxErrorBody caps a posted error, in bytes; stack traces stay far below it.
const maxErrorBody = 256 << 10

// runtimeAPI is what one process finds under AWS_LAMBDA_RUNTIME_API.
func (s *sandbox) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(pathNext, s.serveNext)
	mux.HandleFunc(pathResponse, s.serveResponse)
	mux.HandleFunc(pathError, s.serveError)
	mux.HandleFunc(pathInitError, s.serveInitError)
	return mux
}

// serveNext ends the running invocation, and waits for the next.
func (s *sandbox) serveNext(w http.ResponseWriter, r *http.Request) {
	if !s.finish() {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the last event is not answered")
		return
	}
	select {
	case inv := <-s.work:
		s.begin(inv)
		header := w.Header()
		header.Set(headerRequestID, inv.id)
		header.Set(headerDeadline, strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		header.Set(headerARN, s.function.arn)
		header.Set(headerTrace, inv.trace)
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(inv.payload)))
		_, _ = w.Write(inv.payload) // a process that died is seen by its exit
	case <-r.Context().Done():
	}
}

// finish closes the running invocation, or reports the runtime ready the first
// time. It refuses when the running one has no answer yet.
func (s *sandbox) finish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked {
		s.asked = true
		close(s.ready)
	}
	if s.current == nil {
		return true
	}
	if !s.current.answered {
		s.broken = true
		return false
	}
	close(s.current.finished)
	s.current = nil
	return true
}

func (s *sandbox) begin(inv *invocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = inv
}

// serveResponse takes the answer of the running invocation.
func (s *sandbox) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := readAtMost(r.Body, MaxPayload)
	if errors.Is(err, errOverLimit) {
		message := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload)
		if s.settle(w, r, func(inv *invocation) {
			inv.failure = s.fail(inv, ErrResponseTooLarge, "Function.ResponseSizeTooLarge", message)
		}) {
			refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", message)
		}
		return
	}
	if err != nil {
		return // the connection broke; there is nobody to answer
	}
	if s.settle(w, r, func(inv *invocation) {
		inv.answer = body
		if kind := r.Trailer.Get(headerErrorType); kind != "" {
			// The answer failed half-way: its reader told so behind it.
			cause, _ := base64.StdEncoding.DecodeString(r.Trailer.Get(headerErrorBody))
			inv.failure = s.reported(inv, kind, cause)
		}
	}) {
		w.WriteHeader(http.StatusAccepted)
	}
}

// serveError takes the running invocation's failure.
func (s *sandbox) serveError(w http.ResponseWriter, r *http.Request) {
	body, err := readAtMost(r.Body, maxErrorBody)
	if err != nil && !errors.Is(err, errOverLimit) {
		return
	}
	if s.settle(w, r, func(inv *invocation) {
		inv.failure = s.reported(inv, r.Header.Get(headerErrorType), body)
	}) {
		w.WriteHeader(http.StatusAccepted)
	}
}

// serveInitError takes the failure of the sandbox's init.
func (s *sandbox) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := readAtMost(r.Body, maxErrorBody)
	if err != nil && !errors.Is(err, errOverLimit) {
		return
	}
	failure := s.reported(&invocation{}, r.Header.Get(headerErrorType), body)
	failure.Reason = ErrInit
	if !s.failInit(failure) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the init phase is over")
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// failInit notes the failure unless init is over or has failed already.
func (s *sandbox) failInit(failure *FunctionError) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked || s.initFailure != nil {
		return false
	}
	s.initFailure = failure
	close(s.initFailed)
	return true
}

// settle records the outcome of the invocation in r's path. When that is not the
// running one, or it is answered already, settle refuses and reports false.
func (s *sandbox) settle(w http.ResponseWriter, r *http.Request, outcome func(*invocation)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	inv := s.current
	if inv == nil || inv.id != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "no such invocation is running")
		return false
	}
	if inv.answered {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the event is answered already")
		return false
	}
	outcome(inv)
	inv.answered = true
	return true
}

// reported is the failure that a function or its runtime posted. The header, if
// there is one, names its type better than the body.
func (s *sandbox) reported(inv *invocation, kind string, body []byte) *FunctionError {
	var posted struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	_ = json.Unmarshal(body, &posted) // a body of another form has no type and no message
	if kind == "" {
		kind = posted.Type
	}
	if kind == "" {
		kind = "Runtime.Unknown"
	}
	failure := s.fail(inv, ErrReported, kind, posted.Message)
	failure.Payload = body
	return failure
}

// refuse answers as the Runtime API refuses.
func refuse(w http.ResponseWriter, status int, kind, message string) {
	body, _ := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message}) // strings always encode
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

var errOverLimit = errors.New("over the limit")

// readAtMost returns at most limit bytes of r and reads the rest away, so that
// the sender gets to see the answer. It fails with errOverLimit when it cut.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return nil, err
	}
	over, err := io.Copy(io.Discard, r)
	if err != nil {
		return nil, err
	}
	if over > 0 {
		return body, errOverLimit
	}
	return body, nil
}
