package main

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/egress"
)

type postFunc func() (egress.Response, error)

func (f postFunc) Post(context.Context, string, http.Header, []byte) (egress.Response, error) {
	return f()
}

func TestSender(t *testing.T) {
	tests := []struct {
		name string
		res  egress.Response
		err  error
		want delivery.Answer
	}{
		{"answered", egress.Response{Status: 204}, nil, delivery.Answer{Status: 204}},
		{"asked to wait", egress.Response{Status: 429, RetryAfter: time.Minute}, nil, delivery.Answer{Status: 429, RetryAfter: time.Minute}},
		{"timed out", egress.Response{}, &egress.Error{Reason: egress.ErrTimeout}, delivery.Answer{Failure: "timeout"}},
		{"forbidden", egress.Response{}, &egress.Error{Reason: egress.ErrForbiddenAddress}, delivery.Answer{Failure: "forbidden_address"}},
		{"cut short by us", egress.Response{}, &egress.Error{Reason: egress.ErrCanceled}, delivery.Answer{Failure: "canceled", Interrupted: true}},
		{"some other error", egress.Response{}, errors.New("x"), delivery.Answer{Failure: "no_answer"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sender{postFunc(func() (egress.Response, error) { return tt.res, tt.err })}
			if got := s.Post(t.Context(), "https://vendor.example", nil, nil); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestReasonsFitTheAttribute: every reason for which there is no answer can stand in last_reason.
func TestReasonsFitTheAttribute(t *testing.T) {
	for _, reason := range egress.Reasons() {
		if !isReason(string(reason)) {
			t.Errorf("%q does not look like a reason", reason)
		}
	}
	if egress.DefaultTimeout > delivery.Timeout {
		t.Errorf("egress waits %v, a try may take %v", egress.DefaultTimeout, delivery.Timeout)
	}
}
