// Package page is how an actor's database lies in its records: one record for each page, and one that says how many there
// are. It is bytes only; who reads and writes them is elsewhere.
//
// What must never happen: bytes that are not the page that was written are taken for it. Every page carries a checksum over
// its content and its number, so a damaged record and a record in another's place are both found; a page that the head
// counts and that has no record is an error, never zeros.
package page

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// Size is the size of every page, in bytes.
const Size = 4096

// Key is the key of a page. Pages are numbered from 1, as in SQLite's own documentation.
func Key(no uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(record.KindPage)}, no)
}

// Number is the page that a key belongs to; ok is false when it is no page's.
func Number(key []byte) (no uint32, ok bool) {
	if len(key) != 5 || record.Kind(key[0]) != record.KindPage {
		return 0, false
	}
	no = binary.BigEndian.Uint32(key[1:])
	return no, no > 0
}

// Above is the keys of all pages whose number is above last.
func Above(last uint32) record.Span {
	s := record.Span{From: Key(last + 1), To: record.Key(record.KindPage + 1)}
	if last == 1<<32-1 {
		s.From = s.To
	}
	return s
}

// How a page's content is written.
const (
	plain = 0 // as it is
	snap  = 1 // s2 block
)

var table = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a page's content and its number.
func sum(no uint32, content []byte) uint32 {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], no)
	return crc32.Update(crc32.Checksum(n[:], table), table, content)
}

// Seal returns the record's value for a page. content has Size bytes and is not kept.
func Seal(no uint32, content []byte) []byte {
	const head = 6 // version, form, checksum
	var room [head + Size + Size/6 + 32]byte
	packed := s2.Encode(room[head:], content)
	form := byte(snap)
	if len(packed) >= len(content) {
		packed, form = content, plain
	}
	v := make([]byte, head, head+len(packed))
	v[0], v[1] = record.Version, form
	binary.BigEndian.PutUint32(v[2:], sum(no, content))
	return append(v, packed...)
}

// CorruptError says that a page's record does not hold what was written. The database cannot be trusted any more: restore
// the actor from an export.
type CorruptError struct {
	Page  uint32 // its number, from 1; 0: the record that describes the database
	Cause error
}

func (e *CorruptError) Error() string {
	if e.Page == 0 {
		return fmt.Sprintf("the record that describes the database is damaged: %v", e.Cause)
	}
	return fmt.Sprintf("page %d of the database is damaged: %v", e.Page, e.Cause)
}

func (e *CorruptError) Unwrap() error { return e.Cause }

// ErrMissing is the cause of a CorruptError of a page that has no record.
var ErrMissing = errors.New("it is missing")

var errChecksum = errors.New("its checksum does not fit")

// Open writes a page's content to dst, which has Size bytes. The error is a *CorruptError; what dst then holds means nothing.
func Open(dst []byte, no uint32, value []byte) error {
	if err := open(dst, no, value); err != nil {
		return &CorruptError{Page: no, Cause: err}
	}
	return nil
}

func open(dst []byte, no uint32, value []byte) error {
	payload, err := record.Open(record.KindPage, value)
	if err != nil {
		return err
	}
	if len(payload) < 5 {
		return fmt.Errorf("its record has %d bytes", len(value))
	}
	form, want, body := payload[0], binary.BigEndian.Uint32(payload[1:]), payload[5:]
	switch form {
	case plain:
		if len(body) != Size {
			return fmt.Errorf("it has %d bytes", len(body))
		}
		copy(dst, body)
	case snap:
		if n, err := s2.DecodedLen(body); err != nil || n != Size {
			return fmt.Errorf("it has %d bytes (%w)", n, errors.Join(err))
		}
		if _, err := s2.Decode(dst[:Size], body); err != nil {
			return err
		}
	default:
		return fmt.Errorf("its form %d is not known", form)
	}
	if sum(no, dst[:Size]) != want {
		return errChecksum
	}
	return nil
}

// Head describes a database as of its newest commit. The zero Head is that of a database that does not exist.
type Head struct {
	Pages uint32 // pages 1 to Pages have a record each
	TxID  uint64 // grows by one with each commit that changed a page
}

// HeadKey is the key of the head's record.
var HeadKey = record.Key(record.KindDatabase)

// Seal returns the head's record.
func (h Head) Seal() []byte {
	v := binary.AppendUvarint([]byte{record.Version}, Size)
	v = binary.AppendUvarint(v, uint64(h.Pages))
	return binary.AppendUvarint(v, h.TxID)
}

// OpenHead reads a head's record. The error is a *CorruptError.
func OpenHead(value []byte) (Head, error) {
	h, err := openHead(value)
	if err != nil {
		return Head{}, &CorruptError{Cause: err}
	}
	return h, nil
}

func openHead(value []byte) (Head, error) {
	rest, err := record.Open(record.KindDatabase, value)
	if err != nil {
		return Head{}, err
	}
	var fields [3]uint64
	for i := range fields {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return Head{}, errors.New("it is cut short")
		}
		fields[i], rest = v, rest[n:]
	}
	switch {
	case len(rest) > 0:
		return Head{}, fmt.Errorf("%d bytes follow it", len(rest))
	case fields[0] != Size:
		return Head{}, fmt.Errorf("its pages have %d bytes; this program knows %d", fields[0], Size)
	case fields[1] >= 1<<32:
		return Head{}, fmt.Errorf("it counts %d pages", fields[1])
	}
	return Head{Pages: uint32(fields[1]), TxID: fields[2]}, nil
}
