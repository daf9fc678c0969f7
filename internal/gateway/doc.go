// Package gateway is the public edge: the http.Handler behind which clients find actors and the control API.
//
//	request ─► route (path.go) ─┬─ /gateway/{id}…       ─► placement ─► actor
//	                            ├─ /gateway/{name}?rvt-… ─► directory ─► placement ─► actor
//	                            ├─ x-rivet-target, rivet_target.  (header and subprotocol forms)
//	                            └─ nothing of these      ─► Config.API
//
// The first rule that matches wins: a path that is an actor's beats headers and subprotocols, and an actor path in query
// form with a mistake is an error before anything else, even for a preflight.
//
// # What passes through
//
// The path behind the actor's segment and the query string reach the actor byte for byte, percent-encoding and trailing
// slashes included; only parameters that begin with "rvt-" belong to the gateway and are taken out. All headers pass. The
// actor gets the client's own request and writes to the client's own connection, so bodies stream both ways with the
// transport's back-pressure and nothing is buffered here. Requests never reach an actor twice: link.ErrStopping, the one
// answer that makes the gateway try again, means that nothing was done.
//
// # Errors
//
// Errors of the gateway itself are JSON whatever the client's encoding, and have the header x-rivet-error; an actor's own
// answers never have it. Errors of a WebSocket are a completed upgrade followed by close 1011 with the reason
// "group.code#ray". What is not made to be sent is logged with the ray id and leaves as core.internal_error.
package gateway
