package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/platestate"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/trace"
	"wechat-parking-gateway/shared/vendor"
)

// UserAgent is how the gateway names itself to vendors.
const UserAgent = "wechat-parking-gateway"

// errMalformed says that an event's data is not what its type has.
var errMalformed = errors.New("delivery: malformed event")

// webhook is the body that a vendor is sent.
type webhook struct {
	Type      string         `json:"type"`
	Timestamp string         `json:"timestamp"`
	Data      jsontext.Value `json:"data"`
}

func encode(m event.Message, data jsontext.Value) ([]byte, error) {
	body, err := json.Marshal(webhook{Type: m.Type, Timestamp: m.Timestamp, Data: data})
	if err != nil {
		// The cause may quote the data, which belongs in no error.
		return nil, fmt.Errorf("%w: its data is not valid JSON", errMalformed)
	}
	return body, nil
}

// header returns what goes with body to the vendor, signed at now with each of its webhook secrets, newest first. With it
// go the ids by which the vendor and the operator find the event in each other's logs; they are not signed.
func header(ctx context.Context, m event.Message, now time.Time, body []byte, v *vendor.Vendor) http.Header {
	h := make(http.Header, 7)
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", UserAgent)
	if t, ok := trace.From(ctx); ok {
		h.Set(trace.Header, t.String())
	}
	if m.Origin.RequestID != "" {
		h.Set("Request-Id", m.Origin.RequestID)
	}
	h.Set(stdwebhook.HeaderID, m.ID)
	h.Set(stdwebhook.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(stdwebhook.HeaderSignature, stdwebhook.Sign(m.ID, now, body, v.WebhookSecrets))
	return h
}

// plateState is what is read of a vehicle.plate_state_changed event's data.
type plateState struct {
	key        platestate.Key
	occurredAt time.Time
}

// readPlateState reads the data of a vehicle.plate_state_changed event.
func readPlateState(m event.Message) (plateState, error) {
	var data struct {
		MchID       string `json:"mchid"`
		SubMchID    string `json:"sub_mchid"`
		PlateNumber string `json:"plate_number"`
		OccurredAt  string `json:"occurred_at"`
	}
	if err := json.Unmarshal(m.Data, &data); err != nil {
		return plateState{}, fmt.Errorf("%w: its data cannot be read", errMalformed)
	}
	occurredAt, err := time.Parse(time.RFC3339, data.OccurredAt)
	if err != nil {
		return plateState{}, fmt.Errorf("%w: occurred_at is not RFC 3339", errMalformed)
	}
	if data.MchID == "" || data.PlateNumber == "" {
		return plateState{}, fmt.Errorf("%w: mchid or plate_number is missing", errMalformed)
	}
	return plateState{
		key: platestate.Key{
			VendorID: m.VendorID, MchID: data.MchID, SubMchID: data.SubMchID, PlateNumber: data.PlateNumber,
		},
		occurredAt: occurredAt,
	}, nil
}

// withSuperseded returns data, a JSON object, with the member superseded at its end, in place of one that it may have.
// The other members stay as they are, byte for byte.
func withSuperseded(data jsontext.Value, superseded bool) (jsontext.Value, error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, fmt.Errorf("%w: its data is not an object", errMalformed)
	}
	if _, there := members["superseded"]; there {
		delete(members, "superseded")
		var err error
		if data, err = json.Marshal(members, json.Deterministic(true)); err != nil {
			return nil, fmt.Errorf("%w: its data cannot be written", errMalformed)
		}
	}
	// The object's closing brace is its last byte but for white space.
	end := len(data) - 1
	for data[end] != '}' {
		end--
	}
	out := slices.Clone(data[:end])
	if len(members) > 0 {
		out = append(out, ',')
	}
	out = append(out, `"superseded":`...)
	return append(strconv.AppendBool(out, superseded), '}'), nil
}
