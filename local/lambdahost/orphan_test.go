package lambdahost_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"wechat-parking-gateway/local/lambdahost"
)

// hostCommand makes the test binary a host of one sandbox that is at work.
const hostCommand = "host-until-killed"

// runHost hosts one sandbox whose function never answers.
func runHost(bootstrap string) {
	f := lambdahost.Function{
		Name: "Orphan", Bootstrap: bootstrap, Timeout: time.Hour,
		Env: map[string]string{"ANNOUNCE_TO": os.Getenv("ANNOUNCE_TO")},
	}
	h, err := lambdahost.New([]lambdahost.Function{f}, lambdahost.Options{})
	if err != nil {
		panic(err)
	}
	_, err = h.Invoke(context.Background(), "Orphan", []byte(`"hang"`))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestHostThatIsKilledLeavesNoOrphan ends a host in the one way that gives it no
// chance to clean up.
func TestHostThatIsKilledLeavesNoOrphan(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux has a parent-death signal")
		return
	}
	a := newAnnouncer(t)
	host := exec.Command(os.Args[0], hostCommand, bootstrap("faulty"))
	host.Env = append(os.Environ(), "ANNOUNCE_TO="+a.env()["ANNOUNCE_TO"])
	host.Stderr = os.Stderr
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	conn := a.next()
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // it was killed
	assertEnds(t, conn)
}
