package clientproto

import (
	"github.com/rivetgo/rivet/internal/wire/bare"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// bareReader reads one message in bare. The first failure sticks, also that of a value inside.
type bareReader struct {
	bare.Reader
	version uint16
	js      bool
	err     error // of a value
}

// newBareReader reads the version, which has to be at least first.
func newBareReader(message []byte, first uint16) (bareReader, error) {
	r := bareReader{Reader: bare.NewReader(message)}
	r.version = r.U16()
	if err := r.Err(); err != nil {
		return r, &MessageError{Encoding: BARE, Err: err}
	}
	if r.version < first || r.version > MaxVersion {
		return r, &VersionError{Version: r.version}
	}
	return r, nil
}

func (r *bareReader) done() error {
	if err := r.Done(); err != nil {
		return &MessageError{Encoding: BARE, Err: err}
	}
	return r.err
}

// value reads data that holds one item.
func (r *bareReader) value(field string) []byte {
	item := r.Data()
	if r.Err() != nil || r.err != nil {
		return nil
	}
	item, err := value.ImportShared(item, r.js)
	if err != nil {
		r.err = &MessageError{Encoding: BARE, Field: field, Err: err}
		return nil
	}
	return item
}

func (r *bareReader) args() []byte {
	item := r.value("args")
	if item == nil {
		return nil
	}
	return arguments(item)
}

// optionalValue reads optional data that holds one item. Null and undefined are nil like an absent one.
func (r *bareReader) optionalValue(field string) []byte {
	if !r.Optional() {
		return nil
	}
	item := r.value(field)
	if value.IsNil(item) {
		return nil
	}
	return item
}

func (r *bareReader) optionalString() string {
	if !r.Optional() {
		return ""
	}
	return r.String()
}

// actorSpecifier reads the actor of an error, which older versions do not have.
func (r *bareReader) actorSpecifier() *fault.Actor {
	if r.version < versionActor || !r.Optional() {
		return nil
	}
	a := &fault.Actor{ID: r.String(), Generation: r.Uint()}
	if a.HasKey = r.Optional(); a.HasKey {
		a.Key = r.String()
	}
	return a
}

// fields are the fields of one message in json or cbor, each one item; nil: absent. Json is turned into canonical form as
// a whole before it is taken apart. The first failure sticks.
type fields struct {
	enc Encoding
	js  bool
	err error

	tag []byte // the text itself

	id, name, argsItem, eventName, subscribe        []byte
	actorID, connectionID, output                   []byte
	group, code, message, metadata, actionID, actor []byte
	generation, key                                 []byte
	body, wait, timeout, status, response           []byte
}

func (f *fields) fail(field, reason string, err error) {
	if f.err == nil {
		f.err = &MessageError{Encoding: f.enc, Field: field, Reason: reason, Err: err}
	}
}

// slot is where the field of a name is kept; nil for names that no message has.
func (f *fields) slot(name []byte) *[]byte {
	switch string(name) {
	case "id":
		return &f.id
	case "name":
		return &f.name
	case "args":
		return &f.argsItem
	case "eventName":
		return &f.eventName
	case "subscribe":
		return &f.subscribe
	case "actorId":
		return &f.actorID
	case "connectionId":
		return &f.connectionID
	case "output":
		return &f.output
	case "group":
		return &f.group
	case "code":
		return &f.code
	case "message":
		return &f.message
	case "metadata":
		return &f.metadata
	case "actionId":
		return &f.actionID
	case "actor":
		return &f.actor
	case "generation":
		return &f.generation
	case "key":
		return &f.key
	case "body":
		return &f.body
	case "wait":
		return &f.wait
	case "timeout":
		return &f.timeout
	case "status":
		return &f.status
	case "response":
		return &f.response
	}
	return nil
}

// open returns a reader of the message as CBOR.
func (f *fields) open(message []byte) value.Reader {
	if f.enc == JSON {
		canonical, err := value.FromJSON(make([]byte, 0, len(message)+16), message)
		if err != nil {
			f.fail("", "", err)
		}
		message = canonical
	}
	return value.NewReader(message)
}

func (f *fields) close(r *value.Reader) {
	if err := r.Done(); err != nil {
		f.fail("", "", err)
	}
}

// nextKey reads the key of an entry; a key that is no text is nil.
func nextKey(r *value.Reader) []byte {
	if r.Kind() == value.KindText {
		return r.Text()
	}
	r.Raw()
	return nil
}

// envelope reads a message of a connection: {"body":{"tag":…,"val":{…}}}.
func (f *fields) envelope(frame []byte) {
	r := f.open(frame)
	for n := r.Map(); r.More(&n); {
		if string(nextKey(&r)) != "body" {
			r.Raw()
			continue
		}
		for n := r.Map(); r.More(&n); {
			switch string(nextKey(&r)) {
			case "tag":
				f.tag = r.Text()
			case "val":
				f.read(&r)
			default:
				r.Raw()
			}
		}
	}
	f.close(&r)
}

// read reads a map of fields.
func (f *fields) read(r *value.Reader) {
	for n := r.Map(); r.More(&n); {
		slot := f.slot(nextKey(r))
		item := r.Raw()
		if slot != nil {
			*slot = item
		}
	}
}

// readBody reads the body of an HTTP call: a map of fields, or an array of them in the given order.
func (f *fields) readBody(body []byte, order ...*[]byte) {
	r := f.open(body)
	if r.Kind() == value.KindArray {
		n := r.Array()
		for i := 0; r.More(&n); i++ {
			item := r.Raw()
			if i < len(order) {
				*order[i] = item
			}
		}
	} else {
		f.read(&r)
	}
	f.close(&r)
}

func (f *fields) text(name string, item []byte) string {
	if f.err != nil {
		return ""
	}
	if item == nil {
		f.fail(name, "missing", nil)
		return ""
	}
	r := value.NewReader(item)
	s := string(r.Text())
	if err := r.Done(); err != nil {
		f.fail(name, "", err)
	}
	return s
}

// optionalText is "" for null, undefined and an absent field.
func (f *fields) optionalText(name string, item []byte) string {
	if value.IsNil(item) {
		return ""
	}
	return f.text(name, item)
}

func (f *fields) boolean(name string, item []byte) bool {
	if f.err != nil {
		return false
	}
	r := value.NewReader(item)
	b := r.Bool()
	if err := r.Done(); err != nil {
		f.fail(name, "", err)
	}
	return b
}

func (f *fields) uint(name string, item []byte) uint64 {
	if f.err != nil {
		return 0
	}
	r := value.NewReader(item)
	v := r.Uint()
	if err := r.Done(); err != nil {
		f.fail(name, "", err)
	}
	return v
}

// value is the field in canonical form, undefined when it is absent.
func (f *fields) value(name string, item []byte) []byte {
	if f.err != nil {
		return nil
	}
	if item == nil {
		return []byte{value.Undefined}
	}
	if f.enc == JSON {
		return item
	}
	item, err := value.ImportShared(item, f.js)
	if err != nil {
		f.fail(name, "", err)
		return nil
	}
	return item
}

// optionalValue is nil for null, undefined and an absent field.
func (f *fields) optionalValue(name string, item []byte) []byte {
	if value.IsNil(item) {
		return nil
	}
	return f.value(name, item)
}

func (f *fields) args() []byte {
	item := f.value("args", f.argsItem)
	if f.err != nil {
		return nil
	}
	return arguments(item)
}

// actorSpecifier is the actor of an error.
func (f *fields) actorSpecifier() *fault.Actor {
	if f.err != nil || value.IsNil(f.actor) {
		return nil
	}
	var a fields
	a.enc = f.enc
	r := value.NewReader(f.actor)
	a.read(&r)
	a.close(&r)
	actor := &fault.Actor{ID: a.text("actorId", a.actorID), Generation: a.uint("generation", a.generation)}
	if actor.HasKey = !value.IsNil(a.key); actor.HasKey {
		actor.Key = a.text("key", a.key)
	}
	if a.err != nil {
		f.fail("actor", "", a.err)
		return nil
	}
	return actor
}
