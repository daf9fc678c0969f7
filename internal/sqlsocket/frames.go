package sqlsocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/rivetgo/rivet/internal/wire/bare"
)

const (
	version      = 1
	versionBytes = 2
	// MinFrameBytes is the least that the longest frame can be set to.
	MinFrameBytes = 1 << 10
	// MaxFrameBytes is the longest frame unless it is set.
	MaxFrameBytes = 32 << 20
)

var (
	errFrameTooLarge = errors.New("the frame is longer than this socket takes")
	errMalformed     = errors.New("the frame is malformed")
	errVersion       = errors.New("the frame is of another version")
)

// readFrame reads the body of one frame.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	switch {
	case uint64(n) > uint64(most):
		return nil, errFrameTooLarge
	case n < versionBytes:
		return nil, errMalformed
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint16(frame) != version {
		return nil, errVersion
	}
	return frame[versionBytes:], nil
}

// frame is a frame whose body append appends.
func frame(body func(dst []byte) []byte) []byte {
	f := body(binary.LittleEndian.AppendUint16(make([]byte, 4, 64), version))
	binary.BigEndian.PutUint32(f, uint32(len(f)-4))
	return f
}

// helloOK says that the version is known, and how long frames may be.
func helloOK(most int) []byte {
	return frame(func(dst []byte) []byte { return bare.AppendU32(bare.AppendUint(dst, 0), uint32(most)) })
}

func helloRejected() []byte { return frame(func(dst []byte) []byte { return bare.AppendUint(dst, 1) }) }

// op is what a request asks for.
type op uint8

const (
	opExec op = iota
	opQuery
	opBegin
	opCommit
	opRollback
)

// request is one request of a client.
type request struct {
	id      uint32
	lease   *string // for opExec and opQuery; nil: a transaction of its own
	op      op
	sql     string
	params  []any
	key     string  // for the others
	timeout *uint64 // of opBegin, in milliseconds
}

func readRequest(body []byte) (request, error) {
	r := bare.NewReader(body)
	if tag := r.Uint(); r.Err() == nil && tag != 0 {
		r.Fail("unknown frame")
	}
	q := request{id: r.U32()}
	if r.Optional() {
		key := r.String()
		q.lease = &key
	}
	switch tag := r.Uint(); tag {
	case uint64(opExec):
		q.op, q.sql = opExec, r.String()
	case uint64(opQuery):
		q.op, q.sql = opQuery, r.String()
		q.params = make([]any, r.ListLen(1))
		for i := range q.params {
			q.params[i] = readValue(&r)
		}
	case uint64(opBegin):
		q.op, q.key = opBegin, r.String()
		if r.Optional() {
			ms := r.U64()
			q.timeout = &ms
		}
	case uint64(opCommit), uint64(opRollback):
		q.op, q.key = op(tag), r.String()
	default:
		r.Fail("unknown request")
	}
	return q, r.Done()
}

// readValue reads null, an integer, a float, a text or bytes.
func readValue(r *bare.Reader) any {
	switch r.Uint() {
	case 0:
		return nil
	case 1:
		return r.I64()
	case 2:
		return math.Float64frombits(r.U64())
	case 3:
		return r.String()
	case 4:
		if b := r.DataCopy(); b != nil {
			return b
		}
		return []byte{}
	}
	r.Fail("unknown kind of value")
	return nil
}

func appendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return bare.AppendUint(dst, 0)
	case int64:
		return bare.AppendI64(bare.AppendUint(dst, 1), v)
	case float64:
		return bare.AppendU64(bare.AppendUint(dst, 2), math.Float64bits(v))
	case string:
		return bare.AppendString(bare.AppendUint(dst, 3), v)
	case []byte:
		return bare.AppendData(bare.AppendUint(dst, 4), v)
	}
	panic(fmt.Sprintf("sqlsocket: SQLite has no value of type %T", v))
}

// answer is what a request is answered with.
type answer interface {
	tag() uint64
	append(dst []byte) []byte
}

type (
	done    struct{ op op } // of all but queries
	queried struct {
		columns []string
		rows    [][]any
		changes int64
		last    *int64 // rowid; nil: nothing was inserted
	}
	sqlError struct {
		code      int32
		statement uint32 // from 0
		message   string
	}
	endpointClosed struct{}
	queueFull      struct {
		limit    string
		capacity uint32
	}
	invalidLease struct{ message string }
	leaseExpired struct {
		timeout uint64 // milliseconds
		message string
	}
	responseTooLarge struct{}
)

func (d done) tag() uint64 {
	return map[op]uint64{opExec: 0, opBegin: 2, opCommit: 3, opRollback: 4}[d.op]
}
func (queried) tag() uint64          { return 1 }
func (sqlError) tag() uint64         { return 5 }
func (endpointClosed) tag() uint64   { return 6 }
func (queueFull) tag() uint64        { return 7 }
func (invalidLease) tag() uint64     { return 8 }
func (leaseExpired) tag() uint64     { return 9 }
func (responseTooLarge) tag() uint64 { return 10 }

func (done) append(dst []byte) []byte             { return dst }
func (endpointClosed) append(dst []byte) []byte   { return dst }
func (responseTooLarge) append(dst []byte) []byte { return dst }
func (q queried) append(dst []byte) []byte {
	dst = bare.AppendUint(dst, uint64(len(q.columns)))
	for _, c := range q.columns {
		dst = bare.AppendString(dst, c)
	}
	dst = bare.AppendUint(dst, uint64(len(q.rows)))
	for _, row := range q.rows {
		dst = bare.AppendUint(dst, uint64(len(row)))
		for _, v := range row {
			dst = appendValue(dst, v)
		}
	}
	dst = bare.AppendOptional(bare.AppendI64(dst, q.changes), q.last != nil)
	if q.last != nil {
		dst = bare.AppendI64(dst, *q.last)
	}
	return dst
}
func (e sqlError) append(dst []byte) []byte {
	return bare.AppendString(bare.AppendU32(bare.AppendU32(dst, uint32(e.code)), e.statement), e.message)
}
func (q queueFull) append(dst []byte) []byte {
	return bare.AppendU32(bare.AppendString(dst, q.limit), q.capacity)
}
func (l invalidLease) append(dst []byte) []byte { return bare.AppendString(dst, l.message) }
func (l leaseExpired) append(dst []byte) []byte {
	return bare.AppendString(bare.AppendU64(dst, l.timeout), l.message)
}

// response is the frame of an answer.
func response(id uint32, a answer) []byte {
	return frame(func(dst []byte) []byte {
		return a.append(bare.AppendUint(bare.AppendU32(bare.AppendUint(dst, 0), id), a.tag()))
	})
}

// goAway is the last frame: what the client sent could not be taken.
func goAway(why error) []byte {
	reason := uint64(1)
	if errors.Is(why, errFrameTooLarge) {
		reason = 0
	}
	return frame(func(dst []byte) []byte { return bare.AppendUint(bare.AppendUint(dst, 1), reason) })
}
