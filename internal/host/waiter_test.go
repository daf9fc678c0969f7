package host

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Random senders and receivers: every message is received once, whoever waits for what, and nobody waits beside a message
// that it would take.
func TestG5_every_message_finds_a_receiver(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			r := newRand(seed)
			s := scripted(spec())
			s.Options.MaxQueueSize, s.Options.SleepAfter, s.Options.QueueMaxAttempts = 10_000, time.Hour, 100
			s.Options.QueueLease, s.Options.QueueRetryDelay = 100*time.Millisecond, 10*time.Millisecond
			names := []string{"a", "b", "c"}
			s.Queues = map[string]*Queue{}
			for _, n := range names {
				s.Queues[n] = &Queue{}
			}
			l := start(t, s, newDisk())
			var mu sync.Mutex
			received := map[string]int{}
			var all []*caller
			for range 6 {
				want := Take{Max: 1 + r.IntN(3)}
				if r.IntN(3) > 0 {
					want.Names = names[r.IntN(3):]
				}
				if r.IntN(2) == 0 {
					want.Fits = func(_ string, b []byte) bool { return b[len(b)-1]%2 == 0 }
				}
				moves := make([]int, 1000)
				for i := range moves {
					moves[i] = r.IntN(10)
				}
				all = append(all, l.script("concurrent", func(c *Call, _ *tally) ([]byte, error) {
					c.KeepAwake("", func(c *Call) error {
						for i := 0; ; i++ {
							got, err := c.WaitTake(c, want)
							if err != nil {
								return nil
							}
							for _, d := range got {
								switch moves[i%len(moves)] {
								case 0:
									err = c.Release(d)
								case 1:
									err = c.Fail(d, errBroken)
								case 2:
									continue // forgotten: the lease will be over
								default:
									if err = c.Complete(d, nil); err == nil {
										mu.Lock()
										received[string(d.Body)]++
										mu.Unlock()
									}
								}
								if err != nil {
									t.Errorf("seed %d: %v", seed, err)
								}
							}
						}
					})
					return nil, nil
				}))
			}
			// One who takes all, so that none is left that fits nobody.
			sent := 0
			for range 60 {
				no(t, l.turn(func(c *Call, _ *tally) error {
					for range 1 + r.IntN(3) {
						delay := time.Duration(max(0, r.IntN(4)-2)) * 20 * time.Millisecond
						if _, err := c.Enqueue(c, names[r.IntN(3)], fmt.Append(nil, sent), "", delay); err != nil {
							return err
						}
						sent++
					}
					return nil
				}))
				time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				if r.IntN(5) == 0 { // a turn takes something and gives it back
					_ = l.turn(func(c *Call, _ *tally) error { _, _ = c.TryTake(c, Take{Max: 2}); return errBroken })
				}
			}
			no(t, (<-l.script("concurrent", func(c *Call, _ *tally) ([]byte, error) {
				c.KeepAwake("", func(c *Call) error {
					for {
						got, err := c.WaitTake(c, Take{})
						if err != nil {
							return nil
						}
						if err := c.Complete(got[0], nil); err != nil {
							t.Error(err)
						}
						mu.Lock()
						received[string(got[0].Body)]++
						mu.Unlock()
					}
				})
				return nil, nil
			}).ch).err)
			pass(10 * time.Minute)
			mu.Lock()
			if len(received) != sent {
				t.Errorf("seed %d: %d of %d messages were received", seed, len(received), sent)
			}
			for _, body := range slices.Sorted(maps.Keys(received)) {
				if received[body] != 1 {
					t.Errorf("seed %d: message %s was received %d times", seed, body, received[body])
				}
			}
			mu.Unlock()
			for _, c := range all {
				no(t, (<-c.ch).err)
			}
			l.end(false)
			if n := len(l.mailbox.waiters); n != 0 {
				t.Errorf("%d waiters remain", n)
			}
		})
	}
}
