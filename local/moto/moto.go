// Package moto runs moto_server, which plays AWS: the real APIs of Secrets Manager, SQS and DynamoDB over HTTP, in the
// memory of one process. It makes the table and the queues of the SAM template there, as CloudFormation would in an
// account.
//
// Where moto differs from AWS: a time to live never deletes, IAM is not enforced, and GetSecretValue must name
// AWSCURRENT once stages were moved by hand. One fault of moto's, by which it loses messages, is mended while it starts;
// see sitecustomize.py.
//
// Only packages under local/ and cmd/, and tests, may import it. The source of rules is moto's documentation of its
// server mode, and the APIs' references.
package moto

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

var (
	// ErrNotInstalled means that there is no moto_server to run.
	ErrNotInstalled = errors.New("moto_server is not installed: run `make .venv`")
	// ErrNotReady means that moto_server was started and never answered. The error holds the last line of its log.
	ErrNotReady = errors.New("moto_server did not become ready")
)

// Region is where the local resources are. It is one of AWS China's, where most merchants deploy, so that a partition
// that is written down where it should be looked up does not pass.
const Region = "cn-north-1"

//go:embed sitecustomize.py
var sitecustomize []byte

// grace is how long moto_server has to end by itself before it is killed.
const grace = 3 * time.Second

// Server is a running moto_server. It ends with Close, and on Linux with this process, however that ends.
type Server struct {
	url    string
	cmd    *exec.Cmd
	client *http.Client
	exited chan struct{} // closed when the process was reaped
	logged chan struct{} // closed when its last line is in the log
	logErr error         // read after logged
	last   string        // read after logged
	close  sync.Once
}

// Start runs executable, a path to moto_server, on a free port of 127.0.0.1, and returns when it answers. What it
// writes goes to the file called log, which is made anew, with its folder. ctx bounds the start alone.
func Start(ctx context.Context, executable, log string) (*Server, error) {
	if _, err := os.Stat(executable); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNotInstalled, err)
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	mended, err := writeMending(filepath.Dir(log))
	if err != nil {
		return nil, err
	}
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make the log: %w", err)
	}
	s := &Server{
		cmd:    exec.Command(executable, "-H", "127.0.0.1", "-p", "0"),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		exited: make(chan struct{}),
		logged: make(chan struct{}),
	}
	// None of the caller's MOTO_ or AWS_ settings reaches it.
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "PYTHONUNBUFFERED=1", "PYTHONPATH=" + mended}
	urls, err := s.spawn(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start moto_server: %w", err), file.Close())
	}
	if err := s.ready(ctx, urls); err != nil {
		s.Close()
		return nil, fmt.Errorf("%w: %w; its log ends: %s", ErrNotReady, err, s.last)
	}
	return s, nil
}

// writeMending puts what Python is to import first into a folder of its own, and returns the folder.
func writeMending(folder string) (string, error) {
	folder, err := filepath.Abs(filepath.Join(folder, "moto"))
	if err != nil {
		return "", fmt.Errorf("name the folder of moto's mending: %w", err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make the folder of moto's mending: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "sitecustomize.py"), sitecustomize, 0o644); err != nil {
		return "", fmt.Errorf("write moto's mending: %w", err)
	}
	return folder, nil
}

// spawn starts the process and what reads its output. The URL that it serves is sent once, and only if it is printed.
func (s *Server) spawn(log *os.File) (<-chan string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	s.cmd.SysProcAttr = ownGroup()

	started := make(chan error)
	go func() {
		// Linux counts a parent as dead when the thread that forked is: this one stays until the child is reaped.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		w.Close() // the child's copy is then the only one, and ends with it
		started <- err
		if err == nil {
			s.cmd.Wait()
			close(s.exited)
		}
	}()
	if err := <-started; err != nil {
		r.Close()
		return nil, err
	}
	urls := make(chan string, 1)
	go s.read(r, log, urls)
	return urls, nil
}

var running = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`)

// read copies the output to the log, and looks for the line that says where the server listens.
func (s *Server) read(r io.ReadCloser, log io.WriteCloser, urls chan<- string) {
	defer close(s.logged)
	defer r.Close()
	found := false
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			s.last = line
			_, writeErr := io.WriteString(log, line)
			s.logErr = errors.Join(s.logErr, writeErr)
		}
		if m := running.FindStringSubmatch(line); m != nil && !found {
			found = true
			urls <- m[1]
		}
		if err != nil {
			s.logErr = errors.Join(s.logErr, log.Close())
			return
		}
	}
}

// ready waits until the server says where it listens, and answers there.
func (s *Server) ready(ctx context.Context, urls <-chan string) error {
	select {
	case s.url = <-urls:
	case <-s.exited:
		return errors.New("it ended")
	case <-ctx.Done():
		return ctx.Err()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/moto-api/data.json", nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// URL returns where every API is served: http://127.0.0.1:PORT.
func (s *Server) URL() string { return s.url }

// Done returns a channel that is closed when the process has ended, by itself or by Close.
func (s *Server) Done() <-chan struct{} { return s.exited }

// Config returns what AWS clients reach the server with, until Close.
func (s *Server) Config() aws.Config {
	c := Config(s.url)
	c.HTTPClient = s.client
	return c
}

// Config returns what AWS clients in any process reach a server at url with.
func Config(url string) aws.Config {
	return aws.Config{
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		BaseEndpoint: aws.String(url),
	}
}

// Close ends the server and everything that it started, and returns when they are gone. Its memory is lost. The error
// is that of writing its log. More calls do nothing.
func (s *Server) Close() error {
	s.close.Do(func() {
		group := -s.cmd.Process.Pid
		syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(grace):
		}
		syscall.Kill(group, syscall.SIGKILL)
		<-s.exited
		<-s.logged
		s.client.CloseIdleConnections()
	})
	return s.logErr
}
