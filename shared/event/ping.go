package event

import (
	"time"

	"github.com/go-json-experiment/json"

	"wechat-parking-gateway/shared/beijingtime"
)

// GatewayPing is the event with which a vendor proves its receiver before the first car: WeChat Pay has nothing to do
// with it, and an operator sends it. No vendor lists it among its events, and every vendor is sent it.
const GatewayPing = "gateway.ping"

// pingMessage is what a ping says to whoever reads it in a log.
const pingMessage = "This is a test of your webhook_url: answer it with any 2xx. (webhook_url 连通测试，返回任意 2xx 即可)"

// PingData is the data of a gateway.ping event. It holds nothing that belongs to a merchant or a person.
type PingData struct {
	// VendorID is the vendor that is pinged: a receiver may serve several.
	VendorID string `json:"vendor_id"`
	// Message is for people.
	Message string `json:"message"`
}

// Ping returns the message that pings a vendor, to be put on the events queue. It was made at now, and its id depends on
// the vendor and the nonce: with a fresh nonce, such as that of rand.Text, it is another ping than every one before.
func Ping(vendorID, nonce string, now time.Time) Message {
	data, err := json.Marshal(PingData{VendorID: vendorID, Message: pingMessage})
	if err != nil {
		// Only invalid UTF-8 fails here, and no vendor's id holds that; Encode refuses a message without data.
		data = nil
	}
	return Message{
		ID: id("ping", nonce, vendorID), VendorID: vendorID, Type: GatewayPing, Timestamp: beijingtime.RFC3339(now), Data: data,
	}
}

// Sent reports whether the gateway sends events of that type: those that a vendor may list, and the ping.
func Sent(name string) bool { return name == GatewayPing || Valid(name) }
