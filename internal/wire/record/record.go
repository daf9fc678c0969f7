// Package record is the shape of an actor's durable records: what a turn commits and what a wake reads.
//
// Both halves of the system speak it. The actor half (internal/host) decides which records exist and what their
// values hold; the engine half (internal/store) keeps them as opaque ordered bytes inside one actor. A record is
// addressed by a Key whose first byte is its Kind; keys of one actor sort by plain byte comparison. Values begin
// with a version byte (see Seal and Open): a version that this program does not know is refused, never guessed (G8).
//
// Kinds below HotEnd are "hot": one read at wake brings them all (state, creation input, connections, schedules,
// queue head). Everything else is read when asked for.
package record

import (
	"bytes"
	"errors"
	"fmt"
)

// Kind is the first byte of a record key. The numbers are durable: never reuse or reorder them.
type Kind byte

// The kinds in use. docs/storage.md lists each with its bytes.
const (
	KindState    Kind = 0x01 // one record: the encoded state of the actor; its presence says "initialised"
	KindInput    Kind = 0x02 // one record: the creation input, one CBOR item; absent when none was given
	KindSchedule Kind = 0x03 // a schedule, by its id
	KindConn     Kind = 0x04 // a connection that outlives its actor's sleep, by its id
	KindCounters Kind = 0x05 // one record: the numbers that only grow (messages, sends), and the run loop's wake time
	KindDoomed   Kind = 0x06 // one record: the actor asked to be destroyed and is not erased yet

	KindKV      Kind = 0x40 // a key and value of the actor's own
	KindMessage Kind = 0x41 // a queue message, by its number
	KindAttempt Kind = 0x42 // how often a queue message was taken, by its number
	KindReceipt Kind = 0x43 // what became of a message sent with an idempotency key, by that key
	KindDead    Kind = 0x44 // a queue message that failed for good, by its number
	KindOutbox  Kind = 0x45 // a message on its way to another actor, by its number
	KindPeer    Kind = 0x46 // the newest number received from another actor's outbox, by that actor's id
	KindFiring  Kind = 0x47 // one firing of a schedule, by the schedule's id and a number

	KindDatabase   Kind = 0x48 // one record: what describes the actor's database; see internal/actordb/page
	KindPage       Kind = 0x49 // a page of the actor's database, by its number
	KindMigrations Kind = 0x4a // one record: the numbered migrations that the database has seen
)

// HotEnd is the first kind that a wake does not read.
const HotEnd Kind = 0x40

// ErrNotFound says that there is no such record (or, where a store says it, no such actor or namespace).
var ErrNotFound = errors.New("store: not found")

// Record is one key and its value. Neither slice may be changed by whoever receives it.
type Record struct {
	Key   []byte
	Value []byte
}

// Span is a range of keys: From is included, To is not. An empty To means "to the last key of the actor".
type Span struct {
	From []byte
	To   []byte
}

// Batch is what one turn changes: it becomes durable as a whole or not at all (G1). Ranges are deleted first, then
// keys are deleted, then puts are written, whatever the order in which they were added.
//
// A Batch belongs to the store from the moment it is handed to Commit: its slices must not be changed afterwards.
type Batch struct {
	DeleteSpans []Span
	Deletes     [][]byte
	Puts        []Record

	// SetAlarm says that the batch also sets the instant at which the actor wants to be awake: Alarm, in milliseconds
	// since 1970, 0 for none. The store keeps one alarm for each actor, with its records.
	SetAlarm bool
	Alarm    int64
}

// Put adds a record to be written.
func (b *Batch) Put(key, value []byte) { b.Puts = append(b.Puts, Record{Key: key, Value: value}) }

// Delete adds a key to be removed. Removing a key that does not exist is not an error.
func (b *Batch) Delete(key []byte) { b.Deletes = append(b.Deletes, key) }

// DeleteSpan adds a range of keys to be removed.
func (b *Batch) DeleteSpan(s Span) { b.DeleteSpans = append(b.DeleteSpans, s) }

// Empty reports whether the batch changes nothing.
func (b *Batch) Empty() bool {
	return len(b.Puts) == 0 && len(b.Deletes) == 0 && len(b.DeleteSpans) == 0 && !b.SetAlarm
}

// Size is the number of key and value bytes in the batch.
func (b *Batch) Size() int {
	n := 0
	for _, s := range b.DeleteSpans {
		n += len(s.From) + len(s.To)
	}
	for _, k := range b.Deletes {
		n += len(k)
	}
	for _, p := range b.Puts {
		n += len(p.Key) + len(p.Value)
	}
	return n
}

// Key builds a record key from its kind and the rest, which sorts within the kind.
func Key(k Kind, rest ...byte) []byte {
	return append([]byte{byte(k)}, rest...)
}

// Version is the format version that this program writes in front of every value.
const Version = 1

// VersionError says that a stored value was written by a program whose format this one does not know.
type VersionError struct {
	Kind    Kind
	Version int // -1: the value is empty and has no version at all
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("record of kind 0x%02x has format version %d; this program knows version %d: run the newer program that wrote it", byte(e.Kind), e.Version, Version)
}

// Seal returns payload with the current version in front of it.
func Seal(payload []byte) []byte {
	return append(append(make([]byte, 0, len(payload)+1), Version), payload...)
}

// Open checks the version of a stored value and returns the payload behind it, sharing its memory.
func Open(k Kind, value []byte) ([]byte, error) {
	if len(value) == 0 {
		return nil, &VersionError{Kind: k, Version: -1}
	}
	if value[0] != Version {
		return nil, &VersionError{Kind: k, Version: int(value[0])}
	}
	return value[1:], nil
}

// Contains reports whether key lies in the span.
func (s Span) Contains(key []byte) bool {
	return bytes.Compare(key, s.From) >= 0 && (len(s.To) == 0 || bytes.Compare(key, s.To) < 0)
}
