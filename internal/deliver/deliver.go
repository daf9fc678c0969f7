// Package deliver carries messages from one actor's outbox to another actor's queue, over an ordinary client.
//
// The receiver remembers the number of the newest message of each sender, so one that comes twice counts once. Whoever can
// send under an actor's name could make it forget messages; so where clients reach the receiver on the same way, the header
// that names the sender carries a proof that only programs with the engine's token can make.
package deliver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/host"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// New returns what the host calls to hand a message over.
func New(c *dial.Client) func(context.Context, *host.Outgoing) error {
	return func(ctx context.Context, out *host.Outgoing) error {
		t := &out.Target
		var to *dial.Target
		switch {
		case t.ID != "":
			to = c.ByID(t.ID)
		case t.Create:
			input := t.Input
			if !t.HasInput {
				input = nil
			}
			to = c.GetOrCreate(t.Name, t.Key, input, nil)
		default:
			to = c.Get(t.Name, t.Key)
		}
		_, _, err := to.Send(ctx, &dial.Send{Queue: out.Queue, Body: out.Body, Params: t.Params, Peer: out.Sender, Number: out.Number})
		return err
	}
}

// headerProof carries the proof of dial.HeaderOutbox.
const headerProof = "X-Rivet-Outbox-Proof"

// Proof makes and checks proofs.
type Proof struct{ key []byte }

// NewProof makes the proof of all programs that know the token of the engine.
func NewProof(namespace, token string) Proof {
	key := sha256.Sum256([]byte("rivet outbox\x00" + namespace + "\x00" + token))
	return Proof{key[:]}
}

func (p Proof) of(text string) string {
	m := hmac.New(sha256.New, p.key)
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// Transport adds the proof to what next sends.
func (p Proof) Transport(next http.RoundTripper) http.RoundTripper { return prover{p, next} }

type prover struct {
	proof Proof
	next  http.RoundTripper
}

func (t prover) RoundTrip(r *http.Request) (*http.Response, error) {
	if text := r.Header.Get(dial.HeaderOutbox); text != "" {
		r = r.Clone(r.Context())
		r.Header.Set(headerProof, t.proof.of(text))
	}
	return t.next.RoundTrip(r)
}

// Admit refuses a request that names a sender without the proof.
func (p Proof) Admit(h http.Header) error {
	text := h.Get(dial.HeaderOutbox)
	if text == "" || hmac.Equal([]byte(h.Get(headerProof)), []byte(p.of(text))) {
		return nil
	}
	return fault.New("actor", "forbidden", "only an actor's outbox may send in its name: run all programs of the namespace with the same token")
}
