package deployment_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"testing"

	"github.com/aws/smithy-go"

	"wechat-parking-gateway/cmd/parkctl/deployment"
)

// TestPlain: of an AWS client's error what tells something is left, and its cause can still be asked for.
func TestPlain(t *testing.T) {
	refused := &smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed"}
	unreached := &url.Error{Op: "Post", URL: "https://sts.example/", Err: io.ErrUnexpectedEOF}
	interrupted := &url.Error{Op: "Post", URL: "https://sts.example/", Err: context.Canceled}
	for name, row := range map[string]struct {
		err, cause error
		want       string
	}{
		"refused":      {&smithy.OperationError{ServiceID: "STS", OperationName: "Get", Err: refused}, refused, "AccessDenied: not allowed"},
		"out of reach": {&smithy.OperationError{ServiceID: "STS", OperationName: "Get", Err: unreached}, unreached, `AWS cannot be reached: Post "https://sts.example/": unexpected EOF`},
		"interrupted":  {&smithy.OperationError{ServiceID: "STS", OperationName: "Get", Err: interrupted}, context.Canceled, `Post "https://sts.example/": context canceled`},
		"another":      {io.EOF, io.EOF, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got := deployment.Plain(row.err)
			if got.Error() != row.want || !errors.Is(got, row.cause) {
				t.Errorf("got %q, want %q and its cause", got, row.want)
			}
		})
	}
}
