// Reports a car to the gateway, by both calls. The environment comes from gateway.env.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"time"
)

var client = &http.Client{
	Timeout:       12 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // else a POST becomes a GET
}

// call reports one fact and returns the status and the body of the answer; 0 is no answer. It may take minutes: the
// barrier does not wait for it.
func call(path, id string, fields map[string]any) (status int, answer string, err error) {
	// The id names the fact (幂等键). A repeat has the same id and the same bytes, and a signature of its own time.
	body, err := json.Marshal(fields)
	if err != nil {
		return 0, "", err
	}
	url := os.Getenv("PARKING_GATEWAY_URL") + "/v1/vendors/" + os.Getenv("PARKING_VENDOR_ID") + "/" + path
	var wait time.Duration
	for attempt := 1; attempt < 5; attempt++ {
		time.Sleep(wait)
		wait = time.Second + time.Duration(rand.Int63n(int64(time.Second)<<attempt))
		timestamp := time.Now().Unix()
		signature, err := sign(os.Getenv("PARKING_REQUEST_SECRET"), id, timestamp, body)
		if err != nil {
			return 0, "", err
		}
		request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("webhook-id", id)
		request.Header.Set("webhook-timestamp", strconv.FormatInt(timestamp, 10))
		request.Header.Set("webhook-signature", signature)
		// Without an answer the gateway may have acted or not, and the same id makes a repeat safe.
		if response, err := client.Do(request); err == nil {
			b, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil {
				status, answer = response.StatusCode, string(b)
				if status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests {
					break // a repeat would be answered the same
				}
			}
			seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
			wait = max(wait, time.Duration(seconds)*time.Second)
		}
	}
	return status, answer, nil
}

func main() {
	now := time.Now().Format(time.RFC3339) // with the offset of this machine's zone: 2026-11-30T21:03:00+08:00
	visit := fmt.Sprintf("visit-%d", time.Now().UnixNano())
	good := true
	for _, fact := range []struct {
		path, id string // in production the id comes from the visit's key in your database
		fields   map[string]any
	}{
		{"businesscircle/parkings", visit + "-in", map[string]any{
			"openid": "oUpF8uMuAJOM2pxb1Q", "plate_number": "粤B888888", "state": "IN", "time": now,
		}},
		{"vehicle/notifications", visit + "-entry", map[string]any{
			"trade_scene": "PARKING", "plate_number": "粤B888888", "parking_name": "欢乐海岸停车场",
			"start_time": now, "free_time": 1200,
		}},
	} {
		status, answer, err := call(fact.path, fact.id, fact.fields)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(status, answer)
		good = good && status/100 == 2
	}
	if !good {
		os.Exit(1)
	}
}
