package alarm

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// Store is what the clock needs of the store.
type Store interface {
	Alarms(ctx context.Context, q store.AlarmQuery) ([]store.Alarm, error)
	Actors(ctx context.Context, ids []id.ID) ([]store.Actor, error)
}

// Placement is what the clock needs of placement.
type Placement interface {
	// Awake reports whether the actor is awake, so that Clock.Left is called when it is not any more.
	Awake(actor id.ID) bool
	// Wake makes the actor run and returns when it does.
	Wake(ctx context.Context, actor id.ID) error
}

// Config tunes a Clock. The zero value is right for most uses.
type Config struct {
	// MaxWakes is how many actors are being woken at once. Default 64.
	MaxWakes int
	// WakeTimeout is how long one is waited for; the start itself goes on. Default 10 s.
	WakeTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause before an actor is woken again that did not start, or that fell asleep
	// with the alarm that it was woken for; it doubles from one to the other. Default 250 ms and 1 min.
	BackoffMin, BackoffMax time.Duration
	// Now is the wall clock; nil is time.Now.
	Now func() time.Time
	// Logger hears of actors that do not wake. Default slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.WakeTimeout, 10*time.Second)
	set(&c.BackoffMin, 250*time.Millisecond)
	set(&c.BackoffMax, time.Minute)
	if c.MaxWakes <= 0 {
		c.MaxWakes = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

const (
	recheck = 10 * time.Second // the wall clock is looked at this often at least, since it may have jumped
	reread  = time.Minute      // the window is read anew this often
	respite = time.Second      // the store is left alone for that long after an error
	maxLeft = 10_000           // actors that fell asleep and are not looked at yet
	askSize = 256              // actors looked at in one reading
)

// Clock wakes sleeping actors when their alarms are due. Create it with New; all methods may be called concurrently.
type Clock struct {
	store     Store
	placement Placement
	cfg       Config

	mu      sync.Mutex // guards left and missed; never held across a wait
	left    map[id.ID]struct{}
	missed  bool          // left was full: the window must be read anew
	nudge   chan struct{} // capacity 1: Left was called
	started bool          // guarded by mu
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup // the goroutine of run, and the wakes under way

	// The rest belongs to the goroutine of run.
	agenda   *agenda
	began    time.Time
	ask      []id.ID    // actors whose alarm must be looked at
	ended    chan id.ID // wakes that are over; has room for all
	underWay int
	rereadAt time.Duration
	quietTo  time.Duration // the store is not asked before
	troubled bool          // the last call of the store failed
}

// New returns a Clock that does nothing before Start.
func New(st Store, p Placement, cfg Config) *Clock {
	cfg = cfg.withDefaults()
	c := &Clock{
		store: st, placement: p, cfg: cfg,
		left: make(map[id.ID]struct{}), nudge: make(chan struct{}, 1), ended: make(chan id.ID, cfg.MaxWakes),
	}
	c.agenda = newAgenda(c.pause)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Start begins to wake actors, those that are overdue first. A second Start, and one after Close, does nothing.
func (c *Clock) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.ctx.Err() != nil {
		return
	}
	c.started = true
	c.began = time.Now()
	c.rereadAt = reread
	c.work.Go(c.run)
}

// Close stops waking actors. When it returns no wake is asked for any more; starts under way go on. Idempotent.
func (c *Clock) Close() {
	c.mu.Lock()
	c.cancel() // with the lock: no Start comes in between
	c.mu.Unlock()
	c.work.Wait()
}

// Left says that an actor is not awake any more: its alarm counts from now on. What it committed must be decided, durable
// or lost. It returns at once.
func (c *Clock) Left(actor id.ID) {
	c.mu.Lock()
	if len(c.left) < maxLeft {
		c.left[actor] = struct{}{}
	} else {
		c.missed = true
	}
	c.mu.Unlock()
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// pause doubles from BackoffMin to BackoffMax with the number of failures, less up to a quarter at random.
func (c *Clock) pause(failures int) time.Duration {
	d := c.cfg.BackoffMin
	for i := 1; i < failures && d < c.cfg.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, c.cfg.BackoffMax)
	return d - rand.N(d/4+1)
}

func (c *Clock) now() moment { return moment{wall: c.cfg.Now(), up: time.Since(c.began)} }

// run ends with Close.
func (c *Clock) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for c.ctx.Err() == nil {
		c.news()
		more := c.readStore()
		c.wakeDue()
		if more {
			continue
		}
		timer.Reset(c.idle())
		select {
		case <-timer.C:
		case <-c.nudge:
		case actor := <-c.ended:
			c.finish(actor)
		case <-c.ctx.Done():
		}
	}
}

// idle is how long there is nothing to do unless there is news.
func (c *Clock) idle() time.Duration {
	now, limit := c.now(), recheck
	if c.troubled {
		limit = min(limit, max(c.quietTo-now.up, 0))
	}
	if c.underWay >= c.cfg.MaxWakes {
		return limit // whatever is due waits for a wake to end
	}
	return c.agenda.wait(now, limit)
}

// finish notes that a wake is over.
func (c *Clock) finish(actor id.ID) {
	c.underWay--
	c.agenda.finished(actor)
	c.ask = append(c.ask, actor)
}

// news collects the actors that must be looked at: those whose wake is over, and those that fell asleep.
func (c *Clock) news() {
	for more := true; more; {
		select {
		case actor := <-c.ended:
			c.finish(actor)
		default:
			more = false
		}
	}
	c.mu.Lock()
	if len(c.ask) < askSize { // else c.left keeps them, within its bound
		for actor := range c.left {
			c.ask = append(c.ask, actor)
		}
		clear(c.left)
	}
	missed := c.missed
	c.missed = false
	c.mu.Unlock()
	if now := c.now(); missed || now.up >= c.rereadAt && c.agenda.caughtUp(now) {
		c.rereadAt = now.up + reread
		c.ask = append(c.ask, c.agenda.fallen(c.placement.Awake)...)
		c.agenda.restart()
	}
}

// readStore looks at some of the actors to ask for, and reads a page of the window. It reports whether there is more to
// read at once.
func (c *Clock) readStore() (more bool) {
	now := c.now()
	if c.troubled && now.up < c.quietTo {
		c.ask = c.ask[:0] // the window is read anew afterwards: they are found then
		return false
	}
	if err := c.readActors(); err != nil {
		c.trouble(err)
		return false
	}
	if q, ok := c.agenda.more(now); ok {
		rows, err := c.store.Alarms(c.ctx, q)
		if err != nil {
			c.trouble(err)
			return false
		}
		c.agenda.page(q, rows)
		for _, a := range rows {
			if !c.placement.Awake(a.Actor) {
				c.agenda.found(a, now)
			}
		}
		_, more = c.agenda.more(now)
	}
	c.troubled = false
	return more || len(c.ask) > 0
}

// readActors tells the agenda about some of the actors that may have fallen asleep.
func (c *Clock) readActors() error {
	n := min(len(c.ask), askSize)
	batch := make([]id.ID, 0, n)
	for _, actor := range c.ask[:n] {
		if !c.agenda.busy(actor) && !c.placement.Awake(actor) {
			batch = append(batch, actor)
		}
	}
	c.ask = c.ask[:copy(c.ask, c.ask[n:])]
	if len(batch) == 0 {
		return nil
	}
	rows, err := c.store.Actors(c.ctx, batch)
	if err != nil {
		return err
	}
	now := c.now()
	for _, actor := range batch {
		var at time.Time
		if len(rows) > 0 && rows[0].ID == actor { // rows come in the order asked for; one may be missing
			at, rows = rows[0].Alarm, rows[1:]
		}
		if at.IsZero() {
			c.agenda.none(actor)
		} else {
			c.agenda.found(store.Alarm{At: at, Actor: actor}, now)
		}
	}
	return nil
}

// trouble leaves the store alone for a while. What was to be read from it is read with the whole window then.
func (c *Clock) trouble(err error) {
	if c.ctx.Err() != nil {
		return
	}
	if !c.troubled {
		c.cfg.Logger.Warn("alarms cannot be read; trying again until they can", "error", err)
	}
	c.troubled = true
	c.quietTo = c.now().up + respite
	c.ask = c.ask[:0]
	c.agenda.restart()
}

// wakeDue has actors woken that are due, as many as may be.
func (c *Clock) wakeDue() {
	for c.underWay < c.cfg.MaxWakes {
		a, ok := c.agenda.next(c.now())
		if !ok {
			return
		}
		if c.placement.Awake(a.Actor) {
			c.agenda.skip(a.Actor)
			continue
		}
		c.underWay++
		failures := c.agenda.failures(a.Actor)
		c.work.Go(func() { // ends with the wake, WakeTimeout or Close
			c.wake(a, failures)
			c.ended <- a.Actor
		})
	}
}

func (c *Clock) wake(a store.Alarm, failures int) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.WakeTimeout)
	defer cancel()
	err := c.placement.Wake(ctx, a.Actor)
	if err == nil || c.ctx.Err() != nil {
		return
	}
	level := slog.LevelDebug
	if failures == 0 {
		level = slog.LevelWarn // once for each alarm; every failed start has its own line
	}
	c.cfg.Logger.Log(c.ctx, level, "actor did not wake for its alarm; trying again", "actor", a.Actor, "alarm", a.At, "failures", failures+1, "error", err)
}
