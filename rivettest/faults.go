package rivettest

import (
	"errors"
	"time"

	"github.com/rivetgo/rivet/internal/store/faulty"
)

// ErrFault is the cause of failures for which no other was given.
var ErrFault = errors.New("rivettest: injected fault")

// Faults make the storage fail on command. They are faults of the storage that the living process has: Crash, CrashFor
// and Restart begin with a sound one, and so does the end of the test.
//
// A failed commit ends its actor (G10): callers whose turn it carried get actor.commit_failed, for whether it happened
// is unknown to them; callers behind it get actor.restarting, for theirs did certainly not. The next call finds the
// actor as it is stored. The methods may be called concurrently.
type Faults struct{ app *App }

// Faults are the faults of this process's storage.
func (a *App) Faults() *Faults { return &Faults{a} }

// HoldCommits keeps whatever is committed from now on from becoming durable, until ReleaseCommits. Turns go on, and
// their replies and events wait. A crash loses what is held, the creation of actors included.
func (f *Faults) HoldCommits() { f.app.now().memory.Hold() }

// ReleaseCommits ends HoldCommits. What was held becomes durable, and what waited for it leaves.
func (f *Faults) ReleaseCommits() { f.app.now().memory.Resume() }

// DelayCommits makes each commit take d to become durable, as a slow disk does; commits that come meanwhile share the
// next such wait. 0 ends it. A crash loses what is not durable yet.
func (f *Faults) DelayCommits(d time.Duration) { f.app.now().memory.Slow(d) }

// FailCommits makes the next n commits of actors fail, and nothing of them is stored. The first commit of an actor is
// the one that stores what it was created with. A nil cause is ErrFault.
func (f *Faults) FailCommits(n int, cause error) { f.add(n, cause, faulty.Lose) }

// FailAcknowledgements makes the next n commits of actors fail although they are stored: an error came back from a
// disk that had done its work. Callers see the same as with FailCommits. A nil cause is ErrFault.
func (f *Faults) FailAcknowledgements(n int, cause error) { f.add(n, cause, faulty.Keep) }

func (f *Faults) add(n int, cause error, fault func(error) faulty.Fault) {
	if n <= 0 {
		return
	}
	if cause == nil {
		cause = ErrFault
	}
	f.app.now().faults.Add(faulty.Rule{On: faulty.Commit, Times: n, Do: fault(cause)})
}

// Clear ends all faults, a hold and a delay included.
func (f *Faults) Clear() { f.app.now().clear() }
