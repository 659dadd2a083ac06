package vendorapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"wechat-parking-gateway/shared/beijingtime"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/vendor"
)

// What the gateway adds to Standard Webhooks' rules for an id.
const (
	maxID       = 64
	eventPrefix = "evt_" // ids of events that the gateway sends
)

// Caller is who made a request whose signature holds.
type Caller struct {
	Vendor *vendor.Vendor
	// Message is the request's three headers.
	Message stdwebhook.Message
}

// authenticate returns the vendor in the path when one of its request_secrets signed the request.
// An unknown vendor and a bad signature are not told apart, by word or by time.
func authenticate(ctx context.Context, vendors Vendors, now time.Time, req *httpapi.Request) (Caller, *problem.Problem) {
	message, p := readHeaders(req.Header)
	if p != nil {
		return Caller{}, p
	}
	if message.CheckTime(now) != nil {
		return Caller{}, problem.New(problem.TimestampOutOfRange, fmt.Sprintf(
			"webhook-timestamp must be within %d seconds of the server's time, which is %d (%s).",
			int(stdwebhook.Tolerance.Seconds()), now.Unix(), beijingtime.RFC3339(now)))
	}
	directory, err := vendors.Get(ctx)
	if err != nil {
		telemetry.Set(ctx, telemetry.Reason, "vendors: "+err.Error())
		return Caller{}, Unavailable("The gateway's list of vendors could not be read; WeChat Pay was not called.")
	}
	id := req.Path["vendor_id"]
	v, ok := verify(directory, id, message, req.Body)
	if !ok {
		// A vendor or a secret may have been added since the list was fetched.
		if fresh, changed, err := vendors.Refresh(ctx); err == nil && changed {
			v, ok = verify(fresh, id, message, req.Body)
		}
	}
	if !ok {
		digest := sha256.Sum256(req.Body)
		return Caller{}, problem.New(problem.NotAuthenticated, fmt.Sprintf(
			"No vendor of this id has a secret that gives this signature. The body as received has %d bytes and the SHA-256 %s: "+
				"compare it with what you signed. The signed text is webhook-id.webhook-timestamp.body.",
			len(req.Body), hex.EncodeToString(digest[:])))
	}
	telemetry.Set(ctx, telemetry.VendorID, v.ID)
	telemetry.Set(ctx, telemetry.WebhookID, message.ID)
	if v.Disabled {
		return Caller{}, problem.New(problem.VendorDisabled, "The operator has disabled this vendor.")
	}
	return Caller{Vendor: v, Message: message}, nil
}

// stranger is verified against where a vendor does not exist, so that the answer takes as long as for one that does.
var stranger, _ = stdwebhook.ParseSecret("whsec_bm8gdmVuZG9yIGhhcyB0aGlzIHNlY3JldA==")

func verify(d *vendor.Directory, id string, m stdwebhook.Message, body []byte) (*vendor.Vendor, bool) {
	v, found := d.Lookup(id)
	secrets := []stdwebhook.Secret{stranger}
	if found {
		secrets = v.RequestSecrets
	}
	holds := m.Verify(body, secrets) == nil
	return v, found && holds
}

// readHeaders reads the three headers, telling what is missing from what is malformed. None may come twice; where API
// Gateway has joined two values with a comma, the form of each header gives it away.
func readHeaders(h httpapi.Header) (stdwebhook.Message, *problem.Problem) {
	values := make(map[string]string, 3)
	for _, name := range []string{stdwebhook.HeaderID, stdwebhook.HeaderTimestamp, stdwebhook.HeaderSignature} {
		value, count := h.Get(name)
		if count > 1 {
			return stdwebhook.Message{}, problem.New(problem.MalformedHeader, "The header "+name+" came more than once.")
		}
		if value == "" {
			return stdwebhook.Message{}, problem.New(problem.MissingHeader, "The header "+name+" is missing.")
		}
		values[name] = value
	}
	if detail := malformedID(values[stdwebhook.HeaderID]); detail != "" {
		return stdwebhook.Message{}, problem.New(problem.MalformedHeader, detail)
	}
	message, err := stdwebhook.ParseHeader(values[stdwebhook.HeaderID], values[stdwebhook.HeaderTimestamp], values[stdwebhook.HeaderSignature])
	var bad *stdwebhook.HeaderError
	switch {
	case errors.As(err, &bad) && bad.Header == stdwebhook.HeaderTimestamp:
		return message, problem.New(problem.MalformedHeader, "webhook-timestamp must be Unix time in whole seconds.")
	case err != nil:
		return message, problem.New(problem.MalformedHeader, "webhook-signature must be a list of v1,<base64 of 32 bytes>, separated by single spaces.")
	}
	return message, nil
}

// malformedID says what is wrong with an id, or "". The gateway keeps to fewer characters than the standard, so that an
// id is safe in a log line and a key, and its own events' ids never collide with a vendor's.
func malformedID(id string) string {
	switch {
	case len(id) > maxID:
		return fmt.Sprintf("webhook-id must have at most %d characters.", maxID)
	case strings.HasPrefix(id, eventPrefix):
		return "webhook-id must not start with evt_, which marks the gateway's own events."
	case strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}):
		return "webhook-id must consist of letters, digits, _ and - (A-Za-z0-9_-), and come once."
	}
	return ""
}
