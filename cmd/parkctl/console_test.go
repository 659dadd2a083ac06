package main

import (
	"net"
	"strings"
	"testing"
)

// TestListenForConsole: the console's address is checked before anything is built. The default one may be taken, as by
// another stack, and one that was asked for may not.
func TestListenForConsole(t *testing.T) {
	if listener, err := listenForConsole(""); listener != nil || err != nil {
		t.Errorf("no console: got %v, %v, want none", listener, err)
	}
	if _, err := listenForConsole("0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("every address: got %v, want it refused", err)
	}
	taken, err := listenForConsole("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := listenForConsole(taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "--console") {
		t.Errorf("an address that is taken: got %v, want it refused, with the flag's name", err)
	}
	// Whether somebody else has the default address or not, both get one.
	var got []net.Addr
	for range 2 {
		listener, err := listenForConsole(consoleAddress)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		got = append(got, listener.Addr())
	}
	if got[0].String() == got[1].String() {
		t.Errorf("got %s twice", got[0])
	}
}
