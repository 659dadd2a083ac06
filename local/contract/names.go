package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/vendorapi"
)

// SameRoutes compares the contract's routes with others.
func (c *Contract) SameRoutes(routes []string) error { return same("routes", c.Routes(), routes) }

// SameEnum compares a closed list of the contract's with the code's.
func (c *Contract) SameEnum(schema string, code []string) error {
	list, err := c.enum(schema)
	if err != nil {
		return err
	}
	return same(schema, list, code)
}

func (c *Contract) enum(schema string) ([]string, error) {
	s, err := c.schema(schema)
	if err != nil {
		return nil, err
	}
	list := texts(s.Enum)
	for _, part := range s.AnyOf {
		list = append(list, texts(part.Value.Enum)...)
	}
	return list, nil
}

func texts(values []any) (list []string) {
	for _, v := range values {
		list = append(list, fmt.Sprint(v))
	}
	return list
}

// SameEvents compares the events with the types that the code sends.
func (c *Contract) SameEvents(types []string) error { return same("events", c.EventTypes(), types) }

// SameCodes holds that every code of the code's is documented under its status on some route, with an example, and that no
// other is.
func (c *Contract) SameCodes(codes []problem.Code) error {
	var errs []error
	want := make(map[string]string, len(codes))
	for _, code := range codes {
		want[string(code)] = strconv.Itoa(code.Status())
	}
	documented, examples := make(map[string]bool), make(map[string]bool)
	for route, operation := range c.operations() {
		for status, response := range operation.Responses.Map() {
			media := response.Value.Content[problem.ContentType]
			if media == nil {
				continue
			}
			for _, code := range narrowed(media.Schema.Value) {
				documented[code] = true
				if want[code] != status {
					errs = append(errs, fmt.Errorf("%s: %s stands under %s, and is answered with %q", route, code, status, want[code]))
				}
				if media.Examples[code] == nil {
					errs = append(errs, fmt.Errorf("%s: %s has no example under its name", route, code))
				}
			}
			for name, example := range media.Examples {
				examples[name] = true
				if value, ok := example.Value.Value.(map[string]any); !ok || value["code"] != name {
					errs = append(errs, fmt.Errorf("%s: the example %s is of another code", route, name))
				}
			}
		}
	}
	errs = append(errs, same("codes of answers", slices.Collect(maps.Keys(documented)), slices.Collect(maps.Keys(want))),
		same("examples of codes", slices.Collect(maps.Keys(examples)), slices.Collect(maps.Keys(want))))
	return errors.Join(errs...)
}

// narrowed returns the codes that a response's own schema leaves of all codes.
func narrowed(s *openapi3.Schema) []string {
	code := s.Properties["code"]
	if code == nil {
		return nil
	}
	if code.Value.Const != nil {
		return []string{fmt.Sprint(code.Value.Const)}
	}
	return texts(code.Value.Enum)
}

func (c *Contract) operations() map[string]*openapi3.Operation {
	all := make(map[string]*openapi3.Operation)
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			all[method+" "+path] = operation
		}
	}
	return all
}

// kinds are the JSON types of a request's field as the contract has them.
var kinds = map[vendorapi.Kind][]string{
	vendorapi.Text: {"string"}, vendorapi.Number: {"integer"}, vendorapi.TextOrNumber: {"integer", "string"},
}

// SameFields compares the fields of a route's body with those that the code reads, and their types.
func (c *Contract) SameFields(route string, schema vendorapi.Schema) error {
	operation := c.operations()[route]
	if operation == nil || operation.RequestBody == nil {
		return fmt.Errorf("contract: there is no route %q with a body", route)
	}
	body := operation.RequestBody.Value.Content["application/json"].Schema.Value
	if forbids := body.AdditionalProperties.Has; forbids == nil || *forbids {
		return fmt.Errorf("%s: the contract takes fields that it does not list", route)
	}
	errs := []error{same(route+": fields", slices.Collect(maps.Keys(body.Properties)), slices.Collect(maps.Keys(schema.Fields)))}
	for name, kind := range schema.Fields {
		if property := body.Properties[name]; property != nil {
			errs = append(errs, same(route+": types of "+name, typesOf(property.Value), kinds[kind]))
		}
	}
	return errors.Join(errs...)
}

// typesOf returns the JSON types that a schema takes.
func typesOf(s *openapi3.Schema) []string {
	all := slices.Clone(s.Type.Slice())
	for _, part := range s.AnyOf {
		all = append(all, typesOf(part.Value)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// SameMembers compares a schema's properties with the members of a Go struct as JSON has them, down to structs within, and
// holds that what is always written is required. Members in addition are added elsewhere on their way.
func (c *Contract) SameMembers(schema string, t reflect.Type, additional ...string) error {
	s, err := c.schema(schema)
	if err != nil {
		return err
	}
	return sameMembers(schema, s, t, additional)
}

func sameMembers(at string, s *openapi3.Schema, t reflect.Type, additional []string) error {
	all, required := slices.Clone(additional), slices.Clone(additional)
	var errs []error
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" {
			return fmt.Errorf("%s: the field %s has no name in JSON", at, t.Field(i).Name)
		}
		all = append(all, name)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
		inner := t.Field(i).Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		property := s.Properties[name]
		if inner.Kind() != reflect.Struct || property == nil {
			continue
		}
		value := property.Value
		if value.Items != nil {
			value = value.Items.Value
		}
		errs = append(errs, sameMembers(at+"/"+name, value, inner, nil))
	}
	if forbids := s.AdditionalProperties.Has; forbids == nil || *forbids {
		errs = append(errs, fmt.Errorf("%s: the contract takes members that it does not list", at))
	}
	errs = append(errs, same(at+": members", slices.Collect(maps.Keys(s.Properties)), all), same(at+": required members", s.Required, required))
	return errors.Join(errs...)
}

// Example is one request of the contract's.
type Example struct {
	Route, Name string
	Body        []byte
}

// Examples returns the examples of the vendors' requests, sorted.
func (c *Contract) Examples() ([]Example, error) {
	var all []Example
	for route, operation := range c.operations() {
		if operation.RequestBody == nil || !slices.Contains(operation.Tags, "vendor") {
			continue
		}
		for name, example := range operation.RequestBody.Value.Content["application/json"].Examples {
			body, err := json.Marshal(example.Value.Value)
			if err != nil {
				return nil, fmt.Errorf("contract: %s: %w", name, err)
			}
			all = append(all, Example{route, name, body})
		}
	}
	slices.SortFunc(all, func(a, b Example) int { return strings.Compare(a.Route+a.Name, b.Route+b.Name) })
	return all, nil
}

// same compares two lists of names, whatever their order.
func same(what string, contract, code []string) error {
	contract, code = slices.Sorted(slices.Values(contract)), slices.Sorted(slices.Values(code))
	if slices.Equal(contract, code) {
		return nil
	}
	less := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	}
	return fmt.Errorf("%s: only in the contract: %q; only in the code: %q", what, less(contract, code), less(code, contract))
}

// Version returns the contract's version, which is the project's.
func (c *Contract) Version() string { return c.doc.Info.Version }

// Summaries returns every summary of a route, an event or an example.
func (c *Contract) Summaries() []string {
	operations := slices.Collect(maps.Values(c.operations()))
	for _, item := range c.doc.Webhooks {
		operations = append(operations, item.Post)
	}
	var all []string
	of := func(content openapi3.Content) {
		for _, media := range content {
			for _, example := range media.Examples {
				all = append(all, example.Value.Summary)
			}
		}
	}
	for _, operation := range operations {
		all = append(all, operation.Summary)
		if operation.RequestBody != nil {
			of(operation.RequestBody.Value.Content)
		}
		for _, response := range operation.Responses.Map() {
			of(response.Value.Content)
		}
	}
	return all
}
