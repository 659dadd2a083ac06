package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/telemetry"
)

func TestUnknownFieldsAreDropped(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(slog.NewJSONHandler(&out, nil))
	log.With("plate_number", "粤B888888", "vendor_id", "acme").WithGroup("body").
		Info("request", "openid", "oUpF8uMuAJOM2pxb1Q", "status", 204, slog.Group("request", "code", "secret"))
	got := out.String()
	for _, want := range []string{`"vendor_id":"acme"`, `"status":204`, `"msg":"request"`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
	for _, refused := range []string{"粤B888888", "oUpF8uMuAJOM2pxb1Q", "secret", "plate_number", "openid"} {
		if strings.Contains(got, refused) {
			t.Errorf("got %s, want no %s in it", got, refused)
		}
	}
}

func TestEveryKeyIsAllowed(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(slog.NewTextHandler(&out, nil))
	for _, k := range constantsOf(t, "telemetry.go", "Key") {
		out.Reset()
		log.Info("line", k, "value")
		if !strings.Contains(out.String(), k+"=value") {
			t.Errorf("%s: got %s, want the field in it", k, out.String())
		}
	}
}

// coded is an error of an AWS service.
type coded string

func (c coded) Error() string     { return "a message that repeats what was sent" }
func (c coded) ErrorCode() string { return string(c) }

func TestCause(t *testing.T) {
	lost := errors.New("lost")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("call: %w", coded("ThrottlingException")), "ThrottlingException"},
		{errors.Join(lost, coded("ConditionalCheckFailedException")), "ConditionalCheckFailedException"},
		{fmt.Errorf("record: %w", lost), "another has it"},
		{fmt.Errorf("call: %w", context.DeadlineExceeded), "timed out"},
		{errors.New("dial tcp"), "unreachable"},
	} {
		if got := telemetry.Cause(tt.err, telemetry.Word{Err: lost, Text: "another has it"}); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestHash(t *testing.T) {
	a, b := telemetry.Hash([]byte("key"), "粤B888888"), telemetry.Hash([]byte("other"), "粤B888888")
	if len(a) != 16 || a == b {
		t.Errorf("got %q and %q, want two different hashes of 16 digits", a, b)
	}
	if got := telemetry.Hash(nil, "粤B888888"); got != "" {
		t.Errorf("without a key: got %q, want none", got)
	}
}

func ExampleSet() {
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	ctx, line := telemetry.Begin(context.Background())
	telemetry.Set(ctx, telemetry.VendorID, "acme")
	telemetry.Set(ctx, telemetry.Status, 204)
	line.Write(ctx, telemetry.NewLogger(handler), slog.LevelInfo, "request")
	// Output: level=INFO msg=request vendor_id=acme status=204
}
