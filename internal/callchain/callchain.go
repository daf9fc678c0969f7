// Package callchain carries the list of actors that wait for one another, so that a call that would come back to an
// actor that is waiting for it is refused instead of waiting for ever.
//
// A chain is the ids of the actors whose turns are held while the call is made, outermost first. It travels in a
// context inside a process and in one HTTP header between client and actor. A client that forges it can only have its
// own calls refused.
package callchain

import (
	"context"
	"slices"
	"strings"
)

// Header is the HTTP header that carries the chain: ids separated by commas. It is in the form that http.Header keeps.
const Header = "X-Rivet-Call-Chain"

// MaxLength bounds a chain: longer ones are refused like cycles.
const MaxLength = 64

type key struct{}

// Sender is code that calls from inside an actor. A context that carries one answers Value for SenderKey with it.
type Sender interface {
	// BeforeSend returns when nothing that a call could reveal to another actor can still be lost.
	BeforeSend(ctx context.Context) error
}

type senderKey struct{}

// IsSenderKey makes a type with its own Value method answer for the sender: it reports whether k asks for it.
func IsSenderKey(k any) bool { return k == senderKey{} }

// BeforeSend is what a client calls before a request or message of a call made with ctx leaves. Contexts that do not come
// from inside an actor pass at once.
func BeforeSend(ctx context.Context) error {
	s, ok := ctx.Value(senderKey{}).(Sender)
	if !ok {
		return nil
	}
	return s.BeforeSend(ctx)
}

// With returns a context whose calls carry chain.
func With(ctx context.Context, chain []string) context.Context {
	return context.WithValue(ctx, key{}, chain)
}

// From returns the chain that calls made with ctx carry.
func From(ctx context.Context) []string {
	c, _ := ctx.Value(key{}).([]string)
	return c
}

// Value makes a type with its own Value method answer for the chain: it reports whether k asks for it.
func Value(k any) bool { return k == key{} }

// Format writes a chain as a header value.
func Format(chain []string) string { return strings.Join(chain, ",") }

// Parse reads a header value; an empty one is an empty chain.
func Parse(header string) []string {
	if header == "" {
		return nil
	}
	return strings.Split(header, ",")
}

// Closes reports whether a call to actor would come back to an actor of the chain or make the chain too long.
func Closes(chain []string, actor string) bool {
	return slices.Contains(chain, actor) || len(chain) >= MaxLength
}
