package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// The tests' actor with raw HTTP and raw WebSockets.
type web struct{}

type webParams struct {
	Refuse bool `json:"refuse"`
}

var (
	webs      = rivet.NewActor[web]("web")
	webJoins  = rivet.NewParams[webParams](webs)
	webCount  = rivet.NewAction[rivet.None, int64](webs, "count")
	webTold   = rivet.NewEvent[string](webs, "told")
	webVisits actor.ConnState[webParams]
)

type webState struct{ N int64 }

// site is what a web actor of the tests does, and what it tells.
type site struct {
	request actor.RequestHandler[webState]
	socket  actor.WebSocketHandler[webState]
	options actor.Options
}

func (s *site) define() *actor.Spec[web, webState] {
	d := actor.Define(webs, actor.Zero[web, webState])
	d.Options = s.options
	d.OnRequest, d.OnWebSocket = s.request, s.socket
	actor.OnConnect(d, webJoins, webVisits, func(_ *webState, _ *actor.Ctx, p webParams) (webParams, error) {
		if p.Refuse {
			return p, &rivet.Error{Group: "user", Code: "denied", Message: "not you"}
		}
		return p, nil
	})
	actor.View(d, webCount, func(s *webState, _ *actor.Ctx, _ rivet.None) (int64, error) { return s.N, nil })
	return d
}

func (s *site) begin(t *testing.T) *running {
	t.Helper()
	return serve(t, s.define())
}

// serve starts an engine with these definitions.
func serve(t *testing.T, definitions ...actor.Definition) *running {
	t.Helper()
	dir := t.TempDir()
	e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: dir, Log: quiet()}, definitions...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &running{Engine: e, t: t, dir: dir}
}

// webURL is a URL of the web actor with this key.
func (r *running) webURL(key, path string) string {
	path, query, more := strings.Cut(path, "?")
	u := r.URL() + "/gateway/web" + path + "?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=" + key
	if more {
		u += "&" + query
	}
	return u
}

func (r *running) fetch(method, url string, body io.Reader, header ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t *testing.T, body io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRawRequestIsSeenAsSent(t *testing.T) {
	s := &site{request: func(c *actor.Ctx, self actor.Self[webState], w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		req, _ := c.Request()
		if !c.Conn().Transient() || req.Path != r.URL.Path {
			t.Errorf("connection %v, request %+v", c.Conn(), req)
		}
		w.Header().Set("X-Answer", "yes")
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.WriteHeader(http.StatusTeapot)
		json.NewEncoder(w).Encode([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.RequestURI, r.Header.Get("X-Question"), string(body)})
	}}
	r := s.begin(t)
	large := strings.Repeat("x", 2<<20)
	for _, c := range []struct{ method, path, body, wantPath, wantQuery string }{
		{"GET", "/request/a/b?x=1&y=%20", "", "/a/b", "x=1&y=%20"},
		{"POST", "/request/a%2Fb/%C3%BC", "hello", "/a%2Fb/%C3%BC", ""},
		{"PURGE", "/request", "", "/", ""},
		{"GET", "/request?y=2", "", "/", "y=2"},
		{"DELETE", "/request/", "", "/", ""},
		{"PUT", "/request/large", large, "/large", ""},
	} {
		resp := r.fetch(c.method, r.webURL("seen", c.path), strings.NewReader(c.body), "X-Question", "why")
		var got []string
		answer := text(t, resp.Body)
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Errorf("%s %s: %v: %.300s", c.method, c.path, err, answer)
			continue
		}
		uri := c.wantPath
		if c.wantQuery != "" {
			uri += "?" + c.wantQuery
		}
		want := []string{c.method, c.wantPath, c.wantQuery, uri, "why", c.body}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s %s: the handler saw %.300q, want %.300q", c.method, c.path, got, want)
		}
		if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Answer") != "yes" || len(resp.Header["Set-Cookie"]) != 2 || resp.Header.Get("X-Rivet-Actor") == "" {
			t.Errorf("%s %s: %d %v", c.method, c.path, resp.StatusCode, resp.Header)
		}
	}
	if resp := r.fetch("GET", r.webURL("seen", "/requests/a"), nil); resp.StatusCode != http.StatusNotFound || !strings.Contains(text(t, resp.Body), "not_found") {
		t.Errorf("a path that only looks like one: %d", resp.StatusCode)
	}
}

func TestRawRequestWithoutHandler(t *testing.T) {
	r := (&site{}).begin(t)
	resp := r.fetch("GET", r.webURL("none", "/request/x"), nil)
	if body := text(t, resp.Body); resp.StatusCode != http.StatusNotFound || body != "" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestRawRequestIsRefusedByConnectionHooks(t *testing.T) {
	s := &site{request: func(*actor.Ctx, actor.Self[webState], http.ResponseWriter, *http.Request) {
		t.Error("the handler of a refused connection ran")
	}}
	r := s.begin(t)
	for params, want := range map[string]string{`{"refuse":true}`: "denied", `{`: "invalid_request"} {
		resp := r.fetch("GET", r.webURL("refused", "/request/x"), nil, "X-Rivet-Conn-Params", params)
		if body := text(t, resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("params %s: %d %q", params, resp.StatusCode, body)
		}
	}
}

func TestRawRequestStreamsBothWays(t *testing.T) {
	s := &site{request: func(_ *actor.Ctx, self actor.Self[webState], w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.EnableFullDuplex(), rc.Flush()); err != nil {
			t.Error(err)
		}
		in := bufio.NewScanner(r.Body)
		for in.Scan() {
			if err := self.Do(func(s *webState) { s.N++ }); err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "%s!\n", in.Text())
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
		}
	}}
	r := s.begin(t)
	body, feed := io.Pipe()
	resp := r.fetch("POST", r.webURL("stream", "/request/talk"), body)
	out := bufio.NewReader(resp.Body)
	for i := range 5 {
		fmt.Fprintf(feed, "line %d\n", i)
		line, err := out.ReadString('\n')
		if err != nil || line != fmt.Sprintf("line %d!\n", i) {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	feed.Close()
	if rest := text(t, out); rest != "" {
		t.Errorf("rest %q", rest)
	}
	if n, err := webCount.Call(t.Context(), webs.GetOrCreate(r.network(), rivet.Key{"stream"}, web{}), rivet.None{}); err != nil || n != 5 {
		t.Errorf("count = %d, %v", n, err)
	}
}

func TestRawRequestHasBackPressure(t *testing.T) {
	const total = 64 << 20
	wrote := make(chan int, 1)
	blocked := make(chan struct{}, total/(1<<20)+1)
	s := &site{request: func(c *actor.Ctx, _ actor.Self[webState], w http.ResponseWriter, _ *http.Request) {
		chunk, n := make([]byte, 1<<20), 0
		for n < total {
			blocked <- struct{}{}
			k, err := w.Write(chunk)
			n += k
			if err != nil {
				break
			}
		}
		wrote <- n
	}}
	r := s.begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", r.webURL("slow", "/request/flood"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-blocked
	cancel() // a client that read nothing and goes
	if n := <-wrote; n >= total {
		t.Error("the handler wrote everything to a client that reads nothing")
	}
}

func TestServerSentEvents(t *testing.T) {
	gone := make(chan struct{})
	s := &site{request: func(c *actor.Ctx, _ actor.Self[webState], w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; ; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			if i < 2 {
				continue
			}
			<-c.Done()
			close(gone)
			return
		}
	}}
	r := s.begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", r.webURL("sse", "/request/events"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, len("data: 0\n\ndata: 1\n\ndata: 2\n\n"))
	if _, err := io.ReadFull(resp.Body, buf); err != nil || !bytes.HasSuffix(buf, []byte("data: 2\n\n")) {
		t.Fatalf("%q, %v", buf, err)
	}
	cancel()
	<-gone // the handler hears that its client is gone
}

func TestRawRequestTimesOut(t *testing.T) {
	s := &site{
		options: actor.Options{RequestTimeout: 50 * time.Millisecond},
		request: func(c *actor.Ctx, _ actor.Self[webState], _ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // its client sends no more
			<-c.Done()
		},
	}
	r := s.begin(t)
	body, feed := io.Pipe()
	defer feed.Close()
	for _, body := range []io.Reader{nil, body} {
		resp := r.fetch("POST", r.webURL("late", "/request/x"), body)
		if got := text(t, resp.Body); resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(got, "action_timed_out") {
			t.Errorf("%d %q", resp.StatusCode, got)
		}
	}
}

func TestRawRequestThatPanics(t *testing.T) {
	s := &site{request: func(_ *actor.Ctx, _ actor.Self[webState], w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/half":
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic("secret: swordfish")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		panic("secret: swordfish")
	}}
	r := s.begin(t)
	resp := r.fetch("GET", r.webURL("panic", "/request/x"), nil)
	if got := text(t, resp.Body); resp.StatusCode != http.StatusInternalServerError || !strings.Contains(got, "internal_error") || strings.Contains(got, "swordfish") {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
	resp = r.fetch("GET", r.webURL("panic", "/request/half"), nil)
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("an answer that broke off looks whole: %q", got)
	}
	if resp, err := http.Get(r.webURL("panic", "/request/abort")); err == nil {
		resp.Body.Close()
		t.Errorf("an aborted request is answered: %d", resp.StatusCode)
	}
	if n, err := webCount.Call(t.Context(), webs.GetOrCreate(r.network(), rivet.Key{"panic"}, web{}), rivet.None{}); err != nil || n != 0 {
		t.Errorf("the actor is not well: %d, %v", n, err)
	}
}
