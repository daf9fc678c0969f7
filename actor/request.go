package actor

import (
	"net/http"

	"github.com/rivetgo/rivet/internal/host"
)

// RequestHandler serves the HTTP requests to /request/… of an actor. It sees the path behind that prefix, with the query,
// and the body as it comes; the limits of actions do not apply, only the gateway's 20 MiB for a body.
//
// It runs outside the turn, any number of them at once, and takes turns with self. c ends when the client is gone, and at
// the end of the actor's grace period; r.Context() is the same. Everything written to w, and each Flush, first waits for
// the commits made before it (G2), and then for the client: a slow one holds the handler, not the actor.
//
// Options.RequestTimeout bounds the time until the head of the answer is written, after which the client gets 408
// actor.action_timed_out and writes fail. A panic before that is answered with an internal error, and one after it breaks
// the answer off; neither harms the actor. When the actor stops, c.Stopping tells, and the handler has the rest of
// Options.GracePeriod.
//
// w works with http.ResponseController, except for Hijack. A request counts as a call: the actor does not fall asleep
// under it.
type RequestHandler[S any] func(c *Ctx, self Self[S], w http.ResponseWriter, r *http.Request)

func requestHook[S any](handle RequestHandler[S]) func(*host.Call, http.ResponseWriter, *http.Request) {
	if handle == nil {
		return nil
	}
	return func(hc *host.Call, w http.ResponseWriter, r *http.Request) { handle(&Ctx{hc}, Self[S]{hc}, w, r) }
}
