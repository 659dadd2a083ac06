package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"wechat-parking-gateway/local/apifront"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/stdwebhook"
)

// route is one of the four routes under load, and how its next request is made.
type route struct {
	name, key, function string
	status              int
	next                func(b bench, base string) (request, error)
}

// request is an HTTP request as k6 sends it and as the front turns it into an event.
type request struct {
	URL    string            `json:"url"`
	Header map[string]string `json:"header"`
	Body   string            `json:"body"`
}

var routes = []route{
	{"businesscircle/parkings (V3)", "POST /v1/vendors/{vendor_id}/businesscircle/parkings", "parkingsync", http.StatusNoContent, func(b bench, base string) (request, error) {
		return b.signed(base+"/v1/vendors/"+fixture.VendorID+"/businesscircle/parkings", string(fixture.ParkingBody("IN", time.Now())))
	}},
	{"vehicle/notifications (V2)", "POST /v1/vendors/{vendor_id}/vehicle/notifications", "vehiclenotify", http.StatusOK, func(b bench, base string) (request, error) {
		return b.signed(base+"/v1/vendors/"+fixture.VendorID+"/vehicle/notifications", string(fixture.EntryBody(time.Now())))
	}},
	{"callbacks/vehicle (V2)", "POST /v1/callbacks/vehicle/{vendor_id}", "notifycallback", http.StatusOK, func(b bench, base string) (request, error) {
		return sentBack(b.standIn.sim.BuildPlateState(base+"/v1/callbacks/vehicle/"+fixture.VendorID, fixture.PlateState("BLOCKED", "OVERDUE", "")))
	}},
	{"callbacks/businesscircle (V3)", "POST /v1/callbacks/businesscircle", "notifycallback", http.StatusNoContent, func(b bench, base string) (request, error) {
		return sentBack(b.standIn.sim.BuildMallTransaction(base+"/v1/callbacks/businesscircle", fixture.Payment(time.Now())))
	}},
}

// routeOf returns the first route that a function serves.
func routeOf(function string) (route, bool) {
	for _, r := range routes {
		if r.function == function {
			return r, true
		}
	}
	return route{}, false
}

// signed returns a vendor's request under an id of its own.
func (b bench) signed(url, body string) (request, error) {
	secret, err := stdwebhook.ParseSecret(b.world.RequestSecret(fixture.VendorID))
	if err != nil {
		return request{}, err
	}
	id, at := "bench-"+rand.Text(), time.Now()
	return request{url, map[string]string{
		"Content-Type": "application/json", "Webhook-Id": id, "Webhook-Timestamp": strconv.FormatInt(at.Unix(), 10),
		"Webhook-Signature": stdwebhook.Sign(id, at, []byte(body), []stdwebhook.Secret{secret}),
	}, body}, nil
}

func sentBack(c wechatpaysim.Callback, err error) (request, error) {
	if err != nil {
		return request{}, err
	}
	header := make(map[string]string, len(c.Header))
	for name, values := range c.Header {
		header[name] = strings.Join(values, ",")
	}
	return request{c.URL, header, string(c.Body)}, nil
}

var errNoEvent = errors.New("the front made no event of the request")

// event returns what API Gateway makes of a request.
func (r route) event(q request) ([]byte, error) {
	var event []byte
	front, err := apifront.New([]apifront.Route{{Key: r.key, Function: r.function}}, func(_ context.Context, _ string, payload []byte) ([]byte, error) {
		event = bytes.Clone(payload)
		return []byte(`{"statusCode":200}`), nil
	}, apifront.Options{})
	if err != nil {
		return nil, err
	}
	req := httptest.NewRequest(http.MethodPost, q.URL, strings.NewReader(q.Body))
	for name, value := range q.Header {
		req.Header.Set(name, value)
	}
	front.ServeHTTP(httptest.NewRecorder(), req)
	if event == nil {
		return nil, fmt.Errorf("%w: %s", errNoEvent, r.key)
	}
	return event, nil
}

// events returns n events of a route, each of its own.
func (b bench) events(r route, n int) ([][]byte, error) {
	all := make([][]byte, n)
	for i := range all {
		q, err := r.next(b, "http://127.0.0.1:8080")
		if err == nil {
			all[i], err = r.event(q)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// refused returns an event that a function refuses before it calls anybody: a vendor's request or a callback without
// headers.
func (r route) refused() ([]byte, error) {
	url := "http://127.0.0.1:8080" + strings.TrimPrefix(strings.ReplaceAll(r.key, "{vendor_id}", fixture.VendorID), "POST ")
	return r.event(request{url, map[string]string{"Content-Type": "application/json"}, "{}"})
}
