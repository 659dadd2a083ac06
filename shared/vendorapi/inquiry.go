package vendorapi

import (
	"context"
	"net/http"
	"time"

	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/problem"
)

// Inquiry is a vendor route that tells what the gateway itself knows, and changes nothing. It is signed as every call is,
// over an empty body. No webhook-id is recorded: a repeat asks again, and so does a signed request that somebody copied
// and replays within the 300 s of its timestamp, who needs to have broken TLS for it and sees what he saw there before.
type Inquiry struct {
	Vendors Vendors
	Now     func() time.Time
	// Answer returns the JSON for the caller.
	Answer func(ctx context.Context, req *httpapi.Request, caller Caller) ([]byte, *problem.Problem)
}

// Handle is the route's httpapi.Handler.
func (q *Inquiry) Handle(ctx context.Context, req *httpapi.Request) httpapi.Response {
	caller, p := admit(ctx, q.Vendors, q.Now(), req)
	if p != nil {
		return refuse(ctx, p, req)
	}
	body, p := q.Answer(ctx, req, caller)
	if p != nil {
		return refuse(ctx, p, req)
	}
	// A cache does not know that the three headers say who asks.
	return httpapi.Response{
		Status: http.StatusOK, Body: body, Header: map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"},
	}
}
