package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/strictjson"
	"wechat-parking-gateway/shared/vendorapi"
	"wechat-parking-gateway/shared/wechatpay"
)

// schema is the body that vendors send: WeChat Pay's own names, with the scene's fields flat beside the others.
var schema = vendorapi.Schema{
	Fields: map[string]vendorapi.Kind{
		"appid": vendorapi.Text, "mch_id": vendorapi.Text, "sub_appid": vendorapi.Text, "sub_mch_id": vendorapi.Text,
		"nonce_str": vendorapi.Text, "sign_type": vendorapi.Text, "version": vendorapi.Text, "trade_scene": vendorapi.Text,
		"scene_info": vendorapi.Text, "start_time": vendorapi.Text, "plate_number": vendorapi.Text,
		"notify_url": vendorapi.Text, "car_type": vendorapi.Text, "parking_name": vendorapi.Text,
		"free_time": vendorapi.TextOrNumber, "openid": vendorapi.Text, "sub_openid": vendorapi.Text,
		"space_number": vendorapi.Text,
	},
	Hints: map[string]string{
		"sub_mchid": "On this route WeChat Pay spells it sub_mch_id.",
		"mchid":     "On this route WeChat Pay spells it mch_id; it may be left out.",
		"sign":      "The gateway signs; leave it out.",
		"key":       "The gateway holds the keys; never send one.",
	},
}

// adoptSceneInfo reads scene_info as WeChat Pay defines it, the JSON text of an object with the one key scene_info, and
// takes its members for the body's own. Standing in both places, a field must mean the same in both.
func adoptSceneInfo(body *vendorapi.Body) {
	text := body.Text("scene_info")
	if text == "" {
		return
	}
	inner, err := unwrap(text)
	if err != nil {
		body.Fail("scene_info", problem.BadValue,
			`It must be JSON text of the form {"scene_info":{"start_time":"…",…}}, or be left out with the fields beside it instead.`)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		kind := inner[name].Kind()
		switch {
		case !isSceneField(name):
			body.Fail("scene_info", problem.UnknownField, "It holds a member that is no field of a scene.")
		case kind != '"' && (kind != '0' || name != "free_time"):
			body.Fail("scene_info", problem.BadValue, fmt.Sprintf("Its %s must be a string.", name))
		default:
			flat := body.Text(name)
			if !body.Adopt(name, inner[name], "scene_info") && !same(name, flat, strictjson.Text(inner[name])) {
				body.Fail(name, problem.BadValue, "It differs from the one in scene_info; give it once.")
			}
		}
	}
}

var errForm = errors.New("scene_info is not of the documented form")

// unwrap returns the members of scene_info's inner object.
func unwrap(text string) (map[string]jsontext.Value, error) {
	outer, err := strictjson.Object([]byte(text))
	if err != nil {
		return nil, err
	}
	inner, ok := outer["scene_info"]
	if !ok || len(outer) != 1 {
		return nil, errForm
	}
	return strictjson.Object(inner)
}

// same tells whether two texts of a field mean the same; an empty one means nothing, and start_time has two spellings.
func same(name, a, b string) bool {
	if a == b || b == "" {
		return true
	}
	if name != "start_time" {
		return false
	}
	at, errA := parseTime(a)
	bt, errB := parseTime(b)
	return errA == nil && errB == nil && at.Equal(bt)
}

// sceneFields lists what stands in scene_info, by the scenes that have it.
var sceneFields = map[wechatpay.TradeScene][]string{
	wechatpay.SceneParking:      {"start_time", "free_time", "car_type", "parking_name", "plate_number", "notify_url"},
	wechatpay.SceneParkingSpace: {"start_time", "free_time", "car_type", "parking_name", "openid", "sub_openid", "space_number"},
}

func isSceneField(name string) bool {
	return slices.Contains(sceneFields[wechatpay.SceneParking], name) ||
		slices.Contains(sceneFields[wechatpay.SceneParkingSpace], name)
}

// refuseOtherScene notes values in fields that the scene does not have. Empty ones are accepted: many vendors send every
// field of both.
func refuseOtherScene(body *vendorapi.Body, scene wechatpay.TradeScene) {
	other := wechatpay.SceneParking
	if scene == other {
		other = wechatpay.SceneParkingSpace
	}
	for _, name := range sceneFields[other] {
		if !slices.Contains(sceneFields[scene], name) && body.Text(name) != "" {
			body.Fail(name, problem.NotInThisScene, fmt.Sprintf("trade_scene %s has no such field; leave it out or empty.", scene))
		}
	}
}
