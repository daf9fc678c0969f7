package runner

import (
	"context"
	"fmt"
	"slices"

	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

// request is a question to the engine that was not answered yet.
type request struct {
	id     uint32
	make   func(id uint32) runnerproto.ToRivet
	answer chan answer // capacity 1
	again  bool        // it was sent more than once: the first may have been carried out
}

type answer struct {
	message runnerproto.ToEnvoy
	failure *runnerproto.SQLiteError
	again   bool
}

// ask asks the engine and waits for its answer, over reconnects too. ctx ends the wait, not what the engine does.
func (r *Runner) ask(ctx context.Context, build func(id uint32) runnerproto.ToRivet) (answer, error) {
	q := &request{make: build, answer: make(chan answer, 1)}
	r.mu.Lock()
	q.id = r.nextID
	r.nextID++
	r.requests[q.id] = q
	if r.line != nil {
		r.line.send(build(q.id))
	}
	r.mu.Unlock()
	select {
	case a := <-q.answer:
		return a, nil
	case <-ctx.Done():
		r.mu.Lock()
		delete(r.requests, q.id)
		r.mu.Unlock()
		return answer{}, fmt.Errorf("the engine did not answer: %w", context.Cause(ctx))
	}
}

// askFor asks for a message of kind T. It is the zero T when the answer is a failure.
func askFor[T runnerproto.ToEnvoy](ctx context.Context, r *Runner, build func(id uint32) runnerproto.ToRivet) (m T, a answer, err error) {
	if a, err = r.ask(ctx, build); err != nil || a.failure != nil {
		return m, a, err
	}
	m, ok := a.message.(T)
	if !ok {
		return m, a, fmt.Errorf("the engine answered a %T with a %T", build(0), a.message)
	}
	return m, a, nil
}

// answered hands an answer to whoever asked.
func (r *Runner) answered(id uint32, m runnerproto.ToEnvoy, failure *runnerproto.SQLiteError) {
	r.mu.Lock()
	q := r.requests[id]
	delete(r.requests, id)
	r.mu.Unlock()
	if q != nil { // else nobody waits any more
		q.answer <- answer{m, failure, q.again}
	}
}

// resendRequests asks again what was not answered, in the order in which it was asked first. The caller holds mu.
func (r *Runner) resendRequests(l *line) {
	ids := make([]uint32, 0, len(r.requests))
	for id := range r.requests {
		ids = append(ids, id)
	}
	// Numbers may have begun anew after the last: those far behind come after those far ahead.
	slices.SortFunc(ids, func(a, b uint32) int { return int(int32(a - b)) })
	for _, id := range ids {
		q := r.requests[id]
		q.again = true
		l.send(q.make(id))
	}
}
