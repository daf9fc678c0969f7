package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

var (
	kills = flag.Int("kills", 20, "how often the server is killed")
	seed  = flag.Uint64("seed", 0, "seed of the moments; 0 takes one from the clock")
)

const (
	writers   = 6 // callers that increment
	oldActors = 6 // counters that live through the whole test
	patience  = time.Minute
)

// TestG2_acknowledged_means_durable kills the server again and again.
func TestG2_acknowledged_means_durable(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	rnd := rand.New(rand.NewPCG(*seed, 0))
	s, l, b := newServer(t), newLedger(), newBook()
	var slowest time.Duration
	for life := range *kills + 1 {
		took := s.start()
		slowest = max(slowest, took)
		fail := func(err error) {
			if err != nil {
				t.Fatalf("life %d, seed %d: %v\n%s", life, *seed, err, s.log)
			}
		}
		if life == *kills {
			fail(quiet(t.Context(), s, b))
		}
		// After each kill what it may have hit, and from time to time, and at the end, everything that ever was.
		since := life - 2
		if life%25 == 0 || life == *kills {
			since = 0
		}
		fail(checkCounters(t.Context(), s, l, since))
		if life == *kills {
			break
		}
		fail(checkWorkers(t.Context(), s, b, b.keys(groupOf(life-1).includes)))
		ctx, stop := context.WithCancel(t.Context())
		var load sync.WaitGroup
		for w := range writers {
			load.Go(func() { write(ctx, s, l, life, w) })
		}
		for n := range clients {
			c := &client{s: s, b: b, life: life, number: n, rnd: rand.New(rand.NewPCG(*seed, uint64(1+life*clients+n)))}
			load.Go(func() { c.run(ctx) })
		}
		for k := range 2 {
			load.Go(func() { listen(ctx, s, l, oldKey(k)) })
		}
		// The moment of the kill is what the test is about: any time between "just begun" and "warm".
		wait := time.NewTimer(time.Duration(1+rnd.IntN(150)) * time.Millisecond)
		<-wait.C
		s.kill()
		stop()
		load.Wait()
		fail(b.complaints())
	}
	s.kill()
	fmt.Fprintf(os.Stderr, "crash loop: kills=%d acknowledged=%d actors=%d messages=%d dead=%d schedules=%d posts=%d slowest_start=%s lost=0\n", *kills,
		l.acknowledged(), len(l.keys(0))+len(b.keys(everybody)), b.messages, b.died(), b.schedules, b.posts, slowest.Round(time.Millisecond))
	if least := min(l.acknowledged(), b.messages, b.schedules, b.posts); least < *kills/2 {
		t.Errorf("only %d of something was acknowledged over %d lives: the load never got going", least, *kills)
	}
}

func checkCounters(ctx context.Context, s *server, l *ledger, since int) error {
	for _, key := range l.keys(since) {
		n, err := s.call(ctx, key, "getCount", nil)
		if err != nil {
			return fmt.Errorf("reading %s: %w", key, err)
		}
		if err := l.check(key, n); err != nil {
			return err
		}
	}
	return nil
}

func checkWorkers(ctx context.Context, s *server, b *book, keys []string) error {
	for _, key := range keys {
		r, err := s.report(ctx, key)
		if err != nil {
			return fmt.Errorf("reading worker %s: %w", key, err)
		}
		if err := b.check(key, r); err != nil {
			return err
		}
	}
	return nil
}

// quiet waits until everything that was acknowledged has happened.
//
// At first it asks the collectors only, who hear of everything in the end: the others must wake by themselves, for nobody
// calls them. What collectors never hear of are messages that kills made dead letters, which only their workers can tell:
// what is missing when time is up must follow from one of those. That it came after all does not count, since being asked
// wakes a worker.
func quiet(ctx context.Context, s *server, b *book) error {
	end := time.Now().Add(patience)
	settle := func(who, witnesses func(key string) bool) error {
		for {
			if err := checkWorkers(ctx, s, b, b.keys(who)); err != nil {
				return err
			}
			open := b.open(who)
			if len(open) == 0 {
				return nil
			}
			if time.Now().After(end) {
				if err := checkWorkers(ctx, s, b, b.keys(witnesses)); err != nil {
					return err
				}
				dead := b.doomed()
				for _, p := range open {
					if !dead[p] {
						return fmt.Errorf("after %v: %d lost, among them %v", patience, len(open), p)
					}
				}
				end = time.Now().Add(patience) // for what comes next
				return nil
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	if err := settle(isCollector, everybody); err != nil {
		return err
	}
	if err := settle(everybody, nobody); err != nil {
		return err
	}
	return b.heardOf()
}

func oldKey(i int) string { return fmt.Sprintf("old-%d", i) }

// write increments until the server is gone: most of the time actors that live on, sometimes a new one.
func write(ctx context.Context, s *server, l *ledger, life, worker int) {
	for i := 0; ctx.Err() == nil; i++ {
		key := oldKey((worker + i) % oldActors)
		if i%10 == 9 {
			key = fmt.Sprintf("new-%d-%d-%d", life, worker, i)
		}
		l.ask(key, life)
		n, err := s.call(ctx, key, "increment", 1)
		if err != nil {
			return // killed: whether it happened is unknown
		}
		l.ack(key, n)
	}
}

// listen notes every count that an event tells, until the server is gone.
func listen(ctx context.Context, s *server, l *ledger, key string) {
	url := fmt.Sprintf("ws://%s/gateway/counter/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=%s", s.addr, key)
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"rivet", "rivet_encoding.json"}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	type message struct {
		Body struct {
			Tag string `json:"tag"`
			Val any    `json:"val"`
		} `json:"body"`
	}
	subscribe := message{}
	subscribe.Body.Tag = "SubscriptionRequest"
	subscribe.Body.Val = map[string]any{"eventName": "count", "subscribe": true}
	if err := wsjson.Write(ctx, c, subscribe); err != nil {
		return
	}
	for {
		var m struct {
			Body struct {
				Tag string `json:"tag"`
				Val struct {
					Args []int64 `json:"args"`
				} `json:"val"`
			} `json:"body"`
		}
		if err := wsjson.Read(ctx, c, &m); err != nil {
			return
		}
		if m.Body.Tag == "Event" && len(m.Body.Val.Args) == 1 {
			l.tell(key, m.Body.Val.Args[0])
		}
	}
}

func nobody(string) bool { return false }
