package actordb

import (
	"fmt"
	"strings"
)

// ours are the PRAGMAs of every connection, in this order. Any other order or value makes SQLite keep a journal, or write
// pages outside a batch, without a word.
const ours = `PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = NORMAL; PRAGMA cache_spill = OFF; PRAGMA page_size = 4096;`

// refused are PRAGMAs that a statement cannot set, and why.
var refused = map[string]string{
	"journal_mode":         "it has no journal: the turn's commit makes it durable",
	"synchronous":          "it is durable with the turn's commit",
	"locking_mode":         "its actor is its only user",
	"page_size":            "every page has 4,096 bytes",
	"cache_spill":          "a turn's pages wait in memory for its commit",
	"cache_size":           "its cache is bounded by Options.DatabaseCacheBytes",
	"temp_store":           "temporary tables lie in memory",
	"temp_store_directory": "temporary tables lie in memory",
	"writable_schema":      "a schema that was damaged could not be repaired",
	"hard_heap_limit":      "its memory is bounded by Options.MaxDatabaseTurnBytes",
	"soft_heap_limit":      "its memory is bounded by Options.MaxDatabaseTurnBytes",
	"query_only":           "use Ctx.ReadDB, which only reads",
}

// settings are PRAGMAs that hold for a connection: what sets one makes the connection end with the turn.
var settings = map[string]bool{
	"analysis_limit": true, "automatic_index": true, "busy_timeout": true, "case_sensitive_like": true, "cell_size_check": true,
	"defer_foreign_keys": false, // SQLite resets it by itself
	"full_column_names":  true, "ignore_check_constraints": true, "legacy_alter_table": true, "max_page_count": true,
	"read_uncommitted": true, "recursive_triggers": true, "reverse_unordered_selects": true, "secure_delete": true,
	"short_column_names": true, "threads": true, "trusted_schema": true,
}

// deniedPragma says why a statement may not run a PRAGMA; empty when it may. recycle: the connection must not outlive the
// transaction.
//
// The authorizer asks, not the VFS: it hears of PRAGMA temp.x too, which sets some things for the whole connection.
func deniedPragma(name, value string) (why string, recycle bool) {
	if value == "" {
		return "", false
	}
	name = strings.ToLower(name)
	if name == "foreign_keys" {
		if on, ok := parseBool(value); !ok || !on {
			return "PRAGMA foreign_keys cannot be turned off: use PRAGMA defer_foreign_keys = ON, which holds until the turn ends.", false
		}
	}
	if why, no := refused[name]; no {
		return fmt.Sprintf("PRAGMA %s cannot be set on an actor's database: %s.", name, why), false
	}
	return "", settings[name]
}

func parseBool(s string) (on, ok bool) {
	switch strings.ToLower(strings.Trim(s, `'"`)) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false":
		return false, true
	}
	return false, false
}
