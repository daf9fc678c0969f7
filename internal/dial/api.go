package dial

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// creation is the body of PUT and POST /actors.
type creation struct {
	Name        string `json:"name"`
	Key         string `json:"key"`
	Pool        string `json:"runner_name_selector"`
	Input       string `json:"input,omitempty"` // std base64 of one CBOR item
	CrashPolicy string `json:"crash_policy"`
}

func (c *Client) creation(name string, key []string, input []byte) creation {
	return creation{
		Name: name, Key: actorkey.Format(key), Pool: c.pool,
		Input: base64.StdEncoding.EncodeToString(input), CrashPolicy: "sleep",
	}
}

type apiActor struct {
	ID string `json:"actor_id"`
}

// Create makes a new actor and fails with actor.duplicate_key when the key is taken.
func (c *Client) Create(ctx context.Context, name string, key []string, input []byte) (*Target, error) {
	if err := checkKey(name, key); err != nil {
		return nil, err
	}
	ctx, end, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	var made struct {
		Actor apiActor `json:"actor"`
	}
	if err := c.api(ctx, http.MethodPost, "/actors", "", c.creation(name, key, input), &made); err != nil {
		return nil, ended(ctx, err)
	}
	if made.Actor.ID == "" {
		return nil, errNoActor
	}
	return c.ByID(made.Actor.ID), nil
}

// Resolve returns the id of the actor, which it creates where the target does. A missing actor is actor.not_found.
func (t *Target) Resolve(ctx context.Context) (string, error) {
	if t.err != nil || t.kind == byID {
		return t.id, t.err
	}
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	r := retries{kind: t.kind}
	for {
		id, err := t.find(ctx)
		if err == nil {
			return id, nil
		}
		if err := t.retry(ctx, &r, err); err != nil {
			return "", ended(ctx, err)
		}
	}
}

// Delete destroys the actor. It never creates one: a target whose key names no live actor is actor.not_found.
func (t *Target) Delete(ctx context.Context) error {
	if t.err != nil {
		return t.err
	}
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	id := t.id
	if t.kind != byID {
		if id, err = t.lookUp(ctx); err != nil {
			return ended(ctx, err)
		}
	}
	t.forget()
	return ended(ctx, t.client.api(ctx, http.MethodDelete, "/actors/"+escape(id), "", nil, nil))
}

// Why asks the engine why the actor is as it is. It creates and wakes none.
func (t *Target) Why(ctx context.Context) (*why.Report, error) {
	if t.err != nil {
		return nil, t.err
	}
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	id := t.id
	if t.kind != byID {
		if id, err = t.lookUp(ctx); err != nil {
			return nil, ended(ctx, err)
		}
	}
	var report why.Report
	if err := t.client.api(ctx, http.MethodGet, "/actors/"+escape(id)+"/why", "", nil, &report); err != nil {
		return nil, ended(ctx, err)
	}
	return &report, nil
}

// find asks the API for the actor's id, creating the actor where the target does.
func (t *Target) find(ctx context.Context) (string, error) {
	if t.kind == get {
		return t.lookUp(ctx)
	}
	var made struct {
		Actor apiActor `json:"actor"`
	}
	if err := t.client.api(ctx, http.MethodPut, "/actors", "", t.client.creation(t.name, t.key, t.input), &made); err != nil {
		return "", err
	}
	if made.Actor.ID == "" {
		return "", errNoActor
	}
	return made.Actor.ID, nil
}

// lookUp asks the API for the live actor with the target's key.
func (t *Target) lookUp(ctx context.Context) (string, error) {
	var list struct {
		Actors []apiActor `json:"actors"`
	}
	query := "name=" + escape(t.name) + "&key=" + escape(actorkey.Format(t.key))
	if err := t.client.api(ctx, http.MethodGet, "/actors", query, nil, &list); err != nil {
		return "", err
	}
	if len(list.Actors) == 0 {
		return "", fault.New("actor", "not_found", "The actor does not exist or was destroyed.")
	}
	if list.Actors[0].ID == "" {
		return "", errNoActor
	}
	return list.Actors[0].ID, nil
}

var errNoActor = failure(CodeInvalidResponse, "the answer names no actor", nil)

// api makes one call of the control API; body and out may be nil.
func (c *Client) api(ctx context.Context, method, path, query string, body, out any) error {
	server, err := c.server(ctx)
	if err != nil {
		return err
	}
	if query != "" {
		query += "&"
	}
	var sent []byte
	if body != nil {
		if sent, err = json.Marshal(body); err != nil {
			return failure(CodeInvalidTarget, err.Error(), err)
		}
	}
	req, err := c.request(ctx, method, server.base+path+"?"+query+"namespace="+escape(server.namespace), sent)
	if err != nil {
		return err
	}
	if server.token != "" {
		req.Header.Set("Authorization", "Bearer "+server.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.finish(req)
	a, err := c.send(req)
	if err != nil {
		return err
	}
	if a.status < 200 || a.status > 299 {
		return a.fault(nil)
	}
	if out != nil && json.Unmarshal(a.body, out) != nil {
		return failure(CodeInvalidResponse, "the answer is not the JSON that was expected", nil)
	}
	return nil
}

// retry waits before a call is repeated that failed with err. It returns err, or the context's error, when the call
// must not be repeated.
func (t *Target) retry(ctx context.Context, r *retries, err error) error {
	f, ok := fault.From(err)
	if !ok {
		return err
	}
	if isGone(f) && t.forget() && r.kind == get && f.Code == "not_found" && !r.refound {
		// What was remembered is gone; the key may name another actor by now.
		r.refound = true
		return nil
	}
	wait, again := r.next(f, time.Now())
	if !again {
		return err
	}
	return pause(ctx, jitter(wait), err)
}
