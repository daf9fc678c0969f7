package clientproto_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/bare"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

func TestEncoding(t *testing.T) {
	for name, want := range map[string]struct {
		enc         clientproto.Encoding
		ok          bool
		contentType string
		text        bool
	}{
		"json": {clientproto.JSON, true, "application/json", true},
		"cbor": {clientproto.CBOR, true, "application/octet-stream", false},
		"bare": {clientproto.BARE, true, "application/octet-stream", false},
		"":     {clientproto.JSON, false, "application/json", true},
		"BARE": {clientproto.JSON, false, "application/json", true},
	} {
		enc, ok := clientproto.ParseEncoding(name)
		if enc != want.enc || ok != want.ok || enc.ContentType() != want.contentType || enc.IsText() != want.text {
			t.Errorf("ParseEncoding(%q) = %v, %v, %s", name, enc, ok, enc.ContentType())
		}
		if ok && enc.String() != name {
			t.Errorf("%q prints as %q", name, enc)
		}
	}
}

// cbor returns the item that a JSON text stands for.
func cbor(t testing.TB, text string) []byte {
	t.Helper()
	item, err := value.FromJSON(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// TestActionRequestTolerance is section 13.4 of the protocol.
func TestActionRequestTolerance(t *testing.T) {
	for body, want := range map[string]string{
		`{"args":null}`:              `[]`,
		`{}`:                         `[]`,
		`{"args":["$Undefined",0]}`:  `[]`,
		`{"args":5}`:                 `[5]`,
		`{"args":{"a":1}}`:           `[{"a":1}]`,
		`[1]`:                        `[1]`,
		`[[1,2]]`:                    `[1,2]`,
		`[[1,2],3]`:                  `[1,2]`,
		`[]`:                         `[]`,
		`{"x":[1],"args":[2],"y":3}`: `[2]`,
		`{"args":[1],"args":[2]}`:    `[2]`,
		`{"args":["$BigInt","5"]}`:   `[["$BigInt","5"]]`,
	} {
		args, _, err := clientproto.DecodeActionRequest(clientproto.JSON, []byte(body), true)
		wantHex(t, "json "+body, args, err, hexOf(string(cbor(t, want))))
		args, _, err = clientproto.DecodeActionRequest(clientproto.CBOR, cbor(t, body), true)
		wantHex(t, "cbor "+body, args, err, hexOf(string(cbor(t, want))))
	}
	for _, v := range []struct{ data, want string }{
		{"01f6", "80"}, {"01f7", "80"}, {"0105", "8105"}, {"028105", "8105"}, {"00", ""}, {"03810101", ""},
	} {
		args, _, err := clientproto.DecodeActionRequest(clientproto.BARE, unhex(t, "0400"+v.data), true)
		if v.want == "" {
			if err == nil {
				t.Errorf("bare %s was accepted", v.data)
			}
			continue
		}
		wantHex(t, "bare "+v.data, args, err, v.want)
	}
}

// TestFrameTolerance has the forms of frames that the official server accepts.
func TestFrameTolerance(t *testing.T) {
	want := &clientproto.ActionRequest{ID: 5, Name: "echo", Args: raw("8101")}
	for _, frame := range []string{
		`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","5"],"name":"echo","args":[1]}}}`,
		`{"body":{"tag":"ActionRequest","val":{"id":5,"name":"echo","args":[1]}}}`,
		`{"x":0,"body":{"val":{"args":[1],"more":{},"name":"echo","id":5.0},"y":[],"tag":"ActionRequest"},"z":1}`,
		`{"body":{"tag":"ActionRequest","val":{"id":5,"name":"echo","args":1}}}`,
	} {
		m, _, err := clientproto.DecodeToServer(clientproto.JSON, []byte(frame), true)
		if err != nil {
			t.Errorf("json %s: %v", frame, err)
			continue
		}
		wantEqual(t, "json "+frame, m, want)
		m, _, err = clientproto.DecodeToServer(clientproto.CBOR, cbor(t, frame), true)
		if err != nil {
			t.Errorf("cbor %s: %v", frame, err)
			continue
		}
		wantEqual(t, "cbor "+frame, m, want)
	}
	// Every integer form, an indefinite length and keys that are no texts, in cbor.
	for _, id := range []string{"05", "1805", "1900 05", "1a00000005", "1b0000000000000005", "c24105", "f94500", "fb4014000000000000"} {
		id = strings.ReplaceAll(id, " ", "")
		frame := "bf01a064626f6479a2637461676d416374696f6e526571756573746376616cbf646e616d657f6265636268 6fff626964" + id + "646172677381 01ffff"
		m, _, err := clientproto.DecodeToServer(clientproto.CBOR, unhex(t, strings.ReplaceAll(frame, " ", "")), true)
		if err != nil {
			t.Errorf("id %s: %v", id, err)
			continue
		}
		wantEqual(t, "id "+id, m, want)
	}
}

func TestDecodeToServerRejects(t *testing.T) {
	for _, v := range []struct {
		enc   clientproto.Encoding
		frame string
		field string // "version": a VersionError
	}{
		{clientproto.BARE, "", ""},
		{clientproto.BARE, "\x04", ""},
		{clientproto.BARE, "\x00\x00\x01\x00\x00", "version"},
		{clientproto.BARE, "\x05\x00\x01\x00\x00", "version"},
		{clientproto.BARE, "\x00\x04\x01\x00\x00", "version"},
		{clientproto.BARE, "\x04\x00\x02", ""},
		{clientproto.BARE, "\x04\x00\x01\x01a\x01\x00", ""},
		{clientproto.BARE, "\x04\x00\x01\x01a\x02", ""},
		{clientproto.BARE, "\x04\x00\x00\x00\x01a\x00", "args"},
		{clientproto.BARE, "\x04\x00\x00\x00\x01a\x01\x81", "args"},
		{clientproto.BARE, "\x04\x00\x00\x80\x00\x01a\x01\x80", ""},
		{clientproto.JSON, ``, ""},
		{clientproto.JSON, `[]`, ""},
		{clientproto.JSON, `{}`, "tag"},
		{clientproto.JSON, `{"body":1}`, ""},
		{clientproto.JSON, `{"body":{"tag":"Init","val":{"actorId":"","connectionId":""}}}`, "tag"},
		{clientproto.JSON, `{"body":{"tag":1,"val":{}}}`, ""},
		{clientproto.JSON, `{"body":{"tag":"ActionRequest"}}`, "id"},
		{clientproto.JSON, `{"body":{"tag":"ActionRequest","val":{"id":-1,"name":"a","args":[]}}}`, "id"},
		{clientproto.JSON, `{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","-1"],"name":"a","args":[]}}}`, "id"},
		{clientproto.JSON, `{"body":{"tag":"ActionRequest","val":{"id":1.5,"name":"a","args":[]}}}`, "id"},
		{clientproto.JSON, `{"body":{"tag":"ActionRequest","val":{"id":1,"args":[]}}}`, "name"},
		{clientproto.JSON, `{"body":{"tag":"ActionRequest","val":{"id":1,"name":null,"args":[]}}}`, "name"},
		{clientproto.JSON, `{"body":{"tag":"ActionRequest","val":{"id":1,"name":"a","args":["$foo",1]}}}`, ""},
		{clientproto.JSON, `{"body":{"tag":"SubscriptionRequest","val":{"eventName":"a"}}}`, "subscribe"},
		{clientproto.JSON, `{"body":{"tag":"SubscriptionRequest","val":{"eventName":"a","subscribe":1}}}`, "subscribe"},
		{clientproto.CBOR, "\xa1", ""},
		{clientproto.CBOR, string(raw("a164626f6479a26374616773537562736372697074696f6e526571756573746376616ca2696576656e744e616d65676368616e67656469737562736372696265f500")), ""},
	} {
		m, version, err := clientproto.DecodeToServer(v.enc, []byte(v.frame), true)
		var versionErr *clientproto.VersionError
		var messageErr *clientproto.MessageError
		switch {
		case m != nil || version != 0:
			t.Errorf("%v %q: returned %v, %d", v.enc, v.frame, m, version)
		case v.field == "version":
			if !errors.As(err, &versionErr) {
				t.Errorf("%v %q: %v, want a VersionError", v.enc, v.frame, err)
			}
		case !errors.As(err, &messageErr) || messageErr.Field != v.field || messageErr.Encoding != v.enc:
			t.Errorf("%v %q: %v, want field %q", v.enc, v.frame, err, v.field)
		}
	}
}

func TestQueueRequestTolerance(t *testing.T) {
	for _, v := range []struct {
		body string
		want *clientproto.QueueSendRequest // nil: an error
	}{
		{`{}`, &clientproto.QueueSendRequest{Body: raw("f7")}},
		{`{"body":null,"name":null,"wait":null,"timeout":null}`, &clientproto.QueueSendRequest{Body: raw("f6")}},
		{`{"body":1,"timeout":0}`, &clientproto.QueueSendRequest{Body: raw("01"), HasTimeout: true}},
		{`{"body":1,"timeout":5000000000}`, &clientproto.QueueSendRequest{Body: raw("01"), TimeoutMillis: 5e9, HasTimeout: true}},
		{`[1,"jobs",true]`, &clientproto.QueueSendRequest{Body: raw("01"), Name: "jobs", Wait: true}},
		{`{"body":1,"timeout":-1}`, nil},
		{`{"body":1,"timeout":1.5}`, nil},
		{`{"body":1,"timeout":"1"}`, nil},
		{`{"body":1,"wait":1}`, nil},
		{`1`, nil},
		{``, nil},
	} {
		bodies := map[clientproto.Encoding][]byte{clientproto.JSON: []byte(v.body), clientproto.CBOR: nil}
		if v.body != "" {
			item, err := value.Export(nil, cbor(t, v.body), true)
			if err != nil {
				t.Fatal(err)
			}
			bodies[clientproto.CBOR] = item
		}
		for enc, body := range bodies {
			q, _, err := clientproto.DecodeQueueSendRequest(enc, body, true)
			if (err == nil) != (v.want != nil) {
				t.Errorf("%v %s: %v, %v", enc, v.body, q, err)
				continue
			}
			wantEqual(t, enc.String()+" "+v.body, q, v.want)
		}
	}
}

// TestVersions shows what each version of bare cannot carry.
func TestVersions(t *testing.T) {
	for version := range uint16(6) {
		known := version >= 1 && version <= 4
		_, err := clientproto.AppendToClient(nil, clientproto.BARE, version, &clientproto.Init{})
		var want *clientproto.VersionError
		if known != (err == nil) || !known && !errors.As(err, &want) {
			t.Errorf("Init in version %d: %v", version, err)
		}
		_, err = clientproto.AppendQueueSendResponse(nil, clientproto.BARE, version, &clientproto.QueueSendResponse{Status: "completed"})
		if (version == 3 || version == 4) != (err == nil) {
			t.Errorf("QueueSendResponse in version %d: %v", version, err)
		}
		q := append([]byte{byte(version), 0}, raw("01f6000000")...)
		_, _, err = clientproto.DecodeQueueSendRequest(clientproto.BARE, q, true)
		if (version == 3 || version == 4) != (err == nil) {
			t.Errorf("QueueSendRequest of version %d: %v", version, err)
		}
		if !known {
			continue
		}
		in := &fault.Error{Group: "user", Code: "c", Message: "m", Actor: actor(actorID, "k")}
		body, err := clientproto.AppendError(nil, clientproto.BARE, version, in)
		if err != nil {
			t.Errorf("Error in version %d: %v", version, err)
			continue
		}
		out, err := clientproto.DecodeError(clientproto.BARE, body)
		if err != nil || (out.Actor != nil) != (version == 4) {
			t.Errorf("Error of version %d: %+v, %v", version, out, err)
		}
	}
	// json and cbor have no versions: any number will do, and says what the peer reads.
	for _, v := range []struct {
		enc     clientproto.Encoding
		version uint16
		output  string
		want    string
	}{
		{clientproto.JSON, 0, "f7", hexOf(`{"output":null}`)},
		{clientproto.JSON, 3, "f7", hexOf(`{"output":null}`)},
		{clientproto.JSON, 4, "f7", hexOf(`{"output":["$Undefined",0]}`)},
		{clientproto.JSON, 0, "d9010280", hexOf(`{"output":[]}`)},
		{clientproto.JSON, 4, "d9010280", hexOf(`{"output":["$Set",[]]}`)},
		{clientproto.CBOR, 0, "8261246161", "a1666f75747075748261246161"},
		{clientproto.CBOR, 4, "8261246161", "a1666f7574707574826224246161"},
		{clientproto.BARE, 3, "8261246161", "0300058261246161"},
		{clientproto.BARE, 4, "8261246161", "040006826224246161"},
	} {
		got, err := clientproto.AppendActionResponse(nil, v.enc, v.version, raw(v.output))
		wantHex(t, v.enc.String()+" "+v.output, got, err, v.want)
	}
}

// TestNilValues shows what stands for values that are missing.
func TestNilValues(t *testing.T) {
	for enc, want := range map[clientproto.Encoding]struct{ response, event, request string }{
		clientproto.JSON: {
			hexOf(`{"body":{"tag":"ActionResponse","val":{"id":["$BigInt","1"],"output":["$Undefined",0]}}}`),
			hexOf(`{"body":{"tag":"Event","val":{"args":[],"name":"e"}}}`),
			hexOf(`{"args":[]}`),
		},
		clientproto.CBOR: {
			"a164626f6479a2637461676e416374696f6e526573706f6e73656376616ca26269641b0000000000000001666f7574707574f7",
			"a164626f6479a263746167654576656e746376616ca2646e616d656165646172677380",
			"a1646172677380",
		},
		clientproto.BARE: {"0400020101f7", "04000301650180", "04000180"},
	} {
		got, err := clientproto.AppendToClient(nil, enc, 4, &clientproto.ActionResponse{ID: 1})
		wantHex(t, enc.String()+" response", got, err, want.response)
		got, err = clientproto.AppendToClient(nil, enc, 4, &clientproto.Event{Name: "e"})
		wantHex(t, enc.String()+" event", got, err, want.event)
		got, err = clientproto.AppendActionRequest(nil, enc, nil)
		wantHex(t, enc.String()+" request", got, err, want.request)
	}
}

// TestEventArgsAreAlwaysAnArray: the official client spreads them, so anything else would break it.
func TestEventArgsAreAlwaysAnArray(t *testing.T) {
	got, err := clientproto.AppendToClient(nil, clientproto.BARE, 4, &clientproto.Event{Name: "e", Args: raw("6178")})
	wantHex(t, "event", got, err, "040003016503816178")
}

// TestLengthsAfterExport: a value that changes its size on the way out changes the length in front of it, which may then
// need another number of bytes.
func TestLengthsAfterExport(t *testing.T) {
	for _, v := range []struct {
		name   string
		output string
		sizes  [2]int // before and after
	}{
		{"shrinks", "5f587d" + strings.Repeat("00", 125) + "ff", [2]int{129, 127}},
		{"grows", "82 581b" + strings.Repeat("00", 27) + "82 5857" + strings.Repeat("00", 87) + "c24105", [2]int{123, 129}},
		{"grows a little", "82 5801 00 c24105", [2]int{7, 12}},
	} {
		output := unhex(t, strings.ReplaceAll(v.output, " ", ""))
		body, err := clientproto.AppendActionResponse([]byte("x"), clientproto.BARE, 4, output)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		exported, err := value.Export(nil, output, true)
		if err != nil || len(output) != v.sizes[0] || len(exported) != v.sizes[1] {
			t.Errorf("%s: goes from %d to %d bytes, want %v: %v", v.name, len(output), len(exported), v.sizes, err)
		}
		wantHex(t, v.name, body, nil, "780400"+hex.EncodeToString(bare.AppendData(nil, exported)))
	}
}

func TestAppendRejectsMalformedValues(t *testing.T) {
	bad := raw("8201")
	for _, enc := range encodings {
		for name, f := range map[string]func(dst []byte) ([]byte, error){
			"output": func(dst []byte) ([]byte, error) {
				return clientproto.AppendToClient(dst, enc, 4, &clientproto.ActionResponse{Output: bad})
			},
			"args": func(dst []byte) ([]byte, error) {
				return clientproto.AppendToServer(dst, enc, &clientproto.ActionRequest{Args: bad})
			},
			"metadata": func(dst []byte) ([]byte, error) {
				return clientproto.AppendError(dst, enc, 4, &fault.Error{Metadata: bad})
			},
			"response": func(dst []byte) ([]byte, error) {
				return clientproto.AppendQueueSendResponse(dst, enc, 4, &clientproto.QueueSendResponse{Response: bad})
			},
			"body": func(dst []byte) ([]byte, error) {
				return clientproto.AppendQueueSendRequest(dst, enc, &clientproto.QueueSendRequest{Body: bad})
			},
		} {
			got, err := f([]byte("x"))
			var messageErr *clientproto.MessageError
			var syntaxErr *value.SyntaxError
			if string(got) != "x" || !errors.As(err, &messageErr) || messageErr.Field != name || !errors.As(err, &syntaxErr) {
				t.Errorf("%v %s: %q, %v", enc, name, got, err)
			}
		}
		if got, err := clientproto.AppendToClient([]byte("x"), enc, 4, nil); err == nil || string(got) != "x" {
			t.Errorf("%v: a nil message became %q", enc, got)
		}
	}
}

// TestStringsThatAreNotUTF8 come from programs, not from the wire; they must not make a message unreadable.
func TestStringsThatAreNotUTF8(t *testing.T) {
	for _, enc := range encodings {
		frame, err := clientproto.AppendToClient(nil, enc, 4, &clientproto.ErrorMsg{Group: "user", Code: "c", Message: "bad \xff"})
		if err != nil {
			t.Errorf("%v: %v", enc, err)
			continue
		}
		m, err := clientproto.DecodeToClient(enc, frame)
		if err != nil {
			t.Errorf("%v: %v", enc, err)
			continue
		}
		wantEqual(t, enc.String(), m, &clientproto.ErrorMsg{Group: "user", Code: "c", Message: "bad \uFFFD"})
	}
}
