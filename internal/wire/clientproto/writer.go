package clientproto

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/rivetgo/rivet/internal/wire/bare"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// writer writes the fields of one message in any encoding. In bare a field's name is nothing and its place everything,
// so callers write fields in the order of the schema, and for the others in the order that is wanted on the wire. The
// first failure sticks.
type writer struct {
	enc      Encoding
	version  uint16
	toServer bool // the reader is an actor
	http     bool // the message is a body, not a frame

	dst     []byte
	started bool   // json: a field was written
	closing string // json: what ends the message
	err     error
}

func (w *writer) fail(field, reason string, err error) {
	if w.err == nil {
		w.err = &MessageError{Encoding: w.enc, Field: field, Reason: reason, Err: err}
	}
}

// begin starts a message of a connection that has n fields in cbor.
func (w *writer) begin(tag uint64, name string, n int) {
	switch w.enc {
	case JSON:
		w.dst = append(w.dst, `{"body":{"tag":"`...)
		w.dst = append(w.dst, name...)
		w.dst = append(w.dst, `","val":{`...)
		w.closing = "}}}"
	case CBOR:
		w.dst = value.AppendText(value.AppendMapHead(w.dst, 1), "body")
		w.dst = value.AppendText(value.AppendMapHead(w.dst, 2), "tag")
		w.dst = value.AppendText(w.dst, name)
		w.dst = value.AppendText(w.dst, "val")
		w.dst = value.AppendMapHead(w.dst, n)
	case BARE:
		w.dst = bare.AppendUint(bare.AppendU16(w.dst, w.version), tag)
	}
}

// beginBody starts a body that has n fields in cbor.
func (w *writer) beginBody(n int) {
	w.http = true
	switch w.enc {
	case JSON:
		w.dst = append(w.dst, '{')
		w.closing = "}"
	case CBOR:
		w.dst = value.AppendMapHead(w.dst, n)
	case BARE:
		w.dst = bare.AppendU16(w.dst, w.version)
	}
}

// end returns the message, or the slice before it and the failure.
func (w *writer) end(before []byte) ([]byte, error) {
	if w.err != nil {
		return before, w.err
	}
	return append(w.dst, w.closing...), nil
}

func (w *writer) key(name string) {
	switch w.enc {
	case JSON:
		if w.started {
			w.dst = append(w.dst, ',')
		}
		w.started = true
		w.dst = append(w.dst, '"')
		w.dst = append(w.dst, name...)
		w.dst = append(w.dst, '"', ':')
	case CBOR:
		w.dst = value.AppendText(w.dst, name)
	}
}

func (w *writer) str(name, s string) {
	w.key(name)
	switch w.enc {
	case JSON:
		w.dst = value.AppendJSONString(w.dst, s)
	case CBOR:
		w.dst = value.AppendText(w.dst, validText(s))
	case BARE:
		w.dst = bare.AppendString(w.dst, validText(s))
	}
}

// validText keeps strings that programs made, error messages for instance, from making a whole message unreadable.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (w *writer) boolean(name string, b bool) {
	w.key(name)
	switch w.enc {
	case JSON:
		w.dst = strconv.AppendBool(w.dst, b)
	case CBOR:
		w.dst = value.AppendBool(w.dst, b)
	case BARE:
		w.dst = bare.AppendBool(w.dst, b)
	}
}

// id writes an unsigned integer in the one form that the official JavaScript client takes: a bigint.
func (w *writer) id(name string, v uint64) {
	w.key(name)
	switch w.enc {
	case JSON:
		w.dst = append(w.dst, `["$BigInt","`...)
		w.dst = strconv.AppendUint(w.dst, v, 10)
		w.dst = append(w.dst, `"]`...)
	case CBOR:
		w.dst = value.AppendUintWide(w.dst, v)
	case BARE:
		w.dst = bare.AppendUint(w.dst, v)
	}
}

// optionalID writes an id, or null: the official JavaScript client drops a message that has no such field.
func (w *writer) optionalID(name string, v uint64, present bool) {
	if w.enc == BARE {
		w.dst = bare.AppendOptional(w.dst, present)
	}
	switch {
	case present:
		w.id(name, v)
	case w.enc == JSON:
		w.key(name)
		w.dst = append(w.dst, "null"...)
	case w.enc == CBOR:
		w.key(name)
		w.dst = append(w.dst, value.Null)
	}
}

// number writes an integer that is a plain number in json and cbor and a u64 in bare.
func (w *writer) number(name string, v uint64) {
	w.key(name)
	switch w.enc {
	case JSON:
		w.dst = strconv.AppendUint(w.dst, v, 10)
	case CBOR:
		w.dst = value.AppendUint(w.dst, v)
	case BARE:
		w.dst = bare.AppendU64(w.dst, v)
	}
}

func (w *writer) value(name string, item []byte) {
	if len(item) == 0 {
		item = undefined[:]
	}
	w.key(name)
	escapes := w.version >= versionEscapes
	var err error
	switch {
	case w.enc == BARE:
		w.dst, err = appendData(w.dst, item, escapes)
	case w.enc == JSON && escapes:
		w.dst, err = value.ToJSON(w.dst, item, value.UndefinedEscape)
	case w.enc == JSON:
		w.dst, err = value.ToJSON(w.dst, item, value.UndefinedNull)
	case w.toServer:
		w.dst, err = value.ExportEscaped(w.dst, item)
	default:
		w.dst, err = value.Export(w.dst, item, escapes)
	}
	if err != nil {
		w.fail(name, "", err)
	}
}

var undefined = [1]byte{value.Undefined}

// appendData appends an item as data. Its length is mostly known beforehand, since few items change on the way out.
func appendData(dst, item []byte, escapes bool) ([]byte, error) {
	at := len(dst)
	dst = bare.AppendUint(dst, uint64(len(item)))
	start := len(dst)
	dst, err := value.Export(dst, item, escapes)
	if err != nil {
		return dst, err
	}
	if n := len(dst) - start; n != len(item) {
		var length [binary.MaxVarintLen64]byte
		dst = slices.Replace(dst, at, start, length[:binary.PutUvarint(length[:], uint64(n))]...)
	}
	return dst, nil
}

func (w *writer) args(name string, item []byte) { w.value(name, arguments(item)) }

// optionalValue writes an item; nil is left out.
func (w *writer) optionalValue(name string, item []byte) {
	if w.enc == BARE {
		w.dst = bare.AppendOptional(w.dst, item != nil)
	}
	if item != nil {
		w.value(name, item)
	}
}

// actor writes the actor that an error came from; nil is left out.
func (w *writer) actor(a *fault.Actor) {
	if w.enc == BARE {
		if w.version < versionActor {
			return
		}
		w.dst = bare.AppendOptional(w.dst, a != nil)
	}
	if a == nil {
		return
	}
	switch w.enc {
	case JSON:
		w.key("actor")
		w.dst = append(w.dst, `{"actorId":`...)
		w.dst = value.AppendJSONString(w.dst, a.ID)
		w.dst = append(w.dst, `,"generation":`...)
		w.dst = strconv.AppendUint(w.dst, a.Generation, 10)
		if a.HasKey {
			w.dst = append(w.dst, `,"key":`...)
			w.dst = value.AppendJSONString(w.dst, a.Key)
		}
		w.dst = append(w.dst, '}')
	case CBOR:
		w.key("actor")
		n := 2
		if a.HasKey {
			n = 3
		}
		w.dst = value.AppendMapHead(w.dst, n)
		w.str("actorId", a.ID)
		if w.http {
			w.number("generation", a.Generation)
		} else {
			w.id("generation", a.Generation)
		}
		if a.HasKey {
			w.str("key", a.Key)
		}
	case BARE:
		w.str("actorId", a.ID)
		w.id("generation", a.Generation)
		w.dst = bare.AppendOptional(w.dst, a.HasKey)
		if a.HasKey {
			w.str("key", a.Key)
		}
	}
}
