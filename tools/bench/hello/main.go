// Command hello is the function that does nothing: the floor of a start and of an invocation.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() (string, error) { return "hello", nil }) }
