// Victim is the program that the tests of internal/crash kill: a counter, and a worker that uses everything that outlives
// a process.
//
// Whatever a worker does it notes under the id that the caller chose, in the very turn that does it: in its state, as a
// number of effects and a sum over their ids, and in its key-value store and its database, as how often each id was noted. So
// the test can see what happened, how often, and whether state, store and database agree.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

// Brands of the two actors.
type (
	Counter struct{}
	Worker  struct{}
)

// Job is a message.
type Job struct {
	ID     string `json:"id"`
	Takes  int64  `json:"takes,omitempty"`  // milliseconds before its effect
	Poison bool   `json:"poison,omitempty"` // handling it fails, always
	Post   string `json:"post,omitempty"`   // post the id to this worker too
}

// Plan asks for an effect later.
type Plan struct {
	ID    string `json:"id"`
	After int64  `json:"after"` // milliseconds
	Post  string `json:"post"`  // the worker that hears when it has happened
}

// Relay asks for an effect and a post in one turn.
type Relay struct {
	ID   string `json:"id"`
	Post string `json:"post"`
	Fail bool   `json:"fail,omitempty"` // the turn fails in the end
}

// Report is what a worker knows.
type Report struct {
	Effects int              `json:"effects"` // by its state
	Sum     uint32           `json:"sum"`     // of the ids' hashes, by its state
	Last    string           `json:"last"`    // id of the last effect, by its state
	KVLast  string           `json:"kvLast"`  // the same by its store
	SQL     string           `json:"sql"`     // how its database and its store disagree; empty: they do not
	Noted   map[string]int64 `json:"noted"`   // by its store: effects by id
	Dead    []rivet.Raw      `json:"dead"`    // bodies of dead letters
	Refused int              `json:"refused"` // posts that their receivers refused
	Planned int              `json:"planned"` // schedules that are to fire once
	Pulses  bool             `json:"pulses"`  // there is a recurring one
}

var (
	Counters  = rivet.NewActor[Counter]("counter")
	Increment = rivet.NewAction[int64, int64](Counters, "increment")
	GetCount  = rivet.NewAction[rivet.None, int64](Counters, "getCount")
	Count     = rivet.NewEvent[int64](Counters, "count")

	Workers    = rivet.NewActor[Worker]("worker")
	Jobs       = rivet.NewQueue[Job, int](Workers, "jobs") // taken by the run loop
	Sums       = rivet.NewQueue[Job, int](Workers, "sums") // handled in turns
	Posts      = rivet.NewQueue[string, rivet.None](Workers, "posts")
	PlanOne    = rivet.NewAction[Plan, int](Workers, "plan")
	PlanPulses = rivet.NewAction[string, bool](Workers, "planPulses")
	RelayOne   = rivet.NewAction[Relay, int](Workers, "relay")
	Fire       = rivet.NewAction[Plan, rivet.None](Workers, "fire")
	Pulse      = rivet.NewAction[string, rivet.None](Workers, "pulse")
	Tell       = rivet.NewAction[rivet.None, Report](Workers, "report")
)

type count struct{ Count int64 }

func (s *count) increment(c *actor.Ctx, by int64) (int64, error) {
	s.Count += by
	actor.Broadcast(c, Count, s.Count)
	return s.Count, nil
}

func (s *count) get(*actor.Ctx, rivet.None) (int64, error) { return s.Count, nil }

// worker is the state of one worker.
type worker struct {
	Effects int
	Sum     uint32
	Last    string
}

// Keys of the store.
const (
	noted = "id/"
	last  = "last"
)

// note is the effect of id. It returns the number of effects, which is nobody else's.
func (s *worker) note(c *actor.Ctx, id string) (int, error) {
	kv := c.KV()
	was, _, err := kv.Get(c, noted+id)
	if err != nil {
		return 0, err
	}
	n := uint64(1)
	if len(was) == 8 {
		n += binary.BigEndian.Uint64(was)
	}
	s.Effects++
	s.Sum += hash(id)
	s.Last = id
	if err := noteSQL(c, s.Effects, id); err != nil {
		return 0, err
	}
	return s.Effects, kv.PutBatch(actor.KVPair{Key: noted + id, Value: binary.BigEndian.AppendUint64(nil, n)}, actor.KVPair{Key: last, Value: []byte(id)})
}

func hash(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id)) // never fails
	return h.Sum32()
}

func post(c *actor.Ctx, to, id string) error {
	return actor.Post(c, Workers.GetOrCreate(c.Client(), rivet.Key{to}, Worker{}), Posts, id)
}

var errPoison = &rivet.Error{Group: "worker", Code: "poison", Message: "handling this message fails"}

// work does what a message asks for.
func (s *worker) work(c *actor.Ctx, j Job) (int, error) {
	n, err := s.note(c, "m:"+j.ID)
	if err == nil && j.Post != "" {
		err = post(c, j.Post, "m:"+j.ID)
	}
	if err == nil && j.Poison {
		err = errPoison
	}
	return n, err
}

func (s *worker) sum(c *actor.Ctx, m *actor.Message[Job, int]) (int, error) {
	if err := m.Body.takeTime(c); err != nil {
		return 0, err
	}
	return s.work(c, m.Body)
}

// takeTime makes it likely that a kill hits while the message is in hands.
func (j Job) takeTime(c *actor.Ctx) error {
	if j.Takes == 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(j.Takes) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.Done():
		return c.Err()
	}
}

func (s *worker) posted(c *actor.Ctx, m *actor.Message[string, rivet.None]) (rivet.None, error) {
	_, err := s.note(c, "p:"+m.Body)
	return rivet.None{}, err
}

// run takes jobs; effect and completion are one turn.
func run(c *actor.Ctx, self actor.Self[worker]) error {
	for m, err := range actor.Receive(c, Jobs) {
		if err != nil {
			return err
		}
		if err := m.Body.takeTime(c); err != nil {
			return err // the actor stops
		}
		if err := take(c, m.Body.ID); err != nil {
			return err
		}
		effects := 0
		err := self.Turn(func(s *worker, c *actor.Ctx) error {
			if err := checkTaken(c, m.Body.ID); err != nil {
				return err
			}
			n, err := s.work(c, m.Body)
			if err != nil {
				return err
			}
			effects = n
			return m.Complete(c, n)
		})
		if err == nil {
			err = tidy(c, effects)
		}
		if err != nil {
			if err := m.Fail(c, err); err != nil && !rivet.Is(err, "actor", "aborted") {
				return err
			}
		}
	}
	return nil
}

func (s *worker) plan(c *actor.Ctx, p Plan) (int, error) {
	if _, err := actor.After(c, time.Duration(p.After)*time.Millisecond, Fire, p); err != nil {
		return 0, err
	}
	return s.note(c, "a:"+p.ID)
}

func (s *worker) fire(c *actor.Ctx, p Plan) (rivet.None, error) {
	f, ok := c.Firing()
	if !ok {
		return rivet.None{}, errors.New("fire is for schedules")
	}
	if early := time.Until(f.ScheduledAt); early > 0 {
		return rivet.None{}, fmt.Errorf("fired %v early", early)
	}
	if _, err := s.note(c, "f:"+p.ID); err != nil {
		return rivet.None{}, err
	}
	return rivet.None{}, post(c, p.Post, "f:"+p.ID)
}

// pulseEvery is the shortest distance that there is.
const pulseEvery = 5 * time.Second

func (s *worker) planPulses(c *actor.Ctx, collector string) (bool, error) {
	return true, actor.Every(c, "pulse", pulseEvery, Pulse, collector)
}

// pulse notes one time of the recurring schedule, under a name that is the same when it fires for that time again.
func (s *worker) pulse(c *actor.Ctx, collector string) (rivet.None, error) {
	f, ok := c.Firing()
	if !ok {
		return rivet.None{}, errors.New("pulse is for schedules")
	}
	id := fmt.Sprintf("e:%s/%d", c.Key()[0], f.ScheduledAt.UnixMilli())
	if _, err := s.note(c, id); err != nil {
		return rivet.None{}, err
	}
	return rivet.None{}, post(c, collector, id)
}

func (s *worker) relay(c *actor.Ctx, r Relay) (int, error) {
	n, err := s.note(c, "r:"+r.ID)
	if err == nil {
		err = post(c, r.Post, "r:"+r.ID)
	}
	if err == nil && r.Fail {
		err = errPoison
	}
	return n, err
}

func (s *worker) report(c *actor.Ctx, _ rivet.None) (r Report, err error) {
	r = Report{Effects: s.Effects, Sum: s.Sum, Last: s.Last, Noted: map[string]int64{}, Dead: []rivet.Raw{}}
	kv := c.KV()
	l, _, err := kv.Get(c, last)
	if err != nil {
		return r, err
	}
	r.KVLast = string(l)
	const all = 1 << 20
	pairs, err := kv.List(c, actor.KVRange{Prefix: noted, Limit: all})
	if err != nil {
		return r, err
	}
	for _, p := range pairs {
		r.Noted[p.Key[len(noted):]] = int64(binary.BigEndian.Uint64(p.Value))
	}
	if r.SQL, err = checkSQL(c, r.KVLast, r.Noted); err != nil {
		return r, err
	}
	dead, err := actor.DeadLetters(c, all)
	if err != nil {
		return r, err
	}
	for _, d := range dead {
		if d.Outgoing {
			r.Refused++
		} else {
			r.Dead = append(r.Dead, d.Body)
		}
	}
	plans, err := c.Schedules().List()
	for _, p := range plans {
		if p.Kind == "every" {
			r.Pulses = true
		} else {
			r.Planned++
		}
	}
	return r, err
}

func main() {
	c := actor.Define(Counters, actor.Zero[Counter, count])
	actor.Handle(c, Increment, (*count).increment)
	actor.View(c, GetCount, (*count).get)

	w := actor.Define(Workers, actor.Zero[Worker, worker])
	w.Options = actor.Options{
		SleepAfter:       50 * time.Millisecond, // so that kills hit actors that fall asleep and wake as well
		QueueRetryDelay:  5 * time.Millisecond,
		QueueMaxAttempts: 3,
		MaxQueueSize:     100_000,
		MaxSchedules:     100_000,
		MaxOutgoingBytes: 64 << 20,
	}
	w.OnMigrate = func(c *actor.Ctx, isNew bool) error {
		if !isNew {
			return nil
		}
		_, err := c.DB().ExecContext(c, tables)
		return err
	}
	w.Run = run
	actor.HandleQueue(w, Sums, (*worker).sum)
	actor.HandleQueue(w, Posts, (*worker).posted)
	actor.Handle(w, PlanOne, (*worker).plan)
	actor.Handle(w, PlanPulses, (*worker).planPulses)
	actor.Handle(w, RelayOne, (*worker).relay)
	actor.Handle(w, Fire, (*worker).fire)
	actor.Handle(w, Pulse, (*worker).pulse)
	actor.View(w, Tell, (*worker).report)
	engine.Main(c, w)
}
