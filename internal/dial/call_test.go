package dial

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

func wantFault(t *testing.T, err error, group, code string) *fault.Error {
	t.Helper()
	f, ok := fault.From(err)
	if !ok || f.Group != group || f.Code != code {
		t.Fatalf("error = %v, want %s.%s", err, group, code)
	}
	return f
}

// The bytes of §30.1, §30.4 and §30.8 of the client protocol, and the headers of §26.3.
func TestActionBytes(t *testing.T) {
	for _, tt := range []struct {
		encoding     clientproto.Encoding
		args         string // CBOR
		body, answer string // hex
		output       string // CBOR
	}{
		{clientproto.BARE, "82617802", "04000482617802", "0400020000", ""},
		{clientproto.BARE, "80", "04000180", "040001f6", "f6"},
		{clientproto.BARE, "81a1616101", "04000581a1616101", "040006b90001616101", "b90001616101"},
		{clientproto.BARE, "811903e8", "040004811903e8", "040009fb41f0000000000000", "1b0000000100000000"},
		{clientproto.CBOR, "81a1616101", "", "a1666f7574707574fa4f800000", "1b0000000100000000"},
		{clientproto.JSON, "81a1616101", hex.EncodeToString([]byte(`{"args":[{"a":1}]}`)), hex.EncodeToString([]byte(`{"output":["$Uint8Array","AQL/"]}`)), "430102ff"},
	} {
		var got []byte
		var headers http.Header
		f := start(t, func(w http.ResponseWriter, r *http.Request) {
			got, _ = io.ReadAll(r.Body)
			headers = r.Header
			w.Header().Set("Content-Type", tt.encoding.ContentType())
			w.Write(unhex(t, tt.answer))
		})
		c := f.client(func(cfg *Config) {
			cfg.Encoding = tt.encoding
			cfg.Token = "tok"
			cfg.Headers = http.Header{"x-extra": {"1"}}
		})
		ctx := callchain.With(t.Context(), []string{"a", "b"})
		output, err := c.Get("tests", []string{"k"}).Action(ctx, "group.echo", unhex(t, tt.args), []byte(`{"user":"bob"}`))
		if tt.output == "" { // an answer with trailing bytes
			wantFault(t, err, "client", "invalid_response")
		} else if err != nil || hex.EncodeToString(output) != tt.output {
			t.Errorf("output = %x, %v; want %s", output, err, tt.output)
		}
		if tt.body != "" && hex.EncodeToString(got) != tt.body {
			t.Errorf("body = %x, want %s", got, tt.body)
		}
		for name, want := range map[string]string{
			"X-Rivet-Encoding": tt.encoding.String(), "Content-Type": tt.encoding.ContentType(), "X-Rivet-Token": "tok",
			"X-Rivet-Conn-Params": `{"user":"bob"}`, "X-Extra": "1", "X-Rivet-Call-Chain": "a,b",
		} {
			if headers.Get(name) != want {
				t.Errorf("%s: %s = %q, want %q", tt.encoding, name, headers.Get(name), want)
			}
		}
		if !strings.HasPrefix(headers.Get("User-Agent"), "rivet-go/") {
			t.Errorf("User-Agent = %q", headers.Get("User-Agent"))
		}
		want := "POST /gateway/tests/action/group.echo?rvt-namespace=default&rvt-method=get&rvt-key=k&rvt-token=tok"
		if seen := f.seen(); !slices.Equal(seen, []string{want}) {
			t.Errorf("requests = %v", seen)
		}
	}
}

// The error bodies of §30.3, §30.4 and §30.8, and what is no body of ours.
func TestActionErrors(t *testing.T) {
	const user = "04000475736572076d795f636f64650875736572206d73670108a2616101616281f5011e31777771376968337865747774743030646b73706c6e68706862646c30300101086361702f62617265"
	for _, tt := range []struct {
		name, contentType string
		status            int
		body              []byte
		want              fault.Error
		message           string
	}{
		{"actor, bare", "application/octet-stream", 500, unhex(t, user), fault.Error{Group: "user", Code: "my_code", Message: "user msg", Metadata: unhex(t, "a2616101616281f5")}, ""},
		{"actor, json", "application/json", 500, []byte(`{"actor":{"actorId":"x","generation":1,"key":"cap/json"},"code":"my_code","group":"user","message":"user msg","metadata":{"a":1}}`), fault.Error{Group: "user", Code: "my_code", Message: "user msg", Metadata: unhex(t, "a1616101")}, ""},
		{"gateway", "application/json; charset=utf-8", 400, []byte(`{"group":"namespace","code":"not_found","message":"The namespace does not exist."}`), fault.Error{Group: "namespace", Code: "not_found", Message: "The namespace does not exist."}, ""},
		{"proxy", "text/html", 502, []byte("<h1>Bad Gateway</h1>"), fault.Error{Group: "client", Code: "invalid_response"}, `unexpected answer: 502 Bad Gateway: "<h1>Bad Gateway</h1>"`},
		{"other JSON", "application/json", 404, []byte(`{"error":"nope"}`), fault.Error{Group: "client", Code: "invalid_response"}, `unexpected answer: 404 Not Found: "{\"error\":\"nope\"}"`},
		{"empty", "", 503, nil, fault.Error{Group: "client", Code: "invalid_response"}, "unexpected answer: 503 Service Unavailable"},
		{"moved", "text/html", 301, nil, fault.Error{Group: "client", Code: "invalid_response"}, "unexpected answer: 301 Moved Permanently, which points elsewhere; check the endpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.Header().Set("X-Rivet-Ray-Id", "ray7")
				if tt.status == 301 {
					w.Header().Set("Location", "https://elsewhere/")
				}
				w.WriteHeader(tt.status)
				w.Write(tt.body)
			})
			_, err := f.client(nil).ByID("x").Action(t.Context(), "a", []byte{0x80}, nil)
			got := wantFault(t, err, tt.want.Group, tt.want.Code)
			if got.Ray != "ray7" || got.HTTPStatus != tt.status || !bytes.Equal(got.Metadata, tt.want.Metadata) {
				t.Errorf("error = %+v", got)
			}
			if want := tt.want.Message + tt.message; got.Message != want {
				t.Errorf("message = %s\nwant      %s", got.Message, want)
			}
			if len(f.seen()) != 1 {
				t.Errorf("requests = %v", f.seen())
			}
		})
	}
}

func TestUnreachableServer(t *testing.T) {
	f := start(t, nil)
	f.refuse(true)
	c := f.client(func(cfg *Config) { cfg.Token = "hush" })
	_, err := c.ByID("x").Action(t.Context(), "a", []byte{0x80}, nil)
	got := wantFault(t, err, "client", "request_failed")
	if !errors.Is(err, errRefused) || strings.Contains(got.Message, "hush") {
		t.Errorf("error = %v", err)
	}
}

func TestActionRetries(t *testing.T) {
	for _, tt := range []struct {
		name        string
		target      func(*Client) *Target
		action      string
		group, code string
		failures    int // before the call would succeed
		requests    int
		succeeds    bool
		within      time.Duration
	}{
		{"boundary", func(c *Client) *Target { return c.ByID("x") }, "a", "guard", "tunnel_request_aborted", 4, 5, true, 375 * time.Millisecond},
		{"boundary, too often", func(c *Client) *Target { return c.ByID("x") }, "a", "guard", "tunnel_request_aborted", 9, 5, false, 375 * time.Millisecond},
		{"destroy", func(c *Client) *Target { return c.ByID("x") }, "destroy", "guard", "tunnel_request_aborted", 1, 1, false, 0},
		{"missing actor, get", func(c *Client) *Target { return c.Get("n", nil) }, "a", "actor", "not_found", 9, 1, false, 0},
		{"missing actor, by id", func(c *Client) *Target { return c.ByID("x") }, "a", "actor", "not_found", 9, 1, false, 0},
		{"missing actor, getOrCreate", func(c *Client) *Target { return c.GetOrCreate("n", nil, nil, nil) }, "a", "actor", "not_found", 2, 3, true, 300 * time.Millisecond},
		{"stopping", func(c *Client) *Target { return c.GetOrCreate("n", nil, nil, nil) }, "a", "actor", "stopping", 99, 8, false, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				f := start(t, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					if n++; n <= tt.failures {
						gatewayError(w, 503, tt.group, tt.code)
						return
					}
					w.Write(unhex(t, "040001f6"))
				})
				began := time.Now()
				_, err := tt.target(f.client(nil)).Action(t.Context(), tt.action, []byte{0x80}, nil)
				if tt.succeeds {
					if err != nil {
						t.Errorf("error = %v", err)
					}
				} else {
					wantFault(t, err, tt.group, tt.code)
				}
				if n != tt.requests && tt.within < 5*time.Second || n > 25 || time.Since(began) > tt.within {
					t.Errorf("%d requests in %v, want %d in %v", n, time.Since(began), tt.requests, tt.within)
				}
			})
		})
	}
}

func TestRetriesEndWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(w http.ResponseWriter, r *http.Request) { gatewayError(w, 503, "actor", "starting") })
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		_, err := f.client(nil).Get("n", nil).Action(ctx, "a", []byte{0x80}, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "actor.starting") {
			t.Errorf("error = %v", err)
		}
	})
}

func TestDestroyedID(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		gatewayError(w, 400, "actor", "destroyed_while_waiting_for_ready")
	})
	_, err := f.client(nil).ByID("x").Action(t.Context(), "a", []byte{0x80}, nil)
	wantFault(t, err, "actor", "not_found")
}

// A key that the query form cannot name is resolved through the API, and again when its actor is gone.
func TestKeysOutsideOfTheQueryForm(t *testing.T) {
	alive := "id1"
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasPrefix(r.URL.Path, "/actors"):
			body, _ := io.ReadAll(r.Body)
			if r.Method == http.MethodPut {
				if want := `{"name":"n","key":"a,b","runner_name_selector":"default","input":"AQ==","crash_policy":"sleep"}`; string(body) != want {
					t.Errorf("body = %s\nwant   %s", body, want)
				}
				io.WriteString(w, `{"actor":{"actor_id":"`+alive+`"},"created":true}`)
				return
			}
			io.WriteString(w, `{"actors":[{"actor_id":"`+alive+`"}],"pagination":{}}`)
		case strings.HasPrefix(r.URL.Path, "/gateway/"+alive+"/"):
			w.Write(unhex(t, "040001f6"))
		default:
			gatewayError(w, 404, "actor", "not_found")
		}
	})
	c := f.client(nil)
	both := []*Target{c.GetOrCreate("n", []string{"a,b"}, []byte{1}, nil), c.Get("n", []string{""})}
	for _, target := range both {
		alive = "id1"
		if url := target.GatewayURL(); url != "" {
			t.Errorf("GatewayURL() before the first use = %s", url)
		}
		for range 2 {
			if _, err := target.Action(t.Context(), "a", []byte{0x80}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if url := target.GatewayURL(); url != "http://fake/gateway/id1" {
			t.Errorf("GatewayURL() = %s", url)
		}
		alive = "id2"
		if _, err := target.Action(t.Context(), "a", []byte{0x80}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, find := range []string{"PUT /actors?namespace=default", `GET /actors?name=n&key=%5C0&namespace=default`} {
		want = append(want, find, "POST /gateway/id1/action/a", "POST /gateway/id1/action/a", "POST /gateway/id1/action/a", find, "POST /gateway/id2/action/a")
	}
	if seen := f.seen(); !slices.Equal(seen, want) {
		t.Errorf("requests:\n%s\nwant:\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestLargeInputTravelsInABody(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			io.WriteString(w, `{"actor":{"actor_id":"id1"},"created":true}`)
			return
		}
		w.Write(unhex(t, "040001f6"))
	})
	input := append([]byte{0x59, 0x20, 0x00}, make([]byte, 0x2000)...)
	if _, err := f.client(nil).GetOrCreate("n", nil, input, nil).Action(t.Context(), "a", []byte{0x80}, nil); err != nil {
		t.Fatal(err)
	}
	if seen := f.seen(); !slices.Equal(seen, []string{"PUT /actors?namespace=default", "POST /gateway/id1/action/a"}) {
		t.Errorf("requests = %v", seen)
	}
}

func TestAPI(t *testing.T) {
	found := `{"actors":[{"actor_id":"id1"}]}`
	var auth, body string
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		auth, body = r.Header.Get("Authorization"), string(b)
		if len(b) > 0 && r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("Content-Type = %s", r.Header.Get("Content-Type"))
		}
		switch r.Method {
		case http.MethodGet:
			io.WriteString(w, found)
		case http.MethodDelete:
			io.WriteString(w, `{}`)
		case http.MethodPut:
			io.WriteString(w, `{"actor":{"actor_id":"id2"},"created":true}`)
		default:
			gatewayError(w, 400, "actor", "duplicate_key")
		}
	})
	ctx := t.Context()
	c := f.client(func(cfg *Config) { cfg.Token, cfg.Namespace, cfg.Pool = "tok", "n s", "pool" })
	gotten, created := c.Get("n", []string{"a", "b/c"}), c.GetOrCreate("n", []string{"k"}, nil, nil)
	if id, err := gotten.Resolve(ctx); id != "id1" || err != nil || auth != "Bearer tok" {
		t.Errorf("Resolve = %s, %v, %s", id, err, auth)
	}
	if id, err := created.Resolve(ctx); id != "id2" || err != nil || body != `{"name":"n","key":"k","runner_name_selector":"pool","crash_policy":"sleep"}` {
		t.Errorf("Resolve = %s, %v, %s", id, err, body)
	}
	if id, err := c.ByID("id3").Resolve(ctx); id != "id3" || err != nil {
		t.Errorf("Resolve = %s, %v", id, err)
	}
	_, err := c.Create(ctx, "n", []string{"k"}, []byte{0})
	wantFault(t, err, "actor", "duplicate_key")
	if err := c.ByID("id/3").Delete(ctx); err != nil {
		t.Error(err)
	}
	if err := created.Delete(ctx); err != nil {
		t.Error(err)
	}
	found = `{"actors":[]}`
	wantFault(t, created.Delete(ctx), "actor", "not_found")
	_, err = gotten.Resolve(ctx)
	wantFault(t, err, "actor", "not_found")
	found = `[]`
	_, err = gotten.Resolve(ctx)
	wantFault(t, err, "client", "invalid_response")

	want := []string{
		"GET /actors?name=n&key=a%2Fb%5C%2Fc&namespace=n%20s", "PUT /actors?namespace=n%20s", "POST /actors?namespace=n%20s",
		"DELETE /actors/id%2F3?namespace=n%20s", "GET /actors?name=n&key=k&namespace=n%20s", "DELETE /actors/id1?namespace=n%20s",
		"GET /actors?name=n&key=k&namespace=n%20s", "GET /actors?name=n&key=a%2Fb%5C%2Fc&namespace=n%20s", "GET /actors?name=n&key=a%2Fb%5C%2Fc&namespace=n%20s",
	}
	if seen := f.seen(); !slices.Equal(seen, want) {
		t.Errorf("requests:\n%s\nwant:\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestRedirect(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/metadata") {
			io.WriteString(w, `{"runtime":"rivetkit","clientEndpoint":"http://real/base","clientNamespace":"ns","clientToken":"tok"}`)
			return
		}
		if r.Host != "real" {
			t.Errorf("host = %s", r.Host)
		}
		w.Write(unhex(t, "040001f6"))
	})
	c := f.client(func(cfg *Config) { cfg.NoRedirect, cfg.Endpoint = false, "http://app/api" })
	for range 2 {
		if _, err := c.ByID("x").Action(t.Context(), "a", []byte{0x80}, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"GET /api/metadata?namespace=default", "POST /base/gateway/x@tok/action/a", "POST /base/gateway/x@tok/action/a"}
	if seen := f.seen(); !slices.Equal(seen, want) {
		t.Errorf("requests = %v", seen)
	}
}

// A server that does not answer the lookup costs a bounded wait, once; one that is not up yet is asked again.
func TestRedirectLookupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		f := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/metadata" {
				select {
				case <-hang:
				case <-r.Context().Done():
				}
				return
			}
			w.Write(unhex(t, "040001f6"))
		})
		c := f.client(func(cfg *Config) { cfg.NoRedirect = false })
		call := func() error {
			_, err := c.ByID("x").Action(t.Context(), "a", []byte{0x80}, nil)
			return err
		}
		f.refuse(true)
		wantFault(t, call(), "client", "request_failed")
		f.refuse(false)
		began := time.Now()
		for range 2 {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != lookupTimeout {
			t.Errorf("two calls took %v", took)
		}
		close(hang)
	})
}

func TestCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		c := f.client(nil)
		failed := make(chan error, 1)
		go func() {
			_, err := c.ByID("x").Action(t.Context(), "a", []byte{0x80}, nil)
			failed <- err
		}()
		synctest.Wait()
		c.Close()
		wantFault(t, <-failed, "client", "closed")
		c.Close()
		_, err := c.ByID("x").Action(t.Context(), "a", []byte{0x80}, nil)
		wantFault(t, err, "client", "closed")
		_, err = c.ByID("x").Connect(t.Context(), nil)
		wantFault(t, err, "client", "closed")
	})
}

func TestAnswerTooLarge(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 1<<20)) // chunked
		for range 32 {
			w.Write(make([]byte, 1<<20))
		}
	})
	_, err := f.client(nil).ByID("x").Action(t.Context(), "a", []byte{0x80}, nil)
	wantFault(t, err, "client", "invalid_response")
}
