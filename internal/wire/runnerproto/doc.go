// Package runnerproto is the envoy protocol, which a process that hosts actors and a Rivet engine speak over a WebSocket:
// versions 6, 7 and 8.
//
//	runner ──ToRivet──►  Metadata, Events, AckCommands, Stopping, Pong, KV and SQLite requests, tunnel messages
//	       ◄──ToEnvoy──  Init, Commands, AckEvents, Ping, KV and SQLite responses, tunnel messages
//
// A binary WebSocket message is one union in BARE, without a prefix; its version is that of the whole connection. The
// body of a serverless start request carries its version in front (AppendStart, DecodeStart).
//
// Each message has one layout function, which both writes and reads it, so the two cannot disagree. Versions differ in
// which variants a union has, which moves the tags behind them (union.go), and in a few fields (layout functions ask
// for the version). A variant or field that a version lacks is never written: the one is an error, the other is dropped.
//
// What must never happen: bytes that are not exactly a message decode; a decoder allocates more than a small multiple
// of its input; a union's tag is read by another version's table.
//
// Decoded messages share the memory of the input.
package runnerproto
