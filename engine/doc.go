// Package engine runs actors: the gateway that clients talk to, the control API, the store, and a host for the given
// definitions, all in one process on an embedded store.
//
//	e, err := engine.Start(ctx, engine.Config{}, counter.Definition())
//	defer e.Close()
//
// A program that only serves actors calls Main, which reads flags, environment and configuration file, prints where it
// listens, and ends in good order on SIGINT or SIGTERM:
//
//	func main() { engine.Main(counter.Definition()) }
//
// This package is where the two halves of the system are put together; nothing else imports both.
package engine
