package host

import "github.com/rivetgo/rivet/internal/wire/record"

// Keeper is a Hibernator whose client is held outside the process. What the client sends comes again in the actor's next
// life, until it is known to have taken effect: so the number of the newest message that did is a part of the connection's
// record, and is written by the very commit that has the effects (G1).
type Keeper interface {
	Hibernator
	// Origin is what finds the client again; it is kept in the connection's record.
	Origin() []byte
}

// Floor is the newest message of the client that took effect in an earlier life; 0 for none.
func (c *Conn) Floor() uint64 { return c.floor }

// count notes that a message of the client takes effect with the next commit.
func (t *connTable) counted(c *Conn, index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c == nil || !c.hibernates || !c.listed || index <= c.index {
		return
	}
	c.index = index
	t.mark(c)
}

// Recount notes that all messages of the client up to a number are of the past: its keeper has begun to count anew.
func (a *Actor) Recount(c *Conn, upto uint64) { a.conns.counted(c, upto) }

// keep fills in what the record of a connection says of its keeper. The caller holds the table's mu.
func (c *Conn) keep(r *record.Conn) {
	r.Index = c.index
	if k, ok := c.sink.(Keeper); ok {
		r.Origin = k.Origin()
	}
}

// StoreConns makes the records of connections durable, then calls done; an actor that fails never does.
func (a *Actor) StoreConns(done func()) {
	c := &Call{actor: a}
	defer c.end()
	err := a.doTurn(c, &turn{late: errTimedOut, internal: true, records: true}, func(*Call, State) error { return nil })
	if err == nil {
		a.gate.push(output{act: done, durable: true})
	}
}
