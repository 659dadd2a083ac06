// Package awscalls notes which actions each function calls, on which resources, in the words in which a role grants them.
// It stands between a function and the AWS APIs and lets every call through. What is noted while every test runs is what
// the functions need, and the template's roles are held to it.
package awscalls

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Call is one action on one resource.
type Call struct {
	// Action is as IAM spells it, which is not always as the API does: dynamodb:PutItem, sqs:SendMessage.
	Action string `json:"action"`
	// Resource is the template's name for it: a logical id, or the parameter that names a secret.
	Resource string `json:"resource"`
	// Key is the pattern of the item's hash key, of a call to DynamoDB, as a role's condition on dynamodb:LeadingKeys has it:
	// call#*#events#* or plate#*.
	Key string `json:"key,omitempty"`
}

// Recorder collects the calls of any number of functions in any number of stacks. It is safe for concurrent use.
type Recorder struct {
	mu    sync.Mutex
	calls map[string]map[Call]bool
}

// New returns a recorder that has seen nothing.
func New() *Recorder { return &Recorder{calls: map[string]map[Call]bool{}} }

// Calls returns what each function called, sorted. A call that cannot be read, or goes to what has no name in the template,
// is among them in words that no role grants.
func (r *Recorder) Calls() map[string][]Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string][]Call, len(r.calls))
	for function, calls := range r.calls {
		for c := range calls {
			all[function] = append(all[function], c)
		}
		slices.SortFunc(all[function], func(a, b Call) int {
			return cmp.Or(strings.Compare(a.Action, b.Action), strings.Compare(a.Resource, b.Resource), strings.Compare(a.Key, b.Key))
		})
	}
	return all
}

// Note returns a handler that notes a function's calls on their way to next. The names map what calls name, which is a
// table's name, a queue's URL or a secret's name, to the template's names. A nil recorder notes nothing.
func (r *Recorder) Note(next http.Handler, function string, names map[string]string) http.Handler {
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the function has gone away
		}
		call, named := read(req.Header, body)
		if name, ok := names[named]; ok {
			call.Resource = name
		}
		r.note(function, call)
		req.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, req)
	})
}

func (r *Recorder) note(function string, c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[function] == nil {
		r.calls[function] = map[Call]bool{}
	}
	r.calls[function][c] = true
}

// services are the prefixes of X-Amz-Target, as IAM names them. Each of them names its resource in one member.
var services = map[string]struct{ prefix, member string }{
	"DynamoDB_20120810": {"dynamodb", "TableName"},
	"AmazonSQS":         {"sqs", "QueueUrl"},
	"secretsmanager":    {"secretsmanager", "SecretId"},
}

// batches are actions that another permission covers.
var batches = map[string]string{
	"sqs:SendMessageBatch": "sqs:SendMessage", "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
	"sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}

// read returns the call that a request makes, and what it names as its resource.
func read(h http.Header, body []byte) (c Call, named string) {
	target := h.Get("X-Amz-Target")
	service, action, _ := strings.Cut(target, ".")
	s, ok := services[service]
	if !ok {
		return Call{Action: "not known: " + target, Resource: "not known"}, ""
	}
	c.Action = s.prefix + ":" + action
	if granted, ok := batches[c.Action]; ok {
		c.Action = granted
	}
	var members map[string]any
	if json.Unmarshal(body, &members) == nil {
		named, _ = members[s.member].(string)
	}
	c.Resource = "not in the template: " + named
	if s.prefix == "dynamodb" {
		c.Key = key(body)
	}
	return c, named
}

// key returns the pattern of the hash key of an item that is written, or of one that is looked for.
func key(body []byte) string {
	type item struct {
		PK struct{ S string } `json:"pk"`
	}
	var members struct{ Item, Key item }
	_ = json.Unmarshal(body, &members)
	pk := cmp.Or(members.Item.PK.S, members.Key.PK.S)
	switch parts := strings.Split(pk, "#"); {
	case parts[0] == "call" && len(parts) == 4: // the vendor and the id of the fact vary
		return "call#*#" + parts[2] + "#*"
	case parts[0] == "plate" && len(parts) == 2:
		return "plate#*"
	}
	return "not known"
}
