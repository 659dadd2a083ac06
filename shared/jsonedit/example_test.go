package jsonedit_test

import (
	"fmt"

	"wechat-parking-gateway/shared/jsonedit"
)

// A new key is put in front of the list, and the old one is taken away later. Nothing else moves.
func Example() {
	doc := []byte(`{
  "mchid": "10000098",
  "api_v2_keys": ["the old one"],
  "weight": 1.50
}`)
	doc, err := jsonedit.Add(doc, "/api_v2_keys/0", "the new one")
	fmt.Println(string(doc), err)

	doc, err = jsonedit.Remove(doc, "/api_v2_keys/1")
	fmt.Println(string(doc), err)
	// Output:
	// {
	//   "mchid": "10000098",
	//   "api_v2_keys": ["the new one","the old one"],
	//   "weight": 1.50
	// } <nil>
	// {
	//   "mchid": "10000098",
	//   "api_v2_keys": ["the new one"],
	//   "weight": 1.50
	// } <nil>
}
