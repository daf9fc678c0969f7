package schedule

import (
	"encoding/binary"
	"errors"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// numberBytes is the length of an entry's number at the end of its key, big-endian so that keys sort by it.
const numberBytes = 8

// RowKey is the record key of the row of the schedule with an id.
func RowKey(id string) []byte { return append(record.Key(record.KindSchedule), id...) }

// EntryKey is the record key of an entry: the id with its length in front, so that one id is no prefix of another, and
// the number. id has at most MaxIDBytes bytes.
func EntryKey(id string, number uint64) []byte {
	key := append(record.Key(record.KindFiring, byte(len(id))), id...)
	return binary.BigEndian.AppendUint64(key, number)
}

// EntrySpan holds the entries of a schedule whose numbers are at least from and less than to.
func EntrySpan(id string, from, to uint64) record.Span {
	return record.Span{From: EntryKey(id, from), To: EntryKey(id, to)}
}

// ParseEntryKey returns what EntryKey was given.
func ParseEntryKey(key []byte) (id string, number uint64, err error) {
	if len(key) < 2+numberBytes || key[0] != byte(record.KindFiring) || len(key) != 2+int(key[1])+numberBytes {
		return "", 0, errors.New("schedule: not the key of an entry")
	}
	at := len(key) - numberBytes
	return string(key[2:at]), binary.BigEndian.Uint64(key[at:]), nil
}
