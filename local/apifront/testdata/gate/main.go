// Command gate answers requests as the query parameter "how" says.
package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(_ context.Context, r events.APIGatewayV2HTTPRequest) (any, error) {
		switch r.QueryStringParameters["how"] {
		case "fail":
			return nil, errors.New("the gate does not open")
		case "plain":
			return "open", nil
		}
		return events.APIGatewayV2HTTPResponse{
			StatusCode: http.StatusCreated,
			Headers:    map[string]string{"Content-Type": "text/plain", "Request-Id": r.RequestContext.RequestID},
			Cookies:    []string{"a=1", "b=2"},
			Body:       r.PathParameters["gate"] + ":" + r.Body,
		}, nil
	})
}
