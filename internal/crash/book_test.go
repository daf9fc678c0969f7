package crash

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
)

// place is where something happens: a worker, and the id under which it notes it.
type place struct{ key, id string }

func (p place) String() string { return p.key + " " + p.id }

// claim is what callers know of one thing that is to happen.
type claim struct {
	life     int   // the server's life in which it was asked for
	promised bool  // acknowledged: it must happen in the end
	settled  bool  // it had happened when it was acknowledged
	refused  bool  // it must never happen
	mortal   bool  // it is a message, and may become a dead letter instead
	reply    int64 // the number that its effect had, as somebody was told; 0: nobody was

	seen, dead bool // as the worker told last
}

// over reports whether nothing more is to come of it.
func (c *claim) over() bool { return c.seen || c.dead }

// book is what callers know of the workers. Safe for concurrent use.
type book struct {
	mu      sync.Mutex // guards all below
	claims  map[string]map[string]*claim
	replies map[string]map[int64]string // by worker and number: whose effect it was
	bonds   [][2]place                  // one turn makes both happen, or neither
	pulsing map[string]string           // workers with an acknowledged recurring schedule, and who hears of its times
	unsure  []keyed                     // sends with an idempotency key whose answer was lost
	wrong   []string                    // answers that should not have come

	messages, schedules, posts int // acknowledged
}

func newBook() *book {
	return &book{claims: map[string]map[string]*claim{}, replies: map[string]map[int64]string{}, pulsing: map[string]string{}}
}

func (b *book) claim(p place) *claim {
	of := b.claims[p.key]
	if of == nil {
		of = map[string]*claim{}
		b.claims[p.key] = of
	}
	c := of[p.id]
	if c == nil {
		c = &claim{}
		of[p.id] = c
	}
	return c
}

// ask notes, before it is asked for, a chain of things each of which brings the next about.
func (b *book) ask(life int, chain ...place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, p := range chain {
		b.claim(p).life = life
		if i > 0 {
			b.bonds = append(b.bonds, [2]place{chain[i-1], p})
		}
	}
}

// refuse notes that things must never happen.
func (b *book) refuse(chain ...place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range chain {
		b.claim(p).refused = true
	}
}

// message notes that a thing is a message, and may die.
func (b *book) message(p place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claim(p).mortal = true
}

// promise notes an acknowledgement: the whole chain will happen, and the first of it has when settled.
func (b *book) promise(settled bool, chain ...place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range chain {
		b.claim(p).promised = true
	}
	if settled {
		b.claim(chain[0]).settled = true
	}
}

// answer notes the number that came in reply for an effect.
func (b *book) answer(p place, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.claim(p)
	of := b.replies[p.key]
	if of == nil {
		of = map[int64]string{}
		b.replies[p.key] = of
	}
	switch other := of[n]; {
	case c.reply != 0 && c.reply != n:
		b.wrong = append(b.wrong, fmt.Sprintf("%v: the reply is %d, before it was %d", p, n, c.reply))
	case other != "" && other != p.id:
		b.wrong = append(b.wrong, fmt.Sprintf("%v: the reply is %d, which is that of %s", p, n, other))
	}
	c.reply, of[n] = n, p.id
}

// add counts what was acknowledged.
func (b *book) add(messages, schedules, posts int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages += messages
	b.schedules += schedules
	b.posts += posts
}

// complain notes an answer that should not have come.
func (b *book) complain(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, err.Error())
}

func (b *book) complaints() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d answers that should not have come, the first: %s", len(b.wrong), b.wrong[0])
}

// pulse notes an acknowledged recurring schedule.
func (b *book) pulse(key, collector string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.pulsing[key]; !known {
		b.schedules++
	}
	b.pulsing[key] = collector
}

// keep remembers a send to be repeated, takeKept hands one out.
func (b *book) keep(k keyed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsure = append(b.unsure, k)
}

func (b *book) takeKept() (k keyed, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.unsure) == 0 {
		return k, false
	}
	k, b.unsure = b.unsure[0], b.unsure[1:]
	return k, true
}

// keys lists the workers that fit.
func (b *book) keys(fits func(key string) bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for k := range b.claims {
		if fits(k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// report is what a worker tells, see victim.Report.
type report struct {
	Effects int
	Sum     uint32
	Last    string
	KVLast  string
	SQL     string
	Noted   map[string]int64
	Dead    []json.RawMessage
	Refused int
	Planned int
	Pulses  bool
}

// isPulse recognises the effects of recurring schedules, whose ids come from the time.
func isPulse(id string) bool { return strings.HasPrefix(id, "e:") || strings.HasPrefix(id, "p:e:") }

// check holds what a worker tells against the book. It finds what is wrong at any time; see open for what is missing.
func (b *book) check(key string, r *report) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := uint32(0)
	for id, n := range r.Noted {
		h := fnv.New32a()
		h.Write([]byte(id))
		sum += h.Sum32()
		c := b.claims[key][id]
		switch {
		case n != 1:
			return fmt.Errorf("worker %s: %s happened %d times", key, id, n)
		case c == nil && !isPulse(id):
			return fmt.Errorf("worker %s: %s happened, and nobody asked for it", key, id)
		case c == nil:
			c = b.claim(place{key, id})
			c.settled = true
		case c.refused:
			return fmt.Errorf("worker %s: %s happened, though its turn failed", key, id)
		case c.dead:
			return fmt.Errorf("worker %s: %s happened, though it is a dead letter", key, id)
		}
		c.seen = true
	}
	if r.Effects != len(r.Noted) || r.Sum != sum || r.Last != r.KVLast {
		return fmt.Errorf("worker %s: state and store disagree: %d effects, sum %x, last %q; %d, %x, %q", key, r.Effects, r.Sum, r.Last, len(r.Noted), sum, r.KVLast)
	}
	if r.SQL != "" {
		return fmt.Errorf("worker %s: %s", key, r.SQL)
	}
	dead := map[string]bool{}
	for _, text := range r.Dead {
		var j job
		if err := json.Unmarshal(text, &j); err != nil {
			return fmt.Errorf("worker %s: dead letter %s: %w", key, text, err)
		}
		id := "m:" + j.ID
		c := b.claims[key][id]
		switch {
		case c == nil || !c.mortal:
			return fmt.Errorf("worker %s: %s is a dead letter, and nobody sent it", key, id)
		case c.seen || dead[id]:
			return fmt.Errorf("worker %s: %s is a dead letter, though it happened, or is one twice", key, id)
		}
		c.dead, dead[id] = true, true
	}
	if r.Refused > 0 {
		return fmt.Errorf("worker %s: %d of its posts were refused", key, r.Refused)
	}
	for id, c := range b.claims[key] {
		switch {
		case c.seen && r.Noted[id] == 0, c.dead && !dead[id], c.settled && !c.over():
			return fmt.Errorf("worker %s: %s is gone, though somebody was told of it: 1 lost", key, id)
		case c.reply > int64(r.Effects):
			return fmt.Errorf("worker %s: %s had number %d, but there are %d effects", key, id, c.reply, r.Effects)
		}
	}
	return nil
}

// doomed is what will not happen because a message before it died, by what workers told last.
func (b *book) doomed() map[place]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deaths()
}

// deaths is doomed for a caller that holds mu.
func (b *book) deaths() map[place]bool {
	dead := map[place]bool{}
	for _, bond := range b.bonds { // a chain's bonds are in order
		if b.claim(bond[0]).dead || dead[bond[0]] {
			dead[bond[1]] = true
		}
	}
	return dead
}

// open lists what workers that fit still owe, by what they told last.
func (b *book) open(fits func(key string) bool) []place {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []place
	dead := b.deaths()
	for _, bond := range b.bonds {
		first, then := b.claim(bond[0]), b.claim(bond[1])
		if !dead[bond[1]] && first.seen != then.seen && fits(bond[0].key) && fits(bond[1].key) {
			out = append(out, bond[1])
		}
	}
	for key, claims := range b.claims {
		if !fits(key) {
			continue
		}
		for id, c := range claims {
			if c.promised && !c.over() && !dead[place{key, id}] {
				out = append(out, place{key, id})
			}
		}
	}
	for key, collector := range b.pulsing {
		heard := false
		for id, c := range b.claims[collector] {
			heard = heard || c.seen && strings.HasPrefix(id, "p:e:"+key+"/")
		}
		if !heard && fits(collector) {
			out = append(out, place{collector, "p:e:" + key})
		}
	}
	return out
}

// heardOf checks that what collectors heard of recurring schedules happened.
func (b *book) heardOf() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, collector := range b.pulsing {
		for id := range b.claims[collector] {
			if at, ok := strings.CutPrefix(id, "p:"); ok && strings.HasPrefix(at, "e:"+key+"/") {
				if c := b.claims[key][at]; c == nil || !c.seen {
					return fmt.Errorf("worker %s: %s was told to %s and did not happen", key, at, collector)
				}
			}
		}
	}
	return nil
}

// died counts the dead letters.
func (b *book) died() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, claims := range b.claims {
		for _, c := range claims {
			if c.dead {
				n++
			}
		}
	}
	return n
}
