// Package logtrail finds what the functions logged of one car, one event or one request, in the order in which it happened:
// in CloudWatch Logs, or in the file of the local stack.
//
// A car is known by the keyed hash of its plate alone. It stands in the lines of the vendor's calls, of WeChat Pay's
// callback and of the event's delivery, which no common id joins: WeChat Pay's callback has none of ours in it. Lines of the
// same traces, such as one that tells why a secret could not be read meanwhile, and lines of the same member (a payment in
// the mall has no plate) are found in a second look.
package logtrail

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"wechat-parking-gateway/shared/telemetry"
)

// Line is one log line of a function.
type Line struct {
	// At is the line's own time.
	At time.Time
	// Function is the name of the function's folder.
	Function string
	// Fields are the line's, by name.
	Fields map[string]any
	// text tells lines apart: a copy that came by two ways is one line.
	text string
}

// Text returns a field as text, "" for one that the line lacks.
func (l Line) Text(key telemetry.Key) string {
	switch v := l.Fields[string(key)].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
}

// Source is where lines are.
type Source interface {
	// Find returns, in any order, the lines since then in which one of the ids stands; it may return others as well. The
	// ids are words of letters, digits and a few signs, without quotation marks and spaces.
	Find(ctx context.Context, since time.Time, ids []string) ([]Line, error)
}

// idKeys are the fields by which a line is found.
var idKeys = []telemetry.Key{
	telemetry.PlateHash, telemetry.OpenIDHash, telemetry.TraceID, telemetry.RequestID, telemetry.EventID, telemetry.WebhookID,
	telemetry.MessageID, telemetry.WeChatID,
}

// moreKeys are the fields whose values are looked for in the second look.
var moreKeys = []telemetry.Key{telemetry.OpenIDHash, telemetry.TraceID}

// Follow returns the lines that have the id as one of their ids, and those of the same traces and members, the oldest
// first.
func Follow(ctx context.Context, source Source, since time.Time, id string) ([]Line, error) {
	found, err := look(ctx, source, since, []string{id})
	if err != nil {
		return nil, err
	}
	more := map[string]bool{}
	for _, l := range found {
		for _, key := range moreKeys {
			if value := l.Text(key); value != "" && value != id {
				more[value] = true
			}
		}
	}
	if len(more) > 0 {
		related, err := look(ctx, source, since, slices.Sorted(maps.Keys(more)))
		if err != nil {
			return nil, err
		}
		found = append(found, related...)
	}
	slices.SortStableFunc(found, func(a, b Line) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Function, b.Function), strings.Compare(a.text, b.text))
	})
	return slices.CompactFunc(found, func(a, b Line) bool { return a.Function == b.Function && a.text == b.text }), nil
}

// look returns the lines that have one of the ids in a field of ids.
func look(ctx context.Context, source Source, since time.Time, ids []string) ([]Line, error) {
	lines, err := source.Find(ctx, since, ids)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(lines, func(l Line) bool {
		return l.At.Before(since) || !slices.ContainsFunc(idKeys, func(k telemetry.Key) bool {
			return slices.Contains(ids, l.Text(k))
		})
	}), nil
}

// parse reads a line that a function logged. Anything else that stands in a log, such as Lambda's own lines and metrics, is
// none.
func parse(function, text string) (Line, bool) {
	var fields map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&fields) != nil {
		return Line{}, false
	}
	stamp, _ := fields["timestamp"].(string)
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return Line{}, false
	}
	return Line{At: at, Function: function, Fields: fields, text: text}, true
}

// holdsAny tells whether one of the ids stands in text.
func holdsAny(text string, ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(text, id) })
}
