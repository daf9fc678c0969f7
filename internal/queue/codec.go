package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/rivetgo/rivet/internal/wire/value"
)

// The values of records are CBOR arrays, each behind the version byte that every record has. Numbers of fields only
// change together with that version.

// Message is what is stored of one message.
type Message struct {
	Name    string
	Body    []byte // one CBOR item
	SentAt  int64  // milliseconds since 1970
	ReadyAt int64  // not before this instant; 0: at once
	Key     string // idempotency key; empty: none
	Waited  bool   // its sender waits for the completion
}

// Append appends the stored form.
func (m *Message) Append(dst []byte) []byte {
	dst = value.AppendArrayHead(dst, 6)
	dst = value.AppendText(dst, m.Name)
	dst = value.AppendBytes(dst, m.Body)
	dst = value.AppendUint(dst, uint64(m.SentAt))
	dst = value.AppendUint(dst, uint64(m.ReadyAt))
	dst = value.AppendText(dst, m.Key)
	return value.AppendBool(dst, m.Waited)
}

// DecodeMessage reads what Append wrote. The body shares the memory of src.
func DecodeMessage(src []byte) (m Message, err error) {
	r := value.NewReader(src)
	expect(&r, 6)
	m = Message{Name: string(r.Text()), Body: r.Bytes(), SentAt: instant(&r), ReadyAt: instant(&r), Key: string(r.Text()), Waited: r.Bool()}
	return m, r.Done()
}

// Attempt is how far the delivery of a message came.
type Attempt struct {
	Count   int
	ReadyAt int64 // the next attempt is not before this instant
}

// Append appends the stored form.
func (a *Attempt) Append(dst []byte) []byte {
	dst = value.AppendArrayHead(dst, 2)
	dst = value.AppendUint(dst, uint64(a.Count))
	return value.AppendUint(dst, uint64(a.ReadyAt))
}

// DecodeAttempt reads what Append wrote.
func DecodeAttempt(src []byte) (a Attempt, err error) {
	r := value.NewReader(src)
	expect(&r, 2)
	a = Attempt{Count: count(&r), ReadyAt: instant(&r)}
	return a, r.Done()
}

// Failure is a typed error as it is stored.
type Failure struct {
	Group, Code, Message string
	Metadata             []byte // one CBOR item; empty: none
}

func (f *Failure) append(dst []byte) []byte {
	dst = value.AppendText(dst, f.Group)
	dst = value.AppendText(dst, f.Code)
	dst = value.AppendText(dst, f.Message)
	return value.AppendBytes(dst, f.Metadata)
}

func readFailure(r *value.Reader) Failure {
	return Failure{Group: string(r.Text()), Code: string(r.Text()), Message: string(r.Text()), Metadata: r.Bytes()}
}

// Outcome says what became of a message.
type Outcome byte

// The outcomes; the numbers are durable.
const (
	Pending   Outcome = 0 // it is still in the queue
	Completed Outcome = 1
	Failed    Outcome = 2 // it is among the dead letters
)

// Receipt is the lasting answer to a message that was sent with an idempotency key, or whose waiting sender was away.
type Receipt struct {
	ID      uint64
	Name    string
	Outcome Outcome
	At      int64  // when it was sent, or when the outcome came: receipts are kept for a while from here
	Reply   []byte // Completed: one CBOR item, empty for none
	Failure Failure
}

// Append appends the stored form.
func (rc *Receipt) Append(dst []byte) []byte {
	dst = value.AppendArrayHead(dst, 9)
	dst = value.AppendUint(dst, rc.ID)
	dst = value.AppendText(dst, rc.Name)
	dst = value.AppendUint(dst, uint64(rc.Outcome))
	dst = value.AppendUint(dst, uint64(rc.At))
	dst = value.AppendBytes(dst, rc.Reply)
	return rc.Failure.append(dst)
}

// DecodeReceipt reads what Append wrote. Reply and metadata share the memory of src.
func DecodeReceipt(src []byte) (rc Receipt, err error) {
	r := value.NewReader(src)
	expect(&r, 9)
	rc = Receipt{ID: r.Uint(), Name: string(r.Text())}
	outcome := r.Uint()
	if outcome > uint64(Failed) {
		r.Fail("unknown outcome")
	}
	rc.Outcome, rc.At, rc.Reply, rc.Failure = Outcome(outcome), instant(&r), r.Bytes(), readFailure(&r)
	return rc, r.Done()
}

// Dead is a message that failed for good.
type Dead struct {
	Message
	Attempts int
	FailedAt int64
	Failure  Failure
	// Target is set on a message that could not be delivered to another actor: the stored form of where it was to go.
	Target []byte
}

// Append appends the stored form.
func (d *Dead) Append(dst []byte) []byte {
	dst = value.AppendArrayHead(dst, 8)
	dst = d.Message.Append(dst)
	dst = value.AppendUint(dst, uint64(d.Attempts))
	dst = value.AppendUint(dst, uint64(d.FailedAt))
	dst = value.AppendBytes(dst, d.Target)
	return d.Failure.append(dst)
}

// DecodeDead reads what Append wrote. Byte slices share the memory of src.
func DecodeDead(src []byte) (d Dead, err error) {
	r := value.NewReader(src)
	expect(&r, 8)
	if d.Message, err = DecodeMessage(r.Raw()); err != nil {
		if r.Err() != nil {
			err = r.Err()
		}
		return Dead{}, err
	}
	d.Attempts, d.FailedAt, d.Target, d.Failure = count(&r), instant(&r), r.Bytes(), readFailure(&r)
	return d, r.Done()
}

// Target says where a message to another actor goes: to an id, or to a key, which may have to be created.
type Target struct {
	ID       string // empty: by key
	Name     string
	Key      []string
	Create   bool
	Input    []byte // for Create: one CBOR item, empty for none
	HasInput bool
	Params   []byte // connection parameters as JSON; empty for none
}

// Append appends the stored form.
func (t *Target) Append(dst []byte) []byte {
	dst = value.AppendArrayHead(dst, 7)
	dst = value.AppendText(dst, t.ID)
	dst = value.AppendText(dst, t.Name)
	dst = value.AppendArrayHead(dst, len(t.Key))
	for _, part := range t.Key {
		dst = value.AppendText(dst, part)
	}
	dst = value.AppendBool(dst, t.Create)
	dst = value.AppendBool(dst, t.HasInput)
	dst = value.AppendBytes(dst, t.Input)
	return value.AppendBytes(dst, t.Params)
}

// DecodeTarget reads what Append wrote. Byte slices share the memory of src.
func DecodeTarget(src []byte) (t Target, err error) {
	r := value.NewReader(src)
	expect(&r, 7)
	t = Target{ID: string(r.Text()), Name: string(r.Text())}
	for n := r.Array(); r.More(&n); {
		t.Key = append(t.Key, string(r.Text()))
	}
	t.Create, t.HasInput, t.Input, t.Params = r.Bool(), r.Bool(), r.Bytes(), r.Bytes()
	return t, r.Done()
}

// Outgoing is a message on its way to another actor.
type Outgoing struct {
	Target []byte // the stored form of a Target
	Queue  string
	Body   []byte // one CBOR item
	SentAt int64
}

// Append appends the stored form.
func (o *Outgoing) Append(dst []byte) []byte {
	dst = value.AppendArrayHead(dst, 4)
	dst = value.AppendBytes(dst, o.Target)
	dst = value.AppendText(dst, o.Queue)
	dst = value.AppendBytes(dst, o.Body)
	return value.AppendUint(dst, uint64(o.SentAt))
}

// DecodeOutgoing reads what Append wrote. Byte slices share the memory of src.
func DecodeOutgoing(src []byte) (o Outgoing, err error) {
	r := value.NewReader(src)
	expect(&r, 4)
	o = Outgoing{Target: r.Bytes(), Queue: string(r.Text()), Body: r.Bytes(), SentAt: instant(&r)}
	return o, r.Done()
}

// Counters are the numbers of an actor that only grow.
type Counters struct {
	NextMessage uint64 // number of the next message; the first is 1
	NextSend    uint64 // number of the next message to another actor; the first is 1
	WakeAt      int64  // when the run loop wants to be awake; 0: never
	Dead        int    // how many dead letters there are
}

// Append appends the stored form.
func (c *Counters) Append(dst []byte) []byte {
	dst = value.AppendArrayHead(dst, 4)
	dst = value.AppendUint(dst, c.NextMessage)
	dst = value.AppendUint(dst, c.NextSend)
	dst = value.AppendUint(dst, uint64(c.WakeAt))
	return value.AppendUint(dst, uint64(c.Dead))
}

// DecodeCounters reads what Append wrote.
func DecodeCounters(src []byte) (c Counters, err error) {
	r := value.NewReader(src)
	expect(&r, 4)
	c = Counters{NextMessage: r.Uint(), NextSend: r.Uint(), WakeAt: instant(&r), Dead: count(&r)}
	return c, r.Done()
}

func expect(r *value.Reader, fields int) {
	if r.Array() != fields {
		r.Fail("another number of fields")
	}
}

// instant reads a time.
func instant(r *value.Reader) int64 {
	n := r.Uint()
	if n > math.MaxInt64 {
		r.Fail("a time beyond all time")
	}
	return int64(n)
}

// count reads a number of things.
func count(r *value.Reader) int {
	n := r.Uint()
	if n > math.MaxInt32 {
		r.Fail("an impossible number")
	}
	return int(n)
}

// Number is the part of a record's key that orders records by number.
func Number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// KeyHash is the part of a receipt's key that stands for an idempotency key, which may be long.
func KeyHash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:16]
}
