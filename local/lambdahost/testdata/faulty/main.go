// Command faulty goes wrong in the way that its event names.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func main() {
	lambda.Start(func(ctx context.Context, fault string) (any, error) {
		switch fault {
		case "":
			return os.Getpid(), nil
		case "panic":
			panic("out of parking spaces")
		case "exit":
			os.Exit(3)
		case "hang":
			// It hangs until the other side hangs up, which some tests never do.
			_, err := io.ReadAll(announce())
			return os.Getpid(), err
		case "error":
			return nil, errors.New("the barrier is stuck")
		case "logs":
			printLogs()
			return "printed", nil
		case "large":
			return strings.Repeat("x", 6<<20+101), nil
		case "largest":
			// Two of the bytes are the quotation marks.
			return strings.Repeat("x", 6<<20+98), nil
		case "leave the protocol":
			return leaveProtocol(ctx)
		case "broken answer":
			return io.MultiReader(strings.NewReader(`"half`), brokenReader{}), nil
		}
		return nil, fmt.Errorf("no such fault: %s", fault)
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("the reader broke") }

// announce connects to the address that the test listens on: the connection
// tells the test that the function runs, and its end that the process is gone.
func announce() net.Conn {
	conn, err := net.Dial("tcp", os.Getenv("ANNOUNCE_TO"))
	if err != nil {
		panic(err)
	}
	return conn
}

// leaveProtocol does what no runtime may, and returns the statuses that it got.
func leaveProtocol(ctx context.Context) ([]int, error) {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	lc, _ := lambdacontext.FromContext(ctx)
	var statuses []int
	for _, r := range []struct{ method, path, body string }{
		{http.MethodPost, "invocation/another/response", `{}`},
		{http.MethodPost, "invocation/another/error", `{}`},
		{http.MethodPost, "init/error", `{}`},
		{http.MethodPost, "no/such/path", `{}`},
		{http.MethodGet, "invocation/next", ""},
		{http.MethodPost, "invocation/" + lc.AwsRequestID + "/error", `not JSON`},
		{http.MethodPost, "invocation/" + lc.AwsRequestID + "/response", `{}`},
	} {
		req, err := http.NewRequestWithContext(ctx, r.method, base+r.path, strings.NewReader(r.body))
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
	fmt.Println("statuses:", statuses)
	return statuses, nil
}

func printLogs() {
	fmt.Println("a whole line")
	fmt.Print("a line ")
	fmt.Println("in two parts")
	fmt.Print("\n")
	fmt.Fprintln(os.Stderr, "on stderr\r")
	fmt.Print("no end of line")
}
