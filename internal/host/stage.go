package host

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
)

// stage is what a turn changes besides the state: records on their way into its batch, what puts memory back should the
// turn fail, and what follows when it does not.
//
// What the turn changes in memory (queue, schedules) is changed at once and taken back on failure: everything it touches
// belongs to the turn, so nobody else sees it in between.
type stage struct {
	puts    map[string][]byte // sealed values by key; nil: the key is deleted
	size    int               // bytes of keys and values in puts
	spans   []record.Span     // deleted before the puts
	ending  []func() error    // run when the handler has succeeded, still staging
	undo    []func()          // run in reverse order when the turn fails
	applied []func()          // run when the turn's batch is on its way, still within the turn
}

// put stages a record; value is sealed already and belongs to the stage.
func (s *stage) put(key, value []byte) {
	if s.puts == nil {
		s.puts = make(map[string][]byte)
	}
	if old, ok := s.puts[string(key)]; ok {
		s.size -= len(key) + len(old)
	}
	s.size += len(key) + len(value)
	s.puts[string(key)] = value
}

// delete stages the removal of a record.
func (s *stage) delete(key []byte) { s.put(key, nil) }

// deleteSpan stages the removal of a range, and drops what the turn itself put there.
func (s *stage) deleteSpan(span record.Span) {
	maps.DeleteFunc(s.puts, func(k string, v []byte) bool {
		if !span.Contains([]byte(k)) {
			return false
		}
		s.size -= len(k) + len(v)
		return true
	})
	s.spans = append(s.spans, span)
}

// get looks a record up among what the turn changed: staged says that the turn decides, a nil value that it deleted it.
func (s *stage) get(key []byte) (value []byte, staged bool) {
	if v, ok := s.puts[string(key)]; ok {
		return v, true
	}
	for _, span := range s.spans {
		if span.Contains(key) {
			return nil, true
		}
	}
	return nil, false
}

// onEnding adds what the turn still stages when its handler has succeeded.
func (s *stage) onEnding(fn func() error) { s.ending = append(s.ending, fn) }

// onUndo adds what takes a change of memory back.
func (s *stage) onUndo(fn func()) { s.undo = append(s.undo, fn) }

// onApplied adds what follows a successful turn.
func (s *stage) onApplied(fn func()) { s.applied = append(s.applied, fn) }

// fill adds the staged records to a batch.
func (s *stage) fill(b *record.Batch) {
	b.DeleteSpans = append(b.DeleteSpans, s.spans...)
	for _, k := range slices.Sorted(maps.Keys(s.puts)) {
		if v := s.puts[k]; v != nil {
			b.Put([]byte(k), v)
		} else {
			b.Delete([]byte(k))
		}
	}
}

// revert takes back what the turn changed in memory.
func (s *stage) revert() {
	for _, fn := range slices.Backward(s.undo) {
		fn()
	}
	*s = stage{}
}

// apply runs what follows a successful turn.
func (s *stage) apply() {
	for _, fn := range s.applied {
		fn()
	}
}

var (
	errReadOnly = fault.New("actor", "read_only", "A handler bound with View cannot change anything: bind it with Handle.")
	errTurnOver = errors.New("the turn is over: a Ctx must not be used after its handler returned")
)

// change runs fn, which stages changes, within the turn that the call holds. Outside a turn fn is one turn of its own.
// Whatever fn touches belongs to the turn. fn must not call change.
func (c *Call) change(fn func(t *turn) error) error {
	t := c.inTurn()
	if t == nil {
		return c.actor.doTurn(c, &turn{late: errTimedOut, internal: true}, func(c *Call, _ State) error { return c.turn.change(fn) })
	}
	return t.change(func(t *turn) error {
		if err := fn(t); err != nil {
			return err
		}
		// What is too much to store must not fill the memory before that is found out (G7).
		if limit := c.actor.spec.Options.MaxTurnBytes; t.stage.size > limit {
			return turnTooLarge(t.stage.size, limit)
		}
		return nil
	})
}

func (t *turn) change(fn func(t *turn) error) error {
	t.stageMu.Lock()
	defer t.stageMu.Unlock()
	switch {
	case t.view:
		return errReadOnly
	case t.sealed:
		return errTurnOver
	}
	return fn(t)
}

// seal ends the staging of a turn whose handler succeeded: from here on its batch is what it is.
func (t *turn) seal() error {
	t.stageMu.Lock()
	defer t.stageMu.Unlock()
	for _, fn := range t.stage.ending {
		if err := fn(); err != nil {
			return err
		}
	}
	t.sealed = true
	return nil
}

// undo ends the staging of a turn that failed, and takes back what it changed in memory.
func (t *turn) undo() {
	t.stageMu.Lock()
	defer t.stageMu.Unlock()
	t.sealed = true
	t.stage.revert()
}

// load reads one record as the call sees it: with what its own turn staged. ok is false when there is none.
func (c *Call) load(ctx context.Context, key []byte) (payload []byte, ok bool, err error) {
	stored, ok, err := c.loadRaw(ctx, key)
	if err != nil || !ok {
		return nil, false, err
	}
	payload, err = record.Open(record.Kind(key[0]), stored)
	return payload, err == nil, err
}

// loadRaw is load with the version in front of the payload.
func (c *Call) loadRaw(ctx context.Context, key []byte) (stored []byte, ok bool, err error) {
	if t := c.inTurn(); t != nil {
		t.stageMu.Lock()
		v, staged := t.stage.get(key)
		t.stageMu.Unlock()
		if staged {
			return v, v != nil, nil
		}
	}
	return c.actor.readRaw(ctx, key)
}

// read reads one stored record, whether durable yet or not.
func (a *Actor) read(ctx context.Context, key []byte) (payload []byte, ok bool, err error) {
	stored, ok, err := a.readRaw(ctx, key)
	if err != nil || !ok {
		return nil, false, err
	}
	payload, err = record.Open(record.Kind(key[0]), stored)
	return payload, err == nil, err
}

func (a *Actor) readRaw(ctx context.Context, key []byte) (stored []byte, ok bool, err error) {
	stored, err = a.records.Get(ctx, key)
	if errors.Is(err, record.ErrNotFound) {
		return nil, false, nil
	}
	return stored, err == nil, err
}
