//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/shared/telemetry"
)

// TestTraceDeployed: a car is found in the log groups of its stack and in no other's, by the hash that the merchant's secret
// gives, and no output shows its plate.
func TestTraceDeployed(t *testing.T) {
	const key = "a key of the operator's"
	newDeployed(t, map[string]string{"merchant": `{"log_hash_key":"` + key + `","api_v2_keys":["not looked at"]}`})
	client := cloudwatchlogs.NewFromConfig(emulated(t).Config())
	hash := telemetry.Hash([]byte(key), fixture.Plate)
	begin := time.Now().Add(-time.Hour)
	for group, lines := range map[string][]string{
		"parkingsync":    {`"plate_hash":"` + hash + `","status":204,"trace_id":"6b0d825571c79267e9c2d1004cd436d1"`, `"plate_hash":"0000000000000000","status":204`},
		"notifycallback": {`"plate_hash":"` + hash + `","status":200,"event_type":"vehicle.plate_state_changed"`},
		"eventdelivery":  {`"plate_hash":"` + hash + `","decision":"parked","reason":"gone"`},
	} {
		for _, stack := range []string{deployedName, "another"} {
			name := "/aws/lambda/" + stack + "/" + group
			if _, err := client.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_, _ = client.DeleteLogGroup(context.WithoutCancel(t.Context()), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &name})
			})
			stream := "2026/11/30/[live]0123"
			if _, err := client.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &name, LogStreamName: &stream}); err != nil {
				t.Fatal(err)
			}
			var events []types.InputLogEvent
			for i, l := range lines {
				at := begin.Add(time.Duration(len(group)+i) * time.Second)
				text := fmt.Sprintf(`{"timestamp":%q,"level":"INFO","message":"request","vendor_id":%q,%s}`, at.Format(time.RFC3339Nano), stack, l)
				stamp := at.UnixMilli()
				events = append(events, types.InputLogEvent{Message: &text, Timestamp: &stamp})
			}
			if _, err := client.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: &name, LogStreamName: &stream, LogEvents: events}); err != nil {
				t.Fatal(err)
			}
		}
	}
	trace := func(want int, args ...string) result {
		t.Helper()
		got := parkctl(t, append([]string{"trace", "--plate", fixture.Plate, "--stack", deployedName}, args...)...)
		if got.status != want || strings.Contains(got.out+got.log, fixture.Plate) || strings.Contains(got.out+got.log, key) {
			t.Fatalf("got %+v, want status %d and neither plate nor key", got, want)
		}
		return got
	}
	got := trace(0)
	if rows := strings.Split(strings.TrimSpace(got.out), "\n"); len(rows) != 4 || strings.Contains(got.out, "another") ||
		!strings.Contains(rows[1], "parkingsync") || !strings.Contains(rows[2], "eventdelivery") || !strings.Contains(rows[3], "notifycallback") {
		t.Errorf("got %s, want the three lines of the stack in the order of their times", got.out)
	}
	if !strings.Contains(got.out, "parked") || !strings.Contains(got.out, "gone") {
		t.Errorf("got %s, want what became of the event", got.out)
	}
	for line := range strings.Lines(trace(0, "--json").out) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["plate_hash"] != hash || fields["function"] == "" {
			t.Errorf("got %s, %v, want a line of the car's", line, err)
		}
	}
	trace(failedStatus, "--since", "10m")

	// Without the key nothing can be found, and nobody is shown why in the secret's words.
	for _, document := range []string{`{}`, `not JSON`} {
		again := newDeployed(t, map[string]string{"merchant": document})
		if got := trace(failedStatus); !strings.Contains(got.log, again.state.MerchantSecret) {
			t.Errorf("%s: got %+v, want the secret named", document, got)
		}
	}
}
