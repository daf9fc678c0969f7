package refusal

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

func TestBody(t *testing.T) {
	actor := &fault.Actor{ID: "A", Generation: 7}
	for want, e := range map[string]*fault.Error{
		`{"group":"api","code":"not_found","message":"The requested resource was not found"}`:                                       APINotFound(),
		`{"group":"g","code":"c","message":"<\"é\n\u001f>"}`:                                                                        fault.New("g", "c", "<\"é\n\x1f>"),
		`{"group":"g","code":"c","message":"m","metadata":{"a":1}}`:                                                                 fault.New("g", "c", "m").With([]byte{0xa1, 0x61, 'a', 1}),
		`{"group":"g","code":"c","message":"m"}`:                                                                                    fault.New("g", "c", "m").With([]byte{0xa1}), // not CBOR
		`{"actor":{"actorId":"A","generation":7},"code":"c","group":"g","message":"m"}`:                                             {Group: "g", Code: "c", Message: "m", Actor: actor},
		`{"group":"guard","code":"no_route","message":"No route found for hostname h, path �.","metadata":{"host":"h","path":"�"}}`: NoRoute("h", "\xff"),
	} {
		if got := string(AppendBody(nil, e)); got != want {
			t.Errorf("body %s\nwant %s", got, want)
		}
	}
	w := httptest.NewRecorder()
	Write(w, Forbidden(TokenMissing), 403)
	if w.Code != 403 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Length") != "123" {
		t.Errorf("%d %v %d bytes", w.Code, w.Header(), w.Body.Len())
	}
}

func TestMetadataIsCBORWithSortedNames(t *testing.T) {
	for _, e := range []*fault.Error{
		NoRoute("h", "p"), MissingHeader("x"), InvalidHeader("x", "d"), BodyTooLarge(), NoPool("n", "p"), KeyTooLarge("k", 128),
		TooManyIDs(32, 33), ResolveTimeout(1, 2), QueryInvalidParams("d"), Forbidden(TokenInvalid), NamespaceInvalid("w"),
	} {
		if err := value.Valid(e.Metadata); err != nil {
			t.Errorf("%v: %v", e, err)
		}
		r := value.NewReader(e.Metadata)
		last := ""
		for n := r.Map(); r.More(&n); r.Raw() {
			name := string(r.Text())
			if name <= last {
				t.Errorf("%v: %q comes after %q", e, name, last)
			}
			last = name
		}
		if r.Err() != nil {
			t.Errorf("%v: %v", e, r.Err())
		}
	}
}

// TestG9_UntypedErrorsAreHidden: what is not made to be sent leaves bare.
func TestG9_UntypedErrorsAreHidden(t *testing.T) {
	secret := errors.New("secret")
	e := Of(secret)
	if body := string(AppendBody(nil, e)); strings.Contains(body, "secret") || e.Group != "core" || !errors.Is(e, secret) {
		t.Errorf("%s", body)
	}
	typed := APINotFound()
	if Of(typed) != typed {
		t.Error("a typed error was changed")
	}
}

func TestPreviewOfALargeKeyIsUTF8(t *testing.T) {
	e := KeyTooLarge(strings.Repeat("é", 100), 128)
	if !strings.HasSuffix(e.Message, strings.Repeat("é", 32)+"…") {
		t.Errorf("message %q", e.Message)
	}
	if e := KeyTooLarge("a"+strings.Repeat("é", 100), 128); strings.ContainsRune(e.Message, '\ufffd') || !strings.HasSuffix(e.Message, "é…") {
		t.Errorf("message %q", e.Message)
	}
}
