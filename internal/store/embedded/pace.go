package embedded

import (
	"sync/atomic"
	"time"
)

// pace spaces syncs under load. Pebble syncs again as soon as the last sync is over, for whatever has come meanwhile. That
// is right while the disk is the bottleneck: then much has come. Where the processor is (many callers, a fast disk), a
// sync carries two or three commits, and its system call and its wake-ups cost more than the commits. So after a sync that
// was shared the next one waits a little; a caller who is alone never waits.
type pace struct {
	applied atomic.Uint64 // commits so far
	synced  uint64        // how many of them when the last sync ended; belongs to Pebble's flushing goroutine
}

const (
	sharedBy = 8                      // commits for one sync, from which on the next one waits
	restTime = 600 * time.Microsecond // well below what a caller sees of the time his commit takes under such load
)

// rest is how long no sync begins after one that just ended.
func (p *pace) rest() time.Duration {
	now := p.applied.Load()
	n := now - p.synced
	p.synced = now
	if n < sharedBy {
		return 0
	}
	return restTime
}
