// Package ledger is the contract of an actor that keeps what it is told in its state, its table and its keys, and can tell
// whether they agree.
package ledger

import "github.com/rivetgo/rivet"

// Ledger is the input of a ledger.
type Ledger struct{}

var (
	// Ledgers are ledgers.
	Ledgers = rivet.NewActor[Ledger]("ledger")
	// Add adds an entry, and returns how many there are. An id that is there already is refused with ledger.twice.
	Add = rivet.NewAction[string, int64](Ledgers, "add")
	// Fill adds an entry with so many bytes beside it, in one turn.
	Fill = rivet.NewAction[rivet.Args2[string, int64], int64](Ledgers, "fill")
	// Held returns how many bytes lie beside the entries.
	Held = rivet.NewAction[rivet.None, int64](Ledgers, "held")
	// All checks everything and returns the ids of the entries in their order.
	All = rivet.NewAction[rivet.None, []string](Ledgers, "all")
)
