package runner

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/link"
	"github.com/rivetgo/rivet/internal/pagetree"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

const (
	// maxCommitPages is how many pages one commit request holds; more are staged.
	maxCommitPages = 320
	// Staged pages go in segments: each begins at a multiple of segmentAlign and spans segmentSpan numbers.
	segmentAlign = 64
	segmentSpan  = 320
	// maxAsked is how many pages one request reads.
	maxAsked = 512
)

// createdKey is the record of the runner's own: when the actor's storage was made.
var createdKey = []byte{0, 'c'}

// errEnded says that the life is over, so nothing is stored any more.
var errEnded = errors.New("the actor's life is over")

// fencedError says that somebody else writes to the actor's storage.
type fencedError struct{ cause error }

func (e *fencedError) Error() string {
	return "another life of the actor has its storage: " + e.cause.Error()
}
func (e *fencedError) Unwrap() error { return e.cause }

// records is an actor's storage at the engine. It implements link.Records.
type records struct {
	slot    *slot
	created time.Time
	alarm   int64 // when the life began

	turn chan struct{} // whoever put the token in has what follows
	tree *pagetree.Tree
	hot  []record.Record
	head *uint64 // number of the last commit; nil: none is known
	made bool    // the record of createdKey is there

	mu      sync.Mutex // guards all below
	failed  error
	waiting []func(error) // of batches that the tree has and no commit yet
	pumping bool
}

var _ link.Records = (*records)(nil)

// openRecords reads what the actor's storage has.
func openRecords(ctx context.Context, s *slot) (*records, error) {
	r := &records{slot: s, turn: make(chan struct{}, 1)}
	var err error
	if r.tree, err = pagetree.Open(ctx, (*pages)(r), pagetree.Options{}); err != nil {
		return nil, err
	}
	if r.hot, err = r.tree.Range(ctx, record.Span{From: []byte{1}, To: []byte{byte(record.HotEnd)}}, false, 1<<30); err != nil {
		return nil, err
	}
	switch v, err := r.tree.Get(ctx, createdKey); {
	case err == nil && len(v) == 8:
		r.created, r.made = time.UnixMilli(int64(binary.BigEndian.Uint64(v))), true
	case err != nil && !errors.Is(err, record.ErrNotFound):
		return nil, err
	default:
		r.created = time.Now().Truncate(time.Millisecond)
	}
	r.alarm = r.tree.Alarm()
	if input := s.start.Input; input != nil && !slices.ContainsFunc(r.hot, func(h record.Record) bool { return record.Kind(h.Key[0]) == record.KindInput }) {
		r.hot = append(r.hot, record.Record{Key: record.Key(record.KindInput), Value: record.Seal(input)})
	}
	return r, nil
}

// enter takes the storage for one caller.
func (r *records) enter(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.slot.ctx.Done():
		return fmt.Errorf("%w: %w", errEnded, context.Cause(r.slot.ctx))
	}
}

func (r *records) leave() { <-r.turn }

// Hot implements link.Records.
func (r *records) Hot() []record.Record {
	hot := r.hot
	r.hot = nil
	return hot
}

// Alarm implements link.Records.
func (r *records) Alarm() time.Time {
	if r.alarm == 0 {
		return time.Time{}
	}
	return time.UnixMilli(r.alarm)
}

// Get implements link.Records.
func (r *records) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	return r.tree.Get(ctx, key)
}

// Range implements link.Records.
func (r *records) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	return r.tree.Range(ctx, s, reverse, limit)
}

// View implements link.Records.
func (r *records) View(ctx context.Context) (link.View, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	return &view{r: r, view: r.tree.View()}, nil
}

// view is the records at one moment.
type view struct {
	r    *records
	view *pagetree.View
	once sync.Once
}

func (v *view) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := v.r.enter(ctx); err != nil {
		return nil, err
	}
	defer v.r.leave()
	return v.view.Get(ctx, key)
}

func (v *view) Range(ctx context.Context, s record.Span, reverse bool, limit int) ([]record.Record, error) {
	if err := v.r.enter(ctx); err != nil {
		return nil, err
	}
	defer v.r.leave()
	return v.view.Range(ctx, s, reverse, limit)
}

func (v *view) Close() error {
	v.once.Do(func() {
		v.r.turn <- struct{}{} // whoever has it gives it back soon: its reads end with the life
		v.view.Close()
		v.r.leave()
	})
	return nil
}

// Commit implements link.Records. It waits while the tree reads pages that the batch changes.
func (r *records) Commit(b *record.Batch, done func(error)) error {
	for _, p := range b.Puts {
		if len(p.Key) == 0 || p.Key[0] == 0 {
			return fmt.Errorf("runner: a record's key is empty or of kind 0")
		}
	}
	if err := r.enter(context.Background()); err != nil {
		return err
	}
	defer r.leave()
	r.mu.Lock()
	failed := r.failed
	r.mu.Unlock()
	if failed != nil {
		return failed
	}
	if !r.made {
		b.Put(createdKey, binary.BigEndian.AppendUint64(nil, uint64(r.created.UnixMilli())))
		r.made = true
	}
	if err := r.tree.Apply(r.slot.ctx, b); err != nil {
		if size := (*pagetree.SizeError)(nil); !errors.As(err, &size) {
			r.fail(err)
		}
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, done)
	if !r.pumping {
		r.pumping = true
		go r.pump() // ends when nothing waits
	}
	return nil
}

// fail ends the storage: batches that wait are told, and none is taken any more.
func (r *records) fail(err error) {
	r.mu.Lock()
	if r.failed == nil {
		r.failed = err
	}
	r.mu.Unlock()
}

// pump commits what gathers, one commit after the other.
func (r *records) pump() {
	for {
		r.turn <- struct{}{} // its holder's reads end with the life
		r.mu.Lock()
		batch, failed := r.waiting, r.failed
		r.waiting = nil
		if len(batch) == 0 {
			r.pumping = false
			r.mu.Unlock()
			r.leave()
			return
		}
		r.mu.Unlock()
		var taken []pagetree.Page
		var size uint32
		if failed == nil {
			taken, size, failed = r.tree.Take()
		}
		alarm, head := r.tree.Alarm(), r.head
		r.leave()
		if failed == nil && len(taken) > 0 {
			r.slot.alarmEarlier(alarm)
			head, failed = r.store(taken, size, head)
		}
		if failed == nil {
			r.turn <- struct{}{}
			r.head = head
			r.tree.Settled(taken)
			r.leave()
			r.slot.alarmStored(alarm)
		} else {
			r.fail(failed)
		}
		for _, done := range batch {
			done(failed)
		}
	}
}

// store makes one commit, and returns its number.
func (r *records) store(pages []pagetree.Page, size uint32, head *uint64) (*uint64, error) {
	dirty := make([]runnerproto.Page, len(pages))
	for i, p := range pages {
		dirty[i] = runnerproto.Page{Number: p.Number, Bytes: p.Bytes}
	}
	fence := runnerproto.Fence{Generation: r.generation(), Head: head}
	if len(dirty) > maxCommitPages {
		return r.stage(dirty, size, fence)
	}
	m, a, err := askFor[*runnerproto.CommitResponse](r.slot.ctx, r.slot.r, func(id uint32) runnerproto.ToRivet {
		return &runnerproto.CommitRequest{ID: id, Actor: r.slot.actor, Pages: dirty, Size: size, NowMS: time.Now().UnixMilli(), Fence: fence}
	})
	if err != nil {
		return nil, err
	}
	if a.failure != nil {
		return r.disputed(a, dirty, fence)
	}
	return r.after(m.Head, head), nil
}

// after is the number of a commit as the engine says it, or one more than the last.
func (r *records) after(said, head *uint64) *uint64 {
	if said == nil && head != nil {
		next := *head + 1
		return &next
	}
	return said
}

// stage makes a commit of more pages than one request holds.
func (r *records) stage(dirty []runnerproto.Page, size uint32, fence runnerproto.Fence) (*uint64, error) {
	s := r.slot
	if v := s.r.version(); v < 7 {
		return nil, fmt.Errorf("the engine's protocol %d cannot commit %d pages at once, the limit is %d: make smaller turns, or use an engine of version 2.3.12 or later", v, len(dirty), maxCommitPages)
	}
	begun, a, err := askFor[*runnerproto.StageBeginResponse](s.ctx, s.r, func(id uint32) runnerproto.ToRivet {
		return &runnerproto.StageBeginRequest{ID: id, Actor: s.actor, Fence: fence}
	})
	if err != nil {
		return nil, err
	}
	if a.failure != nil {
		return nil, engineError(a.failure)
	}
	txid := begun.Txid
	var segments []uint32
	for at := 0; at < len(dirty); {
		first := dirty[at].Number / segmentAlign * segmentAlign
		to := at
		for to < len(dirty) && dirty[to].Number < first+segmentSpan {
			to++
		}
		part := dirty[at:to]
		_, a, err := askFor[*runnerproto.StageSegmentResponse](s.ctx, s.r, func(id uint32) runnerproto.ToRivet {
			return &runnerproto.StageSegmentRequest{ID: id, Actor: s.actor, Generation: fence.Generation, Txid: txid, First: first, Pages: part}
		})
		if err != nil {
			return nil, err
		}
		if a.failure != nil {
			return nil, engineError(a.failure)
		}
		segments = append(segments, first)
		at = to
	}
	done, a, err := askFor[*runnerproto.StageFinalizeResponse](s.ctx, s.r, func(id uint32) runnerproto.ToRivet {
		return &runnerproto.StageFinalizeRequest{ID: id, Actor: s.actor, Generation: fence.Generation, Txid: txid, Size: size, NowMS: time.Now().UnixMilli(), Segments: segments}
	})
	if err != nil {
		return nil, err
	}
	if a.failure != nil {
		return r.disputed(a, dirty, fence)
	}
	return r.after(done.Head, fence.Head), nil
}

// disputed is called when a commit was refused. One that was asked for twice may have been carried out the first time: then
// the storage has its pages.
func (r *records) disputed(a answer, dirty []runnerproto.Page, fence runnerproto.Fence) (*uint64, error) {
	refused := engineError(a.failure)
	if !a.again {
		return nil, refused
	}
	numbers := make([]uint32, len(dirty))
	for i, p := range dirty {
		numbers[i] = p.Number
	}
	var head *uint64
	var found [][]byte
	for part := range slices.Chunk(numbers, maxAsked) {
		got, h, err := r.read(r.slot.ctx, part)
		if err != nil {
			return nil, errors.Join(refused, err)
		}
		if head != nil && (h == nil || *h != *head) {
			return nil, refused
		}
		found, head = append(found, got...), h
	}
	if head == nil || fence.Head != nil && *head != *fence.Head+1 || fence.Head == nil && *head != 1 {
		return nil, refused
	}
	for i, p := range dirty {
		if !bytes.Equal(found[i], p.Bytes) {
			return nil, refused
		}
	}
	return head, nil
}

// engineError makes an error of what the engine said.
func engineError(e *runnerproto.SQLiteError) error {
	switch {
	case e.Code == "head_fence_mismatch", e.Group == "core" && e.Message == "actor does not exist":
		return &fencedError{e}
	case e.Code == "quota_exceeded":
		return fmt.Errorf("the actor's storage at the engine is full: delete what is not needed: %w", e)
	}
	return e
}

func (r *records) generation() *uint64 {
	g := uint64(r.slot.generation)
	return &g
}

// version is the protocol version of the connection, or of the last guess while there is none.
func (r *Runner) version() uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.line == nil {
		return runnerproto.MaxVersion
	}
	return r.line.version
}

// read reads pages as they are at the last commit; nil for those that do not exist.
func (r *records) read(ctx context.Context, numbers []uint32) (pages [][]byte, head *uint64, err error) {
	m, a, err := askFor[*runnerproto.GetPagesResponse](ctx, r.slot.r, func(id uint32) runnerproto.ToRivet {
		return &runnerproto.GetPagesRequest{ID: id, Actor: r.slot.actor, Pages: numbers, Fence: runnerproto.Fence{Generation: r.generation()}}
	})
	if err != nil {
		return nil, nil, err
	}
	pages = make([][]byte, len(numbers))
	if f := a.failure; f != nil {
		if f.Group == "depot" && f.Code == "database_not_found" {
			return pages, nil, nil // a new actor
		}
		return nil, nil, engineError(f)
	}
	byNumber := make(map[uint32][]byte, len(m.Pages))
	for _, p := range m.Pages {
		byNumber[p.Number] = p.Bytes
	}
	for i, no := range numbers {
		pages[i] = byNumber[no]
	}
	return pages, m.Head, nil
}

// pages is the storage as the tree reads it.
type pages records

// Pages implements pagetree.Source.
func (p *pages) Pages(ctx context.Context, numbers []uint32) ([][]byte, error) {
	r := (*records)(p)
	both, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(r.slot.ctx, func() { stop(context.Cause(r.slot.ctx)) })()
	got, head, err := r.read(both, numbers)
	if err != nil {
		return nil, err
	}
	if r.tree == nil { // the first read, which says what the next commit follows
		r.head = head
	}
	return got, nil
}
