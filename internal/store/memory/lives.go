package memory

import "time"

// Slow makes what is committed take d to become durable. All that waits when a wait begins becomes durable at its end,
// as with one sync of a disk. 0 ends it.
func (s *Store) Slow(d time.Duration) {
	s.mu.Lock()
	s.slow = d
	s.mu.Unlock()
	s.kick()
}

// sync lets the first n entries of the queue become durable after d, unless the rules change meanwhile.
func (s *Store) sync(n int, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			s.mu.Lock()
			s.allowed = max(s.allowed, min(n, len(s.queue)))
			s.mu.Unlock()
			return
		case <-s.wake:
			s.mu.Lock()
			other := s.open() || s.held || s.slow != d
			s.mu.Unlock()
			if other {
				return
			}
		}
	}
}

// Kill ends the store as the death of its process would: what is not durable is gone, its done functions get a
// *CommitError, every tenure is fenced, and every call fails with store.ErrClosed. It returns after the done functions
// have run. Reopen is what the next process finds.
func (s *Store) Kill() {
	s.mu.Lock()
	if !s.closed {
		s.lose()
		s.closed = true
	}
	s.mu.Unlock()
	s.kick()
	<-s.ended
}

// Reopen returns a new store with what is durable in this one, without holds and delays. This one must be closed or
// killed.
func (s *Store) Reopen() *Store {
	<-s.ended
	s.mu.Lock()
	durable, again := s.durable.clone(), s.durable.clone()
	s.mu.Unlock()
	return open(s.now, durable, again)
}
