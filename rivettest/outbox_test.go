package rivettest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/rivettest"
)

// A postman sends numbers to boxes, with its turns; a box remembers what it received.
type (
	postman struct{}
	box     struct{}
	letter  struct {
		To   string
		By   string // how the box is named: "key", "get" or an id
		N    int
		Fail bool
	}
	sent     struct{ Turns []int }
	received struct{ Numbers []int }
)

var (
	postmen = rivet.NewActor[postman]("postman")
	send    = rivet.NewAction[letter, rivet.None](postmen, "send")
	turns   = rivet.NewAction[rivet.None, []int](postmen, "turns")
	lost    = rivet.NewAction[rivet.None, []string](postmen, "lost")

	boxes   = rivet.NewActor[box]("box")
	slot    = rivet.NewQueue[int, rivet.None](boxes, "slot")
	other   = rivet.NewQueue[int, rivet.None](rivet.NewActor[box]("box"), "other") // which boxes do not have
	numbers = rivet.NewAction[rivet.None, []int](boxes, "numbers")
)

func postal() []actor.Definition {
	o := actor.Options{QueueRetryDelay: 10 * time.Millisecond, SleepAfter: time.Second}
	p := actor.Define(postmen, actor.Zero[postman, sent])
	p.Options = o
	actor.Handle(p, send, func(s *sent, c *actor.Ctx, l letter) (rivet.None, error) {
		var to rivet.Handle[box]
		switch l.By {
		case "key":
			to = boxes.GetOrCreate(c.Client(), rivet.Key{l.To}, box{})
		case "get":
			to = boxes.Get(c.Client(), rivet.Key{l.To})
		default:
			to = boxes.ByID(c.Client(), l.By)
		}
		q := slot
		if l.To == "unknown queue" {
			q = other
		}
		s.Turns = append(s.Turns, l.N)
		if err := actor.Post(c, to, q, l.N); err != nil {
			return rivet.None{}, err
		}
		if l.Fail {
			return rivet.None{}, errors.New("the turn fails")
		}
		return rivet.None{}, nil
	})
	actor.View(p, turns, func(s *sent, _ *actor.Ctx, _ rivet.None) ([]int, error) { return s.Turns, nil })
	actor.Handle(p, lost, func(_ *sent, c *actor.Ctx, _ rivet.None) (out []string, err error) {
		dead, err := actor.DeadLetters(c, 100)
		for _, d := range dead {
			out = append(out, fmt.Sprint(d.Queue, " ", d.Err.Code, " ", d.Outgoing))
		}
		return out, err
	})
	b := actor.Define(boxes, actor.Zero[box, received])
	b.Options = o
	actor.HandleQueue(b, slot, func(s *received, _ *actor.Ctx, m *actor.Message[int, rivet.None]) (rivet.None, error) {
		s.Numbers = append(s.Numbers, m.Body)
		return rivet.None{}, nil
	})
	actor.View(b, numbers, func(s *received, _ *actor.Ctx, _ rivet.None) ([]int, error) { return s.Numbers, nil })
	return []actor.Definition{p, b}
}

// Whatever crashes, fails or sleeps, and when: every message of a turn that is stored arrives once and in order, and none of a
// turn that failed.
func TestG5_posts_arrive_exactly_once(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deliver(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func deliver(t *testing.T, r *rand.Rand) {
	app := rivettest.Start(t, postal()...)
	from := postmen.GetOrCreate(app.Client(), rivet.Key{"from"}, postman{})
	to := boxes.GetOrCreate(app.Client(), rivet.Key{"to"}, box{})
	if _, err := turns.Call(t.Context(), from, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	if _, err := numbers.Call(t.Context(), to, rivet.None{}); err != nil {
		t.Fatal(err)
	}
	for n := range 40 {
		app.Faults().Clear()
		switch r.IntN(8) {
		case 0:
			app.Faults().FailCommits(1+r.IntN(2), nil)
		case 1:
			app.Faults().FailAcknowledgements(1+r.IntN(2), nil)
		case 2:
			app.Faults().DelayCommits(time.Duration(1+r.IntN(20)) * time.Millisecond)
		}
		l := letter{To: "to", By: []string{"key", "get"}[r.IntN(2)], N: n, Fail: n%7 == 3}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = send.Call(t.Context(), from, l)
		}()
		app.Advance(time.Duration(r.IntN(30)) * time.Millisecond)
		switch r.IntN(8) {
		case 0:
			app.Crash()
		case 1:
			app.CrashFor(time.Duration(r.IntN(2000)) * time.Millisecond)
		case 2:
			app.Faults().HoldCommits()
			app.Advance(time.Duration(r.IntN(50)) * time.Millisecond)
			app.Crash()
		case 3:
			app.Restart()
		case 4:
			app.Faults().Clear()
			app.Sleep([]rivettest.Target{from, to}[r.IntN(2)])
		}
		<-done
	}
	app.Faults().Clear()
	app.Advance(10 * time.Minute)
	want, err := turns.Call(t.Context(), from, rivet.None{})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(want, func(n int) bool { return n%7 == 3 }) || len(want) < 10 {
		t.Errorf("turns that succeeded: %v", want)
	}
	if got, err := numbers.Call(t.Context(), to, rivet.None{}); err != nil || !slices.Equal(got, want) {
		t.Errorf("received %v, %v; want %v", got, err, want)
	}
	if got, err := lost.Call(t.Context(), from, rivet.None{}); err != nil || len(got) != 0 {
		t.Errorf("dead letters %q, %v", got, err)
	}
}

// What a receiver refuses for good is among the sender's dead letters.
func TestG5_posts_that_are_refused_are_kept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, postal()...)
		from := postmen.GetOrCreate(app.Client(), rivet.Key{"from"}, postman{})
		for n, l := range []letter{{To: "unknown queue", By: "key"}, {To: "nobody", By: "get"}} {
			l.N = n
			if _, err := send.Call(t.Context(), from, l); err != nil {
				t.Fatal(err)
			}
		}
		app.Advance(time.Minute)
		got, err := lost.Call(t.Context(), from, rivet.None{})
		slices.Sort(got)
		if want := []string{"other not_found true", "slot not_found true"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("dead letters %q, %v; want %q", got, err, want)
		}
	})
}

// A client cannot speak for an actor's outbox: what it says of that is ignored.
func TestG5_a_forged_sender_is_ignored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, postal()...)
		from := postmen.GetOrCreate(app.Client(), rivet.Key{"from"}, postman{})
		to := boxes.GetOrCreate(app.Client(), rivet.Key{"to"}, box{})
		sender, err := from.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id, err := to.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DialContext: app.Dial}
		defer transport.CloseIdleConnections()
		for range 2 { // with the header in force the second would be taken for a repetition, and so would what follows
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, rivettest.URL+"/gateway/"+id+"/queue/slot", strings.NewReader(`{"body":7}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("x-rivet-encoding", "json")
			req.Header["x-rivet-outbox"] = []string{sender + "/1000"}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Fatalf("status %s", res.Status)
			}
		}
		if _, err := send.Call(t.Context(), from, letter{To: "to", By: "key", N: 8}); err != nil {
			t.Fatal(err)
		}
		app.Advance(time.Second)
		if got, err := numbers.Call(t.Context(), to, rivet.None{}); err != nil || !slices.Equal(got, []int{7, 7, 8}) {
			t.Errorf("received %v, %v", got, err)
		}
	})
}
