package dial

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
)

// Send is one message for a queue of an actor.
type Send struct {
	Queue  string
	Body   []byte // one CBOR item
	Params []byte // what the actor's connection hooks get, as JSON in ASCII; nil: none
	// Wait asks for the completion, for at most Timeout; zero: for as long as the actor lets a call wait, and then the
	// outcome is an error.
	Wait    bool
	Timeout time.Duration
	// Key makes the send safe to repeat; empty: none.
	Key   string
	Delay time.Duration
	// Peer and Number are set by an actor's outbox.
	Peer   string
	Number uint64
}

// Headers of a send that clients of upstream do not know.
const (
	headerKey   = "X-Rivet-Idempotency-Key"
	headerDelay = "X-Rivet-Queue-Delay"
	// HeaderOutbox carries "SENDER/NUMBER". Only sends from inside the engine may have it.
	HeaderOutbox = "X-Rivet-Outbox"
)

// Send puts a message into a queue. It returns when the message is durable or, if asked to wait, with its reply; timedOut
// says that it was not completed in time and stays in the queue. It is repeated as retries says: then nothing happened.
func (t *Target) Send(ctx context.Context, s *Send) (reply []byte, timedOut bool, err error) {
	if t.err != nil {
		return nil, false, t.err
	}
	encoding := t.client.encoding
	q := &clientproto.QueueSendRequest{Name: s.Queue, Body: s.Body, Wait: s.Wait}
	if s.Wait && s.Timeout > 0 {
		q.TimeoutMillis, q.HasTimeout = uint64(s.Timeout.Milliseconds()), true
	}
	body, err := clientproto.AppendQueueSendRequest(nil, encoding, q)
	if err != nil {
		return nil, false, failure(CodeInvalidTarget, "the message cannot be encoded: "+err.Error(), err)
	}
	extra := http.Header{}
	if s.Key != "" {
		if !visible(s.Key) {
			return nil, false, failure(CodeInvalidTarget, "the idempotency key has characters other than visible ASCII", nil)
		}
		extra.Set(headerKey, s.Key)
	}
	if s.Delay > 0 {
		extra.Set(headerDelay, strconv.FormatInt(s.Delay.Milliseconds(), 10))
	}
	if s.Peer != "" {
		extra.Set(HeaderOutbox, s.Peer+"/"+strconv.FormatUint(s.Number, 10))
	}
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer end()
	path := "/queue/" + escape(s.Queue)
	r := retries{kind: t.kind}
	for {
		a, err := t.post(ctx, path, body, s.Params, extra)
		if err == nil {
			res, err := clientproto.DecodeQueueSendResponse(encoding, a.body)
			if err != nil {
				return nil, false, failure(CodeInvalidResponse, "the answer cannot be read: "+err.Error(), err)
			}
			return res.Response, res.Status == clientproto.QueueTimedOut, nil
		}
		if err = t.retry(ctx, &r, err); err != nil {
			return nil, false, t.meaning(ended(ctx, err))
		}
	}
}

// Address is how the target finds its actor, for those who store it.
func (t *Target) Address() (id, name string, key []string, create bool, input []byte, err error) {
	return t.id, t.name, t.key, t.kind == getOrCreate, t.input, t.err
}

// Send puts a message into a queue of the connection's actor, over HTTP and with the connection's params.
func (c *Conn) Send(ctx context.Context, s *Send) (reply []byte, timedOut bool, err error) {
	s.Params = c.params
	return c.target.Send(ctx, s)
}
