package main

import (
	"context"
	"fmt"
	"io"
	"time"

	webconsole "wechat-parking-gateway/local/console"
	"wechat-parking-gateway/local/reference"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/transcript"
)

// keptMessages is how many of the latest messages the console shows.
const keptMessages = 2000

// serveConsole serves the page that shows what happens on the stack.
func serveConsole(s *stack.Stack, recorder *traffic.Recorder, address string) (string, error) {
	docs, err := reference.Handler()
	if err != nil {
		return "", err
	}
	handler := webconsole.New(webconsole.Stage{
		Traffic: recorder, Vendor: s.Vendor, Webhooks: s.Webhooks, WeChatPay: s.WeChatPay, BaseURL: s.URL,
		WebhookURL: s.World.Vendors.Vendors[s.Vendor.ID()].WebhookURL, Functions: s.Folders(),
		Waiting: s.Waiting, DeadLetters: s.DeadLetters, Now: time.Now,
		Reference: docs,
		Play: func(ctx context.Context) error {
			// The page tells it; what the terminal shows stays.
			return play(ctx, s, transcript.New(io.Discard, false, time.Now), recorder)
		},
	})
	url, err := s.Serve(address, handler)
	if err != nil {
		return "", fmt.Errorf("%w (choose another address with --console)", err)
	}
	return url, nil
}
