package rivet

import (
	"context"
	"iter"

	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Listen subscribes to the event and returns its payloads as they come. The subscription is made by this call, not by
// the first step of the loop: events caused by a later call on the same connection are not missed. It is made again on
// each new socket; events that the actor sends in between are lost, as for everybody who is not connected.
//
// The loop ends, without an error, when ctx ends, and when the connection is closed on this side. It ends with an error
// as its last value when the connection is over for another reason, and with client.slow_consumer when it is more than
// ClientOptions.EventBuffer events behind. An event that does not fit P is an error as well, after which the loop may go
// on. Breaking off the loop ends the subscription; so does the end of ctx, for a sequence that is never read. The
// sequence can be read once.
func (e Event[I, P]) Listen(ctx context.Context, conn *Conn[I]) iter.Seq2[P, error] {
	sub := conn.c.Subscribe(e.name)
	release := context.AfterFunc(ctx, sub.Close)
	return func(yield func(P, error) bool) {
		defer release()
		defer sub.Close()
		for {
			args, err := sub.Next(ctx)
			if err != nil {
				if f, ok := fault.From(err); ok && !dial.IsClosed(f) {
					var zero P
					yield(zero, fromFault(err))
				}
				return
			}
			payload, err := e.decode(args)
			if !yield(payload, err) {
				return
			}
		}
	}
}

// On subscribes to the event and calls fn with each payload, one at a time, until unsubscribe is called or the
// connection is over. Events that do not fit P, and the end of a subscription whose fn was too slow, go to
// Conn.OnError. Like Listen, it is made again on each new socket.
func (e Event[I, P]) On(conn *Conn[I], fn func(P)) (unsubscribe func()) {
	return conn.c.Handle(e.name, func(args []byte) {
		payload, err := e.decode(args)
		if err != nil {
			conn.c.Report(err)
			return
		}
		fn(payload)
	}).Close
}

// decode reads the arguments of an event: a payload that is one value is the only one, a tuple is all of them.
func (e Event[I, P]) decode(args []byte) (P, error) {
	var payload P
	if err := codec.DecodeArgs(args, &payload); err != nil {
		var zero P
		return zero, invalidResponse("the event " + e.name + " does not fit: " + err.Error())
	}
	return payload, nil
}
