// Package crash kills a real server at random moments under load and holds what comes back against a ledger of what was
// acknowledged. It has tests only:
//
//	go test ./internal/crash                 # a few kills
//	go test ./internal/crash -kills=1000     # more
//
// The ledger knows, for each actor, the highest value that anybody was told (in a reply, a read or an event) and how many
// increments were ever asked for. After each restart the count must lie between the two: below, an acknowledged action
// was lost; above, one was invented.
package crash
