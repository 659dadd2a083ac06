package samtemplate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Function is an AWS::Serverless::Function, its settings worked out. `make build-<LogicalID>` builds it, as SAM does.
type Function struct {
	LogicalID    string
	CodeURI      string
	Handler      string
	Runtime      string
	Architecture string
	BuildMethod  string
	Timeout      time.Duration
	MemoryMB     int
	Environment  map[string]string
}

// Route is one route of the HTTP API and the logical id of the function behind it. All have payload format 2.0.
type Route struct {
	Key      string // as API Gateway's routeKey: "POST /v1/callbacks/businesscircle"
	Function string
}

// Table is a DynamoDB table with a hash key alone.
type Table struct {
	LogicalID           string
	HashKey             string
	HashKeyType         string // S, N or B
	TTLAttribute        string // "" without a time to live
	BillingMode         string
	Encrypted           bool
	PointInTimeRecovery bool
	DeletionPolicy      string
}

// Queue is an SQS queue. Attributes are named and written as CreateQueue takes them; the redrive policy is apart,
// because it needs the ARN of a queue that must be made first.
type Queue struct {
	LogicalID       string
	Attributes      map[string]string
	DeadLetterQueue string // logical id, "" for none
	MaxReceiveCount int
	DeletionPolicy  string
}

// Functions returns the functions in the order of their logical ids.
func (t *Template) Functions(v Values) ([]Function, error) {
	return collect(t, v, kindFunction, func(s *scope, id string, r resource) (Function, error) {
		return s.function(id, r)
	})
}

// Tables returns the tables in the order of their logical ids.
func (t *Template) Tables(v Values) ([]Table, error) {
	return collect(t, v, kindTable, func(s *scope, id string, r resource) (Table, error) {
		return s.table(id, r)
	})
}

// Queues returns the queues, each after the dead-letter queue that it names.
func (t *Template) Queues(v Values) ([]Queue, error) {
	queues, err := collect(t, v, kindQueue, func(s *scope, id string, r resource) (Queue, error) {
		return s.queue(id, r)
	})
	if err != nil {
		return nil, err
	}
	var plain, redriven []Queue
	for _, q := range queues {
		if q.DeadLetterQueue == "" {
			plain = append(plain, q)
			continue
		}
		if !slices.ContainsFunc(queues, func(d Queue) bool { return d.LogicalID == q.DeadLetterQueue && d.DeadLetterQueue == "" }) {
			return nil, fmt.Errorf("%s: RedrivePolicy: to a queue with a redrive policy itself: %w", q.LogicalID, ErrUnsupported)
		}
		redriven = append(redriven, q)
	}
	return slices.Concat(plain, redriven), nil
}

// Routes returns the routes of the HTTP API in the order of their keys.
func (t *Template) Routes(v Values) ([]Route, error) {
	perFunction, err := collect(t, v, kindFunction, func(s *scope, id string, r resource) ([]Route, error) {
		return s.routes(id, r)
	})
	if err != nil {
		return nil, err
	}
	routes := slices.Concat(perFunction...)
	slices.SortFunc(routes, func(a, b Route) int { return strings.Compare(a.Key, b.Key) })
	for i := range routes[:max(0, len(routes)-1)] {
		if routes[i].Key == routes[i+1].Key {
			return nil, fmt.Errorf("route %s: %w: it is there twice", routes[i].Key, ErrInvalid)
		}
	}
	return routes, nil
}

// Properties returns the properties of any resource, worked out: maps, lists, strings, ints and bools.
func (t *Template) Properties(id string, v Values) (map[string]any, error) {
	s, err := t.scope(v)
	if err != nil {
		return nil, err
	}
	r, ok := t.resources[id]
	if !ok {
		return nil, fmt.Errorf("%s: %w: no such resource", id, ErrInvalid)
	}
	p, err := s.evalMap(r.properties)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	return p, nil
}

// collect reads every resource of a kind whose condition holds.
func collect[T any](t *Template, v Values, kind string, read func(*scope, string, resource) (T, error)) ([]T, error) {
	s, err := t.scope(v)
	if err != nil {
		return nil, err
	}
	var all []T
	for _, id := range sortedKeys(t.resources) {
		r := t.resources[id]
		if r.kind != kind {
			continue
		}
		if exists, err := s.exists(r.condition); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		} else if !exists {
			continue
		}
		one, err := read(s, id, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// each hands every property to read, which says ErrUnsupported to one that it does not know.
func each(properties map[string]any, read func(key string, v any) error) error {
	for _, key := range sortedKeys(properties) {
		if err := read(key, properties[key]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func (s *scope) function(id string, r resource) (Function, error) {
	f := Function{LogicalID: id, Environment: map[string]string{}}
	if err := each(r.metadata, func(key string, v any) (err error) {
		if key != "BuildMethod" {
			return ErrUnsupported
		}
		f.BuildMethod, err = s.evalText(v)
		return err
	}); err != nil {
		return Function{}, fmt.Errorf("Metadata: %w", err)
	}
	properties, err := merge(s.t.globals, r.properties)
	if err != nil {
		return Function{}, err
	}
	err = each(properties, func(key string, v any) (err error) {
		switch key {
		case "CodeUri":
			f.CodeURI, err = s.evalText(v)
		case "Handler":
			f.Handler, err = s.evalText(v)
		case "Runtime":
			f.Runtime, err = s.evalText(v)
		case "Architectures":
			f.Architecture, err = s.only(v)
		case "MemorySize":
			f.MemoryMB, err = s.number(v)
		case "Timeout":
			var seconds int
			seconds, err = s.number(v)
			f.Timeout = time.Duration(seconds) * time.Second
		case "Environment":
			f.Environment, err = s.environment(v)
		case "RecursiveLoop": // nothing stops a loop locally
			err = s.recursiveLoop(v)
		case "ReservedConcurrentExecutions", "VpcConfig": // the local stack has neither limits nor networks
			err = s.absent(v)
		case "Description", "VersionDescription", "Events", "LoggingConfig", "Role": // Routes reads the events, the others do nothing locally
		case "AutoPublishAlias", "AutoPublishAliasAllProperties", "DeploymentPreference", "Tracing": // there is one version here
		default:
			err = ErrUnsupported
		}
		return err
	})
	return f, err
}

func (s *scope) recursiveLoop(v any) error {
	out, err := s.eval(v)
	if err != nil {
		return err
	}
	if out != (noValue{}) && out != "Allow" && out != "Terminate" {
		return fmt.Errorf("%w: must be Allow or Terminate", ErrInvalid)
	}
	return nil
}

// absent refuses a property that must be taken away by an option's default.
func (s *scope) absent(v any) error {
	out, err := s.eval(v)
	if err == nil && out != (noValue{}) {
		err = fmt.Errorf("other than absent: %w", ErrUnsupported)
	}
	return err
}

// merge puts a function's properties on top of Globals: a map is merged, anything else replaces.
func merge(under, over map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(under)+len(over))
	for key, v := range under {
		out[key] = v
	}
	for _, key := range sortedKeys(over) {
		a, aIsMap := out[key].(map[string]any)
		b, bIsMap := over[key].(map[string]any)
		_, aIsList := out[key].([]any)
		switch {
		case aIsMap && bIsMap:
			m, err := merge(a, b)
			if err != nil {
				return nil, err
			}
			out[key] = m
		case aIsMap, aIsList: // SAM adds lists up
			return nil, fmt.Errorf("%s: in Globals and in a function: %w", key, ErrUnsupported)
		default:
			out[key] = over[key]
		}
	}
	return out, nil
}

func (s *scope) environment(v any) (map[string]string, error) {
	out, err := s.eval(v)
	if err != nil {
		return nil, err
	}
	m, err := asMap(out)
	if err != nil {
		return nil, err
	}
	if len(m) != 1 {
		return nil, fmt.Errorf("%w: must hold Variables alone", ErrInvalid)
	}
	variables, err := asMap(m["Variables"])
	if err != nil {
		return nil, err
	}
	environment := make(map[string]string, len(variables))
	err = each(variables, func(name string, v any) (err error) {
		environment[name], err = text(v)
		return err
	})
	return environment, err
}

func (s *scope) routes(id string, r resource) ([]Route, error) {
	if r.properties["Events"] == nil {
		return nil, nil
	}
	var routes []Route
	err := eachMap(r.properties["Events"], func(_ string, event map[string]any) error {
		switch event["Type"] {
		case eventSQS, eventSchedule:
			return nil // EventSources and Schedules read them
		}
		if err := mustBe(event["Type"], eventHTTP); err != nil {
			return err
		}
		properties, err := asMap(event["Properties"])
		if err != nil {
			return err
		}
		key, err := s.routeKey(properties)
		routes = append(routes, Route{Key: key, Function: id})
		return err
	})
	return routes, err
}

func (s *scope) routeKey(properties map[string]any) (string, error) {
	var method, path, api, format string
	err := each(properties, func(key string, v any) (err error) {
		switch key {
		case "ApiId":
			api, err = s.httpAPI(v)
		case "Method":
			method, err = s.evalText(v)
		case "Path":
			path, err = s.evalText(v)
		case "PayloadFormatVersion":
			format, err = s.evalText(v)
		default:
			err = ErrUnsupported
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if api == "" || format != "2.0" {
		return "", fmt.Errorf("an event without ApiId or with another PayloadFormatVersion than 2.0: %w", ErrUnsupported)
	}
	if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}, method) || !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("route %q %q: %w", method, path, ErrUnsupported)
	}
	return method + " " + path, nil
}

// httpAPI returns the logical id of the HTTP API that v refers to. It is served at $default, or its URL would have
// another path here.
func (s *scope) httpAPI(v any) (string, error) {
	c, ok := v.(call)
	id, isText := c.arg.(string)
	if !ok || c.name != "Ref" || !isText || s.t.resources[id].kind != kindHTTPAPI {
		return "", fmt.Errorf("%w: must be !Ref of an HTTP API", ErrUnsupported)
	}
	return id, each(s.t.resources[id].properties, func(key string, v any) error {
		switch key {
		case "StageName":
			return mustBe(v, "$default")
		case "AccessLogSettings", "DefaultRouteSettings", "RouteSettings": // nothing is throttled locally
			return nil
		}
		return fmt.Errorf("of %s: %w", id, ErrUnsupported)
	})
}

func (s *scope) table(id string, r resource) (Table, error) {
	t := Table{LogicalID: id, DeletionPolicy: r.deletionPolicy}
	p, err := s.evalMap(r.properties)
	if err != nil {
		return Table{}, err
	}
	var defined string
	err = each(p, func(key string, v any) (err error) {
		switch key {
		case "BillingMode":
			t.BillingMode, err = asString(v)
		case "AttributeDefinitions":
			defined, t.HashKeyType, err = pair(v, "AttributeName", "AttributeType")
		case "KeySchema":
			var kind string
			if t.HashKey, kind, err = pair(v, "AttributeName", "KeyType"); err == nil {
				err = mustBe(kind, "HASH")
			}
		case "TimeToLiveSpecification":
			t.TTLAttribute, err = ttl(v)
		case "SSESpecification":
			t.Encrypted, err = onlyBool(v, "SSEEnabled")
		case "PointInTimeRecoverySpecification":
			t.PointInTimeRecovery, err = onlyBool(v, "PointInTimeRecoveryEnabled")
		default:
			err = ErrUnsupported
		}
		return err
	})
	if err == nil && (t.HashKey == "" || t.HashKey != defined) {
		err = fmt.Errorf("%w: KeySchema and AttributeDefinitions must name one attribute", ErrInvalid)
	}
	return t, err
}

// pair reads a list of one map with two keys, as AttributeDefinitions and KeySchema are for a hash key alone.
func pair(v any, first, second string) (a, b string, err error) {
	list, err := asList(v)
	if err != nil {
		return "", "", err
	}
	if len(list) != 1 {
		return "", "", fmt.Errorf("%d items: %w", len(list), ErrUnsupported)
	}
	m, err := asMap(list[0])
	if err != nil {
		return "", "", err
	}
	err = each(m, func(key string, v any) (err error) {
		switch key {
		case first:
			a, err = asString(v)
		case second:
			b, err = asString(v)
		default:
			err = ErrUnsupported
		}
		return err
	})
	return a, b, err
}

func ttl(v any) (string, error) {
	m, err := asMap(v)
	if err != nil {
		return "", err
	}
	if len(m) != 2 || m["Enabled"] != true {
		return "", fmt.Errorf("not AttributeName and Enabled: true: %w", ErrUnsupported)
	}
	return asString(m["AttributeName"])
}

func onlyBool(v any, key string) (bool, error) {
	m, err := asMap(v)
	if err != nil {
		return false, err
	}
	b, ok := m[key].(bool)
	if len(m) != 1 || !ok {
		return false, fmt.Errorf("not %s alone: %w", key, ErrUnsupported)
	}
	return b, nil
}

func (s *scope) queue(id string, r resource) (Queue, error) {
	q := Queue{LogicalID: id, Attributes: map[string]string{}, DeletionPolicy: r.deletionPolicy}
	err := each(r.properties, func(key string, v any) (err error) {
		switch key {
		case "DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds",
			"SqsManagedSseEnabled", "VisibilityTimeout":
			q.Attributes[key], err = s.evalText(v)
		case "RedrivePolicy":
			q.DeadLetterQueue, q.MaxReceiveCount, err = s.redrive(v)
		default:
			err = ErrUnsupported
		}
		return err
	})
	return q, err
}

func (s *scope) redrive(v any) (queue string, receives int, err error) {
	m, err := asMap(v)
	if err != nil {
		return "", 0, err
	}
	err = each(m, func(key string, v any) (err error) {
		switch key {
		case "deadLetterTargetArn":
			queue, err = s.arnOf(v)
		case "maxReceiveCount":
			receives, err = s.number(v)
		default:
			err = ErrUnsupported
		}
		return err
	})
	if err == nil && (queue == "" || receives < 1) {
		err = fmt.Errorf("%w: must hold deadLetterTargetArn and maxReceiveCount", ErrInvalid)
	}
	return queue, receives, err
}

// arnOf returns the logical id of the queue whose ARN v is.
func (s *scope) arnOf(v any) (string, error) {
	c, ok := v.(call)
	if !ok || c.name != "GetAtt" {
		return "", fmt.Errorf("not !GetAtt: %w", ErrUnsupported)
	}
	id, attribute, err := getAttTarget(c.arg)
	if err != nil {
		return "", err
	}
	if attribute != "Arn" || s.t.resources[id].kind != kindQueue {
		return "", fmt.Errorf("%s.%s: %w: must be the ARN of a queue", id, attribute, ErrInvalid)
	}
	return id, nil
}

func (s *scope) number(v any) (int, error) {
	word, err := s.evalText(v)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(word)
	if err != nil {
		return 0, fmt.Errorf("%w: must be a number", ErrInvalid)
	}
	return n, nil
}

// only returns the one item of a list.
func (s *scope) only(v any) (string, error) {
	out, err := s.eval(v)
	if err != nil {
		return "", err
	}
	list, err := texts(out)
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		return "", fmt.Errorf("%d items: %w", len(list), ErrUnsupported)
	}
	return list[0], nil
}
