package host

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

// Sink is where a connection's messages go. Its methods never block and may be called from any goroutine.
type Sink interface {
	Event(e *Event)
	Close(code int, reason string)
}

// Event is one event on its way to any number of connections.
type Event struct {
	Name string
	Args []byte // a CBOR array
	// Frames caches what sinks made of the event, by a number that each kind of sink chooses. Sinks of one event are
	// called one after another.
	Frames [8]any
}

// Conn is a client's connection: a standing one (a WebSocket), or the transient one of a single HTTP call. Methods may
// be called concurrently.
type Conn struct {
	actor   *Actor
	params  []byte // one CBOR item
	request *Request
	sink    Sink // nil for transient connections
	// hibernates: the connection may outlive this life.
	hibernates bool

	socket atomic.Pointer[RawSocket] // of a raw connection, once its handler runs

	state State // what the ConnState hook returned; belongs to the turn

	idOnce sync.Once
	id     string
	gone   atomic.Bool

	// Guarded by the table's mu.
	topics     []string // subscriptions
	encoded    []byte   // of one that hibernates: what state is, or will be once the commits under way are durable
	stored     bool     // a record was handed to the storage
	storedBy   uint64   // the number of the commit that wrote it; 0: an earlier life's
	index      uint64   // newest message of the client that took effect, where a keeper counts them
	floor      uint64   // what index was when this life began
	listed     bool
	prev, next *Conn // neighbours in the table
}

// ID is the connection's id, a lower-case UUID.
func (c *Conn) ID() string {
	c.idOnce.Do(func() { // most transient connections are never asked
		if c.id == "" {
			c.id = uuid.NewString()
		}
	})
	return c.id
}

// Params is what the client presented, one CBOR item; null when it presented nothing.
func (c *Conn) Params() []byte { return c.params }

// Request is the upgrade or the call that made the connection.
func (c *Conn) Request() *Request { return c.request }

// Transient reports whether the connection is that of a single HTTP call.
func (c *Conn) Transient() bool { return c.sink == nil }

// Open reports whether the connection still exists.
func (c *Conn) Open() bool { return !c.gone.Load() }

// Actor is the life of the actor that the connection belongs to.
func (c *Conn) Actor() *Actor { return c.actor }

// Hibernates reports whether the connection stays open while its actor sleeps.
func (c *Conn) Hibernates() bool { return c.hibernates }

// Raw reports whether the connection is a raw WebSocket, which gets no events.
func (c *Conn) Raw() bool {
	_, raw := c.sink.(RawSink)
	return raw
}

// close closes the transport and runs the ordinary disconnect path.
func (c *Conn) close(code int, reason string) {
	if c.sink != nil && c.Open() {
		c.sink.Close(code, reason)
	}
	c.actor.Disconnect(c)
}

// connTable is an actor's connections and who listens to what.
type connTable struct {
	mu      sync.Mutex // guards all below
	first   *Conn      // a list, since a transient connection comes and goes with every HTTP call
	count   int
	stand   int
	awake   int                // standing ones that do not hibernate
	closed  bool               // the actor is gone: connections that come now are too late
	touched map[*Conn]struct{} // connections whose record is not what they are
	erased  [][16]byte         // connections that are gone and have a record
	topics  map[string][]*Conn // never changed in place but by appending: readers keep their length
}

// add registers a connection. It fails when limit standing connections exist already, and when the actor is gone.
func (t *connTable) add(c *Conn, limit int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errVoid
	}
	if c.sink != nil {
		if t.stand >= limit {
			return errTooManyConns
		}
		t.stand++
		if !c.hibernates {
			t.awake++
		}
	}
	c.listed, c.next = true, t.first
	if t.first != nil {
		t.first.prev = c
	}
	t.first = c
	t.count++
	if !c.stored {
		t.mark(c)
	}
	return nil
}

// remove forgets a connection and its subscriptions. It reports whether it was there.
func (t *connTable) remove(c *Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.listed {
		return false
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		t.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.listed, c.prev, c.next = false, nil, nil
	t.count--
	if c.sink != nil {
		t.stand--
		if !c.hibernates {
			t.awake--
		}
	}
	delete(t.touched, c)
	if c.stored {
		t.erase(c)
	}
	for _, topic := range c.topics {
		t.drop(topic, c)
	}
	c.topics = nil
	return true
}

// drop removes a connection from a topic. The caller holds mu.
func (t *connTable) drop(topic string, c *Conn) {
	old := t.topics[topic]
	i := slices.Index(old, c)
	if i < 0 {
		return
	}
	if len(old) == 1 {
		delete(t.topics, topic)
		return
	}
	t.topics[topic] = slices.Concat(old[:i], old[i+1:])
}

// maxTopics bounds the subscriptions of one connection (G7).
const maxTopics = 1024

// subscribe adds or removes a subscription. It reports false when the connection has too many.
func (t *connTable) subscribe(c *Conn, topic string, on bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.listed {
		return true // it is gone: there is nothing to subscribe
	}
	i := slices.Index(c.topics, topic)
	switch {
	case on && i < 0:
		if len(c.topics) >= maxTopics {
			return false
		}
		c.topics = append(c.topics, topic)
		if t.topics == nil {
			t.topics = make(map[string][]*Conn)
		}
		t.topics[topic] = append(t.topics[topic], c)
		t.mark(c)
	case !on && i >= 0:
		c.topics = slices.Delete(c.topics, i, i+1)
		t.drop(topic, c)
		t.mark(c)
	}
	return true
}

// subscribers returns who listens to a topic, in the order in which they subscribed.
func (t *connTable) subscribers(topic string) []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.topics[topic]
	return s[:len(s):len(s)]
}

// list returns all connections, transient ones included.
func (t *connTable) list() []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Conn, 0, t.count)
	for c := t.first; c != nil; c = c.next {
		out = append(out, c)
	}
	return out
}

// end returns all connections, for the last time: none is added from now on.
func (t *connTable) end() []*Conn {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	return t.list()
}

// counts is the number of standing connections, and of those among them that hibernate.
func (t *connTable) counts() (standing, hibernating int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stand, t.stand - t.awake
}

// keepAwake is the number of standing connections that do not hibernate.
func (t *connTable) keepAwake() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.awake
}
