// Package rivettest runs actors in tests: the engine of production in the test's own process, on a storage in memory and
// a network of pipes, without a port or a directory. Inside synctest.Test its time is virtual, so that hours pass at
// once and everything happens in a known order.
//
//	func TestCountSurvivesACrash(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			app := rivettest.Start(t, counter.Definition())
//			likes := counter.Counters.GetOrCreate(app.Client(), rivet.Key{"likes"}, counter.Counter{})
//			if _, err := counter.Increment.Call(t.Context(), likes, 2); err != nil {
//				t.Fatal(err)
//			}
//			app.Crash()
//			if n, err := counter.Increment.Call(t.Context(), likes, 3); err != nil || n != 5 {
//				t.Errorf("the count is %d, %v; want 5", n, err)
//			}
//		})
//	}
//
// What a test can do to the process: let time pass (Advance), put one actor to sleep and wake it (Sleep, Wake, Awake),
// end the process with and without warning (Restart, Crash, CrashFor), and make its storage slow or broken (Faults).
//
// Everything of a test must happen in one bubble: Start belongs inside synctest.Test, and what a handler waits for must
// be made there too. The bubble ends when its goroutines have; a handler that waits for something that never comes
// keeps the test from ending. Open connections and actors with Options.NoSleep have timers that never end, so a test
// that waits beside them for what never comes is no deadlock that Go would report, but lives through virtual centuries:
// give such waits a context with a time limit, which costs nothing here.
//
// docs/testing.md shows more.
package rivettest
