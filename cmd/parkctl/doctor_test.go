package main

import (
	"net"
	"strings"
	"testing"
)

// TestDoctorOutOfReach: where AWS cannot be reached the doctor says so, and does not send anybody to log in again.
func TestDoctorOutOfReach(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": "http://" + closed.Addr().String(), "AWS_MAX_ATTEMPTS": "1", "AWS_REGION": "cn-north-1", "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	got := parkctl(t, "doctor", "--stack", "parking-prod")
	if got.status != failedStatus || !strings.Contains(got.out, "AWS cannot be reached: Post") || !strings.Contains(got.out, "see whether this machine reaches AWS") ||
		strings.Contains(got.out, "log in again") {
		t.Errorf("got %+v, want status %d and AWS out of reach", got, failedStatus)
	}
}
