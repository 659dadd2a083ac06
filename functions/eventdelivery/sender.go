package main

import (
	"context"
	"errors"
	"net/http"

	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/egress"
	"wechat-parking-gateway/shared/telemetry"
)

// poster is what posts to the addresses that vendors gave.
type poster interface {
	Post(ctx context.Context, rawURL string, header http.Header, body []byte) (egress.Response, error)
}

// sender posts in the terms of package delivery.
type sender struct{ poster poster }

// Post sends body to url. What went wrong on the way is noted in the log line, without the address.
func (s sender) Post(ctx context.Context, url string, header http.Header, body []byte) delivery.Answer {
	res, err := s.poster.Post(ctx, url, header, body)
	if err == nil {
		return delivery.Answer{Status: res.Status, RetryAfter: res.RetryAfter}
	}
	var known *egress.Error
	if !errors.As(err, &known) {
		return delivery.Answer{Failure: "no_answer"}
	}
	telemetry.Set(ctx, telemetry.Error, known.Detail)
	return delivery.Answer{Failure: string(known.Reason), Interrupted: known.Reason == egress.ErrCanceled}
}
