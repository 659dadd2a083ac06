package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	webconsole "wechat-parking-gateway/local/console"
	"wechat-parking-gateway/local/loopback"
	"wechat-parking-gateway/local/reference"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/transcript"
)

// keptMessages is how many of the latest messages the console shows.
const keptMessages = 2000

// consoleAddress is where the console is served unless the command line says where.
const consoleAddress = "127.0.0.1:8081"

// listenForConsole opens the console's address before anything is built, and returns nil where there is to be none. Where
// nobody asked for the default address and another stack has it, any free one will do.
func listenForConsole(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := loopback.Listen(address)
	if errors.Is(err, syscall.EADDRINUSE) && address == consoleAddress {
		listener, err = loopback.Listen("127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("%w (choose another address with --console)", err)
	}
	return listener, nil
}

// serveConsole serves the page that shows what happens on the stack.
func serveConsole(s *stack.Stack, recorder *traffic.Recorder, listener net.Listener, ownReceiver bool) (string, error) {
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
			if ownReceiver {
				return errors.New("the visit looks at what the demo vendor's own receiver gets; start without --webhook-url")
			}
			// The page tells it; what the terminal shows stays.
			return play(ctx, s, transcript.New(io.Discard, false, time.Now), recorder)
		},
	})
	s.Serve(listener, handler)
	return "http://" + listener.Addr().String(), nil
}
