package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// quiet is for servers whose clients are killed.
var quiet = log.New(io.Discard, "", 0)

// start is one process from its exec on, and what its first invocation answered.
type start struct {
	FirstByte, FirstNext, Answered time.Duration
	// CPU is what the process had used when it asked for its first invocation, where there was none.
	CPU    time.Duration
	answer []byte
}

// observe starts a bootstrap and gives it one invocation of payload, or with no payload ends it at its first request for
// one. It is an instrument with nothing between it and the process; package lambdahost is the host.
func (b bench) observe(ctx context.Context, bootstrap string, payload []byte) (start, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return start{}, err
	}
	var s start
	var began time.Time
	first := make(chan time.Duration, 16)
	tell := func() {
		select {
		case first <- time.Since(began):
		default:
		}
	}
	b.standIn.firstByte.Store(&tell)
	defer b.standIn.firstByte.Store(nil)

	next, answered := make(chan time.Duration, 1), make(chan time.Duration, 1)
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			next <- time.Since(began)
		}
		if asked > 1 || payload == nil {
			<-r.Context().Done()
			return
		}
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(15*time.Second).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:bench")
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0")
		h.Set("Content-Type", "application/json")
		_, _ = w.Write(payload)
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{what}", func(w http.ResponseWriter, r *http.Request) {
		s.answer, _ = io.ReadAll(r.Body)
		answered <- time.Since(began)
		w.WriteHeader(http.StatusAccepted)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	go func() { _ = server.Serve(watched{listener, tell}) }()
	defer server.Close()

	cmd := exec.CommandContext(ctx, bootstrap)
	cmd.Env = b.processEnv(listener.Addr().String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began = time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	wait := func(c chan time.Duration) (time.Duration, error) {
		select {
		case d := <-c:
			return d, nil
		case <-ended:
			return 0, errors.New("the process ended by itself")
		case <-time.After(20 * time.Second):
			return 0, errors.New("nothing came in 20 s")
		}
	}
	kill := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	if s.FirstByte, err = wait(first); err == nil {
		s.FirstNext, err = wait(next)
	}
	if err == nil && payload != nil {
		s.Answered, err = wait(answered)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		return s, err
	}
	kill()
	s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return s, nil
}

// processEnv is a function's environment as Lambda sets it, with the stand-ins' settings.
func (b bench) processEnv(runtimeAPI string) []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + runtimeAPI, "AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench",
		"AWS_SESSION_TOKEN=bench", "TZ=:UTC",
	}
	for name, value := range b.standIn.env(b.world) {
		env = append(env, name+"="+value)
	}
	return env
}

// answeredWith tells whether an answer, payload 2.0 or not, has this status.
func answeredWith(answer []byte, status int) bool {
	return strings.Contains(string(answer), `"statusCode":`+strconv.Itoa(status))
}
