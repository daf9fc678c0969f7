package record

import (
	"fmt"
	"slices"

	"github.com/rivetgo/rivet/internal/wire/bare"
)

// Conn is what is stored of a connection that outlives its actor's sleep. Its record's key is KindConn and its id, its
// value the sealed encoding:
//
//	flags    1 byte: 1 raw WebSocket, 2 has a state, 4 has an origin
//	index    uvarint, messages of the client that took effect; 0 where the socket's own process counts them
//	params   data (uvarint length, bytes)
//	state    data, only with flag 2
//	origin   data, only with flag 4: how whoever holds the client's socket finds it
//	topics   uvarint count, each data
//	request  method, path, query, remote address: data; uvarint count of headers, each a name and a counted list of values
type Conn struct {
	ID       [16]byte // a UUID
	Raw      bool
	Index    uint64
	Params   []byte
	HasState bool
	State    []byte
	Origin   []byte
	Topics   []string

	Method, Path, Query, RemoteAddr string
	Header                          map[string][]string
}

const (
	connRaw      = 1
	connHasState = 2
	connKept     = 4
	connFlags    = connRaw | connHasState | connKept
)

// Bounds of what DecodeConn reads. They are far above what is ever written, and only keep a damaged record from costing
// more than its size.
const (
	maxConnTopics = 1 << 16
	maxConnValues = 1 << 16
)

// ConnKey is the key of a connection's record.
func ConnKey(id [16]byte) []byte { return Key(KindConn, id[:]...) }

// AppendConn appends the encoding of a connection, without its id. Equal connections have equal encodings.
func AppendConn(dst []byte, c *Conn) []byte {
	flags := byte(0)
	if c.Raw {
		flags |= connRaw
	}
	if c.HasState {
		flags |= connHasState
	}
	if len(c.Origin) > 0 {
		flags |= connKept
	}
	dst = bare.AppendU8(dst, flags)
	dst = bare.AppendUint(dst, c.Index)
	dst = bare.AppendData(dst, c.Params)
	if c.HasState {
		dst = bare.AppendData(dst, c.State)
	}
	if len(c.Origin) > 0 {
		dst = bare.AppendData(dst, c.Origin)
	}
	dst = appendStrings(dst, c.Topics)
	for _, s := range []string{c.Method, c.Path, c.Query, c.RemoteAddr} {
		dst = bare.AppendString(dst, s)
	}
	names := make([]string, 0, len(c.Header))
	for name := range c.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = bare.AppendUint(dst, uint64(len(names)))
	for _, name := range names {
		dst = appendStrings(bare.AppendString(dst, name), c.Header[name])
	}
	return dst
}

func appendStrings(dst []byte, list []string) []byte {
	dst = bare.AppendUint(dst, uint64(len(list)))
	for _, s := range list {
		dst = bare.AppendString(dst, s)
	}
	return dst
}

// ConnError says that a connection's record is damaged.
type ConnError struct{ Reason string }

func (e *ConnError) Error() string { return "record: connection: " + e.Reason }

// DecodeConn reads a connection's record: its key, and its value after Open. Params and State share the value's memory.
func DecodeConn(key, payload []byte) (*Conn, error) {
	c := &Conn{}
	if len(key) != 1+len(c.ID) || Kind(key[0]) != KindConn {
		return nil, &ConnError{fmt.Sprintf("key of %d bytes", len(key))}
	}
	copy(c.ID[:], key[1:])
	r := bare.NewReader(payload)
	flags := r.U8()
	if flags&^connFlags != 0 {
		return nil, &ConnError{fmt.Sprintf("unknown flags 0x%02x", flags)}
	}
	c.Raw, c.HasState = flags&connRaw != 0, flags&connHasState != 0
	c.Index = r.Uint()
	c.Params = r.Data()
	if c.HasState {
		c.State = r.Data()
	}
	if flags&connKept != 0 {
		if c.Origin = r.Data(); len(c.Origin) == 0 {
			r.Fail("the origin is empty")
		}
	}
	c.Topics = readStrings(&r, maxConnTopics)
	c.Method, c.Path, c.Query, c.RemoteAddr = text(&r), text(&r), text(&r), text(&r)
	if n := r.ListLen(2); n > 0 {
		c.Header = make(map[string][]string)
		last := ""
		for i := range n {
			name := text(&r)
			if i > 0 && name <= last {
				r.Fail("headers are not in order")
			}
			last = name
			c.Header[name] = readStrings(&r, maxConnValues)
			if r.Err() != nil {
				break
			}
		}
	}
	if err := r.Done(); err != nil {
		return nil, &ConnError{err.Error()}
	}
	return c, nil
}

// text reads a string of any bytes: headers and paths need not be UTF-8.
func text(r *bare.Reader) string { return string(r.Data()) }

func readStrings(r *bare.Reader, limit int) []string {
	n := r.ListLen(1)
	if n > limit {
		r.Fail("list is too long")
	}
	if r.Err() != nil || n == 0 {
		return nil
	}
	list := make([]string, 0, min(n, 64))
	for range n {
		list = append(list, text(r))
		if r.Err() != nil {
			return nil
		}
	}
	return list
}
