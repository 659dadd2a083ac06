package logtrail_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/cmd/parkctl/logtrail"
	"wechat-parking-gateway/shared/telemetry"
)

const (
	plateHash = "f166667c8ecc2ecc"
	traceOne  = "6b0d825571c79267e9c2d1004cd436d1"
	traceTwo  = "6b0d825571c79267e9c2d1004cd436d2"
)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// entry is a line of a function, second seconds after start.
func entry(second int, fields string) string {
	return fmt.Sprintf(`{"timestamp":%q,"level":"INFO","message":"request",%s}`, start.Add(time.Duration(second)*time.Second).Format(time.RFC3339Nano), fields)
}

// visit is what the functions logged, by function: a car that came in, whose plate was blocked, and what else there was.
var visit = map[string][]string{
	"ParkingSyncFunction": {
		entry(-7200, `"webhook_id":"yesterday","plate_hash":"`+plateHash+`"`),
		entry(1, `"webhook_id":"in","plate_hash":"`+plateHash+`","openid_hash":"4811bbf441f703a9","trace_id":"`+traceOne+`"`),
		entry(0, `"webhook_id":"","message":"secret not refreshed","trace_id":"`+traceOne+`"`),
		entry(2, `"webhook_id":"another car","plate_hash":"0000000000000000","trace_id":"6b0d825571c79267e9c2d1004cd436d3"`),
		`{"_aws":{"Timestamp":1},"FunctionName":"` + plateHash + `"}`,
		"START RequestId: " + plateHash,
		entry(2, `"detail":"`+plateHash+`"`),
	},
	"NotifyCallbackFunction": {
		entry(3, `"event_id":"evt_1","request_id":"JKJaXmPLvHcESHA=","plate_hash":"`+plateHash+`","trace_id":"`+traceTwo+`"`),
		entry(5, `"event_id":"evt_2","openid_hash":"4811bbf441f703a9"`),
	},
	"EventDeliveryFunction": {
		entry(4, `"event_id":"evt_1","request_id":"JKJaXmPLvHcESHA=","plate_hash":"`+plateHash+`","trace_id":"`+traceTwo+`"`),
		entry(4, `"event_id":"evt_1","request_id":"JKJaXmPLvHcESHA=","plate_hash":"`+plateHash+`","trace_id":"`+traceTwo+`"`),
	},
}

// found are what is to be found of the car, in order.
var found = []string{
	"parkingsync 12:00:00 secret not refreshed", "parkingsync 12:00:01 in", "notifycallback 12:00:03 evt_1", "eventdelivery 12:00:04 evt_1",
	"notifycallback 12:00:05 evt_2",
}

func describe(lines []logtrail.Line) (texts []string) {
	for _, l := range lines {
		what := l.Text(telemetry.EventID) + l.Text(telemetry.WebhookID)
		if what == "" {
			what, _ = l.Fields["message"].(string)
		}
		texts = append(texts, l.Function+" "+l.At.Format(time.TimeOnly)+" "+what)
	}
	return texts
}

// file writes the visit as the local stack does.
func file(t *testing.T) logtrail.File {
	t.Helper()
	var b strings.Builder
	for function, lines := range visit {
		for _, l := range lines {
			b.WriteString(function + ": " + l + "\n")
		}
	}
	path := filepath.Join(t.TempDir(), "functions.log")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return logtrail.File{Path: path}
}

// cloud is CloudWatch Logs with one stack's groups and another's, which hands out one event a page.
type cloud struct {
	patterns []string
	err      error
}

func (c *cloud) DescribeLogGroups(_ context.Context, in *cloudwatchlogs.DescribeLogGroupsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error) {
	out := &cloudwatchlogs.DescribeLogGroupsOutput{}
	names := []string{"/aws/lambda/gateway/eventdelivery", "/aws/lambda/gateway/notifycallback", "/aws/lambda/gateway/parkingsync", "/aws/lambda/other/parkingsync"}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, *in.LogGroupNamePrefix) })
	if in.NextToken != nil {
		names = names[1:]
	} else if len(names) > 1 {
		names, out.NextToken = names[:1], aws.String("more")
	}
	for _, n := range names {
		out.LogGroups = append(out.LogGroups, types.LogGroup{LogGroupName: &n})
	}
	return out, nil
}

func (c *cloud) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if c.err != nil {
		return nil, c.err
	}
	c.patterns = append(c.patterns, *in.FilterPattern)
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	for function, lines := range visit {
		if !strings.HasSuffix(*in.LogGroupName, "/"+strings.ToLower(strings.TrimSuffix(function, "Function"))) {
			continue
		}
		page := 0
		if in.NextToken != nil {
			page = len(*in.NextToken)
		}
		if page+1 < len(lines) {
			out.NextToken = aws.String(strings.Repeat("x", page+1))
		}
		// It does not filter, as an emulator that knows fewer patterns.
		out.Events = append(out.Events, types.FilteredLogEvent{Message: aws.String(lines[page] + "\n")})
	}
	return out, nil
}

func TestFollow(t *testing.T) {
	for name, source := range map[string]logtrail.Source{
		"file": file(t), "CloudWatch": logtrail.CloudWatch{API: &cloud{}, Stack: "gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			for id, want := range map[string][]string{
				plateHash:          found,
				"JKJaXmPLvHcESHA=": {"notifycallback 12:00:03 evt_1", "eventdelivery 12:00:04 evt_1"},
				"evt_2":            {"parkingsync 12:00:01 in", "notifycallback 12:00:05 evt_2"},
				traceOne:           {"parkingsync 12:00:00 secret not refreshed", "parkingsync 12:00:01 in", "notifycallback 12:00:05 evt_2"},
				"nobody":           nil,
			} {
				got, err := logtrail.Follow(t.Context(), source, start.Add(-time.Hour), id)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, describe(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", id, diff)
				}
			}
		})
	}
}

// TestPatterns holds what CloudWatch is asked for: ids alone, and never more than a pattern takes.
func TestPatterns(t *testing.T) {
	api := &cloud{}
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = fmt.Sprintf("%032d", i)
	}
	source := logtrail.CloudWatch{API: api, Stack: "gateway"}
	if _, err := source.Find(t.Context(), start, ids[:1]); err != nil {
		t.Fatal(err)
	}
	if got, want := api.patterns[0], `"`+ids[0]+`"`; got != want {
		t.Errorf("one id: got the pattern %s, want %s", got, want)
	}
	api.patterns = nil
	if _, err := source.Find(t.Context(), start, ids); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(api.patterns, " ")
	for _, id := range ids {
		if !strings.Contains(all, `?"`+id+`"`) {
			t.Errorf("nobody asks for %s", id)
		}
	}
	for _, p := range api.patterns {
		if len(p) > 1024 {
			t.Errorf("got a pattern of %d characters, want at most 1024", len(p))
		}
	}
}

func TestFailures(t *testing.T) {
	if _, err := logtrail.Follow(t.Context(), logtrail.CloudWatch{API: &cloud{}, Stack: "none"}, start, plateHash); !errors.Is(err, logtrail.ErrNoLogGroups) {
		t.Errorf("no log groups: got %v", err)
	}
	denied := errors.New("denied")
	_, err := logtrail.Follow(t.Context(), logtrail.CloudWatch{API: &cloud{err: denied}, Stack: "gateway"}, start, plateHash)
	if !errors.Is(err, denied) || !strings.Contains(err.Error(), "/aws/lambda/gateway/") {
		t.Errorf("denied: got %v, want the group named", err)
	}
	if _, err := logtrail.Follow(t.Context(), logtrail.File{Path: filepath.Join(t.TempDir(), "none")}, start, plateHash); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := logtrail.Follow(ended, file(t), start, plateHash); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
}

func ExampleFollow() {
	log := filepath.Join(os.TempDir(), fmt.Sprintf("functions-%d.log", os.Getpid()))
	defer os.Remove(log)
	line := `ParkingSyncFunction: {"timestamp":"2026-11-30T12:00:01Z","message":"request","status":204,"plate_hash":"f166667c8ecc2ecc"}`
	if err := os.WriteFile(log, []byte(line+"\n"), 0o600); err != nil {
		fmt.Println(err)
	}
	lines, err := logtrail.Follow(context.Background(), logtrail.File{Path: log}, time.Time{}, "f166667c8ecc2ecc")
	fmt.Println(len(lines), lines[0].Function, lines[0].Text(telemetry.Status), err)
	// Output: 1 parkingsync 204 <nil>
}
