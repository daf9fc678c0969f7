package surface

import (
	"encoding/binary"

	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/ws"
)

// A socket whose client has a keeper (ws.Kept) is not parked in this process when its actor sleeps: it is left to the keeper,
// and the next life, here or elsewhere, makes it anew from the record of its connection. A message is settled with the
// keeper when its outcome has left: so one that comes again either had no effect, or is known by its number to have had it.

// origin is what the record of such a connection says about its socket, behind the keeper's name for it.
type origin struct {
	enc     clientproto.Encoding
	version uint16
}

const originBytes = 8 + 1 + 2

func (b *berth) originOf(o origin) []byte {
	if b.kept == nil {
		return nil
	}
	name := b.kept.Origin()
	return binary.BigEndian.AppendUint16(append(name[:], byte(o.enc)), o.version)
}

// OriginOf is the keeper's name for the socket of a stored connection; ok is false when it has no keeper.
func OriginOf(c *record.Conn) (name [8]byte, ok bool) {
	if len(c.Origin) != originBytes {
		return name, false
	}
	return [8]byte(c.Origin), true
}

// Resumed is a socket of an earlier life, on its way into the next.
type Resumed interface {
	host.Hibernator
	begin()
}

// Resume makes the socket of a stored connection anew. Begin lets it begin.
func (set *Set) Resume(actor string, c *record.Conn, s ws.Kept) Resumed {
	if c.Raw {
		k := newRawSocket(set, actor, s)
		k.id = c.ID
		return k
	}
	k := newSocket(set, actor, s, clientproto.Encoding(c.Origin[8]))
	k.id, k.ready = c.ID, true
	k.version.Store(uint32(binary.BigEndian.Uint16(c.Origin[9:])))
	return k
}

// Begin lets a resumed socket begin: its life has.
func Begin(r Resumed, a *host.Actor) {
	switch k := r.(type) {
	case *socket:
		k.admit(a)
	case *rawSocket:
		k.hook = a.HasDisconnectHook()
	}
	r.begin()
}

// watchCount has the connection's record follow when the keeper counts anew.
func (b *berth) watchCount() {
	if b.kept == nil {
		return
	}
	b.kept.Recounted(func(upto uint64) {
		b.mu.Lock()
		l := b.life
		b.mu.Unlock()
		if l != nil {
			l.actor.Recount(l.conn, upto)
		}
	})
}

// index is the number of the message that was read last, where a keeper counts them.
func (b *berth) index() uint64 {
	if b.kept == nil {
		return 0
	}
	return b.kept.Index()
}

// settle tells the keeper that a message need not come again.
func (b *berth) settle(index uint64) {
	if b.kept != nil && index > 0 {
		b.kept.Settle(index)
	}
}
