// Package console is a page that shows what happens on the local stack while it happens: who says what to whom, with the
// verdict on every message, and buttons to make something happen.
//
// The page is plain HTML, CSS and JavaScript modules below web/, embedded as they are. It loads nothing from elsewhere. What
// others have sent, a plate or the name of a car park, is only ever put into it as text, and its Content-Security-Policy
// lets no other script run.
//
// Only cmd/ and tests may import this package.
package console

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/loopback"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/wechatpaysim"
)

//go:embed web
var web embed.FS

// policy is the page's Content-Security-Policy: nothing but its own files, and no text that becomes markup.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Stage is what the console shows and acts on.
type Stage struct {
	Traffic   *traffic.Recorder
	Vendor    *demovendor.Vendor
	Webhooks  *demovendor.Receiver
	WeChatPay *wechatpaysim.Simulator
	// BaseURL is the gateway's, and WebhookURL where the vendor's events go.
	BaseURL, WebhookURL string
	// Functions are the names of the gateway's functions.
	Functions []string
	// Waiting and DeadLetters return how many events are on the queues.
	Waiting, DeadLetters func(context.Context) (int, error)
	// Play plays the whole visit.
	Play func(context.Context) error
	// Reference, when set, serves the API reference at /reference/, and brings its own Content-Security-Policy.
	Reference http.Handler
	Now       func() time.Time
}

// New returns the console.
func New(stage Stage) http.Handler {
	c := &console{Stage: stage, epoch: strconv.FormatInt(stage.Now().UnixMilli(), 36), turn: make(chan struct{}, 1)}
	c.room.changed = make(chan struct{})
	mux := http.NewServeMux()
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic("console: the embedded files are not where they were embedded: " + err.Error())
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { serveFile(w, r, files, "index.html") })
	mux.HandleFunc("GET /{file}", func(w http.ResponseWriter, r *http.Request) { serveFile(w, r, files, r.PathValue("file")) })
	mux.HandleFunc("GET /stream", c.stream)
	mux.HandleFunc("GET /messages/{id}", c.message)
	mux.HandleFunc("POST /actions/{name}", c.act)
	if stage.Reference != nil {
		mux.Handle("GET /reference/", http.StripPrefix("/reference", stage.Reference))
	}
	return loopback.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !strings.HasPrefix(r.URL.Path, "/reference/") {
			h.Set("Content-Security-Policy", policy)
		}
		mux.ServeHTTP(w, r)
	}))
}

type console struct {
	Stage
	// epoch tells a page that has outlived a console that it speaks to another one.
	epoch string
	// turn is held by the action that is being carried out.
	turn   chan struct{}
	room   room
	queues queues
}

// types are the media types of the page's files, which must not depend on what this machine knows.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func serveFile(w http.ResponseWriter, r *http.Request, files fs.FS, name string) {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(b)
}

// message answers with one message and its detail.
func (c *console) message(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	m, kept := c.Traffic.Message(id)
	if !kept {
		http.Error(w, "this message is no longer kept", http.StatusNotFound)
		return
	}
	writeJSON(w, struct {
		traffic.Message
		traffic.Detail
	}{m, m.Detail})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// A reader that has gone away is no fault.
	_ = json.NewEncoder(w).Encode(v)
}

// maxRequest is the most that an action's request may have, in bytes.
const maxRequest = 4 << 10

// act carries out an action, after those that were asked for before it.
func (c *console) act(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	action, known := actions[name]
	if !known {
		http.Error(w, "there is no such action", http.StatusNotFound)
		return
	}
	// A form of another site cannot have this type, whatever its browser tells of where it comes from.
	if r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "an action is asked for with application/json", http.StatusUnsupportedMediaType)
		return
	}
	var asked request
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		http.Error(w, `an action is asked for with {"plate":"…"}`, http.StatusBadRequest)
		return
	}
	if !action.atOnce {
		select {
		case c.turn <- struct{}{}:
			defer func() { <-c.turn }()
		case <-r.Context().Done():
			return
		}
	}
	// What has begun is carried out, also when the page is closed meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	if title := action.title; title != "" {
		c.Traffic.Heading(name, title)
	}
	if err := action.do(c, ctx, asked); err != nil {
		status := http.StatusBadGateway
		if errors.Is(err, errNothingYet) {
			status = http.StatusConflict
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// beat is how often a stream without news says that it is alive, and looks at the queues.
const beat = 500 * time.Millisecond

// stream tells of messages and of the stage as server-sent events. A page that comes late gets what is kept, and one that
// comes back gets what it has missed.
func (c *console) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flusher := http.NewResponseController(w)
	after := int64(0)
	resumed := false
	if epoch, revision, ok := strings.Cut(r.Header.Get("Last-Event-ID"), "-"); ok && epoch == c.epoch {
		if n, err := strconv.ParseInt(revision, 10, 64); err == nil {
			after, resumed = n, true
		}
	}
	send := func(id, event string, data any) error {
		b, err := json.Marshal(data)
		if err != nil {
			return err
		}
		if id != "" {
			id = "id: " + id + "\n"
		}
		_, err = fmt.Fprintf(w, "%sevent: %s\ndata: %s\n\n", id, event, b)
		return err
	}
	hello := struct {
		Resumed   bool     `json:"resumed"`
		Gateway   string   `json:"gateway"`
		VendorID  string   `json:"vendor_id"`
		Functions []string `json:"functions"`
		Reference bool     `json:"reference"`
	}{resumed, c.BaseURL, c.Vendor.ID(), c.Functions, c.Reference != nil}
	if _, err := fmt.Fprint(w, "retry: 1000\n"); err != nil || send("", "hello", hello) != nil {
		return
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	var told *state
	for {
		fresh, changed := c.Traffic.Since(after)
		for _, m := range fresh {
			after = m.Revision
			if send(c.epoch+"-"+strconv.FormatInt(after, 10), "message", m) != nil {
				return
			}
		}
		now, turned := c.state(r.Context())
		if told == nil || !now.equal(*told) {
			if send("", "state", now) != nil {
				return
			}
			told = &now
		}
		if flusher.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-turned:
		case <-ticker.C:
			// A connection that has gone is found by writing to it.
			if _, err := fmt.Fprint(w, ":\n"); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
