package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// A third actor of the tests: queues, schedules, a run loop and the key-value store.
type worker struct{}

type job struct {
	N    int    `json:"n"`
	Fail string `json:"fail,omitempty"`
}

var (
	workers  = rivet.NewActor[worker]("worker")
	jobs     = rivet.NewQueue[job, int](workers, "jobs")        // taken by the run loop
	sums     = rivet.NewQueue[int, int](workers, "sums")        // handled in turns
	inbox    = rivet.NewQueue[string, string](workers, "inbox") // taken by actions
	guarded  = rivet.NewQueue[string, rivet.None](workers, "guarded")
	sum      = rivet.NewAction[rivet.None, int](workers, "sum")
	ran      = rivet.NewAction[rivet.None, []int](workers, "ran")
	takeOne  = rivet.NewAction[string, string](workers, "takeOne")
	post     = rivet.NewAction[rivet.Args3[string, int, bool], rivet.None](workers, "post")
	tick     = rivet.NewAction[string, rivet.None](workers, "tick")
	ticks    = rivet.NewAction[rivet.None, []string](workers, "ticks")
	later    = rivet.NewAction[rivet.Args2[string, int64], string](workers, "later")
	kvDo     = rivet.NewAction[rivet.Args3[string, string, string], []string](workers, "kv")
	dead     = rivet.NewAction[rivet.None, []string](workers, "dead")
	replay   = rivet.NewAction[uint64, rivet.None](workers, "replay")
	napNow   = rivet.NewAction[rivet.None, rivet.None](workers, "sleep")
	workFast = actor.Options{QueueRetryDelay: 10 * time.Millisecond, QueueMaxAttempts: 2, MaxQueueSize: 20, MaxQueueMessageBytes: 2000}
)

type workerState struct {
	Sum   int
	Ran   []int
	Ticks []string
}

type workerProbe struct{ failRun atomic.Int32 }

func workerDefinition(o actor.Options, p *workerProbe) actor.Definition {
	d := actor.Define(workers, actor.Zero[worker, workerState])
	d.Options = o
	d.Run = func(c *actor.Ctx, self actor.Self[workerState]) error {
		if p.failRun.Add(-1) >= 0 {
			return errors.New("run fails as asked")
		}
		for m, err := range actor.Receive(c, jobs) {
			if err != nil {
				return err
			}
			if m.Body.Fail != "" {
				if err := m.Fail(c, &rivet.Error{Code: m.Body.Fail}); err != nil {
					return err
				}
				continue
			}
			err := self.Turn(func(s *workerState, c *actor.Ctx) error {
				s.Ran = append(s.Ran, m.Body.N)
				return m.Complete(c, 2*m.Body.N)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	actor.HandleQueue(d, sums, func(s *workerState, c *actor.Ctx, m *actor.Message[int, int]) (int, error) {
		s.Sum += m.Body
		if m.Body < 0 {
			return 0, &rivet.Error{Code: "negative", Message: fmt.Sprint("attempt ", m.Attempt)}
		}
		return s.Sum, nil
	})
	actor.CanPublish(d, guarded, func(*workerState, *actor.Ctx) (bool, error) { return false, nil })
	actor.View(d, sum, func(s *workerState, _ *actor.Ctx, _ rivet.None) (int, error) { return s.Sum, nil })
	actor.View(d, ran, func(s *workerState, _ *actor.Ctx, _ rivet.None) ([]int, error) { return s.Ran, nil })
	actor.View(d, ticks, func(s *workerState, _ *actor.Ctx, _ rivet.None) ([]string, error) { return s.Ticks, nil })
	actor.Handle(d, takeOne, func(_ *workerState, c *actor.Ctx, how string) (string, error) {
		m, err := actor.TryNext(c, inbox)
		if err != nil || m == nil {
			return "nothing", err
		}
		switch how {
		case "fail":
			return "", errors.New("the turn fails")
		case "reply":
			return m.Body, m.Complete(c, "re: "+m.Body)
		}
		return m.Body, nil
	})
	actor.Handle(d, post, func(s *workerState, c *actor.Ctx, a rivet.Args3[string, int, bool]) (rivet.None, error) {
		to := workers.GetOrCreate(c.Client(), rivet.Key{a.A}, worker{})
		if err := actor.Post(c, to, sums, a.B); err != nil {
			return rivet.None{}, err
		}
		if a.C {
			return rivet.None{}, errors.New("the turn fails after posting")
		}
		return rivet.None{}, nil
	})
	actor.Handle(d, tick, func(s *workerState, c *actor.Ctx, name string) (rivet.None, error) {
		f, ok := c.Firing()
		s.Ticks = append(s.Ticks, fmt.Sprint(name, " ", f.Kind, " ", ok))
		return rivet.None{}, nil
	})
	actor.Handle(d, later, func(s *workerState, c *actor.Ctx, a rivet.Args2[string, int64]) (string, error) {
		return actor.After(c, time.Duration(a.B)*time.Millisecond, tick, a.A)
	})
	actor.Handle(d, kvDo, func(_ *workerState, c *actor.Ctx, a rivet.Args3[string, string, string]) ([]string, error) {
		kv := c.KV()
		switch a.A {
		case "put":
			if err := kv.Put(a.B, []byte(a.C)); err != nil {
				return nil, err
			}
		case "fail":
			if err := kv.Put(a.B, []byte(a.C)); err != nil {
				return nil, err
			}
			v, _, err := kv.Get(c, a.B)
			return nil, errors.Join(err, errors.New("fails with "+string(v)))
		case "delete":
			if err := kv.DeleteRange(a.B, a.C); err != nil {
				return nil, err
			}
		}
		pairs, err := kv.List(c, actor.KVRange{Reverse: a.A == "reverse"})
		var out []string
		for _, p := range pairs {
			out = append(out, p.Key+"="+string(p.Value))
		}
		return out, err
	})
	actor.Handle(d, dead, func(_ *workerState, c *actor.Ctx, _ rivet.None) ([]string, error) {
		letters, err := actor.DeadLetters(c, 100)
		var out []string
		for _, l := range letters {
			out = append(out, fmt.Sprintf("%d %s %s %d", l.ID, l.Queue, l.Err.Code, l.Attempts))
		}
		return out, err
	})
	actor.Handle(d, replay, func(_ *workerState, c *actor.Ctx, id uint64) (rivet.None, error) {
		return rivet.None{}, actor.Replay(c, id)
	})
	actor.Handle(d, napNow, func(_ *workerState, c *actor.Ctx, _ rivet.None) (rivet.None, error) {
		c.Sleep()
		return rivet.None{}, nil
	})
	return d
}

func startWorkers(t *testing.T, o actor.Options) (*rivet.Client, *workerProbe) {
	t.Helper()
	p := &workerProbe{}
	e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: t.TempDir(), Log: quiet()}, workerDefinition(o, p))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e.Client(), p
}

// waitUntil asks again and again: what it waits for happens on its own.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited 10 s for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func workerAt(c *rivet.Client, key string) rivet.Handle[worker] {
	return workers.GetOrCreate(c, rivet.Key{key}, worker{})
}

func TestQueueOfARunLoop(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	h := workerAt(c, "a")
	if got, err := jobs.Request(t.Context(), h, job{N: 21}); err != nil || got != 42 {
		t.Fatalf("Request = %d, %v", got, err)
	}
	if err := jobs.Send(t.Context(), h, job{N: 1}); err != nil {
		t.Fatal(err)
	}
	if got, err := jobs.Request(t.Context(), h, job{N: 2}); err != nil || got != 4 {
		t.Fatalf("Request = %d, %v", got, err)
	}
	if got, err := ran.Call(t.Context(), h, rivet.None{}); err != nil || !slices.Equal(got, []int{21, 1, 2}) {
		t.Fatalf("ran %v, %v", got, err)
	}
	// A message that fails is tried twice, then its sender hears, and it can be replayed.
	_, err := jobs.Request(t.Context(), h, job{N: 3, Fail: "broken"})
	if !rivet.Is(err, "user", "broken") {
		t.Fatalf("failed request: %v", err)
	}
	letters, err := dead.Call(t.Context(), h, rivet.None{})
	if err != nil || !slices.Equal(letters, []string{"4 jobs broken 2"}) {
		t.Fatalf("dead letters %q, %v", letters, err)
	}
	if _, err := replay.Call(t.Context(), h, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := replay.Call(t.Context(), h, 4); !rivet.Is(err, "queue", "dead_letter_not_found") {
		t.Fatalf("second replay: %v", err)
	}
}

func TestQueueHandledInTurns(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	h := workerAt(c, "a")
	for n := 1; n <= 5; n++ {
		if err := sums.Send(t.Context(), h, n); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := sums.Request(t.Context(), h, 100); err != nil || got != 115 {
		t.Fatalf("Request = %d, %v", got, err)
	}
	_, err := sums.Request(t.Context(), h, -1)
	if !rivet.Is(err, "user", "negative") {
		t.Fatalf("failed request: %v", err)
	}
	if got, err := sum.Call(t.Context(), h, rivet.None{}); err != nil || got != 115 {
		t.Fatalf("the sum is %d, %v: a failed handler must leave nothing", got, err)
	}
}

func TestQueueTakenByActions(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	h := workerAt(c, "a")
	reply := make(chan string, 1)
	go func() {
		got, err := inbox.Request(t.Context(), h, "hello")
		reply <- fmt.Sprint(got, err)
	}()
	for {
		if _, err := takeOne.Call(t.Context(), h, "fail"); err != nil { // it was there, and is there again
			break
		}
	}
	if got, err := takeOne.Call(t.Context(), h, "reply"); err != nil || got != "hello" {
		t.Fatalf("takeOne = %q, %v", got, err)
	}
	if got := <-reply; got != "re: hello<nil>" {
		t.Fatalf("the sender got %q", got)
	}
	if got, err := takeOne.Call(t.Context(), h, ""); err != nil || got != "nothing" {
		t.Fatalf("takeOne = %q, %v", got, err)
	}
	_, err := inbox.Request(t.Context(), h, "nobody", rivet.WaitAtMost(20*time.Millisecond))
	if !rivet.Is(err, "queue", "timed_out") {
		t.Fatalf("Request that nobody answers: %v", err)
	}
	if got, err := takeOne.Call(t.Context(), h, ""); err != nil || got != "nobody" {
		t.Fatalf("takeOne = %q, %v: a timed out message stays", got, err)
	}
}

func TestQueueRefusals(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	h := workerAt(c, "a")
	unknown := rivet.NewQueue[string, rivet.None](rivet.NewActor[worker]("worker"), "no-such")
	misfit := rivet.NewQueue[string, rivet.None](rivet.NewActor[worker]("worker"), "sums")
	for _, test := range []struct {
		group, code string
		err         error
	}{
		{"queue", "not_found", unknown.Send(t.Context(), h, "x")},
		{"actor", "validation_error", misfit.Send(t.Context(), h, "not a number")},
		{"auth", "forbidden", guarded.Send(t.Context(), h, "x")},
		{"queue", "message_too_large", inbox.Send(t.Context(), h, string(make([]byte, 3000)))},
	} {
		if !rivet.Is(test.err, test.group, test.code) {
			t.Errorf("want %s.%s, got %v", test.group, test.code, test.err)
		}
	}
	for range 20 {
		if err := inbox.Send(t.Context(), h, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := inbox.Send(t.Context(), h, "x"); !rivet.Is(err, "queue", "full") {
		t.Fatalf("21st message: %v", err)
	}
}

func TestQueueIdempotencyKey(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	h := workerAt(c, "a")
	for range 3 {
		got, err := sums.Request(t.Context(), h, 7, rivet.IdempotencyKey("k"))
		if err != nil || got != 7 {
			t.Fatalf("Request = %d, %v", got, err)
		}
	}
	if _, err := napNow.Call(t.Context(), h, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	if got, err := sums.Request(t.Context(), h, 7, rivet.IdempotencyKey("k")); err != nil || got != 7 {
		t.Fatalf("after a sleep: Request = %d, %v", got, err)
	}
	if got, err := sum.Call(t.Context(), h, rivet.None{}); err != nil || got != 7 {
		t.Fatalf("the sum is %d, %v: the message must count once", got, err)
	}
}

func TestPostIsPartOfTheTurn(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	from, to := workerAt(c, "from"), workerAt(c, "to")
	if _, err := post.Call(t.Context(), from, rivet.Args3[string, int, bool]{A: "to", B: 5, C: true}); err == nil {
		t.Fatal("the turn should fail")
	}
	for n := range 10 {
		if _, err := post.Call(t.Context(), from, rivet.Args3[string, int, bool]{A: "to", B: 1 << n}); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "all posts to arrive", func() bool {
		got, err := sum.Call(t.Context(), to, rivet.None{})
		return err == nil && got == 1023
	})
}

func TestScheduleFires(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	h := workerAt(c, "a")
	if _, err := later.Call(t.Context(), h, rivet.Args2[string, int64]{A: "soon", B: 20}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the schedule", func() bool {
		got, err := ticks.Call(t.Context(), h, rivet.None{})
		return err == nil && slices.Equal(got, []string{"soon at true"})
	})
	if _, err := later.Call(t.Context(), h, rivet.Args2[string, int64]{A: "never", B: -1}); !rivet.Is(err, "schedule", "invalid_delay") {
		t.Fatalf("negative delay: %v", err)
	}
}

func TestKVInTurns(t *testing.T) {
	c, _ := startWorkers(t, workFast)
	h := workerAt(c, "a")
	kv := func(a, b, v string) ([]string, error) {
		return kvDo.Call(t.Context(), h, rivet.Args3[string, string, string]{A: a, B: b, C: v})
	}
	for _, k := range []string{"b", "a", "c"} {
		if _, err := kv("put", k, "1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kv("fail", "a", "2"); err == nil {
		t.Fatal("the turn should fail")
	}
	if got, err := kv("reverse", "", ""); err != nil || !slices.Equal(got, []string{"c=1", "b=1", "a=1"}) {
		t.Fatalf("list = %q, %v", got, err)
	}
	if got, err := kv("delete", "b", "c"); err != nil || !slices.Equal(got, []string{"a=1", "c=1"}) {
		t.Fatalf("list after a delete in the same turn = %q, %v", got, err)
	}
	if _, err := kv("put", string(make([]byte, 3000)), ""); !rivet.Is(err, "kv", "key_too_large") {
		t.Fatalf("large key: %v", err)
	}
}

func TestRunLoopIsStartedAgain(t *testing.T) {
	c, p := startWorkers(t, workFast)
	p.failRun.Store(2)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if got, err := jobs.Request(ctx, workerAt(c, "a"), job{N: 4}); err != nil || got != 8 {
		t.Fatalf("Request = %d, %v", got, err)
	}
}

func TestCompatibilityOptions(t *testing.T) {
	type loose struct{}
	loosely := rivet.NewActor[loose]("loose")
	breakIt := rivet.NewAction[int, rivet.None](loosely, "breakIt")
	value := rivet.NewAction[rivet.None, int](loosely, "value")
	surplus := rivet.NewAction[rivet.Args2[int, string], rivet.None](loosely, "breakIt")
	unknown := rivet.NewQueue[string, rivet.None](rivet.NewActor[loose]("loose"), "no-such")
	type state struct{ N int }
	for _, o := range []actor.Options{{}, {KeepFailedTurns: true, IgnoreSurplusArguments: true, IgnoreUnknownQueues: true}} {
		contractOf := rivet.NewActor[loose]("loose")
		d := actor.Define(contractOf, actor.Zero[loose, state])
		d.Options = o
		actor.Handle(d, rivet.NewAction[int, rivet.None](contractOf, "breakIt"), func(s *state, _ *actor.Ctx, n int) (rivet.None, error) {
			s.N += n
			return rivet.None{}, &rivet.Error{Code: "broken"}
		})
		actor.View(d, rivet.NewAction[rivet.None, int](contractOf, "value"), func(s *state, _ *actor.Ctx, _ rivet.None) (int, error) { return s.N, nil })
		e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: t.TempDir(), Log: quiet()}, d)
		if err != nil {
			t.Fatal(err)
		}
		h := loosely.GetOrCreate(e.Client(), rivet.Key{"a"}, loose{})
		if _, err := breakIt.Call(t.Context(), h, 5); !rivet.Is(err, "user", "broken") {
			t.Errorf("breakIt: %v", err)
		}
		_, err = surplus.Call(t.Context(), h, rivet.Args2[int, string]{A: 1, B: "more"})
		wantSurplus, wantValue, wantUnknown := "validation_error", 0, true
		if o.KeepFailedTurns {
			wantSurplus, wantValue, wantUnknown = "broken", 6, false
		}
		var typed *rivet.Error
		if !errors.As(err, &typed) || typed.Code != wantSurplus {
			t.Errorf("surplus argument: %v, want code %s", err, wantSurplus)
		}
		if got, err := value.Call(t.Context(), h, rivet.None{}); err != nil || got != wantValue {
			t.Errorf("value = %d, %v; want %d", got, err, wantValue)
		}
		if err := unknown.Send(t.Context(), h, "x"); (err != nil) != wantUnknown {
			t.Errorf("unknown queue: %v", err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestG6_WhyTellsWhatAnActorDoes(t *testing.T) {
	type busy struct{}
	type state struct{ N int }
	busies := rivet.NewActor[busy]("busy")
	block := rivet.NewAction[rivet.None, rivet.None](busies, "block")
	background := rivet.NewAction[rivet.None, rivet.None](busies, "background")
	nap := rivet.NewAction[rivet.None, rivet.None](busies, "nap")
	mail := rivet.NewQueue[string, rivet.None](busies, "mail")
	in, out := make(chan struct{}, 1), make(chan struct{})
	d := actor.Define(busies, actor.Zero[busy, state])
	actor.Handle(d, block, func(*state, *actor.Ctx, rivet.None) (rivet.None, error) {
		in <- struct{}{}
		<-out
		return rivet.None{}, nil
	})
	actor.Handle(d, background, func(_ *state, c *actor.Ctx, _ rivet.None) (rivet.None, error) {
		c.KeepAwake(longWork(in, out))
		return rivet.None{}, errors.Join(nil)
	})
	actor.Handle(d, nap, func(_ *state, c *actor.Ctx, _ rivet.None) (rivet.None, error) {
		_, err := actor.After(c, time.Hour, nap, rivet.None{})
		c.Sleep()
		return rivet.None{}, err
	})
	e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: t.TempDir(), Log: quiet()}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	h := busies.GetOrCreate(e.Client(), rivet.Key{"a"}, busy{})
	why := func() *rivet.Why {
		t.Helper()
		w, err := h.Why(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if _, err := h.Why(t.Context()); !rivet.Is(err, "actor", "not_found") {
		t.Fatalf("Why must not create: %v", err)
	}
	if err := mail.Send(t.Context(), h, "hello"); err != nil {
		t.Fatal(err)
	}
	if w := why(); w.State != "running" || w.SleepsAt.IsZero() || w.Queue == nil || w.Queue.Ready != 1 || w.Queue.Head.Queue != "mail" {
		t.Errorf("idle: %+v", w)
	}
	if _, err := background.Call(t.Context(), h, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	<-in
	if w := why(); !slices.Contains(w.Awake, "keep_awake") || len(w.Background) != 1 || !contains(w.Background[0].Where, "longWork") {
		t.Errorf("with background work: %+v", w)
	}
	blocked := make(chan error, 1)
	go func() {
		_, err := block.Call(t.Context(), h, rivet.None{})
		blocked <- err
	}()
	<-in
	if w := why(); w.Turn == nil || w.Turn.What != "block" || time.Since(w.Turn.Since) < 0 || !contains(w.Summary, "block has held the turn") {
		t.Errorf("while blocked: %+v", w)
	}
	close(out)
	if err := <-blocked; err != nil {
		t.Fatal(err)
	}
	if _, err := nap.Call(t.Context(), h, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "sleep", func() bool { return why().State == "sleeping" })
	if w := why(); time.Until(w.Alarm) < 59*time.Minute || w.Since.IsZero() || !contains(w.Summary, "asleep") {
		t.Errorf("asleep: %+v", w)
	}
}

// longWork is background work whose name people should find in a report.
func longWork(in chan<- struct{}, out <-chan struct{}) func(*actor.Ctx) error {
	return func(*actor.Ctx) error {
		in <- struct{}{}
		<-out
		return nil
	}
}

// A waiting sender whose actor is gone, or whose server ends, must neither create a new actor nor send twice.
func TestG5_AWaitThatCannotGoOnSendsNothingTwice(t *testing.T) {
	dir := t.TempDir()
	serve := func() *Engine {
		t.Helper()
		e, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", StoragePath: dir, Log: quiet()}, workerDefinition(workFast, &workerProbe{}))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := serve()
	request := func(c *rivet.Client, key string) <-chan error {
		reply := make(chan error, 1)
		go func() {
			_, err := inbox.Request(t.Context(), workerAt(c, key), "hello")
			reply <- err
		}()
		waitUntil(t, "the message", func() bool {
			w, err := workerAt(c, key).Why(t.Context())
			return err == nil && w.Queue != nil && w.Queue.Ready == 1
		})
		return reply
	}
	gone := request(e.Client(), "destroyed")
	if err := workerAt(e.Client(), "destroyed").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; !rivet.Is(err, "queue", "completion_waiter_dropped") {
		t.Errorf("the actor was destroyed: %v", err)
	}
	if _, err := workers.Get(e.Client(), rivet.Key{"destroyed"}).Resolve(t.Context()); !rivet.Is(err, "actor", "not_found") {
		t.Errorf("the wait made a new actor: %v", err)
	}
	outside, err := rivet.NewClient(e.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	ended := request(outside, "ended")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the server ended, and the sender heard of a reply")
	}
	e = serve()
	defer e.Close()
	for _, want := range []string{"hello", "nothing"} {
		if got, err := takeOne.Call(t.Context(), workerAt(e.Client(), "ended"), ""); err != nil || got != want {
			t.Errorf("took %q, %v; want %q", got, err, want)
		}
	}
}
