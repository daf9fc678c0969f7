// Package sqltools holds an actor whose database is worked on by the tools that Go programs use for SQL, unmodified: the
// code that sqlc generates from migrations/ and queries.sql, and the migration library goose.
package sqltools

// The code in library/ is sqlc's (v1.30.0, github.com/sqlc-dev/sqlc/cmd/sqlc): write it anew after a change of
// migrations/ or queries.sql.
//
//go:generate sqlc generate
