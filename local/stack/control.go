package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// State is what parkctl in another terminal needs to know of a running stack. It lies in a file that only its owner can
// read, since it holds the demo vendors' secrets.
type State struct {
	BaseURL        string            `json:"base_url"`
	ControlURL     string            `json:"control_url"`
	AWSEndpoint    string            `json:"aws_endpoint"`
	RequestSecrets map[string]string `json:"request_secrets"`

	EventsQueueURL     string `json:"events_queue_url"`
	DeadLetterQueueURL string `json:"dead_letter_queue_url"`

	MerchantSecret    string   `json:"merchant_secret"`
	MerchantKeySecret string   `json:"merchant_key_secret"`
	VendorsSecrets    []string `json:"vendors_secrets"`
	Table             string   `json:"table"`
	WeChatPayURL      string   `json:"wechatpay_url"`
}

func statePath(root string) string { return filepath.Join(root, "build", "local", "state.json") }

// WriteState notes the running stack for other terminals.
func (s *Stack) WriteState() error { return s.WriteStateIn(s.root) }

// WriteStateIn notes the running stack in another folder than the project's, for runs of parkctl that are told of it.
func (s *Stack) WriteStateIn(root string) error {
	state := State{
		BaseURL: s.URL, ControlURL: s.controlURL, AWSEndpoint: s.AWSEndpoint, RequestSecrets: map[string]string{},
		EventsQueueURL: s.queueURL, DeadLetterQueueURL: s.deadURL,
		MerchantSecret: s.World.MerchantSecret, MerchantKeySecret: s.World.MerchantKeySecret, VendorsSecrets: []string{s.World.VendorsSecret},
		Table: s.table, WeChatPayURL: s.weChatPayURL,
	}
	for id := range s.World.Vendors.Vendors {
		state.RequestSecrets[id] = s.World.RequestSecret(id)
	}
	b, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(statePath(root)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(statePath(root), append(b, '\n'), 0o600)
}

// RemoveState takes the note away.
func (s *Stack) RemoveState() { _ = os.Remove(statePath(s.root)) }

// ReadState reads the note of the stack that runs in the project's folder root.
func ReadState(root string) (State, error) {
	var state State
	b, err := os.ReadFile(statePath(root))
	if errors.Is(err, fs.ErrNotExist) {
		return state, errors.New("no local stack runs here; start one with make run, or name a deployed one with --stack")
	}
	if err == nil {
		err = json.Unmarshal(b, &state)
	}
	return state, err
}

// triggers are the callbacks that WeChat Pay can be asked to send.
var triggers = []struct {
	name  string
	build func(*Stack) (wechatpaysim.Callback, error)
}{
	{"blocked", plateState("BLOCKED", "OVERDUE", "")},
	{"normal", plateState("NORMAL", "", "PROACTIVE")},
	{"paid", (*Stack).payment},
	{"refunded", (*Stack).refund},
	{"activated", (*Stack).activation},
	{"forged", func(s *Stack) (wechatpaysim.Callback, error) {
		return s.forge(plateState("BLOCKED", "OVERDUE", ""), wechatpaysim.ForgeByte)
	}},
	{"probe", func(s *Stack) (wechatpaysim.Callback, error) {
		return s.forge((*Stack).payment, wechatpaysim.ForgeProbe)
	}},
}

// Triggers returns the names of the callbacks that can be asked for, and then those of what else can be.
func Triggers() []string {
	var names []string
	for _, t := range triggers {
		names = append(names, t.name)
	}
	return slices.Concat(names, slices.Sorted(maps.Keys(tasks)))
}

// Triggered is what became of a callback.
type Triggered struct {
	Callback string    `json:"callback"`
	URL      string    `json:"url"`
	Status   int       `json:"status"`
	Body     string    `json:"body,omitempty"`
	Success  bool      `json:"success"`  // as WeChat Pay judges it
	Webhooks []Webhook `json:"webhooks"` // what the demo vendor got of it within a few seconds, unless its events go elsewhere
}

// Webhook is one webhook that the demo vendor got.
type Webhook struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Verified bool            `json:"verified"`
	Status   int             `json:"status"` // the vendor's answer
	Data     json.RawMessage `json:"data"`
}

// triggerPatience is how long a trigger waits for the vendor to hear of it.
const triggerPatience = 3 * time.Second

// Trigger lets WeChat Pay send a callback.
func (s *Stack) Trigger(ctx context.Context, name string) (Triggered, error) {
	for _, t := range triggers {
		if t.name != name {
			continue
		}
		callback, err := t.build(s)
		if err != nil {
			return Triggered{}, err
		}
		before := len(s.Webhooks.Deliveries())
		delivery, err := s.WeChatPay.Send(ctx, callback)
		if err != nil {
			return Triggered{}, err
		}
		result := Triggered{
			Callback: name, URL: callback.URL, Status: delivery.Status, Body: string(delivery.Body), Success: delivery.Success,
			Webhooks: []Webhook{},
		}
		if !delivery.Success || s.elsewhere {
			return result, nil
		}
		patience, cancel := context.WithTimeout(ctx, triggerPatience)
		defer cancel()
		for len(s.Webhooks.Deliveries()) == before && patience.Err() == nil {
			select {
			case <-patience.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		for _, d := range s.Webhooks.Deliveries()[before:] {
			result.Webhooks = append(result.Webhooks, Webhook{ID: d.ID, Type: d.Type, Verified: d.Verdict == nil, Status: d.Status, Data: d.Data})
		}
		return result, nil
	}
	return Triggered{}, fmt.Errorf("there is no callback %q; there are %s", name, strings.Join(Triggers(), ", "))
}

// control serves POST /trigger/{name} for parkctl in another terminal.
func (s *Stack) control(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/trigger/")
	if r.Method != http.MethodPost || !ok {
		http.NotFound(w, r)
		return
	}
	var result any
	var err error
	if task, ok := tasks[name]; ok {
		result, err = task(r.Context(), s)
	} else {
		result, err = s.Trigger(r.Context(), name)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	// A reader that has gone away is no fault.
	_ = encoder.Encode(result)
}

func plateState(state, reason, deductMode string) func(*Stack) (wechatpaysim.Callback, error) {
	return func(s *Stack) (wechatpaysim.Callback, error) {
		return s.WeChatPay.BuildPlateState(s.URL+"/v1/callbacks/vehicle/"+fixture.VendorID, fixture.PlateState(state, reason, deductMode))
	}
}

func (s *Stack) circleURL() string { return s.URL + "/v1/callbacks/businesscircle" }

func (s *Stack) payment() (wechatpaysim.Callback, error) {
	return s.WeChatPay.BuildMallTransaction(s.circleURL(), fixture.Payment(time.Now()))
}

func (s *Stack) refund() (wechatpaysim.Callback, error) {
	return s.WeChatPay.BuildMallRefund(s.circleURL(), fixture.Refund(time.Now()))
}

func (s *Stack) activation() (wechatpaysim.Callback, error) {
	return s.WeChatPay.BuildCardActivated(s.circleURL(), fixture.Activation())
}

func (s *Stack) forge(build func(*Stack) (wechatpaysim.Callback, error), how wechatpaysim.Forgery) (wechatpaysim.Callback, error) {
	callback, err := build(s)
	if err != nil {
		return callback, err
	}
	return s.WeChatPay.Forge(callback, how)
}
