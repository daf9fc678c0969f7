package clientproto

import (
	"github.com/rivetgo/rivet/internal/wire/bare"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// AppendActionRequest appends the body of an action call, in the newest version.
func AppendActionRequest(dst []byte, enc Encoding, args []byte) ([]byte, error) {
	w := writer{enc: enc, version: MaxVersion, toServer: true, dst: dst}
	w.beginBody(1)
	w.args("args", args)
	return w.end(dst)
}

// DecodeActionRequest reads the body of an action call. js says that the client is JavaScript, see value.Import. version
// is the one to answer in; 0 in json and cbor, which have none.
//
// As the official server does, it takes missing or null arguments as none and any other value that is no array as one
// argument. Errors are *VersionError and *MessageError.
func DecodeActionRequest(enc Encoding, body []byte, js bool) (args []byte, version uint16, err error) {
	if enc == BARE {
		r, err := newBareReader(body, MinVersion)
		if err != nil {
			return nil, 0, err
		}
		r.js = js
		args := r.args()
		if err := r.done(); err != nil {
			return nil, 0, err
		}
		return args, r.version, nil
	}
	f := fields{enc: enc, js: js}
	f.readBody(body, &f.argsItem)
	args = f.args()
	if f.err != nil {
		return nil, 0, f.err
	}
	return args, 0, nil
}

// AppendActionResponse appends the answer to an action call for a client that reads the given version.
func AppendActionResponse(dst []byte, enc Encoding, version uint16, output []byte) ([]byte, error) {
	if err := checkVersion(enc, version, MinVersion); err != nil {
		return dst, err
	}
	w := writer{enc: enc, version: version, dst: dst}
	w.beginBody(1)
	w.value("output", output)
	return w.end(dst)
}

// DecodeActionResponse reads the answer to an action call, of any version.
func DecodeActionResponse(enc Encoding, body []byte) (output []byte, err error) {
	if enc == BARE {
		r, err := newBareReader(body, MinVersion)
		if err != nil {
			return nil, err
		}
		output := r.value("output")
		if err := r.done(); err != nil {
			return nil, err
		}
		return output, nil
	}
	f := fields{enc: enc}
	f.readBody(body, &f.output)
	output = f.value("output", f.output)
	if f.err != nil {
		return nil, f.err
	}
	return output, nil
}

// AppendQueueSendRequest appends the body of a message for a queue, in the newest version.
func AppendQueueSendRequest(dst []byte, enc Encoding, q *QueueSendRequest) ([]byte, error) {
	w := writer{enc: enc, version: MaxVersion, toServer: true, dst: dst}
	// The official JSON has no word for an undefined body but its absence.
	hasBody := enc == BARE || !(len(q.Body) == 0 || len(q.Body) == 1 && q.Body[0] == value.Undefined)
	n := 1
	for _, present := range [...]bool{hasBody, q.Name != "", q.HasTimeout} {
		if present {
			n++
		}
	}
	w.beginBody(n)
	if hasBody {
		w.value("body", q.Body)
	}
	if enc == BARE {
		w.dst = bare.AppendOptional(w.dst, q.Name != "")
	}
	if q.Name != "" {
		w.str("name", q.Name)
	}
	if enc == BARE {
		w.dst = bare.AppendOptional(w.dst, true)
	}
	w.boolean("wait", q.Wait)
	if enc == BARE {
		w.dst = bare.AppendOptional(w.dst, q.HasTimeout)
	}
	if q.HasTimeout {
		w.number("timeout", q.TimeoutMillis)
	}
	return w.end(dst)
}

// DecodeQueueSendRequest reads the body of a message for a queue. js says that the client is JavaScript, see value.Import.
// version is the one to answer in; 0 in json and cbor, which have none. A missing body is undefined.
// Errors are *VersionError and *MessageError.
func DecodeQueueSendRequest(enc Encoding, body []byte, js bool) (q *QueueSendRequest, version uint16, err error) {
	if enc == BARE {
		r, err := newBareReader(body, versionQueue)
		if err != nil {
			return nil, 0, err
		}
		r.js = js
		q := &QueueSendRequest{Body: r.value("body"), Name: r.optionalString()}
		q.Wait = r.Optional() && r.Bool()
		if q.HasTimeout = r.Optional(); q.HasTimeout {
			q.TimeoutMillis = r.U64()
		}
		if err := r.done(); err != nil {
			return nil, 0, err
		}
		return q, r.version, nil
	}
	f := fields{enc: enc, js: js}
	f.readBody(body, &f.body, &f.name, &f.wait, &f.timeout)
	q = &QueueSendRequest{Body: f.value("body", f.body), Name: f.optionalText("name", f.name)}
	if !value.IsNil(f.wait) {
		q.Wait = f.boolean("wait", f.wait)
	}
	if q.HasTimeout = !value.IsNil(f.timeout); q.HasTimeout {
		q.TimeoutMillis = f.uint("timeout", f.timeout)
	}
	if f.err != nil {
		return nil, 0, f.err
	}
	return q, 0, nil
}

// AppendQueueSendResponse appends the answer to a message for a queue for a client that reads the given version. In bare
// versions below 3 have no such message.
func AppendQueueSendResponse(dst []byte, enc Encoding, version uint16, q *QueueSendResponse) ([]byte, error) {
	if err := checkVersion(enc, version, versionQueue); err != nil {
		return dst, err
	}
	w := writer{enc: enc, version: version, dst: dst}
	if enc == BARE {
		w.beginBody(2)
		w.str("status", q.Status)
		w.optionalValue("response", q.Response)
		return w.end(dst)
	}
	n := 1
	if q.Response != nil {
		n = 2
	}
	w.beginBody(n)
	w.optionalValue("response", q.Response)
	w.str("status", q.Status)
	return w.end(dst)
}

// DecodeQueueSendResponse reads the answer to a message for a queue.
func DecodeQueueSendResponse(enc Encoding, body []byte) (*QueueSendResponse, error) {
	if enc == BARE {
		r, err := newBareReader(body, versionQueue)
		if err != nil {
			return nil, err
		}
		q := &QueueSendResponse{Status: r.String()}
		if r.Optional() {
			q.Response = r.value("response")
		}
		if err := r.done(); err != nil {
			return nil, err
		}
		return q, nil
	}
	f := fields{enc: enc}
	f.readBody(body, &f.status, &f.response)
	q := &QueueSendResponse{Status: f.text("status", f.status)}
	if f.response != nil {
		q.Response = f.value("response", f.response)
	}
	if f.err != nil {
		return nil, f.err
	}
	return q, nil
}

// AppendError appends the body of a failed call for a client that reads the given version. Versions before 4 do not name
// the actor in bare.
func AppendError(dst []byte, enc Encoding, version uint16, e *fault.Error) ([]byte, error) {
	if err := checkVersion(enc, version, MinVersion); err != nil {
		return dst, err
	}
	w := writer{enc: enc, version: version, dst: dst}
	if enc == BARE {
		w.beginBody(0)
		w.str("group", e.Group)
		w.str("code", e.Code)
		w.str("message", e.Message)
		w.optionalValue("metadata", e.Metadata)
		w.actor(e.Actor)
		return w.end(dst)
	}
	n := 3
	if e.Metadata != nil {
		n++
	}
	if e.Actor != nil {
		n++
	}
	w.beginBody(n)
	w.actor(e.Actor)
	w.str("code", e.Code)
	w.str("group", e.Group)
	w.str("message", e.Message)
	w.optionalValue("metadata", e.Metadata)
	return w.end(dst)
}

// DecodeError reads the body of a failed call, of any version. Gateways answer in JSON whatever the encoding of the call
// is; the caller looks at the content type.
func DecodeError(enc Encoding, body []byte) (*fault.Error, error) {
	if enc == BARE {
		r, err := newBareReader(body, MinVersion)
		if err != nil {
			return nil, err
		}
		e := &fault.Error{Group: r.String(), Code: r.String(), Message: r.String()}
		e.Metadata = r.optionalValue("metadata")
		e.Actor = r.actorSpecifier()
		if err := r.done(); err != nil {
			return nil, err
		}
		return e, nil
	}
	f := fields{enc: enc}
	f.readBody(body, &f.group, &f.code, &f.message, &f.metadata, &f.actor)
	e := &fault.Error{
		Group:    f.text("group", f.group),
		Code:     f.text("code", f.code),
		Message:  f.text("message", f.message),
		Metadata: f.optionalValue("metadata", f.metadata),
		Actor:    f.actorSpecifier(),
	}
	if f.err != nil {
		return nil, f.err
	}
	return e, nil
}
