package clientproto_test

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// The vectors were recorded between the official 2.3.19 server and the 2.3.19 and 2.1.7 clients. The tables of a test
// hold the bytes as they were on the wire, what they mean to us, and, where our own form differs on purpose, the bytes
// that we write for the same message.

const (
	actorID = "lj0p34xpfp80zjm72hrqnjqj8oal00"
	bareID  = "1wwq7ih3xetwtt00dksplnhphbdl00"
	cborID  = "5nsoqtmqnmuazpsnurz5nyk6zacl00"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantHex(t *testing.T, what string, got []byte, err error, want string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if g := hex.EncodeToString(got); g != want {
		t.Errorf("%s\n got %s\nwant %s", what, g, want)
	}
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

var bareActionRequests = []struct{ name, wire, args string }{
	{"req-echo-obj", "04000781b90001616101", "81b90001616101"},
	{"req-echo-2", "04000482617802", "82617802"},
	{"req-noargs", "04000180", "80"},
	{"req-v3", "03000781b90001616101", "81b90001616101"},
}

func TestGoldenBareActionRequest(t *testing.T) {
	for _, v := range bareActionRequests {
		wire := unhex(t, v.wire)
		args, version, err := clientproto.DecodeActionRequest(clientproto.BARE, wire, true)
		wantHex(t, v.name, args, err, v.args)
		if version != uint16(wire[0]) {
			t.Errorf("%s: version %d", v.name, version)
		}
		got, err := clientproto.AppendActionRequest(nil, clientproto.BARE, args)
		wantHex(t, v.name+" written", got, err, "0400"+v.wire[4:])
	}
}

var bareActionResponses = []struct{ name, wire, output, ours string }{
	{"res-obj", "040006b90001616101", "b90001616101", ""},
	{"res-array", "04000482617802", "82617802", ""},
	{"res-null", "040001f6", "f6", ""},
	{"res-undefined", "04000d826a24556e646566696e656400", "f7", "040001f7"},
	{
		"res-bigint", "04001e826724426967496e74743132333435363738393031323334353637383930",
		"c248ab54a98ceb1f0ad2", "0400091bab54a98ceb1f0ad2",
	},
	{"res-bigint5", "04000b826724426967496e746135", "c24105", "0400091b0000000000000005"},
	{"res-u8", "040012826b2455696e743841727261796441514c2f", "430102ff", "040004430102ff"},
	{"res-ab", "040013826c244172726179427566666572644351673d", "420908", "040003420908"},
	{"res-date", "04000ac1fb41d954fc4007df3b", "c1fb41d954fc4007df3c", ""},
	{"res-set", "04000a82642453657482016161", "d9010282016161", "040007d9010282016161"},
	{"res-map", "04000ad90103a2616b01026176", "d90103a2616b01026176", ""},
	{"res-f32", "04000bd855480000c03f000000c0", "d855480000c03f000000c0", ""},
	{"res-i8", "040005d8484201ff", "d8484201ff", ""},
	{"res-regexp", "040012d81b83665265674578706461622b63626769", "d81b83665265674578706461622b63626769", ""},
	{
		"res-error", "040018d81b82654572726f726e616e206572726f722076616c7565",
		"d81b82654572726f726e616e206572726f722076616c7565", "",
	},
	{"res-nan", "040009fb7ff8000000000000", "fb7ff8000000000000", ""},
	{"res-1.5", "040009fb3ff8000000000000", "fb3ff8000000000000", ""},
	{"res-2^32", "040009fb41f0000000000000", "1b0000000100000000", ""},
}

func TestGoldenBareActionResponse(t *testing.T) {
	for _, v := range bareActionResponses {
		output, err := clientproto.DecodeActionResponse(clientproto.BARE, unhex(t, v.wire))
		wantHex(t, v.name, output, err, v.output)
		if v.ours == "" {
			v.ours = v.wire
		}
		got, err := clientproto.AppendActionResponse(nil, clientproto.BARE, 4, output)
		wantHex(t, v.name+" written", got, err, v.ours)
	}
}

var bareQueueRequests = []struct {
	name, wire string
	want       clientproto.QueueSendRequest
}{
	{"q-nowait", "040006b9000161610101046a6f6273010000", clientproto.QueueSendRequest{Name: "jobs"}},
	{"q-nowait-v3", "030006b9000161610101046a6f6273010000", clientproto.QueueSendRequest{Name: "jobs"}},
	{
		"q-wait", "040006b9000161610101057761697473010101dc05000000000000",
		clientproto.QueueSendRequest{Name: "waits", Wait: true, TimeoutMillis: 1500, HasTimeout: true},
	},
}

func TestGoldenBareQueueRequest(t *testing.T) {
	for _, v := range bareQueueRequests {
		v.want.Body = unhex(t, "b90001616101")
		wire := unhex(t, v.wire)
		q, version, err := clientproto.DecodeQueueSendRequest(clientproto.BARE, wire, true)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		wantEqual(t, v.name, *q, v.want)
		if version != uint16(wire[0]) {
			t.Errorf("%s: version %d", v.name, version)
		}
		got, err := clientproto.AppendQueueSendRequest(nil, clientproto.BARE, q)
		wantHex(t, v.name+" written", got, err, "0400"+v.wire[4:])
	}
}

var queueResponses = []struct {
	name     string
	enc      clientproto.Encoding
	wire     string
	status   string
	response string
}{
	{"bare q-completed", clientproto.BARE, "040009636f6d706c6574656400", "completed", ""},
	{"bare q-completed-resp", clientproto.BARE, "040009636f6d706c657465640107b90001626f6bf5", "completed", "b90001626f6bf5"},
	{"bare q-timedout", clientproto.BARE, "04000874696d65644f757400", "timedOut", ""},
	{"cbor q-completed", clientproto.CBOR, "a16673746174757369636f6d706c65746564", "completed", ""},
	{
		"cbor q-completed-resp", clientproto.CBOR,
		"a268726573706f6e7365a1626f6bf56673746174757369636f6d706c65746564", "completed", "a1626f6bf5",
	},
	{"cbor q-timedout", clientproto.CBOR, "a1667374617475736874696d65644f7574", "timedOut", ""},
	{"json q-completed-resp", clientproto.JSON, hexOf(`{"response":{"ok":true},"status":"completed"}`), "completed", "a1626f6bf5"},
	{"json q-completed", clientproto.JSON, hexOf(`{"status":"completed"}`), "completed", ""},
	{"json q-timedout", clientproto.JSON, hexOf(`{"status":"timedOut"}`), "timedOut", ""},
}

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

func TestGoldenQueueResponse(t *testing.T) {
	for _, v := range queueResponses {
		want := clientproto.QueueSendResponse{Status: v.status}
		if v.response != "" {
			want.Response = unhex(t, v.response)
		}
		q, err := clientproto.DecodeQueueSendResponse(v.enc, unhex(t, v.wire))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		wantEqual(t, v.name, *q, want)
		got, err := clientproto.AppendQueueSendResponse(nil, v.enc, 4, q)
		wantHex(t, v.name+" written", got, err, v.wire)
	}
}

var metadataAB = "a2616101616281f5" // {"a":1,"b":[true]}

func actor(id string, key string) *fault.Actor {
	return &fault.Actor{ID: id, Generation: 1, Key: key, HasKey: true}
}

var httpErrors = []struct {
	name     string
	enc      clientproto.Encoding
	wire     string
	want     fault.Error
	metadata string
}{
	{
		name: "bare err-user", enc: clientproto.BARE,
		wire: "040004757365720a757365725f6572726f720875736572206d736700011e31777771376968337865747774743030646b73706c6e68706862646c30300101086361702f62617265",
		want: fault.Error{Group: "user", Code: "user_error", Message: "user msg", Actor: actor(bareID, "cap/bare")},
	},
	{
		name: "bare err-user-meta", enc: clientproto.BARE,
		wire:     "04000475736572076d795f636f64650875736572206d73670108a2616101616281f5011e31777771376968337865747774743030646b73706c6e68706862646c30300101086361702f62617265",
		want:     fault.Error{Group: "user", Code: "my_code", Message: "user msg", Actor: actor(bareID, "cap/bare")},
		metadata: metadataAB,
	},
	{
		name: "bare err-internal", enc: clientproto.BARE,
		wire: "04000872697665746b69740e696e7465726e616c5f6572726f721a416e20696e7465726e616c206572726f72206f6363757272656400011e31777771376968337865747774743030646b73706c6e68706862646c30300101086361702f62617265",
		want: fault.Error{Group: "rivetkit", Code: "internal_error", Message: fault.InternalMessage, Actor: actor(bareID, "cap/bare")},
	},
	{
		name: "cbor err", enc: clientproto.CBOR,
		wire: "a4656163746f72a3676163746f724964781e356e736f71746d716e6d75617a70736e75727a356e796b367a61636c30306a67656e65726174696f6e01636b6579686361702f63626f7264636f64656a757365725f6572726f726567726f75706475736572676d6573736167656875736572206d7367",
		want: fault.Error{Group: "user", Code: "user_error", Message: "user msg", Actor: actor(cborID, "cap/cbor")},
	},
	{
		name: "json err", enc: clientproto.JSON,
		wire:     hexOf(`{"actor":{"actorId":"` + actorID + `","generation":1,"key":"cap/json"},"code":"my_code","group":"user","message":"user msg","metadata":{"a":1,"b":[true]}}`),
		want:     fault.Error{Group: "user", Code: "my_code", Message: "user msg", Actor: actor(actorID, "cap/json")},
		metadata: metadataAB,
	},
	{
		name: "json gateway", enc: clientproto.JSON,
		wire:     hexOf(`{"code":"missing_header","group":"guard","message":"no","metadata":{"header":"x-rivet-actor"}}`),
		want:     fault.Error{Group: "guard", Code: "missing_header", Message: "no"},
		metadata: "a1666865616465726d782d72697665742d6163746f72",
	},
}

func TestGoldenHTTPError(t *testing.T) {
	for _, v := range httpErrors {
		if v.metadata != "" {
			v.want.Metadata = unhex(t, v.metadata)
		}
		e, err := clientproto.DecodeError(v.enc, unhex(t, v.wire))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		wantEqual(t, v.name, *e, v.want)
		got, err := clientproto.AppendError(nil, v.enc, 4, e)
		wantHex(t, v.name+" written", got, err, v.wire)
	}
}

func TestGoldenCBORActionRequest(t *testing.T) {
	for _, v := range []struct{ name, wire, args, ours string }{
		{"req", "b90001646172677381b90001616101", "81b90001616101", "a1646172677381b90001616101"},
		{"req-noargs", "b90001646172677380", "80", "a1646172677380"},
	} {
		args, version, err := clientproto.DecodeActionRequest(clientproto.CBOR, unhex(t, v.wire), true)
		wantHex(t, v.name, args, err, v.args)
		if version != 0 {
			t.Errorf("%s: version %d, want 0: cbor has none", v.name, version)
		}
		got, err := clientproto.AppendActionRequest(nil, clientproto.CBOR, args)
		wantHex(t, v.name+" written", got, err, v.ours)
	}
}

func TestGoldenCBORActionResponse(t *testing.T) {
	for _, v := range []struct{ name, wire, output, ours string }{
		{"res-str", "a1666f757470757467696e6e65723a71", "67696e6e65723a71", ""},
		{"res-undefined", "a1666f7574707574826a24556e646566696e656400", "f7", "a1666f7574707574f7"},
		{"res-1.5", "a1666f7574707574f93e00", "f93e00", ""},
		{"res-2^32", "a1666f7574707574fa4f800000", "1b0000000100000000", "a1666f7574707574fb41f0000000000000"},
	} {
		output, err := clientproto.DecodeActionResponse(clientproto.CBOR, unhex(t, v.wire))
		wantHex(t, v.name, output, err, v.output)
		if v.ours == "" {
			v.ours = v.wire
		}
		got, err := clientproto.AppendActionResponse(nil, clientproto.CBOR, 4, output)
		wantHex(t, v.name+" written", got, err, v.ours)
	}
}

func TestGoldenQueueRequestNamed(t *testing.T) {
	for _, v := range []struct {
		name string
		enc  clientproto.Encoding
		wire string
		want clientproto.QueueSendRequest
		body string
		ours string
	}{
		{
			name: "cbor q-wait-req", enc: clientproto.CBOR,
			wire: "b9000464626f6479b90001616101646e616d656577616974736477616974f56774696d656f75741905dc",
			want: clientproto.QueueSendRequest{Name: "waits", Wait: true, TimeoutMillis: 1500, HasTimeout: true},
			body: "b90001616101",
			ours: "a464626f6479b90001616101646e616d656577616974736477616974f56774696d656f75741905dc",
		},
		{
			name: "cbor q-nowait-req", enc: clientproto.CBOR,
			wire: "b9000464626f64796178646e616d65646a6f62736477616974f46774696d656f7574f7",
			want: clientproto.QueueSendRequest{Name: "jobs"},
			body: "6178",
			ours: "a364626f64796178646e616d65646a6f62736477616974f4",
		},
		{
			name: "json wait", enc: clientproto.JSON,
			wire: hexOf(`{"body":{"a":1},"name":"waits","wait":true,"timeout":1500}`),
			want: clientproto.QueueSendRequest{Name: "waits", Wait: true, TimeoutMillis: 1500, HasTimeout: true},
			body: "a1616101",
		},
		{
			name: "json no wait", enc: clientproto.JSON,
			wire: hexOf(`{"body":"x","name":"jobs","wait":false}`),
			want: clientproto.QueueSendRequest{Name: "jobs"},
			body: "6178",
		},
		{
			name: "json undefined body", enc: clientproto.JSON,
			wire: hexOf(`{"name":"jobs","wait":false}`),
			want: clientproto.QueueSendRequest{Name: "jobs"},
			body: "f7",
		},
	} {
		v.want.Body = unhex(t, v.body)
		q, _, err := clientproto.DecodeQueueSendRequest(v.enc, unhex(t, v.wire), true)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		wantEqual(t, v.name, *q, v.want)
		if v.ours == "" {
			v.ours = v.wire
		}
		got, err := clientproto.AppendQueueSendRequest(nil, v.enc, q)
		wantHex(t, v.name+" written", got, err, v.ours)
	}
}

func TestGoldenJSONActions(t *testing.T) {
	args, version, err := clientproto.DecodeActionRequest(clientproto.JSON, []byte(`{"args":[{"a":1}]}`), true)
	wantHex(t, "request", args, err, "81a1616101")
	if version != 0 {
		t.Errorf("version %d, want 0: json has none", version)
	}
	got, err := clientproto.AppendActionRequest(nil, clientproto.JSON, args)
	wantHex(t, "request written", got, err, hexOf(`{"args":[{"a":1}]}`))

	for _, v := range []struct{ text, output string }{
		{`{"output":{"a":1}}`, "a1616101"},
		{`{"output":["$Undefined",0]}`, "f7"},
		{`{"output":["$BigInt","12345678901234567890"]}`, "c248ab54a98ceb1f0ad2"},
		{`{"output":["$Uint8Array","AQL/"]}`, "430102ff"},
		{`{"output":["$Set",[1,"a"]]}`, "d9010282016161"},
		{
			`{"output":{"a":[1,2,{"b":["$Undefined",0]}],"big":[["$BigInt","1"]],"dollar":["$$foo",1],"dollar2":["$$BigInt","7"],"nul":null,"u":["$Undefined",0]}}`,
			"a66161830102a16162f76362696781c2410166646f6c6c6172826424666f6f01" +
				"67646f6c6c617232826724426967496e746137636e756cf66175f7",
		},
	} {
		output, err := clientproto.DecodeActionResponse(clientproto.JSON, []byte(v.text))
		wantHex(t, v.text, output, err, v.output)
		got, err := clientproto.AppendActionResponse(nil, clientproto.JSON, 4, output)
		wantHex(t, v.text+" written", got, err, hexOf(v.text))
	}

	// An ArrayBuffer is a byte string inside and leaves as the commoner Uint8Array.
	output, err := clientproto.DecodeActionResponse(clientproto.JSON, []byte(`{"output":["$ArrayBuffer","CQg="]}`))
	wantHex(t, "ArrayBuffer", output, err, "420908")
}

const connID = "5afa0228-d8c1-4104-89a9-3bf8fc1c440d"

// toClient holds every frame of an actor. A frame without version is written for a version 4 peer.
var toClient = []struct {
	name    string
	enc     clientproto.Encoding
	wire    string
	version uint16
	want    clientproto.ToClient
	ours    string
}{
	{
		name: "init", enc: clientproto.BARE,
		wire: "0400001e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c30302435616661303232382d643863312d343130342d383961392d336266386663316334343064",
		want: &clientproto.Init{ActorID: actorID, ConnectionID: connID},
	},
	{name: "resp0", enc: clientproto.BARE, wire: "0400020006b90001616101", want: &clientproto.ActionResponse{ID: 0, Output: raw("b90001616101")}},
	{name: "resp0-x", enc: clientproto.BARE, wire: "04000200026178", want: &clientproto.ActionResponse{ID: 0, Output: raw("6178")}},
	{name: "resp1", enc: clientproto.BARE, wire: "0400020103626f6b", want: &clientproto.ActionResponse{ID: 1, Output: raw("626f6b")}},
	{name: "event", enc: clientproto.BARE, wire: "040003076368616e676564058262686902", want: &clientproto.Event{Name: "changed", Args: raw("8262686902")}},
	{
		name: "err5", enc: clientproto.BARE,
		wire: "0400010475736572076d795f636f64650875736572206d73670108a2616101616281f50105011e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c30300101027431",
		want: &clientproto.ErrorMsg{
			Group: "user", Code: "my_code", Message: "user msg", Metadata: raw(metadataAB),
			ActionID: 5, HasActionID: true, Actor: actor(actorID, "t1"),
		},
	},
	{
		name: "err6", enc: clientproto.BARE,
		wire: "0400010872697665746b69740e696e7465726e616c5f6572726f721a416e20696e7465726e616c206572726f72206f6363757272656400" +
			"0106011e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c30300101027431",
		want: &clientproto.ErrorMsg{
			Group: "rivetkit", Code: "internal_error", Message: fault.InternalMessage,
			ActionID: 6, HasActionID: true, Actor: actor(actorID, "t1"),
		},
	},
	{
		name: "err-conn", enc: clientproto.BARE,
		wire: "04000104757365720664656e6965640664656e696564010da16377687967626563617573650000",
		want: &clientproto.ErrorMsg{Group: "user", Code: "denied", Message: "denied", Metadata: raw("a1637768796762656361757365")},
	},
	{
		name: "init-v1", enc: clientproto.BARE, version: 1,
		wire: "0100001e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c303006636f6e6e2d3103746f6b",
		want: &clientproto.Init{ActorID: actorID, ConnectionID: "conn-1"},
		ours: "0100001e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c303006636f6e6e2d3100",
	},
	{
		name: "init-v2", enc: clientproto.BARE, version: 2,
		wire: "0200001e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c303006636f6e6e2d31",
		want: &clientproto.Init{ActorID: actorID, ConnectionID: "conn-1"},
	},
	{
		name: "init-v3", enc: clientproto.BARE, version: 3,
		wire: "0300001e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c303006636f6e6e2d31",
		want: &clientproto.Init{ActorID: actorID, ConnectionID: "conn-1"},
	},
	{
		name: "err-v3", enc: clientproto.BARE, version: 3,
		wire: "03000104757365720163016d000101",
		want: &clientproto.ErrorMsg{Group: "user", Code: "c", Message: "m", ActionID: 1, HasActionID: true},
	},
	{name: "resp-v3", enc: clientproto.BARE, version: 3, wire: "0300020103626f6b", want: &clientproto.ActionResponse{ID: 1, Output: raw("626f6b")}},

	{
		name: "cbor init", enc: clientproto.CBOR,
		wire: "a164626f6479a26374616764496e69746376616ca2676163746f724964781e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c30306c636f6e6e656374696f6e4964782438376634383138332d633239642d343736312d613261652d636139633362376363336161",
		want: &clientproto.Init{ActorID: actorID, ConnectionID: "87f48183-c29d-4761-a2ae-ca9c3b7cc3aa"},
	},
	{
		name: "cbor resp0", enc: clientproto.CBOR,
		wire: "a164626f6479a2637461676e416374696f6e526573706f6e73656376616ca26269641b0000000000000000666f7574707574b90001616101",
		want: &clientproto.ActionResponse{ID: 0, Output: raw("b90001616101")},
	},
	{
		name: "cbor event", enc: clientproto.CBOR,
		wire: "a164626f6479a263746167654576656e746376616ca2646e616d65676368616e67656464617267738262686902",
		want: &clientproto.Event{Name: "changed", Args: raw("8262686902")},
	},
	{
		name: "cbor err5", enc: clientproto.CBOR,
		wire: "a164626f6479a263746167654572726f726376616ca66567726f7570647573657264636f6465676d795f636f6465676d6573736167656875736572206d7367686d65746164617461a2616101616281f5656163746f72a3676163746f724964781e6c6a307033347870667038307a6a6d37326872716e6a716a386f616c30306a67656e65726174696f6e1b0000000000000001636b657962743168616374696f6e49641b0000000000000005",
		want: &clientproto.ErrorMsg{
			Group: "user", Code: "my_code", Message: "user msg", Metadata: raw(metadataAB),
			ActionID: 5, HasActionID: true, Actor: actor(actorID, "t1"),
		},
	},
	{
		name: "cbor err-conn", enc: clientproto.CBOR,
		wire: "a164626f6479a263746167654572726f726376616ca56567726f7570647573657264636f64656664656e696564676d6573736167656664656e696564686d65746164617461a163776879676265636175736568616374696f6e4964f6",
		want: &clientproto.ErrorMsg{Group: "user", Code: "denied", Message: "denied", Metadata: raw("a1637768796762656361757365")},
	},

	{
		name: "json init", enc: clientproto.JSON,
		wire: hexOf(`{"body":{"tag":"Init","val":{"actorId":"` + actorID + `","connectionId":"` + connID + `"}}}`),
		want: &clientproto.Init{ActorID: actorID, ConnectionID: connID},
	},
	{
		name: "json resp0", enc: clientproto.JSON,
		wire: hexOf(`{"body":{"tag":"ActionResponse","val":{"id":["$BigInt","0"],"output":{"a":1}}}}`),
		want: &clientproto.ActionResponse{ID: 0, Output: raw("a1616101")},
	},
	{
		name: "json event", enc: clientproto.JSON,
		wire: hexOf(`{"body":{"tag":"Event","val":{"args":["hi",2],"name":"changed"}}}`),
		want: &clientproto.Event{Name: "changed", Args: raw("8262686902")},
	},
	{
		name: "json err5", enc: clientproto.JSON,
		wire: hexOf(`{"body":{"tag":"Error","val":{"actionId":["$BigInt","5"],"actor":{"actorId":"` + actorID + `","generation":1,"key":"t1"},"code":"my_code","group":"user","message":"user msg","metadata":{"a":1,"b":[true]}}}}`),
		want: &clientproto.ErrorMsg{
			Group: "user", Code: "my_code", Message: "user msg", Metadata: raw(metadataAB),
			ActionID: 5, HasActionID: true, Actor: actor(actorID, "t1"),
		},
	},
	{
		name: "json err-conn", enc: clientproto.JSON,
		wire: hexOf(`{"body":{"tag":"Error","val":{"actionId":null,"code":"denied","group":"user","message":"denied","metadata":{"why":"because"}}}}`),
		want: &clientproto.ErrorMsg{Group: "user", Code: "denied", Message: "denied", Metadata: raw("a1637768796762656361757365")},
	},
}

// raw is for tables; a typing error in one shows as a missing value.
func raw(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

func TestGoldenToClient(t *testing.T) {
	for _, v := range toClient {
		m, err := clientproto.DecodeToClient(v.enc, unhex(t, v.wire))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		wantEqual(t, v.name, m, v.want)
		if v.version == 0 {
			v.version = 4
		}
		if v.ours == "" {
			v.ours = v.wire
		}
		got, err := clientproto.AppendToClient(nil, v.enc, v.version, m)
		wantHex(t, v.name+" written", got, err, v.ours)
	}
}

// toServer holds every frame of a client. Those in cbor differ from ours in the 16-bit map heads of the JavaScript
// library.
var toServer = []struct {
	name    string
	enc     clientproto.Encoding
	wire    string
	version uint16
	want    clientproto.ToServer
	ours    string
}{
	{name: "sub", enc: clientproto.BARE, version: 4, wire: "040001076368616e67656401", want: &clientproto.SubscriptionRequest{EventName: "changed", Subscribe: true}},
	{name: "unsub", enc: clientproto.BARE, version: 4, wire: "040001076368616e67656400", want: &clientproto.SubscriptionRequest{EventName: "changed"}},
	{name: "action0", enc: clientproto.BARE, version: 4, wire: "04000000046563686f0781b90001616101", want: &clientproto.ActionRequest{Name: "echo", Args: raw("81b90001616101")}},
	{
		name: "action-v3", enc: clientproto.BARE, version: 3, wire: "03000000046563686f03816178",
		want: &clientproto.ActionRequest{Name: "echo", Args: raw("816178")},
		ours: "04000000046563686f03816178",
	},
	{
		name: "cbor sub", enc: clientproto.CBOR,
		wire: "b9000164626f6479b900026374616773537562736372697074696f6e526571756573746376616cb90002696576656e744e616d65676368616e67656469737562736372696265f5",
		want: &clientproto.SubscriptionRequest{EventName: "changed", Subscribe: true},
		ours: "a164626f6479a26374616773537562736372697074696f6e526571756573746376616ca2696576656e744e616d65676368616e67656469737562736372696265f5",
	},
	{
		name: "cbor action0", enc: clientproto.CBOR,
		wire: "b9000164626f6479b90002637461676d416374696f6e526571756573746376616cb900036269641b0000000000000000646e616d65646563686f646172677381b90001616101",
		want: &clientproto.ActionRequest{Name: "echo", Args: raw("81b90001616101")},
		ours: "a164626f6479a2637461676d416374696f6e526571756573746376616ca36269641b0000000000000000646e616d65646563686f646172677381b90001616101",
	},
	{
		name: "json sub", enc: clientproto.JSON,
		wire: hexOf(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"changed","subscribe":true}}}`),
		want: &clientproto.SubscriptionRequest{EventName: "changed", Subscribe: true},
	},
	{
		name: "json action", enc: clientproto.JSON,
		wire: hexOf(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","0"],"name":"echo","args":[{"a":1}]}}}`),
		want: &clientproto.ActionRequest{Name: "echo", Args: raw("81a1616101")},
	},
}

func TestGoldenToServer(t *testing.T) {
	for _, v := range toServer {
		m, version, err := clientproto.DecodeToServer(v.enc, unhex(t, v.wire), true)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		wantEqual(t, v.name, m, v.want)
		if version != v.version {
			t.Errorf("%s: version %d, want %d", v.name, version, v.version)
		}
		if v.ours == "" {
			v.ours = v.wire
		}
		got, err := clientproto.AppendToServer(nil, v.enc, m)
		wantHex(t, v.name+" written", got, err, v.ours)
	}
}
