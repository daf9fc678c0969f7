package gateway

import (
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// full is the actor's own target.
func (r *route) full() string {
	if r.hasQuery {
		return r.path + "?" + r.rawQuery
	}
	return r.path
}

// Client protocol §3 and §4.
func TestParseDirect(t *testing.T) {
	tests := []struct {
		target, id, token, want string // id "": not a gateway path
	}{
		{"/gateway/ID", "ID", "", "/"},
		{"/gateway/ID/", "ID", "", "/"},
		{"/gateway/ID/action/echo", "ID", "", "/action/echo"},
		{"/gateway/ID@s%20t%2Fx/action/echo?a=1&&b", "ID", "s t/x", "/action/echo?a=1&&b"},
		{"/gateway/ID/request/a%2Fb/", "ID", "", "/request/a%2Fb/"},
		{"/gateway/ID/request/a%2fb?", "ID", "", "/request/a%2fb?"},
		{"/gateway/ID@a@b/x", "ID", "a@b", "/x"},
		{"/gateway/%49D@t/x", "ID", "t", "/x"},
		{"/gateway/ID/x#frag", "ID", "", "/x"},
		{"/gateway/ID/x?a=b?c#frag?d", "ID", "", "/x?a=b?c"},
		{"/gateway/ID/x?rvt=1&arvt-=2&x=rvt-key", "ID", "", "/x?rvt=1&arvt-=2&x=rvt-key"},
		{"/gateway/ID/x?rvt%2Dkey=1", "ID", "", "/x?rvt%2Dkey=1"},
		{"/gateway/ID?a=//", "ID", "", "/?a=//"},
		{"/gateway", "", "", ""},
		{"/gateway/", "", "", ""},
		{"/gateway//x", "", "", ""},
		{"/gateway/x//y", "", "", ""},
		{"//gateway/x", "", "", ""},
		{"/gateway/id@", "", "", ""},
		{"/gateway/@tok", "", "", ""},
		{"/gateway/%ff/x", "", "", ""},
		{"/gateway/id@%ff/x", "", "", ""},
		{"/Gateway/x", "", "", ""},
		{"/gatewayx/x", "", "", ""},
		{"/actors", "", "", ""},
		{"/", "", "", ""},
	}
	for _, tt := range tests {
		var r route
		if err := r.parse(tt.target); err != nil {
			t.Errorf("%s: %v", tt.target, err)
			continue
		}
		if tt.id == "" {
			if r.form != formNone {
				t.Errorf("%s is taken for a gateway path", tt.target)
			}
			continue
		}
		if r.form != formDirect || r.id != tt.id || r.token != tt.token || r.full() != tt.want {
			t.Errorf("%s: form %d, id %q, token %q, target %q", tt.target, r.form, r.id, r.token, r.full())
		}
	}
}

const getOrCreate = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default"

// Client protocol §5, with the examples of §2.3 and §5.2.
func TestParseQueryForm(t *testing.T) {
	tests := []struct {
		target string
		key    []string
		want   string
		check  func(r *route) bool
	}{
		{"/gateway/tests/action/echo?rvt-namespace=default&rvt-method=get&rvt-key=k", []string{"k"}, "/action/echo",
			func(r *route) bool {
				return !r.query.Create && r.query.Name == "tests" && r.query.Namespace == "default"
			}},
		{"/gateway/tests/connect?" + getOrCreate + "&rvt-crash-policy=sleep", nil, "/connect",
			func(r *route) bool {
				return r.query.Create && r.query.Pool == "default" && r.query.CrashPolicy == "sleep"
			}},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=a%2Cb%2Cc%2Fd%2C", []string{"a", "b", "c/d", ""}, "/x", nil},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=a,b", []string{"a", "b"}, "/x", nil},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=a%2Fb", []string{"a/b"}, "/x", nil},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=,", []string{"", ""}, "/x", nil},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=", nil, "/x", nil},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=a+b%2bc", []string{"a b+c"}, "/x", nil},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=100%zz%4", []string{"100%zz%4"}, "/x", nil},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-key=%F0%9F%98%80", []string{"😀"}, "/x", nil},
		{"/gateway/tests/request/foo?x=1&" + getOrCreate + "&rvt-key=t1", []string{"t1"}, "/request/foo?x=1", nil},
		{"/gateway/tests/x?a=1&&b=%20+&" + getOrCreate, nil, "/x?a=1&b=%20+", nil},
		{"/gateway/tests/x?" + getOrCreate + "&a=1&b=2", nil, "/x?a=1&b=2", nil},
		{"/gateway/tests/x?a&rvt-namespace=default&b&rvt-method=get&c", nil, "/x?a&b&c", nil},
		{"/gateway/tests/x?&&" + getOrCreate + "&&", nil, "/x", nil},
		{"/gateway/a%20b%2Fc/x?" + getOrCreate, nil, "/x", func(r *route) bool { return r.query.Name == "a b/c" }},
		{"/gateway/a+b/x?" + getOrCreate, nil, "/x", func(r *route) bool { return r.query.Name == "a+b" }},
		{"/gateway/tests?" + getOrCreate + "&rvt-pool=gpu&rvt-region=dc1&rvt-token=s%20t&rvt-skip-ready-wait=1", nil, "/",
			func(r *route) bool {
				return r.query.Pool == "gpu" && r.query.Region == "dc1" && r.token == "s t" && r.skipReady
			}},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-input=uQABYWEB", nil, "/x",
			func(r *route) bool { return string(r.query.Input) == "\xb9\x00\x01\x61\x61\x01" }},
		{"/gateway/tests/x?" + getOrCreate + "&rvt-input=AA", nil, "/x",
			func(r *route) bool { return string(r.query.Input) == "\x00" }},
		{"/gateway/tests/x?rvt-namespace=default&rvt-method=get&rvt-pool=ignored", nil, "/x", nil},
	}
	for _, tt := range tests {
		var r route
		if err := r.parse(tt.target); err != nil {
			t.Errorf("%s: %v", tt.target, err)
			continue
		}
		if r.form != formQuery || r.query.Key != actorkey.Format(tt.key) || r.full() != tt.want {
			t.Errorf("%s: form %d, key %q, target %q", tt.target, r.form, r.query.Key, r.full())
		}
		if tt.check != nil && !tt.check(&r) {
			t.Errorf("%s: %+v", tt.target, r)
		}
	}
}

// Client protocol §5.3.
func TestParseQueryFormErrors(t *testing.T) {
	const fields = "`namespace`, `method`, `runner`, `pool`, `key`, `input`, `region`, `crash-policy`, `token`, `skip-ready-wait`"
	tests := []struct{ target, code, message, metadata string }{
		{"/gateway/x?rvt-method=get", "query_invalid_params", "invalid query gateway params: missing field `namespace`", `{"detail":"missing field ` + "`namespace`" + `"}`},
		{"/gateway/x?rvt-namespace=default", "query_invalid_params", "invalid query gateway params: missing field `method`", `{"detail":"missing field ` + "`method`" + `"}`},
		{"/gateway/x?rvt-namespace=default&rvt-method=create", "query_invalid_params", "invalid query gateway params: unknown method: create, expected get or getOrCreate", `{"detail":"unknown method: create, expected get or getOrCreate"}`},
		{"/gateway/x?rvt-namespace=default&rvt-method=GET", "query_invalid_params", "invalid query gateway params: unknown method: GET, expected get or getOrCreate", `{"detail":"unknown method: GET, expected get or getOrCreate"}`},
		{"/gateway/x?" + getOrCreate + "&rvt-bogus=1", "query_invalid_params", "invalid query gateway params: unknown field `bogus`, expected one of " + fields, `{"detail":"unknown field ` + "`bogus`, expected one of " + fields + `"}`},
		{"/gateway/x?" + getOrCreate + "&rvt-crash-policy=foo", "query_invalid_params", "invalid query gateway params: unknown crash policy: foo, expected restart, sleep, or destroy", `{"detail":"unknown crash policy: foo, expected restart, sleep, or destroy"}`},
		{"/gateway/x?" + getOrCreate + "&rvt-skip-ready-wait=maybe", "query_invalid_params", `invalid query gateway params: invalid type: string "maybe", expected a boolean`, `{"detail":"invalid type: string \"maybe\", expected a boolean"}`},
		{"/gateway/x?" + getOrCreate + "&rvt-method=get", "query_duplicate_param", "duplicate query gateway param: rvt-method", `{"name":"rvt-method"}`},
		{"/gateway/x?rvt-bogus=1&rvt-bogus=2", "query_duplicate_param", "duplicate query gateway param: rvt-bogus", `{"name":"rvt-bogus"}`},
		{"/gateway/x@tok/y?" + getOrCreate, "query_path_token_syntax", "query gateway paths must not use @token syntax", ""},
		{"/gateway/x?rvt-namespace=default&rvt-method=get&rvt-runner=default", "query_get_disallowed_params", "query gateway method=get does not allow rvt-input, rvt-region, rvt-crash-policy, or rvt-pool params", ""},
		{"/gateway/x?rvt-namespace=default&rvt-method=get&rvt-input=AA", "query_get_disallowed_params", "query gateway method=get does not allow rvt-input, rvt-region, rvt-crash-policy, or rvt-pool params", ""},
		{"/gateway/x?rvt-namespace=default&rvt-method=getOrCreate", "query_missing_pool", "query gateway method=getOrCreate requires rvt-pool param", ""},
		{"/gateway/x?" + getOrCreate + "&rvt-input=A", "query_invalid_base64_input", "invalid base64url in query gateway input", ""},
		{"/gateway/x?" + getOrCreate + "&rvt-input=A%2FAA", "query_invalid_base64_input", "invalid base64url in query gateway input", ""},
		{"/gateway/x?" + getOrCreate + "&rvt-input=AA%0A", "query_invalid_base64_input", "invalid base64url in query gateway input", ""},
		{"/gateway/x?" + getOrCreate + "&rvt-input=AAA", "query_invalid_cbor_input", "invalid query gateway input cbor: invalid cbor", `{"detail":"invalid cbor"}`},
		{"/gateway/x?" + getOrCreate + "&rvt-input=", "query_invalid_cbor_input", "invalid query gateway input cbor: invalid cbor", `{"detail":"invalid cbor"}`},
		{"/gateway/x?" + getOrCreate + "&rvt-key=%ff", "query_invalid_percent_encoding", "invalid percent-encoding for query gateway param 'rvt-key'", `{"name":"rvt-key"}`},
		{"/gateway/%ff?" + getOrCreate, "query_invalid_percent_encoding", "invalid percent-encoding for query gateway param 'name'", `{"name":"name"}`},
	}
	for _, tt := range tests {
		var r route
		e, ok := fault.From(r.parse(tt.target))
		if !ok || e.Group != "guard" || e.Code != tt.code || e.Message != tt.message || e.StatusOnGateway() != 400 {
			t.Errorf("%s: %+v, want guard.%s: %s", tt.target, e, tt.code, tt.message)
			continue
		}
		var metadata []byte
		if e.Metadata != nil {
			var err error
			if metadata, err = value.ToJSON(nil, e.Metadata, value.UndefinedNull); err != nil {
				t.Fatal(err)
			}
		}
		if string(metadata) != tt.metadata {
			t.Errorf("%s: metadata %s, want %s", tt.target, metadata, tt.metadata)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	for _, target := range []string{
		"/gateway/counter/action/increment?" + getOrCreate + "&rvt-key=likes&rvt-crash-policy=sleep",
		"/gateway/counter/request/x?a=1&b=2&" + getOrCreate + "&rvt-key=likes",
		"/gateway/9qh1pqbb9yefrawdqx1yvb5ywdbl00/action/increment",
	} {
		var r route
		if n := testing.AllocsPerRun(100, func() { r = route{}; _ = r.parse(target) }); n != 0 {
			t.Errorf("%s: %v allocations", target, n)
		}
	}
}

// FuzzParsePath checks that whatever comes is either refused or taken apart without loss: what the actor sees is part of
// what was sent, nothing of the gateway's own is left in it, and the parser agrees with a slow one on the query.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{
		"/gateway/ID@t/x?a=1&&b", "/gateway/a%20b/x?a=1&&" + getOrCreate + "&b&rvt-key=a,b%2C", "/gateway/", "/gateway/%/x?rvt-",
		"/gateway/x?rvt-key=%ff&rvt-input=AA", "/gateway/x#?rvt-", "/gateway/x?&rvt-namespace&rvt-method=get&&c#d",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		var r route
		if err := r.parse(target); err != nil {
			if e, ok := fault.From(err); !ok || e.Group != "guard" || !strings.HasPrefix(e.Code, "query_") {
				t.Fatalf("%q: %v", target, err)
			}
			return
		}
		if r.form == formNone {
			return
		}
		if !strings.HasPrefix(r.path, "/") || strings.Contains(r.path, "//") || strings.ContainsAny(r.path, "?#") {
			t.Fatalf("%q: path %q", target, r.path)
		}
		whole, _, _ := strings.Cut(target, "#")
		path, rawQuery, hasQuery := strings.Cut(whole, "?")
		if r.path != "/" && !strings.HasSuffix(path, r.path) {
			t.Fatalf("%q: path %q is not what was sent", target, r.path)
		}
		if r.form == formDirect {
			if r.rawQuery != rawQuery || r.hasQuery != hasQuery || r.id == "" {
				t.Fatalf("%q: query %q, id %q", target, r.rawQuery, r.id)
			}
			return
		}
		var kept []string
		for piece := range strings.SplitSeq(rawQuery, "&") {
			if name, _, _ := strings.Cut(piece, "="); piece != "" && !strings.HasPrefix(name, ownPrefix) {
				kept = append(kept, piece)
			}
		}
		if want := strings.Join(kept, "&"); r.rawQuery != want {
			t.Fatalf("%q: query %q, want %q", target, r.rawQuery, want)
		}
		if r.query.Name == "" || r.query.Key == "" || r.query.Input != nil && value.Valid(r.query.Input) != nil {
			t.Fatalf("%q: %+v", target, r.query)
		}
		if again := actorkey.Format(actorkey.Parse(r.query.Key)); again != r.query.Key {
			t.Fatalf("%q: key %q is not canonical: %q", target, r.query.Key, again)
		}
	})
}
