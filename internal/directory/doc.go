// Package directory answers who is meant: it turns (namespace, name, key) or an id into one actor, and creates actors and
// namespaces.
//
// # The hot path
//
// The mapping of a key to an id changes only when the actor is destroyed, and a destroy goes through this process, which
// calls Forget. So the directory keeps the mappings of actors that are awake in a bounded cache: a request for one costs
// one map lookup, no allocation and no read of the store. A mapping is put there when it is resolved and dropped when
// the actor falls asleep or is destroyed. A lookup that was under way while a mapping of its shard was dropped is not
// cached: it may have read the row before the destroy. Whoever finds a mapping stale all the same (the actor turns out
// not to exist) calls Forget and resolves again, so a stale mapping costs one retry.
//
// # Durability of a creation
//
// Resolve returns as soon as the store has decided who owns the key, without waiting for the disk. Nothing can be told to
// a client too early by that: the store's log is sequential, the actor's first commit comes after its reservation in it,
// and every output of an actor waits for the commits before it (design.md §4), so a reply of the actor implies that its
// reservation is durable. Should the reservation fail, Config.Lost is called and the actor must be stopped. Create and
// GetOrCreate, whose own answer tells the client about the actor, wait until the row is durable.
package directory
