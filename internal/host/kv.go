package host

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/record"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Pair is one key and value of an actor's key-value store.
type Pair struct{ Key, Value []byte }

// kvKey is the record of a key; it keeps the order of keys.
func kvKey(key []byte) []byte { return record.Key(record.KindKV, key...) }

func (a *Actor) checkKV(key, val []byte) error {
	o := &a.spec.Options
	switch {
	case len(key) > o.MaxKVKeyBytes:
		return kvTooLarge("key", len(key), o.MaxKVKeyBytes, "Options.MaxKVKeyBytes")
	case len(val) > o.MaxKVValueBytes:
		return kvTooLarge("value", len(val), o.MaxKVValueBytes, "Options.MaxKVValueBytes")
	}
	return nil
}

func kvTooLarge(what string, size, limit int, knob string) *fault.Error {
	m := value.AppendMapHead(nil, 2)
	m = value.AppendInt(value.AppendText(m, "size"), int64(size))
	m = value.AppendInt(value.AppendText(m, "limit"), int64(limit))
	return fault.New("kv", what+"_too_large", fmt.Sprintf("KV %s too large (%d bytes). Limit is %d bytes: raise %s.", what, size, limit, knob)).With(m)
}

// KVGet reads one key, with what the call's own turn changed; ok is false when it is not there.
func (c *Call) KVGet(ctx context.Context, key []byte) (val []byte, ok bool, err error) {
	if err := c.actor.checkKV(key, nil); err != nil {
		return nil, false, err
	}
	return c.load(ctx, kvKey(key))
}

// KVPut writes pairs, all or none, as part of the call's turn; outside one it is a turn of its own.
func (c *Call) KVPut(pairs []Pair) error {
	for _, p := range pairs {
		if err := c.actor.checkKV(p.Key, p.Value); err != nil {
			return err
		}
	}
	return c.change(func(t *turn) error {
		for _, p := range pairs {
			t.stage.put(kvKey(p.Key), record.Seal(p.Value))
		}
		return nil
	})
}

// KVDelete removes keys, as KVPut writes.
func (c *Call) KVDelete(keys [][]byte) error {
	for _, k := range keys {
		if err := c.actor.checkKV(k, nil); err != nil {
			return err
		}
	}
	return c.change(func(t *turn) error {
		for _, k := range keys {
			t.stage.delete(kvKey(k))
		}
		return nil
	})
}

// KVDeleteRange removes the keys from start, included, to end, not included; an empty end means all that follow.
func (c *Call) KVDeleteRange(start, end []byte) error {
	if err := c.actor.checkRange(start, end); err != nil {
		return err
	}
	if len(end) > 0 && bytes.Compare(start, end) >= 0 {
		return nil // no storage needs to know what an empty range means
	}
	return c.change(func(t *turn) error {
		t.stage.deleteSpan(kvSpan(start, end))
		return nil
	})
}

func (a *Actor) checkRange(start, end []byte) error {
	if err := a.checkKV(start, nil); err != nil {
		return err
	}
	return a.checkKV(end, nil)
}

func kvSpan(start, end []byte) record.Span {
	s := record.Span{From: kvKey(start), To: span(record.KindKV).To}
	if len(end) > 0 {
		s.To = kvKey(end)
	}
	return s
}

// KVRange reads at most limit pairs from start, included, to end, not included, in byte order or in reverse; an empty end
// means all that follow. It sees what the call's own turn changed.
func (c *Call) KVRange(ctx context.Context, start, end []byte, reverse bool, limit int) ([]Pair, error) {
	if err := c.actor.checkRange(start, end); err != nil {
		return nil, err
	}
	within := kvSpan(start, end)
	if len(end) > 0 && bytes.Compare(start, end) >= 0 || limit < 1 {
		return nil, nil
	}
	var mine []record.Record // what the turn put here, in order of the result
	decided := func([]byte) bool { return false }
	if t := c.inTurn(); t != nil {
		t.stageMu.Lock()
		defer t.stageMu.Unlock()
		decided = func(key []byte) bool { _, d := t.stage.get(key); return d }
		for k, v := range t.stage.puts {
			if v != nil && within.Contains([]byte(k)) {
				mine = append(mine, record.Record{Key: []byte(k), Value: v})
			}
		}
	}
	before := func(a, b []byte) bool {
		if reverse {
			return bytes.Compare(a, b) > 0
		}
		return bytes.Compare(a, b) < 0
	}
	slices.SortFunc(mine, func(a, b record.Record) int {
		if before(a.Key, b.Key) {
			return -1
		}
		return 1
	})
	var out []Pair
	add := func(r record.Record) error {
		payload, err := record.Open(record.KindKV, r.Value)
		if err == nil {
			out = append(out, Pair{Key: r.Key[1:], Value: payload})
		}
		return err
	}
	for len(out) < limit {
		page := min(limit-len(out), 512)
		recs, err := c.actor.records.Range(ctx, within, reverse, page)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			for len(mine) > 0 && len(out) < limit && before(mine[0].Key, r.Key) {
				if err := add(mine[0]); err != nil {
					return nil, err
				}
				mine = mine[1:]
			}
			if len(out) == limit {
				return out, nil
			}
			if decided(r.Key) {
				continue
			}
			if err := add(r); err != nil {
				return nil, err
			}
		}
		if len(recs) < page {
			break
		}
		last := recs[len(recs)-1].Key
		if reverse {
			within.To = last
		} else {
			within.From = append(slices.Clone(last), 0)
		}
	}
	for len(mine) > 0 && len(out) < limit {
		if err := add(mine[0]); err != nil {
			return nil, err
		}
		mine = mine[1:]
	}
	return out, nil
}
