// Command badinit never gets as far as asking for an event.
package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	switch os.Getenv("FAULT") {
	case "report":
		body := []byte(`{"errorType":"Settings.Missing","errorMessage":"a setting is missing"}`)
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		if _, err := http.Post(url, "application/json", bytes.NewReader(body)); err != nil {
			panic(err)
		}
		time.Sleep(time.Hour)
	case "hang":
		// The connection tells the test that the process has started.
		if _, err := net.Dial("tcp", os.Getenv("ANNOUNCE_TO")); err != nil {
			panic(err)
		}
		time.Sleep(time.Hour)
	}
	os.Exit(7)
}
