// Receives and verifies the gateway's events. The environment comes from gateway.env; PORT is 9000 unless it is set.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"
)

// seen is in production a table whose unique key is webhook-id: a restart forgets this, and a second server does not see it.
var seen sync.Map

func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)) // the raw bytes, before any JSON parser sees them
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, "refused: too long, or cut off")
		return
	}
	if err := verify(os.Getenv("PARKING_WEBHOOK_SECRET"), r.Header, body); err != nil {
		answer(w, http.StatusUnauthorized, "refused: "+err.Error())
		return
	}
	var event struct{ Type string }
	if err := json.Unmarshal(body, &event); err != nil {
		answer(w, http.StatusInternalServerError, "failed: "+err.Error()) // the gateway sends the event again
		return
	}
	id := r.Header.Get("webhook-id")
	if _, duplicate := seen.LoadOrStore(id, true); duplicate {
		answer(w, http.StatusNoContent, "duplicate "+id)
		return
	}
	// Here: store it, in one transaction with its id: an id without its event makes the next delivery a duplicate, and the
	// event is lost. Then answer, and work on it afterwards: there are 10 seconds in all.
	answer(w, http.StatusNoContent, "verified "+id+" "+event.Type)
}

// answer answers with a status: nothing else of it counts.
func answer(w http.ResponseWriter, status int, line string) {
	fmt.Println(line)
	w.WriteHeader(status)
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "9000"
	}
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: http.HandlerFunc(receive), ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
