package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rivetgo/rivet/internal/api"
	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/placement"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/store/memory"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/why"
	"github.com/rivetgo/rivet/internal/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runner hosts actors that do nothing.
type runner struct {
	events link.Events
	mu     sync.Mutex
	fail   error
	trace  []string
}

func (r *runner) log(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trace = append(r.trace, s)
}

func (*runner) Forget(id.ID) {}

func (r *runner) Names() []link.Name { return nil }

func (r *runner) Start(_ context.Context, p link.Placement) (link.Actor, error) {
	r.log("start")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return nil, r.fail
	}
	var b record.Batch // as every first start does
	b.Put(record.Key(record.KindState), record.Seal([]byte{0xa0}))
	if err := p.Records.Commit(&b, func(error) {}); err != nil {
		return nil, err
	}
	return &idle{r, p}, nil
}

type idle struct {
	r *runner
	p link.Placement
}

func (a *idle) HTTP(http.ResponseWriter, *http.Request) error                     { return nil }
func (a *idle) WebSocket(*http.Request, func(kept bool) (ws.Socket, error)) error { return nil }
func (a *idle) Why(context.Context) *why.Report {
	return &why.Report{State: why.Running, Awake: []string{"calls"}}
}

func (a *idle) Stop(reason link.StopReason) {
	a.r.log("stop " + reason.String())
	go a.r.events.Stopped(a.p.ID, a.p.Generation, nil)
}

type world struct {
	*api.API
	dir *directory.Directory
	p   *placement.Placement
	r   *runner
	st  *memory.Store
}

// newWorld must be called in a bubble: its clock begins at 2000-01-01, which is 946684800000.
func newWorld(t *testing.T, cfg api.Config) *world {
	t.Helper()
	w := &world{r: &runner{}, st: memory.New(memory.Options{})}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	if w.dir, err = directory.Open(t.Context(), w.st, directory.Config{Logger: log}); err != nil {
		t.Fatal(err)
	}
	w.p = placement.New(w.st, w.r, placement.Config{Logger: log})
	w.r.events = w.p
	cfg.Directory, cfg.Placement, cfg.Logger = w.dir, w.p, log
	w.API = api.New(cfg)
	t.Cleanup(func() {
		w.p.Close()
		w.st.Close()
	})
	return w
}

// do sends "METHOD target" with lines of headers, and a body behind an empty line; a body makes it JSON.
func (w *world) do(text string) *httptest.ResponseRecorder {
	head, body, hasBody := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if hasBody {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, l := range lines[1:] {
		name, v, _ := strings.Cut(l, ": ")
		r.Header.Set(name, v)
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec
}

func (w *world) want(t *testing.T, request string, status int, body string) {
	t.Helper()
	rec := w.do(request)
	if rec.Code != status || rec.Body.String() != body {
		t.Errorf("%s:\n got %d %s\nwant %d %s", request, rec.Code, rec.Body, status, body)
	}
}

// create creates an actor and returns its id.
func (w *world) create(t *testing.T, key string) string {
	t.Helper()
	rec := w.do("PUT /actors?namespace=default\n\n" + `{"name":"tests","key":"` + key + `","runner_name_selector":"default","crash_policy":"sleep"}`)
	var a struct {
		Actor struct {
			ID string `json:"actor_id"`
		}
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	synctest.Wait()
	return a.Actor.ID
}

const epoch = "946684800000"

func (w *world) namespace() string { return w.dir.Namespaces()[0].ID.String() }

func (w *world) object(actor, key, rest string) string {
	return `{"actor_id":"` + actor + `","name":"tests","key":` + key + `,"namespace_id":"` + w.namespace() +
		`","datacenter":"default","runner_name_selector":"default","crash_policy":"sleep","create_ts":` + epoch + `,` + rest + `}`
}

const awake = `"start_ts":` + epoch + `,"pending_allocation_ts":null,"connectable_ts":` + epoch + `,"sleep_ts":null,"reschedule_ts":null,"destroy_ts":null`

func TestOpenRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{Version: "9", Token: "secret"})
		w.want(t, "GET /health", 200, `{"runtime":"engine","status":"ok","version":"9"}`)
		if rec := w.do("GET /"); rec.Code != 200 || !strings.Contains(rec.Body.String(), "Rivet") {
			t.Errorf("banner: %d %s", rec.Code, rec.Body)
		}
		var md map[string]any
		rec := w.do("GET /metadata?namespace=default&whatever=1")
		if err := json.Unmarshal(rec.Body.Bytes(), &md); err != nil || rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		if md["runtime"] != "engine" || md["version"] != "9" || md["envoy_protocol_version"] != 8.0 || md["epoxy_protocol_version"] != 3.0 {
			t.Errorf("metadata %v", md)
		}
		for _, name := range []string{"git_sha", "build_timestamp", "rustc_version", "rustc_host", "cargo_target", "cargo_profile"} {
			if _, ok := md[name].(string); !ok {
				t.Errorf("metadata has no %s", name)
			}
		}
	})
}

// Client protocol §23.8.
func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{Token: "secret"})
		const missing = `{"group":"api","code":"forbidden","message":"Access denied: Token not provided","metadata":{"reason":"Token not provided"}}`
		const invalid = `{"group":"api","code":"forbidden","message":"Access denied: Invalid token","metadata":{"reason":"Invalid token"}}`
		actor := id.New(1).String()
		for _, request := range []string{
			"GET /actors?name=n&key=k&namespace=default", "PUT /actors?namespace=default\n\n{}", "POST /actors?namespace=default\n\n{}",
			"GET /actors/names?namespace=default", "DELETE /actors/" + actor + "?namespace=default", "POST /actors/" + actor + "/sleep",
			"GET /datacenters", "GET /namespaces", "POST /namespaces\n\n{}",
		} {
			line, rest, _ := strings.Cut(request, "\n")
			if rest != "" {
				rest = "\n" + rest
			}
			w.want(t, line+rest, 403, missing)
			w.want(t, line+"\nAuthorization: Bearer nope"+rest, 403, invalid)
			w.want(t, line+"\nAuthorization: Basic secret"+rest, 403, missing)
			w.want(t, line+"\nX-Rivet-Token: secret"+rest, 403, missing)
			if rec := w.do(line + "\nAuthorization: Bearer secret" + rest); rec.Code == 403 {
				t.Errorf("%s: %s", line, rec.Body)
			}
		}
	})
}

func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{URL: "http://127.0.0.1:6420"})
		const notFound = `{"group":"api","code":"not_found","message":"The requested resource was not found"}`
		const notAllowed = `{"group":"api","code":"method_not_allowed","message":"The requested method is not allowed for this resource"}`
		for _, path := range []string{"/nope", "/gateway", "/gateway/", "/gateway//x", "/actors/", "/actors/x/y", "/actors/{id}/", "/actors/x/sleep/y"} {
			w.want(t, "GET "+path, 404, notFound)
		}
		w.want(t, "GET /actors/"+id.New(1).String(), 405, notAllowed)
		w.want(t, "DELETE /actors?namespace=default", 405, notAllowed)
		w.want(t, "POST /health", 405, notAllowed)
		w.want(t, "GET /datacenters?namespace=x", 200, `{"datacenters":[{"label":1,"name":"default","url":"http://127.0.0.1:6420/"}],"pagination":{"cursor":null}}`)
		if rec := w.do("GET /nope"); rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", rec.Header())
		}
	})
}

func TestCORS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{Token: "secret"})
		rec := w.do("OPTIONS /actors\nOrigin: http://o\nAccess-Control-Request-Method: PUT\nAccess-Control-Request-Headers: authorization")
		if rec.Code != 200 {
			t.Errorf("status %d", rec.Code)
		}
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": "http://o", "Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Headers": "authorization",
			"Access-Control-Allow-Credentials": "true", "Vary": "origin, access-control-request-method, access-control-request-headers",
		} {
			if rec.Header().Get(name) != want {
				t.Errorf("%s is %q", name, rec.Header().Get(name))
			}
		}
	})
}

func TestCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		actor := w.create(t, "qqjson")
		w.want(t, "PUT /actors?namespace=default\n\n"+`{"name":"tests","key":"qqjson","runner_name_selector":"default","crash_policy":"restart"}`,
			200, `{"actor":`+w.object(actor, `"qqjson"`, awake)+`,"created":false}`)
		w.want(t, "POST /actors?namespace=default\n\n"+`{"datacenter":"default","name":"tests","runner_name_selector":"default","key":"qqjson","input":"uQACYXoBYWTBGmVT8QA=","crash_policy":"sleep"}`,
			400, `{"group":"actor","code":"duplicate_key","message":"Actor key 'qqjson' already in use for actor '`+actor+`'","metadata":{"existing_actor_id":"`+actor+`","key":"qqjson"}}`)

		// The input arrives in the store as the CBOR that it is.
		rec := w.do("POST /actors?namespace=default\n\n" + `{"datacenter":"default","name":"tests","runner_name_selector":"default","key":"k2","input":"uQABYWEB","crash_policy":"sleep"}`)
		if rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		// Anonymous actors have no key.
		rec = w.do("POST /actors?namespace=default\n\n" + `{"name":"tests","key":null,"runner_name_selector":"default","crash_policy":"sleep"}`)
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"key":null`) {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		synctest.Wait()
		if len(w.r.trace) != 3 {
			t.Errorf("creation starts the actor: %v", w.r.trace)
		}
	})
}

func TestCreateRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		bad := func(reason string) string {
			quoted, _ := json.Marshal(reason)
			whole, _ := json.Marshal("Request is invalid: " + reason)
			return `{"group":"api","code":"bad_request","message":` + string(whole) + `,"metadata":{"reason":` + string(quoted) + `}}`
		}
		const ok = `"runner_name_selector":"default","crash_policy":"sleep"`
		for _, tt := range []struct{ target, body, want string }{
			{"", `{"name":"n","key":"",` + ok + `}`, `{"group":"actor","code":"empty_key","message":"Key label cannot be empty."}`},
			{"", `{"name":"n","key":"k","datacenter":"mars",` + ok + `}`, `{"group":"datacenter","code":"not_found","message":"The provided datacenter does not exist."}`},
			{"", `{"name":"n","key":"k","runner_name_selector":"nope","crash_policy":"sleep"}`, `{"group":"actor","code":"no_runner_config_configured","message":"No runner config with name 'nope' are available in any datacenter for the namespace 'default'. Validate a provider is listed that matches the requested pool name.","metadata":{"namespace":"default","pool_name":"nope"}}`},
			{"/actors?namespace=nope", `{"name":"n","key":"k",` + ok + `}`, `{"group":"namespace","code":"not_found","message":"The namespace does not exist."}`},
			{"/actors", `{"name":"n","key":"k",` + ok + `}`, bad("Failed to deserialize query string: missing field `namespace`")},
			{"/actors?namespace=default&bogus=1", `{"name":"n","key":"k",` + ok + `}`, bad("Failed to deserialize query string: unknown field `bogus`, expected `namespace`")},
			{"", `{"key":"k",` + ok + `}`, bad("Failed to deserialize the JSON body into the target type: missing field `name`")},
			{"", `{"name":"n",` + ok + `}`, bad("Failed to deserialize the JSON body into the target type: missing field `key`")},
			{"", `{"name":"n","key":"k","bogus":1,` + ok + `}`, bad(`Failed to parse the request body as JSON: unknown field "bogus"`)},
			{"", `{"name":"n","key":"k","runner_name_selector":"default","crash_policy":"foo"}`, bad("Failed to deserialize the JSON body into the target type: crash_policy: unknown variant `foo`, expected one of `restart`, `sleep`, `destroy`")},
			{"", `{"name":"n","key":"k","input":"!",` + ok + `}`, bad("input: not base64")},
			{"", `{"name":"n","key":"k","input":"/w==",` + ok + `}`, bad("input: not one CBOR value")},
			{"", `{"name":"n","key":"k",` + ok + `} x`, bad("Failed to parse the request body as JSON: trailing characters")},
		} {
			target := tt.target
			if target == "" {
				target = "/actors?namespace=default"
			}
			w.want(t, "PUT "+target+"\n\n"+tt.body, 400, tt.want)
		}
		w.want(t, "PUT /actors?namespace=default\nContent-Type: text/plain\n\n{}", 400, bad("Expected request with `Content-Type: application/json`"))
		w.want(t, "PUT /actors?namespace=default", 400, bad("Expected request with `Content-Type: application/json`"))
		if rec := w.do("PUT /actors?namespace=default\n\n" + strings.Repeat(" ", 6<<20)); rec.Code != 413 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		if len(w.r.trace) != 0 {
			t.Errorf("started %v", w.r.trace)
		}
	})
}

func TestListActors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		const empty = `{"actors":[],"pagination":{"cursor":null}}`
		w.want(t, "GET /actors?name=tests&key=k&namespace=default", 200, empty)
		actor := w.create(t, "a/b")
		one := `{"actors":[` + w.object(actor, `"a/b"`, awake) + `],"pagination":{"cursor":"` + epoch + `"}}`
		for _, q := range []string{
			"name=tests&key=a%2Fb", "name=tests", "actor_ids=" + actor, "actor_id=" + actor, "actor_ids=nonsense,," + actor,
			"name=tests&key=a%2Fb&include_destroyed=true", "name=tests&limit=1", "name=tests&cursor=946684800001",
		} {
			w.want(t, "GET /actors?"+q+"&namespace=default", 200, one)
		}
		for _, q := range []string{"name=other", "name=tests&cursor=" + epoch, "actor_ids=" + id.New(1).String(), "name=tests&key=a"} {
			w.want(t, "GET /actors?"+q+"&namespace=default", 200, empty)
		}
		if _, err := w.dir.CreateNamespace(t.Context(), "other", ""); err != nil {
			t.Fatal(err)
		}
		w.want(t, "GET /actors?actor_ids="+actor+"&namespace=other", 200, empty)

		input := func(message string) string {
			return `{"group":"validation","code":"invalid_input","message":"` + message + `","metadata":{"message":"` + message + `"}}`
		}
		w.want(t, "GET /actors?namespace=default", 400, input("Name is required when not using actor_ids."))
		w.want(t, "GET /actors?namespace=default&actor_ids=nonsense", 400, input("Name is required when not using actor_ids."))
		w.want(t, "GET /actors?namespace=default&key=k", 400, input("Name is required when key is provided."))
		w.want(t, "GET /actors?namespace=default&name=n&actor_ids="+actor, 400, input("Cannot provide both actor_id and (name + key). Use either actor_id or (name + key)."))
		w.want(t, "GET /actors?namespace=default&actor_ids="+strings.Repeat(actor+",", 33), 400,
			`{"group":"validation","code":"too_many_actor_ids","message":"Too many actor IDs provided. Maximum is 32, got 33","metadata":{"count":33,"max":32}}`)
		for _, target := range []string{"/actors?name=n", "/actors?namespace=default&name=n&bogus=1", "/actors?namespace=default&name=n&cursor=x", "/actors?namespace=default&name=n&limit=0", "/actors?namespace=default&name=n&name=m"} {
			if rec := w.do("GET " + target); rec.Code != 400 || !strings.Contains(rec.Body.String(), `"code":"bad_request"`) || !strings.Contains(rec.Body.String(), `"metadata":{"reason":`) {
				t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
			}
		}
	})
}

// Pages lose nobody, also when several actors were created in one millisecond.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		for i := range 23 {
			if i%4 != 0 || i >= 12 {
				time.Sleep(time.Duration(i%5) * time.Millisecond / 2)
			}
			w.create(t, strconv.Itoa(i))
		}
		for limit := 1; limit < 10; limit++ {
			seen := map[string]bool{}
			last, cursor := int64(1<<62), ""
			for {
				rec := w.do("GET /actors?namespace=default&name=tests&limit=" + strconv.Itoa(limit) + "&cursor=" + cursor)
				var page struct {
					Actors []struct {
						ID string `json:"actor_id"`
						At int64  `json:"create_ts"`
					}
					Pagination struct{ Cursor *string }
				}
				if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || rec.Code != 200 {
					t.Fatalf("%d %s", rec.Code, rec.Body)
				}
				if page.Pagination.Cursor == nil {
					break
				}
				for _, a := range page.Actors {
					if seen[a.ID] || a.At > last {
						t.Errorf("limit %d: an actor twice or out of order", limit)
					}
					seen[a.ID], last = true, a.At
				}
				cursor = *page.Pagination.Cursor
			}
			if len(seen) != 23 {
				t.Errorf("limit %d: %d actors of 23", limit, len(seen))
			}
		}
	})
}

func TestDestroy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		actor := w.create(t, "k")
		w.want(t, "DELETE /actors/"+actor+"?namespace=default", 200, `{}`)
		w.want(t, "DELETE /actors/"+actor+"?namespace=default", 200, `{}`)
		gone := `{"actors":[` + w.object(actor, `"k"`, `"start_ts":`+epoch+`,"pending_allocation_ts":null,"connectable_ts":null,"sleep_ts":null,"reschedule_ts":null,"destroy_ts":`+epoch) + `],"pagination":{"cursor":"` + epoch + `"}}`
		w.want(t, "GET /actors?actor_ids="+actor+"&namespace=default", 200, gone)
		w.want(t, "GET /actors?name=tests&include_destroyed=true&namespace=default", 200, gone)
		w.want(t, "GET /actors?name=tests&key=k&include_destroyed=true&namespace=default", 200, gone)
		w.want(t, "GET /actors?name=tests&namespace=default", 200, `{"actors":[],"pagination":{"cursor":null}}`)

		const notFound = `{"group":"actor","code":"not_found","message":"The actor does not exist or was destroyed."}`
		w.want(t, "DELETE /actors/"+id.New(1).String()+"?namespace=default", 400, notFound)
		w.want(t, "POST /actors/"+actor+"/sleep?namespace=default\n\n{}", 400, notFound)
		if _, err := w.dir.CreateNamespace(t.Context(), "other", ""); err != nil {
			t.Fatal(err)
		}
		other := w.create(t, "k")
		w.want(t, "DELETE /actors/"+other+"?namespace=other", 400, notFound)
		w.want(t, "DELETE /actors/"+id.New(9).String()+"?namespace=default", 400, `{"group":"datacenter","code":"not_found","message":"The provided datacenter does not exist."}`)
		if rec := w.do("DELETE /actors/nonsense?namespace=default"); rec.Code != 400 || !strings.Contains(rec.Body.String(), "Invalid URL: ") {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}

func TestSleepAndReschedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		actor := w.create(t, "k")
		time.Sleep(time.Second)
		w.want(t, "POST /actors/"+actor+"/sleep?namespace=default\n\n{}", 200, `{}`)
		w.want(t, "POST /actors/"+actor+"/sleep?namespace=default\n\n{}", 200, `{}`)
		synctest.Wait()
		w.want(t, "GET /actors?actor_ids="+actor+"&namespace=default", 200, `{"actors":[`+w.object(actor, `"k"`, strings.Replace(strings.Replace(awake, `"connectable_ts":`+epoch, `"connectable_ts":null`, 1), `"sleep_ts":null`, `"sleep_ts":946684801000`, 1))+`],"pagination":{"cursor":"`+epoch+`"}}`)
		for range 2 { // wakes the one that sleeps, moves the one that runs
			w.want(t, "POST /actors/"+actor+"/reschedule?namespace=default\n\n{}", 200, `{}`)
			synctest.Wait()
		}
		if got, want := strings.Join(w.r.trace, ", "), "start, stop sleep, start, stop sleep, start"; got != want {
			t.Errorf("trace %s, want %s", got, want)
		}
	})
}

func TestFailedStartIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		w.r.fail = fault.New("user", "closed", "The shop is closed.")
		actor := w.create(t, "k")
		rec := w.do("GET /actors?actor_ids=" + actor + "&namespace=default")
		if !strings.Contains(rec.Body.String(), `"destroy_ts":null,"error":{"crashed":{"message":"The shop is closed."}}}`) || strings.Contains(rec.Body.String(), `"reschedule_ts":null`) {
			t.Errorf("%s", rec.Body)
		}
		w.r.mu.Lock()
		w.r.fail = errors.New("secret")
		w.r.mu.Unlock()
		other := w.create(t, "k2")
		rec = w.do("GET /actors?actor_ids=" + other + "&namespace=default")
		if !strings.Contains(rec.Body.String(), `"error":"internal_error"}`) {
			t.Errorf("%s", rec.Body)
		}
	})
}

func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		err := w.dir.Announce(t.Context(), "default", []store.ActorName{{Name: "chat", Metadata: []byte(`{"icon":"x"}`)}, {Name: "tests"}})
		if err != nil {
			t.Fatal(err)
		}
		w.want(t, "GET /actors/names?namespace=default", 200, `{"names":{"chat":{"metadata":{"icon":"x"}},"tests":{"metadata":{}}},"pagination":{"cursor":"tests"}}`)
		w.want(t, "GET /actors/names?namespace=default&limit=1", 200, `{"names":{"chat":{"metadata":{"icon":"x"}}},"pagination":{"cursor":"chat"}}`)
		w.want(t, "GET /actors/names?namespace=default&cursor=tests", 200, `{"names":{},"pagination":{"cursor":null}}`)
	})
}

func TestNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{})
		def := `{"namespace_id":"` + w.namespace() + `","name":"default","display_name":"Default","create_ts":` + epoch + `}`
		w.want(t, "GET /namespaces", 200, `{"namespaces":[`+def+`],"pagination":{"cursor":"`+epoch+`"}}`)
		time.Sleep(time.Second)
		rec := w.do("POST /namespaces\n\n" + `{"name":"ns2","display_name":"NS 2"}`)
		var made struct{ Namespace json.RawMessage }
		if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		ns2 := string(made.Namespace)
		w.want(t, "GET /namespaces", 200, `{"namespaces":[`+ns2+`,`+def+`],"pagination":{"cursor":"`+epoch+`"}}`)
		w.want(t, "GET /namespaces?limit=1", 200, `{"namespaces":[`+ns2+`],"pagination":{"cursor":"946684801000"}}`)
		w.want(t, "GET /namespaces?cursor=946684801000", 200, `{"namespaces":[`+def+`],"pagination":{"cursor":"`+epoch+`"}}`)
		w.want(t, "GET /namespaces?name=ns2", 200, `{"namespaces":[`+ns2+`],"pagination":{"cursor":"946684801000"}}`)
		w.want(t, "GET /namespaces?namespace_ids="+w.namespace(), 200, `{"namespaces":[`+def+`],"pagination":{"cursor":null}}`)
		w.want(t, "POST /namespaces\n\n"+`{"name":"ns2","display_name":"again"}`, 400, `{"group":"namespace","code":"name_not_unique","message":"Namespace name must be unique."}`)
		w.want(t, "POST /namespaces\n\n"+`{"name":"NS","display_name":"x"}`, 400, `{"group":"namespace","code":"failed_to_create","message":"Failed to create namespace: name must consist of lower-case letters, digits and '-'","metadata":{"reason":"name must consist of lower-case letters, digits and '-'"}}`)
	})
}

func TestNotFoundHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, api.Config{Token: "secret", NotFound: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "page "+r.URL.Path)
		})})
		w.want(t, "GET /ui/x", 200, "page /ui/x")
	})
}
