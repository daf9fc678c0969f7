package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Migration is a numbered migration that an actor's database has seen.
type Migration struct {
	Number int64  // above 0
	Name   string // of its file
	Sum    [32]byte
	At     int64 // when it ran, in milliseconds since 1970
}

// EncodeMigrations is the payload of the record of kind KindMigrations: the migrations in the order in which they ran.
func EncodeMigrations(all []Migration) []byte {
	b := binary.AppendUvarint(nil, uint64(len(all)))
	for _, m := range all {
		b = binary.AppendUvarint(b, uint64(m.Number))
		b = binary.AppendUvarint(b, uint64(len(m.Name)))
		b = append(b, m.Name...)
		b = append(b, m.Sum[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(m.At))
	}
	return b
}

// DecodeMigrations reads what EncodeMigrations wrote.
func DecodeMigrations(payload []byte) ([]Migration, error) {
	bad := func(what string) ([]Migration, error) {
		return nil, fmt.Errorf("record of migrations: %w", errors.New(what))
	}
	n, w := binary.Uvarint(payload)
	const least = 1 + 1 + 32 + 8
	if w <= 0 || n > uint64(len(payload)/least) {
		return bad("its count is wrong")
	}
	rest := payload[w:]
	all := make([]Migration, n)
	for i := range all {
		number, w := binary.Uvarint(rest)
		if w <= 0 || number == 0 || number > 1<<63-1 {
			return bad("a number is wrong")
		}
		rest = rest[w:]
		size, w := binary.Uvarint(rest)
		if w <= 0 || size > uint64(len(rest)-w) || uint64(len(rest)-w)-size < 40 {
			return bad("it is cut short")
		}
		rest = rest[w:]
		m := Migration{Number: int64(number), Name: string(rest[:size])}
		rest = rest[size:]
		copy(m.Sum[:], rest)
		m.At = int64(binary.BigEndian.Uint64(rest[32:]))
		all[i], rest = m, rest[40:]
	}
	if len(rest) > 0 {
		return bad("bytes follow it")
	}
	return all, nil
}
