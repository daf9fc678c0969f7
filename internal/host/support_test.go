package host

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// disk is an actor's storage that a test holds by the hand: commits become durable when it says so. As a store does, it
// shows what was committed at once, whether durable yet or not.
type disk struct {
	actor   id.ID
	mu      sync.Mutex
	applied image
	durable image
	waiting []waitingCommit
	hold    bool  // commits wait for flush
	refuse  error // Commit refuses
	lose    error // commits fail instead of becoming durable
	unread  error // reads fail
	commits int
	batches []*record.Batch // what was committed, in order
}

// image is the records of an actor, and its alarm.
type image struct {
	records map[string][]byte
	alarm   int64
}

func (m *image) apply(b *record.Batch) {
	for _, s := range b.DeleteSpans {
		maps.DeleteFunc(m.records, func(k string, _ []byte) bool { return s.Contains([]byte(k)) })
	}
	for _, k := range b.Deletes {
		delete(m.records, string(k))
	}
	for _, p := range b.Puts {
		m.records[string(p.Key)] = p.Value
	}
	if b.SetAlarm {
		m.alarm = b.Alarm
	}
}

func (m *image) clone() image { return image{maps.Clone(m.records), m.alarm} }

type waitingCommit struct {
	batch *record.Batch
	done  func(error)
}

func newDisk() *disk { return diskOf(id.New(1), image{records: map[string][]byte{}}) }

func diskOf(actor id.ID, m image) *disk {
	return &disk{actor: actor, applied: m.clone(), durable: m.clone()}
}

// rest is the disk as a crash would leave it: with what is durable.
func (d *disk) rest() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return diskOf(d.actor, d.durable)
}

func (d *disk) Hot() []record.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []record.Record
	for k, v := range d.durable.records {
		if record.Kind(k[0]) < record.HotEnd {
			out = append(out, record.Record{Key: []byte(k), Value: v})
		}
	}
	return out
}

func (d *disk) Alarm() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.durable.alarm == 0 {
		return time.Time{}
	}
	return time.UnixMilli(d.durable.alarm)
}

func (d *disk) Get(_ context.Context, key []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread != nil {
		return nil, d.unread
	}
	if v, ok := d.applied.records[string(key)]; ok {
		return v, nil
	}
	return nil, record.ErrNotFound
}

// View shows a copy of what is applied.
func (d *disk) View(context.Context) (View, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread != nil {
		return nil, d.unread
	}
	return diskView{&disk{applied: d.applied.clone()}}, nil
}

type diskView struct{ *disk }

func (diskView) Close() error { return nil }

func (d *disk) Range(_ context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread != nil {
		return nil, d.unread
	}
	return inRange(&d.applied, s, reverse, limit), nil
}

func inRange(m *image, s record.Span, reverse bool, limit int) (out []record.Record) {
	keys := slices.Sorted(maps.Keys(m.records))
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if s.Contains([]byte(k)) && len(out) < limit {
			out = append(out, record.Record{Key: []byte(k), Value: m.records[k]})
		}
	}
	return out
}

func (d *disk) Commit(b *record.Batch, done func(error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return d.refuse
	}
	d.commits++
	d.batches = append(d.batches, b)
	d.applied.apply(b)
	d.waiting = append(d.waiting, waitingCommit{b, done})
	if !d.hold {
		go d.flush() // never from inside Commit
	}
	return nil
}

// flush makes everything that waits durable, or lose it.
func (d *disk) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.waiting {
		if d.lose == nil {
			d.durable.apply(w.batch)
		}
		w.done(d.lose)
	}
	d.waiting = nil
}

// flushOne makes the oldest commit that waits durable.
func (d *disk) flushOne() {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.waiting[0]
	d.waiting = d.waiting[1:]
	d.durable.apply(w.batch)
	w.done(nil)
}

// count is how many durable records of a kind there are.
func (d *disk) count(k record.Kind) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.durable.records {
		if record.Kind(key[0]) == k {
			n++
		}
	}
	return n
}

// pending is how many commits wait.
func (d *disk) pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// written is how many batches were committed, durable or not.
func (d *disk) written() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.batches)
}

// alarm is the durable alarm in milliseconds, 0 for none.
func (d *disk) alarm() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable.alarm
}

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// saved is the durable state, decoded.
func (d *disk) saved(t *testing.T) *tally {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.durable.records[string(record.Key(record.KindState))]
	if !ok {
		return nil
	}
	payload, err := record.Open(record.KindState, v)
	if err != nil {
		t.Fatal(err)
	}
	s := &tally{}
	if err := s.Restore(payload); err != nil {
		t.Fatal(err)
	}
	return s
}

// tally is the state of the tests' actors.
type tally struct {
	N int
	L []string
}

func (s *tally) AppendTo(dst []byte) ([]byte, error) {
	b, err := json.Marshal(s)
	return append(dst, b...), err
}

func (s *tally) Restore(encoded []byte) error {
	*s = tally{}
	return json.Unmarshal(encoded, s)
}

// owner notes what an actor wants.
type testOwner struct {
	sleep, destroy chan struct{}
	stopped        chan error
}

func newOwner() *testOwner {
	return &testOwner{make(chan struct{}, 100), make(chan struct{}, 100), make(chan error, 2)}
}

func (o *testOwner) SleepWanted() {
	select {
	case o.sleep <- struct{}{}:
	default: // it is asked again and again
	}
}

func (o *testOwner) DestroyWanted()    { o.destroy <- struct{}{} }
func (o *testOwner) Stopped(err error) { o.stopped <- err }

// life is one actor under test.
type life struct {
	*Actor
	t      *testing.T
	disk   *disk
	owner  *testOwner
	logged logbook // what the actor wrote to its log
}

// logbook is a log that can be read while it is written.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logbook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// spec is a definition with the actions that most tests need.
func spec() *Spec {
	turn := func(f func(c *Call, s *tally) error) *Action {
		return &Action{Run: func(c *Call, s State, _ []byte) ([]byte, error) { return []byte("ok"), f(c, s.(*tally)) }}
	}
	return &Spec{
		Name: "tally", Options: Options{}.WithDefaults(),
		New:    func() State { return &tally{} },
		Create: func(*Call, []byte) (State, error) { return &tally{}, nil },
		Actions: map[string]*Action{
			"add": turn(func(_ *Call, s *tally) error { s.N++; return nil }),
			"tell": turn(func(c *Call, s *tally) error {
				s.N++
				return c.Broadcast("told", []byte{0x80})
			}),
			"fail": turn(func(c *Call, s *tally) error {
				s.N += 100
				if err := c.Broadcast("told", []byte{0x80}); err != nil {
					return err
				}
				return fault.New("user", "no", "no")
			}),
			"panic": turn(func(_ *Call, s *tally) error { s.N += 100; panic("oops") }),
			"get": {Kind: ViewAction, Run: func(_ *Call, s State, _ []byte) ([]byte, error) {
				return []byte{byte(s.(*tally).N)}, nil
			}},
		},
	}
}

func begin(t *testing.T, s *Spec, d *disk, parked ...Parked) (*life, error) {
	t.Helper()
	return beginIn(t, s, d, &Env{}, parked...)
}

// beginIn begins a life that reaches others through env.
func beginIn(t *testing.T, s *Spec, d *disk, env *Env, parked ...Parked) (*life, error) {
	t.Helper()
	o := newOwner()
	l := &life{t: t, disk: d, owner: o}
	own := *env
	own.Databases = actordb.NewPool(64<<20, time.Minute)
	own.Log = slog.New(slog.NewTextHandler(&l.logged, nil))
	var err error
	l.Actor, err = Start(t.Context(), s, &own, o, Placement{
		ID: d.actor, Namespace: "default", Name: "tally", Key: []string{"k"}, KeyText: "k", Generation: 1, Records: d,
		Parked: parked,
	})
	return l, err
}

func start(t *testing.T, s *Spec, d *disk, parked ...Parked) *life {
	t.Helper()
	l, err := begin(t, s, d, parked...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// crash ends the actor without warning and returns what is durable.
func (l *life) crash() *disk {
	l.t.Helper()
	l.Kill()
	<-l.owner.stopped
	return l.disk.rest()
}

// put sends a message from outside that nobody waits for.
func (l *life) put(q, body string) {
	l.t.Helper()
	if _, _, err := l.Send(l.t.Context(), &MessageCall{Queue: q, Body: []byte(body)}); err != nil {
		l.t.Fatal(err)
	}
}

// ask sends a message from outside and waits for its outcome, on a goroutine of its own.
func (l *life) ask(call *MessageCall) *asked {
	l.t.Helper()
	r := &asked{done: make(chan struct{})}
	call.Wait = true
	if err := l.Enter(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		defer l.Leave()
		r.status, r.reply, r.err = l.Send(l.t.Context(), call)
	}()
	return r
}

// await goes on waiting for a message in this life, on a goroutine of its own.
func (l *life) await(id uint64, timeout time.Duration) *asked {
	l.t.Helper()
	r := &asked{done: make(chan struct{})}
	if err := l.Enter(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		defer l.Leave()
		r.status, r.reply, r.err = l.AwaitMessage(l.t.Context(), id, timeout)
	}()
	return r
}

// asked is what a waiting sender gets.
type asked struct {
	done   chan struct{}
	status Status
	reply  []byte
	err    error
}

// moved waits, and returns the number of the message for which the wait goes on in the next life.
func (r *asked) moved(t *testing.T) uint64 {
	t.Helper()
	<-r.done
	var m *MovedError
	if !errors.As(r.err, &m) {
		t.Fatalf("the sender got %v, %q, %v", r.status, r.reply, r.err)
	}
	return m.ID
}

// got waits, and fails the test unless the message was completed with this reply.
func (r *asked) got(t *testing.T, reply string) {
	t.Helper()
	if <-r.done; r.status != Sent || string(r.reply) != reply || r.err != nil {
		t.Errorf("the sender got %v, %q, %v; want %q", r.status, r.reply, r.err, reply)
	}
}

// failed waits, and fails the test unless the sender got this error.
func (r *asked) failed(t *testing.T, group, code string) {
	t.Helper()
	if <-r.done; !is(r.err, group, code) {
		t.Errorf("the sender got %v, %q, %v; want %s.%s", r.status, r.reply, r.err, group, code)
	}
}

// takes takes messages within a turn of its own, which completes them.
func (l *life) takes(names ...string) (bodies []string) {
	l.t.Helper()
	no(l.t, l.turn(func(c *Call, _ *tally) error {
		got, err := c.TryTake(c, Take{Names: names, Max: 1000})
		for _, d := range got {
			bodies = append(bodies, string(d.Body))
		}
		return err
	}))
	return bodies
}

// end stops the actor and waits for it.
func (l *life) end(destroy bool) {
	l.t.Helper()
	l.Stop(destroy)
	if err := <-l.owner.stopped; err != nil {
		l.t.Errorf("stopped with %v", err)
	}
}

// outcome is what a caller got.
type outcome struct {
	out []byte
	err *fault.Error
}

// caller is a Reply that waits.
type caller struct {
	got outcome
	ch  chan outcome
}

func newCaller() *caller { return &caller{ch: make(chan outcome, 2)} }

func (c *caller) Prepare(out []byte, err *fault.Error) { c.got = outcome{out, err} }

func (c *caller) Release(failure *fault.Error) {
	if failure != nil {
		c.got = outcome{nil, failure}
	}
	c.ch <- c.got
}

func (c *caller) Expired(err *fault.Error) { c.ch <- outcome{nil, err} }

// answered reports whether the outcome has left the actor.
func (c *caller) answered() bool { return len(c.ch) > 0 }

// send calls an action on its own goroutine.
func (l *life) send(name string) *caller {
	c := newCaller()
	if err := l.Enter(); err != nil {
		l.t.Fatalf("enter: %v", err)
	}
	go func() {
		defer l.Leave()
		l.Action(&ActionCall{Name: name, Args: []byte{0x80}, Reply: c})
	}()
	return c
}

// call calls an action and waits.
func (l *life) call(name string) outcome {
	l.t.Helper()
	return <-l.send(name).ch
}

func (l *life) must(name string) {
	l.t.Helper()
	if o := l.call(name); o.err != nil {
		l.t.Fatalf("%s: %v", name, o.err)
	}
}

// count is what the action get answers.
func (l *life) count() int {
	l.t.Helper()
	o := l.call("get")
	if o.err != nil {
		l.t.Fatal(o.err)
	}
	return int(o.out[0])
}

// ear is a connection's sink that remembers.
type ear struct {
	mu     sync.Mutex
	events []string
	closed string
}

func (e *ear) Event(ev *Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, ev.Name)
}

func (e *ear) Close(_ int, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = reason
}

func (e *ear) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

func (e *ear) end() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// listen opens a connection that subscribed to an event.
func (l *life) listen(event string) (*ear, *Conn) {
	l.t.Helper()
	e := &ear{}
	conn, err := l.Connect(l.t.Context(), nil, []byte{0xf6}, nil, e)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.Subscribe(l.t.Context(), conn, event, true); err != nil {
		l.t.Fatal(err)
	}
	return e, conn
}

// scripts are the functions that the actions "turn", "view" and "concurrent" of scripted run, by number.
var scripts struct {
	sync.Mutex
	list []func(c *Call, s *tally) ([]byte, error)
}

// scripted adds actions that run whatever a test wants to a definition; see life.script.
func scripted(s *Spec) *Spec {
	run := func(c *Call, s State, args []byte) ([]byte, error) {
		scripts.Lock()
		fn := scripts.list[binary.BigEndian.Uint64(args)]
		scripts.Unlock()
		own, _ := s.(*tally)
		return fn(c, own)
	}
	s.Actions["turn"] = &Action{Run: run}
	s.Actions["view"] = &Action{Kind: ViewAction, Run: run}
	s.Actions["concurrent"] = &Action{Kind: ConcurrentAction, Run: run}
	return s
}

// script runs fn as an action of the kind that is named, on a goroutine of its own.
func (l *life) script(kind string, fn func(c *Call, s *tally) ([]byte, error)) *caller {
	l.t.Helper()
	scripts.Lock()
	args := binary.BigEndian.AppendUint64(nil, uint64(len(scripts.list)))
	scripts.list = append(scripts.list, fn)
	scripts.Unlock()
	c := newCaller()
	if err := l.Enter(); err != nil {
		l.t.Fatalf("enter: %v", err)
	}
	go func() {
		defer l.Leave()
		l.Action(&ActionCall{Name: kind, Args: args, Reply: c})
	}()
	return c
}

// turn runs fn as an action that holds the turn, and waits for its outcome.
func (l *life) turn(fn func(c *Call, s *tally) error) *fault.Error {
	l.t.Helper()
	return (<-l.script("turn", func(c *Call, s *tally) ([]byte, error) { return nil, fn(c, s) }).ch).err
}

// outside runs fn outside of turns, and waits for its outcome.
func (l *life) outside(fn func(c *Call) error) *fault.Error {
	l.t.Helper()
	return (<-l.script("concurrent", func(c *Call, _ *tally) ([]byte, error) { return nil, fn(c) }).ch).err
}

// pass lets time pass, with what happens meanwhile.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// no fails the test for an error.
func no[E error](t interface {
	Helper()
	Fatal(args ...any)
}, err E) {
	t.Helper()
	if any(err) != any(*new(E)) {
		t.Fatal(err)
	}
}

// is reports whether an error is the typed one.
func is(err error, group, code string) bool {
	f, ok := fault.From(err)
	return ok && f.Group == group && f.Code == code
}

// newRand is the randomness of a seed.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// newID is an id that no other schedule has.
func newID() string { return id.New(0).String() }
