package host

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rivetgo/rivet/internal/queue"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// DeadLetter is a message that failed for good.
type DeadLetter struct {
	ID uint64
	queue.Dead
}

// DeadLetters lists at most limit dead letters, oldest number first, with what the call's own turn changed.
func (c *Call) DeadLetters(ctx context.Context, limit int) (out []DeadLetter, err error) {
	read := func(t *turn) error {
		err := c.actor.each(ctx, record.KindDead, func(id uint64, payload []byte) error {
			if _, gone := t.stage.get(deadKey(id)); gone || len(out) >= limit {
				return nil
			}
			d, err := queue.DecodeDead(slices.Clone(payload))
			out = append(out, DeadLetter{id, d})
			return err
		})
		if err != nil {
			return err
		}
		for k, v := range t.stage.puts { // what the turn itself gave up
			if record.Kind(k[0]) != record.KindDead || v == nil {
				continue
			}
			payload, err := record.Open(record.KindDead, v)
			if err != nil {
				return err
			}
			d, err := queue.DecodeDead(slices.Clone(payload))
			if err != nil {
				return err
			}
			out = append(out, DeadLetter{numberOf([]byte(k)), d})
		}
		slices.SortFunc(out, func(a, b DeadLetter) int { return cmp.Compare(a.ID, b.ID) })
		out = out[:min(len(out), max(limit, 0))]
		return nil
	}
	if t := c.inTurn(); t != nil && t.view {
		return out, read(t)
	}
	return out, c.change(read)
}

// Replay puts a dead letter back into its queue with a new number and no attempts; one that was meant for another actor
// is sent again. It is part of the call's turn.
func (c *Call) Replay(ctx context.Context, id uint64) error {
	a := c.actor
	return c.change(func(t *turn) error {
		s := &t.stage
		dead, err := a.deadLetter(ctx, s, id)
		if err != nil {
			return err
		}
		s.delete(deadKey(id))
		a.count(s, func(c *queue.Counters) { c.Dead-- })
		now := time.Now()
		if len(dead.Target) > 0 {
			to, err := queue.DecodeTarget(dead.Target)
			if err != nil {
				return err
			}
			out := queue.Outgoing{Target: dead.Target, Queue: dead.Name, Body: dead.Body, SentAt: unixMilli(now)}
			return a.post(t, to, out, out.Append([]byte{record.Version}))
		}
		msg := dead.Message
		msg.SentAt, msg.ReadyAt, msg.Waited = unixMilli(now), 0, false
		it, err := a.admit(s, msg, now)
		if err != nil {
			return err
		}
		if msg.Key != "" {
			rc := queue.Receipt{ID: it.ID, Name: msg.Name, At: msg.SentAt}
			s.put(receiptKey(msg.Key), rc.Append([]byte{record.Version}))
		}
		return nil
	})
}

// DropDeadLetter removes a dead letter for good, as part of the call's turn.
func (c *Call) DropDeadLetter(ctx context.Context, id uint64) error {
	a := c.actor
	return c.change(func(t *turn) error {
		if _, err := a.deadLetter(ctx, &t.stage, id); err != nil {
			return err
		}
		t.stage.delete(deadKey(id))
		a.count(&t.stage, func(c *queue.Counters) { c.Dead-- })
		return nil
	})
}

func (a *Actor) deadLetter(ctx context.Context, s *stage, id uint64) (*queue.Dead, error) {
	payload, ok, err := a.staged(ctx, s, deadKey(id))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New("queue", "dead_letter_not_found", "There is no dead letter with this number: it was replayed or dropped.")
	}
	d, err := queue.DecodeDead(slices.Clone(payload))
	return &d, err
}
