package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// Tables, by the first byte of their keys. docs/storage.md describes them; the numbers are durable.
const (
	tableNamespace byte = 0x01 // name → namespace
	tableName      byte = 0x02 // namespace, actor name → metadata
	tableKey       byte = 0x03 // namespace, actor name, key → id of the live actor
	tableList      byte = 0x04 // namespace, actor name, newest creation first, id → whether it is destroyed
	tableAlarm     byte = 0x05 // instant, id of the actor → nothing
	tableActor     byte = 0x10 // id → row, fence, alarm and records, so that a wake is one read
)

// Within an actor, keys whose first byte is 0x00 are the store's own; the rest are record keys.
const (
	ownKeys  byte = 0x00
	ownRow   byte = 0x00
	ownFence byte = 0x01
	ownAlarm byte = 0x02
)

// layoutVersion is the first byte of every value that the store writes itself. Values of records carry their own.
const layoutVersion = 1

const actorPrefixLen = 1 + len(id.ID{})

const maxName = 65535

var (
	errNameTooLong = errors.New("store: actor name longer than 65535 bytes")
	errIndex       = errors.New("store: an index points to an actor that has no row")
)

// appendNamed appends table, namespace and the actor name with its length in front, so that what follows the name
// cannot be mistaken for a part of it.
func appendNamed(b []byte, table byte, ns id.ID, name string) []byte {
	b = append(b, table)
	b = append(b, ns[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

func keyKey(ns id.ID, name, key string) []byte {
	return append(appendNamed(make([]byte, 0, actorPrefixLen+2+len(name)+len(key)), tableKey, ns, name), key...)
}

// listKey sorts by descending creation time: the milliseconds, with the sign bit flipped so that bytes sort like
// numbers, inverted.
func listKey(ns id.ID, name string, createdMs int64, actor id.ID) []byte {
	b := appendListPosition(make([]byte, 0, 2*actorPrefixLen+10+len(name)), ns, name, createdMs)
	return append(b, actor[:]...)
}

func appendListPosition(b []byte, ns id.ID, name string, createdMs int64) []byte {
	b = appendNamed(b, tableList, ns, name)
	return binary.BigEndian.AppendUint64(b, ^(uint64(createdMs) ^ 1<<63))
}

func namespaceKey(name string) []byte { return append([]byte{tableNamespace}, name...) }

func nameKey(ns id.ID, name string) []byte {
	return append(append(append(make([]byte, 0, actorPrefixLen+len(name)), tableName), ns[:]...), name...)
}

// appendInstant appends milliseconds so that bytes sort like numbers: with the sign bit flipped.
func appendInstant(b []byte, ms int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(ms)^1<<63)
}

const alarmKeyLen = 1 + 8 + id.Size

func alarmKey(ms int64, actor id.ID) []byte {
	return append(appendInstant(append(make([]byte, 0, alarmKeyLen+1), tableAlarm), ms), actor[:]...)
}

func decodeAlarmKey(k []byte) (store.Alarm, error) {
	if len(k) != alarmKeyLen {
		return store.Alarm{}, errDamaged("alarm")
	}
	ms := int64(binary.BigEndian.Uint64(k[1:]) ^ 1<<63)
	return store.Alarm{At: fromMs(ms), Actor: id.ID(k[1+8:])}, nil
}

func actorPrefix(actor id.ID) (p [actorPrefixLen]byte) {
	p[0] = tableActor
	copy(p[1:], actor[:])
	return p
}

func ownKey(actor id.ID, what byte) []byte {
	p := actorPrefix(actor)
	return append(append(make([]byte, 0, actorPrefixLen+2), p[:]...), ownKeys, what)
}

// successor returns the first key after all keys that begin with prefix, or nil when there is none.
func successor(prefix []byte) []byte {
	s := append([]byte(nil), prefix...)
	for i := len(s) - 1; i >= 0; i-- {
		if s[i]++; s[i] != 0 {
			return s[:i+1]
		}
	}
	return nil
}

// row is what the control plane keeps of an actor and what changes only when it is created and destroyed. Times are
// milliseconds since 1970; 0 is "not so far".
type row struct {
	namespace   id.ID
	name, key   string
	hasKey      bool
	pool        string
	crashPolicy string
	createdMs   int64
	destroyedMs int64
}

// fence is what changes with each tenure.
type fence struct {
	generation uint64
	startedMs  int64
	sleptMs    int64
}

func (r row) actor(actor id.ID, f fence, alarmMs int64) store.Actor {
	return store.Actor{
		ID: actor, Namespace: r.namespace, Name: r.name, Key: r.key, HasKey: r.hasKey,
		Pool: r.pool, CrashPolicy: r.crashPolicy,
		CreatedAt: fromMs(r.createdMs), DestroyedAt: fromMs(r.destroyedMs),
		StartedAt: fromMs(f.startedMs), SleptAt: fromMs(f.sleptMs), Alarm: fromMs(alarmMs), Generation: f.generation,
	}
}

func toMs(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMs(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (r row) encode() []byte {
	b := make([]byte, 0, 64+len(r.name)+len(r.key)+len(r.pool)+len(r.crashPolicy))
	b = append(b, layoutVersion)
	b = append(b, r.namespace[:]...)
	b = appendText(b, r.name)
	if r.hasKey {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = appendText(b, r.key)
	b = appendText(b, r.pool)
	b = appendText(b, r.crashPolicy)
	b = binary.BigEndian.AppendUint64(b, uint64(r.createdMs))
	return binary.BigEndian.AppendUint64(b, uint64(r.destroyedMs))
}

func decodeRow(b []byte) (r row, err error) {
	d, err := newDecoder("actor row", b)
	if err != nil {
		return r, err
	}
	r.namespace = d.id()
	r.name = d.text()
	r.hasKey = d.byte() == 1
	r.key = d.text()
	r.pool = d.text()
	r.crashPolicy = d.text()
	r.createdMs = int64(d.uint64())
	r.destroyedMs = int64(d.uint64())
	return r, d.done()
}

const fenceLen = 1 + 3*8

func (f fence) appendTo(b []byte) []byte {
	b = append(b, layoutVersion)
	b = binary.BigEndian.AppendUint64(b, f.generation)
	b = binary.BigEndian.AppendUint64(b, uint64(f.startedMs))
	return binary.BigEndian.AppendUint64(b, uint64(f.sleptMs))
}

func decodeFence(b []byte) (f fence, err error) {
	d, err := newDecoder("actor fence", b)
	if err != nil {
		return f, err
	}
	f.generation = d.uint64()
	f.startedMs = int64(d.uint64())
	f.sleptMs = int64(d.uint64())
	return f, d.done()
}

func encodeAlarm(ms int64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 1+8), layoutVersion), uint64(ms))
}

func decodeAlarm(b []byte) (ms int64, err error) {
	d, err := newDecoder("actor alarm", b)
	if err != nil {
		return 0, err
	}
	ms = int64(d.uint64())
	return ms, d.done()
}

func encodeNamespace(ns store.Namespace) []byte {
	b := append(make([]byte, 0, 40+len(ns.DisplayName)), layoutVersion)
	b = append(b, ns.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(toMs(ns.CreatedAt)))
	return appendText(b, ns.DisplayName)
}

func decodeNamespace(name string, b []byte) (store.Namespace, error) {
	d, err := newDecoder("namespace row", b)
	if err != nil {
		return store.Namespace{}, err
	}
	ns := store.Namespace{Name: name, ID: d.id(), CreatedAt: fromMs(int64(d.uint64())), DisplayName: d.text()}
	return ns, d.done()
}

// Values that are one field behind the version byte: the actor id of a key, the metadata of a name, the destroyed
// mark of a list entry.

func sealed(payload ...byte) []byte { return append([]byte{layoutVersion}, payload...) }

func unsealed(what string, b []byte) ([]byte, error) {
	d, err := newDecoder(what, b)
	return d.rest, err
}

func decodeID(what string, b []byte) (id.ID, error) {
	d, err := newDecoder(what, b)
	if err != nil {
		return id.ID{}, err
	}
	v := d.id()
	return v, d.done()
}

// decoder takes a value apart; the first failure sticks.
type decoder struct {
	what string
	rest []byte
	bad  bool
}

func newDecoder(what string, b []byte) (decoder, error) {
	if len(b) == 0 {
		return decoder{}, &FormatError{What: what, Known: layoutVersion}
	}
	if b[0] != layoutVersion {
		return decoder{}, &FormatError{What: what, Found: int(b[0]), Known: layoutVersion}
	}
	return decoder{what: what, rest: b[1:]}, nil
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) id() (v id.ID) {
	copy(v[:], d.take(uint64(len(v))))
	return v
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) text() string {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.bad, d.rest = true, nil
		return ""
	}
	d.rest = d.rest[size:]
	return string(d.take(n))
}

func (d *decoder) done() error {
	if d.bad || len(d.rest) != 0 {
		return errDamaged(d.what)
	}
	return nil
}

func errDamaged(what string) error { return fmt.Errorf("store: %s is damaged", what) }

// recordSpan clamps a span to the keys that are records and reports whether anything is left of it.
func recordSpan(s record.Span) (record.Span, bool) {
	if len(s.From) == 0 || s.From[0] == ownKeys {
		s.From = []byte{ownKeys + 1}
	}
	if len(s.To) != 0 && string(s.To) <= string(s.From) {
		return s, false
	}
	return s, true
}

func validRecordKey(key []byte) bool { return len(key) > 0 && key[0] != ownKeys }
