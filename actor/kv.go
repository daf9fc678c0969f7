package actor

import (
	"context"

	"github.com/rivetgo/rivet/internal/host"
)

// KV is an actor's own key-value store: ordered keys of bytes. What a turn writes is part of the turn, and seen by it; a
// write outside a turn is a turn of its own. Keys have at most 2,048 bytes and values 131,072, see Options.MaxKVKeyBytes
// and Options.MaxKVValueBytes; larger ones are kv.key_too_large and kv.value_too_large, and nothing is written. Safe for
// concurrent use.
type KV struct{ call *host.Call }

// KV is the actor's key-value store.
func (c *Ctx) KV() KV { return KV{c.call} }

// KVPair is a key with its value.
type KVPair struct {
	Key   string
	Value []byte
}

// Get reads a key; ok is false when it is not there. The value must not be changed.
func (kv KV) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	value, ok, err = kv.call.KVGet(ctx, []byte(key))
	return value, ok, local(err)
}

// GetBatch reads several keys: values[i] belongs to keys[i] and is nil when that is not there.
func (kv KV) GetBatch(ctx context.Context, keys ...string) (values [][]byte, err error) {
	values = make([][]byte, len(keys))
	for i, k := range keys {
		v, ok, err := kv.Get(ctx, k)
		if err != nil {
			return nil, err
		}
		if ok {
			if v == nil {
				v = []byte{}
			}
			values[i] = v
		}
	}
	return values, nil
}

// Put writes a key.
func (kv KV) Put(key string, value []byte) error { return kv.PutBatch(KVPair{key, value}) }

// PutBatch writes pairs, all or none.
func (kv KV) PutBatch(pairs ...KVPair) error {
	all := make([]host.Pair, len(pairs))
	for i, p := range pairs {
		all[i] = host.Pair{Key: []byte(p.Key), Value: p.Value}
	}
	return local(kv.call.KVPut(all))
}

// Delete removes keys, all or none; removing one that is not there is no error.
func (kv KV) Delete(keys ...string) error {
	all := make([][]byte, len(keys))
	for i, k := range keys {
		all[i] = []byte(k)
	}
	return local(kv.call.KVDelete(all))
}

// DeleteRange removes the keys from start, included, to end, not included, in byte order; an empty end means all that
// follow.
func (kv KV) DeleteRange(start, end string) error {
	return local(kv.call.KVDeleteRange([]byte(start), []byte(end)))
}

// KVRange says which keys List reads.
type KVRange struct {
	// Prefix of the keys; or Start, included, and End, not included, in byte order. All empty: every key.
	Prefix     string
	Start, End string
	Reverse    bool // greatest key first
	Limit      int  // at most this many; 0: 1,000
}

// defaultKVLimit bounds List without a limit.
const defaultKVLimit = 1000

// List reads pairs in order of their keys. Keys are whole, with the prefix.
func (kv KV) List(ctx context.Context, r KVRange) ([]KVPair, error) {
	start, end := []byte(r.Start), []byte(r.End)
	if r.Prefix != "" {
		start, end = []byte(r.Prefix), afterPrefix(r.Prefix)
	}
	limit := r.Limit
	if limit == 0 {
		limit = defaultKVLimit
	}
	pairs, err := kv.call.KVRange(ctx, start, end, r.Reverse, limit)
	out := make([]KVPair, len(pairs))
	for i, p := range pairs {
		out[i] = KVPair{Key: string(p.Key), Value: p.Value}
	}
	return out, local(err)
}

// afterPrefix is the first key behind all that begin with prefix; empty when there is none.
func afterPrefix(prefix string) []byte {
	end := []byte(prefix)
	for len(end) > 0 {
		if end[len(end)-1] < 0xff {
			end[len(end)-1]++
			return end
		}
		end = end[:len(end)-1]
	}
	return nil
}
