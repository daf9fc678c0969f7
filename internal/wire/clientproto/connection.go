package clientproto

import (
	"github.com/rivetgo/rivet/internal/wire/value"
)

// The names of messages in json and cbor, and their union tags in bare.
const (
	nameInit                = "Init"
	nameError               = "Error"
	nameActionResponse      = "ActionResponse"
	nameEvent               = "Event"
	nameActionRequest       = "ActionRequest"
	nameSubscriptionRequest = "SubscriptionRequest"

	tagInit           = 0
	tagError          = 1
	tagActionResponse = 2
	tagEvent          = 3

	tagActionRequest       = 0
	tagSubscriptionRequest = 1
)

// AppendToClient appends a message for a client that reads the given version. An unknown version is a *VersionError, in
// bare only; a value that is no well-formed item is a *MessageError.
func AppendToClient(dst []byte, enc Encoding, version uint16, msg ToClient) ([]byte, error) {
	if err := checkVersion(enc, version, MinVersion); err != nil {
		return dst, err
	}
	w := writer{enc: enc, version: version, dst: dst}
	switch m := msg.(type) {
	case *Init:
		w.begin(tagInit, nameInit, 2)
		w.str("actorId", m.ActorID)
		w.str("connectionId", m.ConnectionID)
		if enc == BARE && w.version == 1 {
			w.str("", "") // the connection token, which nothing uses any more
		}
	case *ErrorMsg:
		w.errorMsg(m)
	case *ActionResponse:
		w.begin(tagActionResponse, nameActionResponse, 2)
		w.id("id", m.ID)
		w.value("output", m.Output)
	case *Event:
		w.begin(tagEvent, nameEvent, 2)
		if enc == JSON {
			w.args("args", m.Args)
			w.str("name", m.Name)
		} else {
			w.str("name", m.Name)
			w.args("args", m.Args)
		}
	default:
		w.fail("", "no such message", nil)
	}
	return w.end(dst)
}

// errorMsg writes the fields in the order that the official server has in each encoding.
func (w *writer) errorMsg(m *ErrorMsg) {
	actor := m.Actor
	if w.enc == BARE && w.version < versionActor {
		actor = nil
	}
	n := 4
	if m.Metadata != nil {
		n++
	}
	if actor != nil {
		n++
	}
	w.begin(tagError, nameError, n)
	switch w.enc {
	case JSON:
		w.optionalID("actionId", m.ActionID, m.HasActionID)
		w.actor(actor)
		w.str("code", m.Code)
		w.str("group", m.Group)
		w.str("message", m.Message)
		w.optionalValue("metadata", m.Metadata)
	case CBOR:
		w.str("group", m.Group)
		w.str("code", m.Code)
		w.str("message", m.Message)
		w.optionalValue("metadata", m.Metadata)
		w.actor(actor)
		w.optionalID("actionId", m.ActionID, m.HasActionID)
	case BARE:
		w.str("group", m.Group)
		w.str("code", m.Code)
		w.str("message", m.Message)
		w.optionalValue("metadata", m.Metadata)
		w.optionalID("actionId", m.ActionID, m.HasActionID)
		w.actor(actor)
	}
}

// AppendToServer appends a message for an actor, in the newest version.
func AppendToServer(dst []byte, enc Encoding, msg ToServer) ([]byte, error) {
	w := writer{enc: enc, version: MaxVersion, toServer: true, dst: dst}
	switch m := msg.(type) {
	case *ActionRequest:
		w.begin(tagActionRequest, nameActionRequest, 3)
		w.id("id", m.ID)
		w.str("name", m.Name)
		w.args("args", m.Args)
	case *SubscriptionRequest:
		w.begin(tagSubscriptionRequest, nameSubscriptionRequest, 2)
		w.str("eventName", m.EventName)
		w.boolean("subscribe", m.Subscribe)
	default:
		w.fail("", "no such message", nil)
	}
	return w.end(dst)
}

// DecodeToServer reads a frame that a client sent. js says that the client is JavaScript, see value.Import. version is
// the one that the frame names, 0 in json and cbor, which have none. Errors are *VersionError and *MessageError.
func DecodeToServer(enc Encoding, frame []byte, js bool) (msg ToServer, version uint16, err error) {
	if enc == BARE {
		return decodeBareToServer(frame, js)
	}
	f := fields{enc: enc, js: js}
	f.envelope(frame)
	switch {
	case f.err != nil:
	case string(f.tag) == nameActionRequest:
		msg = &ActionRequest{ID: f.uint("id", f.id), Name: f.text("name", f.name), Args: f.args()}
	case string(f.tag) == nameSubscriptionRequest:
		msg = &SubscriptionRequest{EventName: f.text("eventName", f.eventName), Subscribe: f.boolean("subscribe", f.subscribe)}
	default:
		f.fail("tag", "unknown message", nil)
	}
	if f.err != nil {
		return nil, 0, f.err
	}
	return msg, 0, nil
}

func decodeBareToServer(frame []byte, js bool) (ToServer, uint16, error) {
	r, err := newBareReader(frame, MinVersion)
	if err != nil {
		return nil, 0, err
	}
	r.js = js
	var msg ToServer
	switch tag := r.Uint(); {
	case r.Err() != nil:
	case tag == tagActionRequest:
		msg = &ActionRequest{ID: r.Uint(), Name: r.String(), Args: r.args()}
	case tag == tagSubscriptionRequest:
		msg = &SubscriptionRequest{EventName: r.String(), Subscribe: r.Bool()}
	default:
		r.Fail("unknown message")
	}
	if err := r.done(); err != nil {
		return nil, 0, err
	}
	return msg, r.version, nil
}

// DecodeToClient reads a frame that an actor sent, of any version. Errors are *VersionError and *MessageError.
func DecodeToClient(enc Encoding, frame []byte) (ToClient, error) {
	if enc == BARE {
		return decodeBareToClient(frame)
	}
	f := fields{enc: enc}
	f.envelope(frame)
	var msg ToClient
	switch {
	case f.err != nil:
	case string(f.tag) == nameInit:
		msg = &Init{ActorID: f.text("actorId", f.actorID), ConnectionID: f.text("connectionId", f.connectionID)}
	case string(f.tag) == nameError:
		m := &ErrorMsg{
			Group:    f.text("group", f.group),
			Code:     f.text("code", f.code),
			Message:  f.text("message", f.message),
			Metadata: f.optionalValue("metadata", f.metadata),
			Actor:    f.actorSpecifier(),
		}
		if m.HasActionID = !value.IsNil(f.actionID); m.HasActionID {
			m.ActionID = f.uint("actionId", f.actionID)
		}
		msg = m
	case string(f.tag) == nameActionResponse:
		msg = &ActionResponse{ID: f.uint("id", f.id), Output: f.value("output", f.output)}
	case string(f.tag) == nameEvent:
		msg = &Event{Name: f.text("name", f.name), Args: f.args()}
	default:
		f.fail("tag", "unknown message", nil)
	}
	if f.err != nil {
		return nil, f.err
	}
	return msg, nil
}

func decodeBareToClient(frame []byte) (ToClient, error) {
	r, err := newBareReader(frame, MinVersion)
	if err != nil {
		return nil, err
	}
	var msg ToClient
	switch tag := r.Uint(); {
	case r.Err() != nil:
	case tag == tagInit:
		msg = &Init{ActorID: r.String(), ConnectionID: r.String()}
		if r.version == 1 {
			r.StringBytes() // the connection token
		}
	case tag == tagError:
		m := &ErrorMsg{Group: r.String(), Code: r.String(), Message: r.String(), Metadata: r.optionalValue("metadata")}
		if m.HasActionID = r.Optional(); m.HasActionID {
			m.ActionID = r.Uint()
		}
		m.Actor = r.actorSpecifier()
		msg = m
	case tag == tagActionResponse:
		msg = &ActionResponse{ID: r.Uint(), Output: r.value("output")}
	case tag == tagEvent:
		msg = &Event{Name: r.String(), Args: r.args()}
	default:
		r.Fail("unknown message")
	}
	if err := r.done(); err != nil {
		return nil, err
	}
	return msg, nil
}
