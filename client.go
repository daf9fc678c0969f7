package rivet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/dial"
	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// Encoding is how a client writes its calls. Every server reads all of them; values arrive the same.
type Encoding string

const (
	EncodingBARE Encoding = "bare" // the default, and the shortest
	EncodingCBOR Encoding = "cbor"
	EncodingJSON Encoding = "json" // for reading along
)

// ClientOptions configure a Client. The zero value, and nil, work.
type ClientOptions struct {
	// Namespace that actors are in. Default: RIVET_NAMESPACE, then "default". An error when the endpoint names one too.
	Namespace string
	// Token that the client presents. Default: RIVET_TOKEN, then none. An error when the endpoint holds one too.
	Token string
	// Pool of runners that new actors are created in. Default: RIVET_POOL, then "default".
	Pool string
	// Encoding of calls and connections. Default: EncodingBARE.
	Encoding Encoding
	// Headers are added to every request and every WebSocket upgrade; they replace the client's own.
	Headers http.Header

	// HTTPClient sends the requests and opens the WebSockets; its RoundTripper must support upgrades, as http.Transport
	// does. Default: one that belongs to the client, pools connections and uses proxies from the environment.
	HTTPClient *http.Client
	// DialContext replaces the network under the client's own HTTP client, for servers in the same process or on a
	// socket file. Not allowed together with HTTPClient.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// DisableMetadataLookup skips the request GET /metadata that comes before a client's first other request. An
	// application's own endpoint may answer it with another endpoint, which the client then uses. The lookup waits three
	// seconds at most, and its failure means that there is no other endpoint.
	DisableMetadataLookup bool

	// EventBuffer and EventBufferBytes bound the events that one subscription keeps for a reader that is behind; see
	// Event.Listen. Default: 1,024 events, 16 MiB.
	EventBuffer      int
	EventBufferBytes int

	// Logger gets lost connections (debug) and subscriptions that ended unread (warn). Default: slog.Default().
	Logger *slog.Logger
}

// Client calls actors. Handles are made from it: Actor.Get, Actor.GetOrCreate, Actor.Create, Actor.ByID.
//
// Calls end with their context and have no other time limit. They are repeated when an actor was found between two
// lives, up to a few seconds in total; an action may therefore run more than once when its actor crashes. Failures that
// a server or an actor reports are *Error; so are the client's own, whose group is "client":
//
//	client.request_failed      the server was not reached or did not answer; the action may have run
//	client.invalid_response    the answer made no sense; the action may have run
//	client.connection_failed   a connection could not be opened
//	client.connection_lost     a connection's socket was lost before the reply came; the action may have run
//	client.slow_consumer       a subscription ended because its events were not read fast enough
//	client.invalid_target      the name, key, input, params or arguments cannot be expressed; nothing was sent
//	client.closed              the client or the connection was closed on this side
//
// The end of a context is the context's error, not an *Error. Safe for concurrent use.
type Client struct{ d *dial.Client }

// NewClient returns a client of the server at endpoint: scheme://[namespace[:token]@]host[:port][/base]. An empty
// endpoint means the environment variable RIVET_ENGINE, then RIVET_ENDPOINT, then http://127.0.0.1:6420. There is no
// traffic yet, so a server that is not there is noticed by the first call.
func NewClient(endpoint string, o *ClientOptions) (*Client, error) {
	if o == nil {
		o = &ClientOptions{}
	}
	encoding, err := o.Encoding.wire()
	if err != nil {
		return nil, err
	}
	d, err := dial.New(dial.Config{
		Endpoint: endpoint, Namespace: o.Namespace, Token: o.Token, Pool: o.Pool, Getenv: os.Getenv,
		Encoding: encoding, Headers: o.Headers,
		Transport:   dial.Transport{HTTP: o.HTTPClient, Dial: o.DialContext},
		NoRedirect:  o.DisableMetadataLookup,
		EventBuffer: o.EventBuffer, EventBufferBytes: o.EventBufferBytes,
		Log: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("rivet: %w", err)
	}
	return &Client{d: d}, nil
}

func (e Encoding) wire() (clientproto.Encoding, error) {
	switch e {
	case "", EncodingBARE:
		return clientproto.BARE, nil
	case EncodingCBOR:
		return clientproto.CBOR, nil
	case EncodingJSON:
		return clientproto.JSON, nil
	}
	return 0, fmt.Errorf("rivet: the encoding %q is not one of bare, cbor, json", string(e))
}

// Close ends every connection and every call in flight, which fail with client.closed, and returns when all of them are
// over. Idempotent.
func (c *Client) Close() error { return c.d.Close() }

// Get returns a handle on the live actor with this key. There is no traffic, and the actor need not exist: using the
// handle then fails with actor.not_found.
func (a Actor[I]) Get(c *Client, k Key) Handle[I] {
	return Handle[I]{t: c.d.Get(a.c.Name, k.clone())}
}

// GetOrCreate returns a handle on the live actor with this key, which the first use creates from input when there is
// none; an actor that exists ignores the input. There is no traffic, and mistakes in the key or the input are reported
// by the first use.
//
// Keys with a comma in a part, and the key of one empty part, address another actor in Go than in the official
// JavaScript client, which cannot tell them apart from other keys.
func (a Actor[I]) GetOrCreate(c *Client, k Key, input I) Handle[I] {
	in, err := encodeInput(input)
	return Handle[I]{t: c.d.GetOrCreate(a.c.Name, k.clone(), in, err)}
}

// Create makes a new actor and returns a handle on it. It fails with actor.duplicate_key when the key is taken. It does
// not wait until the actor runs.
func (a Actor[I]) Create(ctx context.Context, c *Client, k Key, input I) (Handle[I], error) {
	in, err := encodeInput(input)
	if err != nil {
		return Handle[I]{}, invalidTarget("the input cannot be encoded: " + err.Error())
	}
	t, err := c.d.Create(ctx, a.c.Name, k, in)
	if err != nil {
		return Handle[I]{}, fromFault(err)
	}
	return Handle[I]{t: t}, nil
}

// ByID returns a handle on the actor with this id. There is no traffic. The id is not checked to be one of an actor of
// this name.
func (a Actor[I]) ByID(c *Client, actorID string) Handle[I] {
	return Handle[I]{t: c.d.ByID(actorID)}
}

func (k Key) clone() []string { return append([]string(nil), k...) }

// encodeInput returns the CBOR of an actor's input as actors of any language read it; None is no input.
func encodeInput(input any) ([]byte, error) {
	if _, none := input.(None); none {
		return nil, nil
	}
	item, err := codec.AppendWire(nil, input)
	if err != nil {
		return nil, err
	}
	return value.Export(nil, item, true)
}

func invalidTarget(message string) *Error {
	return &Error{Group: "client", Code: dial.CodeInvalidTarget, Message: message}
}
