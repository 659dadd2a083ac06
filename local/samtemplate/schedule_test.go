package samtemplate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/local/samtemplate"
)

func TestSchedules(t *testing.T) {
	const template = `
Resources:
  RunFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Clock:
          Type: Schedule
          Properties:
            Schedule: rate(1 day)
`
	for text, want := range map[string]any{
		"rate(1 day)": 24 * time.Hour, "rate(12 hours)": 12 * time.Hour, "rate(1 minute)": time.Minute,
		"rate(1 days)": samtemplate.ErrInvalid, "rate(2 hour)": samtemplate.ErrInvalid,
		"cron(0 3 * * ? *)": samtemplate.ErrUnsupported, "rate(0 hours)": samtemplate.ErrUnsupported, `""`: samtemplate.ErrUnsupported,
	} {
		parsed, err := samtemplate.Parse([]byte(strings.Replace(template, "rate(1 day)", text, 1)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parsed.Schedules(samtemplate.Values{})
		if wantErr, ok := want.(error); ok {
			if !errors.Is(err, wantErr) {
				t.Errorf("%s: got %v, %v, want %v", text, got, err, wantErr)
			}
			continue
		}
		if err != nil || len(got) != 1 || got[0] != (samtemplate.Schedule{Function: "RunFunction", Every: want.(time.Duration)}) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for change, want := range map[string]error{"            Schedule: rate(1 day)": samtemplate.ErrInvalid, "Schedule: rate(1 day)": samtemplate.ErrUnsupported} {
		with := "            Description: x"
		if want == samtemplate.ErrUnsupported {
			with = "Input: x"
		}
		parsed, err := samtemplate.Parse([]byte(strings.Replace(template, change, with, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsed.Schedules(samtemplate.Values{}); !errors.Is(err, want) {
			t.Errorf("%s: got %v, %v, want %v", with, got, err, want)
		}
	}
}
