// Command stubborn ignores SIGTERM and starts a child that ignores it too. Both
// hold a connection to ANNOUNCE_TO for as long as they live.
package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	signal.Ignore(syscall.SIGTERM)
	conn, err := net.Dial("tcp", os.Getenv("ANNOUNCE_TO"))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	if len(os.Args) > 1 {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	child := exec.Command(os.Args[0], "child")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		panic(err)
	}
	lambda.Start(func() (int, error) { return os.Getpid(), nil })
}
