// Package clientproto is the protocol between clients and actors: the messages of a connection and the bodies of HTTP
// calls, in three encodings and the versions 1 to 4.
//
//	encoding   HTTP body           WebSocket frame   values inside
//	json       JSON                text              JSON with escape arrays
//	cbor       one CBOR item       binary            inline
//	bare       u16 version, BARE   binary            data fields, each with one CBOR item
//
// A connection, in any encoding:
//
//	client                              actor
//	  | <------------------------- Init   |  first and once
//	  | SubscriptionRequest ------------> |  no answer; Events follow
//	  | ActionRequest id 0 -------------> |
//	  | ActionRequest id 1 -------------> |
//	  | <------------- ActionResponse 1   |  in order of completion
//	  | <------------------------ Event   |
//	  | <----- ErrorMsg with action id 0  |
//
// Only bare names a version. An answer must use the version of what it answers, or an old client cannot read it; before
// a client has spoken the safe choice is 3. In the other encodings the version given to an Append function says what the
// peer can read: from 4 on it knows all escape arrays.
//
// Values are the canonical CBOR of package value on the inside; nil stands for undefined, or for no arguments where
// arguments are meant. Decoded messages may share memory with the frame that they came from. Append functions append to
// dst and return the extended slice, and return dst as it was when they fail.
//
// Sources: the schemas v1 to v4 of RivetKit's client protocol, and traffic of its 2.1.7 and 2.3.19 releases.
package clientproto

import (
	"fmt"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// The versions of the protocol.
const (
	// MinVersion and MaxVersion are the oldest and the newest version that can be read and written.
	MinVersion = 1
	MaxVersion = 4
	// FirstVersion is what a server writes on a connection until the client has shown its own version.
	FirstVersion = 3

	versionQueue   = 3 // the first with queue messages
	versionActor   = 4 // the first that names the actor in errors
	versionEscapes = 4 // the first whose peers resolve every escape array
)

// Encoding is how messages are written.
type Encoding uint8

// The encodings.
const (
	JSON Encoding = iota
	CBOR
	BARE
)

// ParseEncoding reads the name of an encoding as it stands in headers and subprotocols. An unknown name is JSON, with ok
// false.
func ParseEncoding(name string) (e Encoding, ok bool) {
	switch name {
	case "json":
		return JSON, true
	case "cbor":
		return CBOR, true
	case "bare":
		return BARE, true
	}
	return JSON, false
}

// String is the name of the encoding.
func (e Encoding) String() string {
	switch e {
	case CBOR:
		return "cbor"
	case BARE:
		return "bare"
	}
	return "json"
}

// ContentType is the media type of HTTP bodies.
func (e Encoding) ContentType() string {
	if e == JSON {
		return "application/json"
	}
	return "application/octet-stream"
}

// IsText reports whether WebSocket frames are text frames.
func (e Encoding) IsText() bool { return e == JSON }

// VersionError says that a message names a version that this program does not know, or that a message cannot be written
// in the version asked for.
type VersionError struct {
	Version uint16
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("client protocol version %d cannot carry this message; known are %d to %d", e.Version, MinVersion, MaxVersion)
}

// MessageError says why bytes are not a message of the protocol, or why a message cannot be written.
type MessageError struct {
	Encoding Encoding
	// Field is the field at fault; empty: the message as a whole.
	Field  string
	Reason string
	// Err is the failure of the encoding below, if that is the reason.
	Err error
}

func (e *MessageError) Error() string {
	at := "message"
	if e.Field != "" {
		at = "field " + e.Field
	}
	if e.Err != nil {
		return fmt.Sprintf("%s %s: %v", e.Encoding, at, e.Err)
	}
	return fmt.Sprintf("%s %s: %s", e.Encoding, at, e.Reason)
}

func (e *MessageError) Unwrap() error { return e.Err }

// ToClient is a message of a connection from the actor: *Init, *ErrorMsg, *ActionResponse or *Event.
type ToClient interface{ toClient() }

// ToServer is a message of a connection from the client: *ActionRequest or *SubscriptionRequest.
type ToServer interface{ toServer() }

// Init opens a connection.
type Init struct {
	ActorID      string
	ConnectionID string
}

// ErrorMsg says that an action or the connection failed.
type ErrorMsg struct {
	Group    string
	Code     string
	Message  string
	Metadata []byte // nil: none
	// ActionID is the id of the ActionRequest that failed. Without HasActionID the connection failed.
	ActionID    uint64
	HasActionID bool
	Actor       *fault.Actor // nil: none; versions before 4 cannot carry it
}

// ActionResponse is the result of an action.
type ActionResponse struct {
	ID     uint64
	Output []byte
}

// Event is broadcast by the actor or sent to one connection.
type Event struct {
	Name string
	Args []byte // an array; any other value is sent as an array of one
}

// ActionRequest calls an action. The client chooses the ID, unique among its calls that are not answered yet.
type ActionRequest struct {
	ID   uint64
	Name string
	Args []byte // an array; any other value is sent as an array of one
}

// SubscriptionRequest starts or ends the delivery of an event's broadcasts.
type SubscriptionRequest struct {
	EventName string
	Subscribe bool
}

func (*Init) toClient()           {}
func (*ErrorMsg) toClient()       {}
func (*ActionResponse) toClient() {}
func (*Event) toClient()          {}

func (*ActionRequest) toServer()       {}
func (*SubscriptionRequest) toServer() {}

// QueueSendRequest puts a message into a queue.
type QueueSendRequest struct {
	// Name repeats the queue's name; the path of the request counts.
	Name string
	Body []byte
	// Wait asks to be answered when the message was completed, not already when it was stored.
	Wait bool
	// TimeoutMillis bounds the wait when HasTimeout is set.
	TimeoutMillis uint64
	HasTimeout    bool
}

// The statuses of a QueueSendResponse.
const (
	QueueCompleted = "completed"
	QueueTimedOut  = "timedOut"
)

// QueueSendResponse answers a QueueSendRequest.
type QueueSendResponse struct {
	Status string
	// Response is what the consumer completed the message with; nil: nothing.
	Response []byte
}

// QueueVersion is the first version with queue messages.
const QueueVersion = versionQueue

// checkVersion reports a *VersionError when a message that exists from version first on cannot be written. Only bare
// has versions.
func checkVersion(enc Encoding, version, first uint16) error {
	if enc == BARE && (version < first || version > MaxVersion) {
		return &VersionError{Version: version}
	}
	return nil
}

// arguments returns what stands for a list of arguments as an array: an empty one for null, undefined and a missing
// value, an array of one for any value that is no array.
func arguments(item []byte) []byte {
	switch {
	case value.IsNil(item):
		return value.AppendArrayHead(nil, 0)
	case value.IsArray(item):
		return item
	}
	return append(value.AppendArrayHead(make([]byte, 0, len(item)+1), 1), item...)
}
