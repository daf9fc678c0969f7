package clientproto_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// settled is an item as it is after it went out and came in once: in the encoding enc, from a peer that is no
// JavaScript. Some differences vanish there: a bigint that fits an integer is one, in json a date is a string.
// ok is false when the item cannot travel, being nested too deep for its escape arrays for example.
func settled(enc clientproto.Encoding, version uint16, toServer bool, item []byte) (out []byte, ok bool) {
	var err error
	switch {
	case enc == clientproto.JSON:
		form := value.UndefinedNull
		if version >= 4 {
			form = value.UndefinedEscape
		}
		if out, err = value.ToJSON(nil, item, form); err == nil {
			out, err = value.FromJSON(nil, out)
		}
		// The envelope of a frame is three levels of its own.
		if err == nil {
			err = value.Valid(append(bytes.Repeat([]byte{0x81}, 3), out...))
		}
	case enc == clientproto.CBOR && toServer:
		if out, err = value.ExportEscaped(nil, item); err == nil {
			out, err = value.Import(nil, out, false)
		}
	default:
		if out, err = value.Export(nil, item, version >= 4); err == nil {
			out, err = value.Import(nil, out, false)
		}
	}
	return out, err == nil
}

func encodingOf(b byte) clientproto.Encoding { return clientproto.Encoding(b % 3) }

// FuzzToServerRoundTrip makes messages, writes them and reads them back.
func FuzzToServerRoundTrip(f *testing.F) {
	f.Add(byte(0), uint64(0), "echo", raw("81b90001616101"), true)
	f.Add(byte(1), uint64(1)<<63, "nested.inner", raw("82617802"), false)
	f.Add(byte(2), uint64(5), "é", raw("82 6424666f6f"), true)
	f.Add(byte(1), uint64(5), "", raw("83f7430102ffc24105"), true)
	f.Fuzz(func(t *testing.T, e byte, id uint64, name string, args []byte, subscribe bool) {
		enc := encodingOf(e)
		name = string(bytes.ToValidUTF8([]byte(name), []byte("?")))
		sub := &clientproto.SubscriptionRequest{EventName: name, Subscribe: subscribe}
		toServerAndBack(t, enc, sub, sub)

		if value.Valid(args) != nil || !value.IsArray(args) {
			return
		}
		args, ok := settled(enc, 4, true, args)
		if !ok || !value.IsArray(args) {
			return // it was an escape array
		}
		want, ok := settled(enc, 4, true, args)
		if !ok {
			return
		}
		toServerAndBack(t, enc, &clientproto.ActionRequest{ID: id, Name: name, Args: args}, &clientproto.ActionRequest{ID: id, Name: name, Args: want})

		body, err := clientproto.AppendActionRequest(nil, enc, args)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := clientproto.DecodeActionRequest(enc, body, false)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v: %x came back as %x, %v", enc, args, got, err)
		}
		if value.IsNil(args) {
			return
		}
		q := &clientproto.QueueSendRequest{Name: name, Body: args, Wait: subscribe, TimeoutMillis: id, HasTimeout: subscribe}
		if !subscribe {
			q.TimeoutMillis = 0
		}
		if body, err = clientproto.AppendQueueSendRequest(nil, enc, q); err != nil {
			t.Fatal(err)
		}
		back, _, err := clientproto.DecodeQueueSendRequest(enc, body, false)
		q.Body = want
		if err != nil || !reflect.DeepEqual(back, q) {
			t.Fatalf("%v: %+v came back as %+v, %v", enc, q, back, err)
		}
	})
}

func toServerAndBack(t *testing.T, enc clientproto.Encoding, in, want clientproto.ToServer) {
	t.Helper()
	frame, err := clientproto.AppendToServer(nil, enc, in)
	if err != nil {
		t.Fatalf("%v %+v: %v", enc, in, err)
	}
	got, version, err := clientproto.DecodeToServer(enc, frame, false)
	if err != nil {
		t.Fatalf("%v %q: %v", enc, frame, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%v %q (-want +got):\n%s", enc, frame, d)
	}
	if (enc == clientproto.BARE) != (version == 4) {
		t.Fatalf("%v: version %d", enc, version)
	}
}

// FuzzToClientRoundTrip makes messages of every version, writes them and reads them back.
func FuzzToClientRoundTrip(f *testing.F) {
	f.Add(byte(0), byte(0), uint64(5), "user", "my_code", raw(metadataAB), true)
	f.Add(byte(1), byte(3), uint64(1), "rivetkit", "internal_error", raw("80"), false)
	f.Add(byte(2), byte(2), uint64(1)<<40, "", "é", raw("8262686902"), true)
	f.Fuzz(func(t *testing.T, e, v byte, n uint64, a, b string, item []byte, flag bool) {
		enc, version := encodingOf(e), uint16(v%4+1)
		a = string(bytes.ToValidUTF8([]byte(a), []byte("?")))
		b = string(bytes.ToValidUTF8([]byte(b), []byte("?")))
		toClientAndBack(t, enc, version, &clientproto.Init{ActorID: a, ConnectionID: b}, &clientproto.Init{ActorID: a, ConnectionID: b})

		if value.Valid(item) != nil {
			return
		}
		item, ok := settled(enc, version, false, item)
		if !ok {
			return
		}
		want, ok := settled(enc, version, false, item)
		if !ok {
			return
		}
		toClientAndBack(t, enc, version, &clientproto.ActionResponse{ID: n, Output: item}, &clientproto.ActionResponse{ID: n, Output: want})
		output, err := clientproto.AppendActionResponse(nil, enc, version, item)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := clientproto.DecodeActionResponse(enc, output); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v: %x came back as %x, %v", enc, item, got, err)
		}
		if value.IsArray(item) && value.IsArray(want) {
			toClientAndBack(t, enc, version, &clientproto.Event{Name: a, Args: item}, &clientproto.Event{Name: a, Args: want})
		}

		in := clientproto.ErrorMsg{Group: a, Code: b, Message: a + b, ActionID: n, HasActionID: flag, Metadata: item}
		if !flag {
			in.ActionID = 0
		}
		if n%2 == 0 {
			in.Actor = &fault.Actor{ID: a, Generation: n, HasKey: flag}
			if flag {
				in.Actor.Key = b
			}
		}
		out := in
		if enc == clientproto.BARE && version < 4 {
			out.Actor = nil
		}
		if out.Metadata = want; value.IsNil(want) {
			out.Metadata = nil
		}
		toClientAndBack(t, enc, version, &in, &out)

		body, err := clientproto.AppendError(nil, enc, version, &fault.Error{Group: a, Code: b, Message: a + b, Metadata: item, Actor: in.Actor})
		if err != nil {
			t.Fatal(err)
		}
		got, err := clientproto.DecodeError(enc, body)
		if err != nil {
			t.Fatalf("%v %q: %v", enc, body, err)
		}
		if d := cmp.Diff(&fault.Error{Group: a, Code: b, Message: a + b, Metadata: out.Metadata, Actor: out.Actor}, got); d != "" {
			t.Fatalf("%v %q (-want +got):\n%s", enc, body, d)
		}
	})
}

func toClientAndBack(t *testing.T, enc clientproto.Encoding, version uint16, in, want clientproto.ToClient) {
	t.Helper()
	frame, err := clientproto.AppendToClient(nil, enc, version, in)
	if err != nil {
		t.Fatalf("%v %+v: %v", enc, in, err)
	}
	got, err := clientproto.DecodeToClient(enc, frame)
	if err != nil {
		t.Fatalf("%v %q: %v", enc, frame, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%v %q (-want +got):\n%s", enc, frame, d)
	}
}

// FuzzDecode feeds every decoder with bytes of strangers. What is accepted must be valid inside and writable again.
func FuzzDecode(f *testing.F) {
	for _, v := range toClient {
		f.Add(byte(v.enc), raw(v.wire))
	}
	for _, v := range toServer {
		f.Add(byte(v.enc), raw(v.wire))
	}
	for _, v := range bareActionRequests {
		f.Add(byte(clientproto.BARE), raw(v.wire))
	}
	for _, v := range bareActionResponses {
		f.Add(byte(clientproto.BARE), raw(v.wire))
	}
	for _, v := range bareQueueRequests {
		f.Add(byte(clientproto.BARE), raw(v.wire))
	}
	for _, v := range queueResponses {
		f.Add(byte(v.enc), raw(v.wire))
	}
	for _, v := range httpErrors {
		f.Add(byte(v.enc), raw(v.wire))
	}
	f.Add(byte(clientproto.CBOR), raw("b9000464626f6479b90001616101646e616d656577616974736477616974f56774696d656f75741905dc"))
	f.Add(byte(clientproto.CBOR), raw("b90001646172677381b90001616101"))
	f.Add(byte(clientproto.JSON), []byte(`{"args":[{"a":1}]}`))
	f.Fuzz(func(t *testing.T, e byte, b []byte) {
		enc := encodingOf(e)
		check := func(what string, item []byte, isArray bool) {
			t.Helper()
			// Wrapping a value into an array of arguments adds a level to what was checked.
			if err := value.Valid(item); err != nil && !isArray {
				t.Fatalf("%v %q: %s is %x: %v", enc, b, what, item, err)
			}
			if isArray && !value.IsArray(item) {
				t.Fatalf("%v %q: %s is no array: %x", enc, b, what, item)
			}
		}
		if m, version, err := clientproto.DecodeToServer(enc, b, true); err == nil {
			if enc == clientproto.BARE && (version < 1 || version > 4) {
				t.Fatalf("version %d", version)
			}
			if a, ok := m.(*clientproto.ActionRequest); ok {
				check("args", a.Args, true)
			}
		}
		if m, err := clientproto.DecodeToClient(enc, b); err == nil {
			switch m := m.(type) {
			case *clientproto.ActionResponse:
				check("output", m.Output, false)
			case *clientproto.Event:
				check("args", m.Args, true)
			case *clientproto.ErrorMsg:
				if m.Metadata != nil {
					check("metadata", m.Metadata, false)
				}
			}
		}
		if args, _, err := clientproto.DecodeActionRequest(enc, b, true); err == nil {
			check("args", args, true)
		}
		if output, err := clientproto.DecodeActionResponse(enc, b); err == nil {
			check("output", output, false)
		}
		if q, _, err := clientproto.DecodeQueueSendRequest(enc, b, true); err == nil {
			check("body", q.Body, false)
		}
		if q, err := clientproto.DecodeQueueSendResponse(enc, b); err == nil && q.Response != nil {
			check("response", q.Response, false)
		}
		if e, err := clientproto.DecodeError(enc, b); err == nil && e.Metadata != nil {
			check("metadata", e.Metadata, false)
		}
	})
}
