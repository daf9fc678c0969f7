package directory

import (
	"hash/maphash"
	"strings"
	"sync"

	"github.com/rivetgo/rivet/internal/wire/id"
)

const cacheShards = 64

// cache maps (namespace, name, key) to ids. All methods may be called concurrently.
type cache struct {
	seed   maphash.Seed
	limit  int // entries per shard
	shards [cacheShards]cacheShard
}

type cacheShard struct {
	mu     sync.RWMutex // guards the rest; never held across a call
	actors map[cacheKey]id.ID
	drops  uint64 // how many mappings were dropped; see put
}

type cacheKey struct{ namespace, name, key string }

func keyOf(q *Query) cacheKey { return cacheKey{q.Namespace, q.Name, q.Key} }

func newCache(size int) *cache {
	c := &cache{seed: maphash.MakeSeed(), limit: max(size/cacheShards, 1)}
	for i := range c.shards {
		c.shards[i].actors = make(map[cacheKey]id.ID)
	}
	return c
}

func (c *cache) shard(q *Query) *cacheShard {
	h := maphash.String(c.seed, q.Key) + maphash.String(c.seed, q.Name)
	return &c.shards[h%cacheShards]
}

func (c *cache) get(q *Query) (id.ID, bool) {
	s := c.shard(q)
	s.mu.RLock()
	actor, ok := s.actors[keyOf(q)]
	s.mu.RUnlock()
	return actor, ok
}

// epoch is to be read before the store, and given to put.
func (c *cache) epoch(q *Query) uint64 {
	s := c.shard(q)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.drops
}

// put keeps a mapping that was read after epoch, unless one was dropped since. A full shard loses any one entry.
func (c *cache) put(q *Query, actor id.ID, epoch uint64) {
	s := c.shard(q)
	// The strings of a query are parts of a request's URL; a copy lets go of the rest.
	k := cacheKey{strings.Clone(q.Namespace), strings.Clone(q.Name), strings.Clone(q.Key)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops != epoch {
		return
	}
	if len(s.actors) >= c.limit {
		for victim := range s.actors {
			delete(s.actors, victim)
			break
		}
	}
	s.actors[k] = actor
}

func (c *cache) drop(q *Query) {
	s := c.shard(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	delete(s.actors, keyOf(q))
}
