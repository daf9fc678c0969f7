package sqlsocket

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

const (
	// maxFlying is how many requests of a connection may run at once.
	maxFlying = 128
	// writeTime is how long a client may take to read an answer: those that wait for it are in memory.
	writeTime = 30 * time.Second
	// answerBytes is more than a frame has beside columns and rows.
	answerBytes = 64
)

// conn is one client.
type conn struct {
	s      *Server
	nc     net.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	asked  sync.WaitGroup // requests that run

	write sync.Mutex // held while a frame is written

	mu     sync.Mutex // guards all below
	flying map[uint32]struct{}
	leases map[string]*lease
}

// finish has the connection end: what runs is answered first.
func (c *conn) finish() {
	c.cancel()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // the reader ends now
	_ = c.nc.SetWriteDeadline(time.Now().Add(closeTime))
}

// serve reads requests until the connection ends.
func (c *conn) serve() {
	defer c.s.running.Done()
	why := c.read()
	c.cancel()
	if why != nil {
		c.send(goAway(why))
	}
	c.asked.Wait()
	c.mu.Lock()
	leases := c.leases
	c.leases = nil
	c.mu.Unlock()
	for _, l := range leases {
		_ = l.end(false, nil) // nobody is there to be told
	}
	_ = c.nc.Close() // nothing can be done about it
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
}

// read reads until the end. The error is one that the client is told of.
func (c *conn) read() error {
	_ = c.nc.SetReadDeadline(time.Now().Add(helloTime))
	if c.s.isClosed() {
		return nil
	}
	switch body, err := readFrame(c.nc, c.s.maxFrame); {
	case errors.Is(err, errVersion):
		c.send(helloRejected())
		return nil
	case told(err):
		return err
	case err != nil:
		return nil
	case len(body) > 0:
		return errMalformed
	}
	c.send(helloOK(c.s.maxFrame))
	_ = c.nc.SetReadDeadline(time.Time{})
	for !c.s.isClosed() {
		body, err := readFrame(c.nc, c.s.maxFrame)
		if errors.Is(err, errVersion) {
			err = errMalformed
		}
		if told(err) {
			return err
		}
		if err != nil {
			return nil // the client, or the server, closed it
		}
		q, err := readRequest(body)
		if err != nil {
			return errMalformed
		}
		c.mu.Lock()
		_, twice := c.flying[q.id]
		full := len(c.flying) >= maxFlying
		if !twice && !full {
			c.flying[q.id] = struct{}{}
		}
		c.mu.Unlock()
		switch {
		case twice:
			return errMalformed
		case full:
			c.send(response(q.id, queueFull{"requests", maxFlying}))
			continue
		}
		c.asked.Go(func() { // ends with the statement
			a := c.answer(&q)
			if err := c.s.settled(c.ctx); err != nil {
				a = c.answerOf(nil, err)
			}
			c.mu.Lock()
			delete(c.flying, q.id) // before its answer, after which the client may use the number again
			c.mu.Unlock()
			b := response(q.id, a)
			if len(b)-4 > c.s.maxFrame {
				b = response(q.id, responseTooLarge{})
			}
			c.send(b)
		})
	}
	return nil
}

func told(err error) bool { return errors.Is(err, errFrameTooLarge) || errors.Is(err, errMalformed) }

// send writes a frame. One that cannot be written ends the connection.
func (c *conn) send(b []byte) {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTime))
	if c.ctx.Err() != nil { // asked behind the line above, so that finish's deadline stands
		_ = c.nc.SetWriteDeadline(time.Now().Add(closeTime))
	}
	if _, err := c.nc.Write(b); err != nil {
		c.cancel()
		_ = c.nc.Close() // so that the reader ends
	}
}

// answer carries a request out.
func (c *conn) answer(q *request) answer {
	switch q.op {
	case opBegin:
		return c.begin(q)
	case opCommit, opRollback:
		l := c.take(q.key)
		if l == nil {
			return unknownLease(q.key)
		}
		return c.answerOf(done{q.op}, l.end(q.op == opCommit, nil))
	}
	var out answer
	work := func(ctx context.Context, tx *actordb.Tx, sp *actordb.Savepoint, _ bool) error {
		if q.op == opExec {
			out = done{opExec}
			_, err := tx.Exec(ctx, sp, q.sql, nil)
			return err
		}
		args := make([]driver.NamedValue, len(q.params))
		for i, v := range q.params {
			args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
		}
		t, err := tx.All(ctx, sp, q.sql, args, c.s.maxFrame-answerBytes)
		out = queried{t.Columns, t.Rows, t.Changes, t.LastID}
		return err
	}
	if q.lease == nil {
		err := c.s.db.Do(c.ctx, work)
		return c.answerOf(out, err)
	}
	c.mu.Lock()
	l := c.leases[*q.lease]
	c.mu.Unlock()
	if l == nil {
		return unknownLease(*q.lease)
	}
	err := l.do(work)
	return c.answerOf(out, err)
}

func unknownLease(key string) answer {
	return invalidLease{fmt.Sprintf("This connection has no lease %q: begin it first.", key)}
}

// begin begins a lease.
func (c *conn) begin(q *request) answer {
	if q.key == "" {
		return invalidLease{"The key of a lease cannot be empty."}
	}
	l := &lease{timeout: c.s.longest, ready: make(chan struct{})}
	if q.timeout != nil && *q.timeout < uint64(c.s.longest/time.Millisecond) {
		l.timeout = time.Duration(*q.timeout) * time.Millisecond
	}
	l.ctx, l.cancel = context.WithCancelCause(c.ctx)
	c.mu.Lock()
	taken := c.leases == nil
	if old := c.leases[q.key]; old != nil && !old.expired() {
		taken = true
	}
	if !taken {
		c.leases[q.key] = l
	}
	c.mu.Unlock()
	if taken {
		return invalidLease{fmt.Sprintf("This connection has a lease %q already.", q.key)}
	}
	tx, err := c.s.db.Begin(l.ctx, "the runtime socket", false)
	l.begun(tx)
	if err != nil {
		l.cancel(err)
		c.mu.Lock()
		if c.leases[q.key] == l { // else the client has ended it, and perhaps begun another one
			delete(c.leases, q.key)
		}
		c.mu.Unlock()
	}
	return c.answerOf(done{opBegin}, err)
}

// take takes a lease out of the connection's.
func (c *conn) take(key string) *lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leases[key]
	delete(c.leases, key)
	return l
}

// answerOf is good when err is nil, else what the error is to clients.
func (c *conn) answerOf(good answer, err error) answer {
	var expired *expiredError
	var sql *actordb.Error
	switch {
	case err == nil:
		return good
	case c.s.isClosed():
		return endpointClosed{}
	case errors.As(err, &expired):
		return leaseExpired{uint64(expired.timeout / time.Millisecond), expired.Error()}
	case errors.Is(err, actordb.ErrTableTooLarge):
		return responseTooLarge{}
	case errors.As(err, &sql):
		return sqlError{int32(sql.Code), uint32(max(sql.Statement, 1) - 1), sql.Message}
	}
	const generic = 1 // SQLITE_ERROR
	if f, ok := fault.From(err); ok {
		return sqlError{generic, 0, f.Group + "." + f.Code + ": " + f.Message}
	}
	return sqlError{generic, 0, err.Error()}
}
