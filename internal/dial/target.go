package dial

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/wire/actorkey"
)

// kind is how a target finds its actor.
type kind uint8

const (
	byID        kind = iota // the actor is known
	get                     // the live actor with this key, if there is one
	getOrCreate             // the live actor with this key, created when there is none
)

// maxQueryInput bounds the inputs, in bytes of CBOR, that travel in a URL; larger ones go through the API.
const maxQueryInput = 4096

// Target is one actor as a client names it. Making one causes no traffic. Immutable but for what it remembers; safe
// for concurrent use.
type Target struct {
	client *Client
	kind   kind
	id     string // byID
	name   string // the rest: not byID
	key    []string
	input  []byte // one CBOR item; nil for none
	err    error  // why the target cannot be used

	// viaAPI says that the query form cannot name the actor: it is resolved through the API and addressed by id.
	viaAPI   bool
	resolved atomic.Pointer[string]  // viaAPI: the id as last resolved
	address  atomic.Pointer[address] // as last computed
}

// address is what a target's URLs are made of on one server.
type address struct {
	server *endpoint
	prefix string // before the actor's path
	query  string // after it; "" in the direct form
}

// ByID returns the target of a known actor.
func (c *Client) ByID(id string) *Target {
	t := &Target{client: c, kind: byID, id: id}
	if id == "" {
		t.err = failure(CodeInvalidTarget, "the actor id is empty", nil)
	}
	return t
}

// Get returns the target of the live actor with this name and key.
func (c *Client) Get(name string, key []string) *Target {
	return c.keyed(get, name, key, nil, nil)
}

// GetOrCreate returns the target of the live actor with this name and key, which the first use creates from input (one
// CBOR item, nil for none) when there is none. inputErr is why there is no input; using the target reports it.
func (c *Client) GetOrCreate(name string, key []string, input []byte, inputErr error) *Target {
	return c.keyed(getOrCreate, name, key, input, inputErr)
}

func (c *Client) keyed(k kind, name string, key []string, input []byte, inputErr error) *Target {
	t := &Target{client: c, kind: k, name: name, key: key, input: input}
	_, inQuery := actorkey.JoinQuery(key)
	t.viaAPI = !inQuery || len(input) > maxQueryInput
	if inputErr != nil {
		t.err = failure(CodeInvalidTarget, "the input cannot be encoded: "+inputErr.Error(), inputErr)
	} else {
		t.err = checkKey(name, key)
	}
	return t
}

func checkKey(name string, key []string) error {
	if name == "" {
		return failure(CodeInvalidTarget, "the actor has no name", nil)
	}
	if err := actorkey.Check(key); err != nil {
		return failure(CodeInvalidTarget, err.Error(), err)
	}
	for _, part := range key {
		if !utf8.ValidString(part) {
			return failure(CodeInvalidTarget, "a part of the key is not valid UTF-8", nil)
		}
	}
	return nil
}

// urlFor returns the URL of a path on the actor, resolving the actor where the query form cannot name it.
func (t *Target) urlFor(ctx context.Context, path string) (string, error) {
	if t.err != nil {
		return "", t.err
	}
	server, err := t.client.server(ctx)
	if err != nil {
		return "", err
	}
	if !t.viaAPI {
		return t.addressOn(server).url(path), nil
	}
	if id := t.resolved.Load(); id != nil {
		return directAddress(server, *id).url(path), nil
	}
	id, err := t.find(ctx)
	if err != nil {
		return "", err
	}
	t.resolved.Store(&id)
	return directAddress(server, id).url(path), nil
}

// forget drops a resolved id and reports whether there was one.
func (t *Target) forget() bool { return t.resolved.Swap(nil) != nil }

func (t *Target) addressOn(server *endpoint) *address {
	if a := t.address.Load(); a != nil && a.server == server {
		return a
	}
	var a *address
	if t.kind == byID {
		a = directAddress(server, t.id)
	} else {
		a = t.queryAddress(server)
	}
	t.address.Store(a)
	return a
}

func directAddress(server *endpoint, id string) *address {
	prefix := server.base + "/gateway/" + escape(id)
	if server.token != "" {
		prefix += "@" + escape(server.token)
	}
	return &address{server: server, prefix: prefix}
}

// queryAddress spells the target as the official clients do, so that gateways of every age understand it.
func (t *Target) queryAddress(server *endpoint) *address {
	var q strings.Builder
	q.WriteString("rvt-namespace=" + url.QueryEscape(server.namespace))
	if t.kind == get {
		q.WriteString("&rvt-method=get")
	} else {
		q.WriteString("&rvt-method=getOrCreate&rvt-runner=" + url.QueryEscape(t.client.pool))
	}
	if joined, _ := actorkey.JoinQuery(t.key); joined != "" {
		q.WriteString("&rvt-key=" + url.QueryEscape(joined))
	}
	if t.kind == getOrCreate {
		if t.input != nil {
			q.WriteString("&rvt-input=" + base64.RawURLEncoding.EncodeToString(t.input))
		}
		q.WriteString("&rvt-crash-policy=sleep")
	}
	if server.token != "" {
		q.WriteString("&rvt-token=" + url.QueryEscape(server.token))
	}
	return &address{server: server, prefix: server.base + "/gateway/" + escape(t.name), query: q.String()}
}

// url puts a path on the actor, which may have a query of its own, into the address.
func (a *address) url(path string) string {
	switch {
	case a.query == "":
		return a.prefix + path
	case strings.Contains(path, "?"):
		return a.prefix + path + "&" + a.query
	}
	return a.prefix + path + "?" + a.query
}

// GatewayURL is the URL under which the actor's own paths are reached: the actor's path goes after the last path
// segment, before any query. It holds the token. There is no traffic: for a target that must be resolved through the
// API and was not yet, and for an unusable one, it is empty.
func (t *Target) GatewayURL() string {
	if t.err != nil {
		return ""
	}
	server := t.client.current()
	if !t.viaAPI {
		return t.addressOn(server).url("")
	}
	if id := t.resolved.Load(); id != nil {
		return directAddress(server, *id).url("")
	}
	return ""
}
