// Command echo answers the event that it got, and how it was invoked.
package main

import (
	"context"
	"encoding/json"
	"os"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type answer struct {
	Event        json.RawMessage `json:"event"`
	PID          int             `json:"pid"`
	RequestID    string          `json:"request_id"`
	ARN          string          `json:"arn"`
	Trace        string          `json:"trace"`
	Remaining    time.Duration   `json:"remaining"`
	Environment  []string        `json:"environment"`
	WorkingDir   string          `json:"working_dir"`
	ProcessGroup int             `json:"process_group"`
}

func main() {
	lambda.Start(func(ctx context.Context, event json.RawMessage) (answer, error) {
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		dir, err := os.Getwd()
		return answer{
			Event:        event,
			PID:          os.Getpid(),
			RequestID:    lc.AwsRequestID,
			ARN:          lc.InvokedFunctionArn,
			Trace:        os.Getenv("_X_AMZN_TRACE_ID"),
			Remaining:    time.Until(deadline),
			Environment:  os.Environ(),
			WorkingDir:   dir,
			ProcessGroup: syscall.Getpgrp(),
		}, err
	})
}
