package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/value"
	"github.com/rivetgo/rivet/internal/wire/why"
)

// actorObject is an actor as the API shows it. Times are milliseconds since the epoch, null for never.
type actorObject struct {
	ActorID      id.ID   `json:"actor_id"`
	Name         string  `json:"name"`
	Key          *string `json:"key"`
	NamespaceID  id.ID   `json:"namespace_id"`
	Datacenter   string  `json:"datacenter"`
	Pool         string  `json:"runner_name_selector"`
	CrashPolicy  string  `json:"crash_policy"`
	CreateTS     int64   `json:"create_ts"`
	StartTS      *int64  `json:"start_ts"`
	PendingTS    *int64  `json:"pending_allocation_ts"`
	ConnectTS    *int64  `json:"connectable_ts"`
	SleepTS      *int64  `json:"sleep_ts"`
	RescheduleTS *int64  `json:"reschedule_ts"`
	DestroyTS    *int64  `json:"destroy_ts"`
	Error        any     `json:"error,omitempty"`
}

type pagination struct {
	Cursor *string `json:"cursor"`
}

// cursorAt is the pagination whose next page is older than t.
func cursorAt(t time.Time) pagination {
	s := strconv.FormatInt(t.UnixMilli(), 10)
	return pagination{Cursor: &s}
}

func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// object describes a row together with what placement knows. The crash policy is reported as official engines report it.
func (a *API) object(row store.Actor) actorObject {
	dc, _ := a.cfg.Directory.Datacenter()
	o := actorObject{
		ActorID: row.ID, Name: row.Name, NamespaceID: row.Namespace, Datacenter: dc, Pool: row.Pool, CrashPolicy: "sleep",
		CreateTS: row.CreatedAt.UnixMilli(), StartTS: millis(row.StartedAt), SleepTS: millis(row.SleptAt), DestroyTS: millis(row.DestroyedAt),
	}
	if row.HasKey {
		o.Key = &row.Key
	}
	if !row.DestroyedAt.IsZero() {
		return o
	}
	st := a.cfg.Placement.Status(row.ID)
	if st.Running {
		o.ConnectTS, o.SleepTS = millis(st.Since), nil
		if o.StartTS == nil {
			o.StartTS = o.ConnectTS
		}
	}
	o.RescheduleTS = millis(st.RetryAt)
	if st.Failure != nil {
		o.Error = schedulingError(st.Failure)
	}
	return o
}

// schedulingError is the member "error" of an actor whose last start failed. Only what may be told to clients is in it.
func schedulingError(err error) any {
	e, ok := fault.From(err)
	if !ok || e.Group == "core" && e.Code == "internal_error" {
		return "internal_error"
	}
	return map[string]any{"crashed": map[string]string{"message": e.Message}}
}

func (a *API) objects(rows []store.Actor) []actorObject {
	out := make([]actorObject, len(rows))
	for i, row := range rows {
		out[i] = a.object(row)
	}
	return out
}

// maxIDs is how many actors one call may ask for by id.
const maxIDs = 32

func (a *API) listActors(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	q, err := parseQuery(r, "namespace", "name", "key", "actor_ids", "actor_id…", "include_destroyed", "limit", "cursor")
	if err != nil {
		return err
	}
	ns, err := q.namespace()
	if err != nil {
		return err
	}
	destroyed, err := q.flag("include_destroyed")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	ids := q.ids("actor_ids", "actor_id")
	var rows []store.Actor
	switch {
	case len(ids) > 0 && (q.has("name") || q.has("key")):
		return refusal.InvalidInput("Cannot provide both actor_id and (name + key). Use either actor_id or (name + key).")
	case len(ids) > maxIDs:
		return refusal.TooManyIDs(maxIDs, len(ids))
	case len(ids) > 0:
		rows, err = a.cfg.Directory.Actors(r.Context(), ns, ids)
	case q.has("key") && !q.has("name"):
		return refusal.InvalidInput("Name is required when key is provided.")
	case !q.has("name"):
		return refusal.InvalidInput("Name is required when not using actor_ids.")
	case q.has("key") && !destroyed:
		rows, err = a.byKey(r.Context(), ns, q.get("name"), q.get("key"))
	default:
		lq := store.ListQuery{Name: q.get("name"), IncludeDestroyed: destroyed}
		if c := q.get("cursor"); c != "" {
			ms, err := strconv.ParseInt(c, 10, 64)
			if err != nil {
				return refusal.BadRequest("Failed to deserialize query string: cursor: not a cursor of this list")
			}
			lq.Before = time.UnixMilli(ms)
		}
		if q.has("key") {
			rows, err = a.byKeyWithDestroyed(r.Context(), ns, lq, q.get("key"), limit)
		} else {
			rows, err = a.page(r.Context(), ns, lq, limit)
		}
	}
	if err != nil {
		return err
	}
	var p pagination
	if len(rows) > 0 {
		p = cursorAt(rows[len(rows)-1].CreatedAt)
	}
	return answer(w, struct {
		Actors     []actorObject `json:"actors"`
		Pagination pagination    `json:"pagination"`
	}{a.objects(rows), p})
}

func (a *API) byKey(ctx context.Context, ns, name, key string) ([]store.Actor, error) {
	row, err := a.cfg.Directory.Lookup(ctx, ns, name, canonicalKey(key))
	if e, ok := fault.From(err); ok && e.Group == "actor" && e.Code == "not_found" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []store.Actor{row}, nil
}

// page reads one page that does not end between two rows of one millisecond: it stops before the first of them, or, when
// the whole page is one millisecond, takes them all.
func (a *API) page(ctx context.Context, ns string, q store.ListQuery, limit int) ([]store.Actor, error) {
	for q.Limit = limit + 1; ; q.Limit *= 2 {
		rows, err := a.cfg.Directory.List(ctx, ns, q)
		if err != nil {
			return nil, err
		}
		if len(rows) < q.Limit && len(rows) <= limit {
			return rows, nil
		}
		ms := func(i int) int64 { return rows[i].CreatedAt.UnixMilli() }
		cut := limit
		for cut > 0 && ms(cut-1) == ms(limit) {
			cut--
		}
		if cut > 0 {
			return rows[:cut], nil
		}
		for cut = limit; cut < len(rows) && ms(cut) == ms(0); {
			cut++
		}
		if cut < len(rows) || len(rows) < q.Limit {
			return rows[:cut], nil
		}
	}
}

// maxScan bounds how many rows of a name are looked at for those of one key.
const maxScan = 10 * maxLimit

// byKeyWithDestroyed finds the actors that had a key, newest first.
func (a *API) byKeyWithDestroyed(ctx context.Context, ns string, q store.ListQuery, key string, limit int) ([]store.Actor, error) {
	key = canonicalKey(key)
	var found []store.Actor
	for scanned := 0; scanned < maxScan; {
		rows, err := a.page(ctx, ns, q, maxLimit)
		if err != nil || len(rows) == 0 {
			return found, err
		}
		for _, row := range rows {
			if row.HasKey && row.Key == key {
				if found = append(found, row); len(found) == limit {
					return found, nil
				}
			}
		}
		scanned += len(rows)
		q.Before = rows[len(rows)-1].CreatedAt
	}
	return found, nil
}

// canonicalKey gives one key one spelling.
func canonicalKey(text string) string { return actorkey.Format(actorkey.Parse(text)) }

// createBody is the body of PUT and POST /actors.
type createBody struct {
	Datacenter  *string `json:"datacenter"`
	Name        *string `json:"name"`
	Key         *string `json:"key"`
	Pool        *string `json:"runner_name_selector"`
	Input       *string `json:"input"`
	CrashPolicy *string `json:"crash_policy"`
}

func (a *API) readCreate(w http.ResponseWriter, r *http.Request, needKey bool) (*directory.Query, error) {
	params, err := parseQuery(r, "namespace")
	if err != nil {
		return nil, err
	}
	ns, err := params.namespace()
	if err != nil {
		return nil, err
	}
	var b createBody
	if err := decodeBody(w, r, &b); err != nil {
		return nil, err
	}
	switch {
	case b.Name == nil:
		return nil, missing("name")
	case b.Key == nil && needKey:
		return nil, missing("key")
	case b.Pool == nil:
		return nil, missing("runner_name_selector")
	case b.CrashPolicy == nil:
		return nil, missing("crash_policy")
	}
	switch *b.CrashPolicy {
	case "restart", "sleep", "destroy":
	default:
		return nil, refusal.BadRequest("Failed to deserialize the JSON body into the target type: crash_policy: unknown variant `" +
			*b.CrashPolicy + "`, expected one of `restart`, `sleep`, `destroy`")
	}
	q := &directory.Query{Namespace: ns, Name: *b.Name, Pool: *b.Pool, CrashPolicy: *b.CrashPolicy, Anonymous: b.Key == nil}
	if b.Key != nil {
		if *b.Key == "" {
			return nil, refusal.EmptyKey()
		}
		q.Key = canonicalKey(*b.Key)
	}
	if b.Datacenter != nil {
		q.Region = *b.Datacenter
		if name, _ := a.cfg.Directory.Datacenter(); q.Region != name {
			return nil, refusal.DatacenterNotFound()
		}
	}
	if b.Input != nil {
		// Official engines take anything and leave it to the actor to fail on it, each time it starts.
		if q.Input, err = base64.StdEncoding.DecodeString(*b.Input); err != nil {
			return nil, refusal.BadRequest("input: not base64")
		}
		if value.Valid(q.Input) != nil {
			return nil, refusal.BadRequest("input: not one CBOR value")
		}
	}
	return q, nil
}

func (a *API) getOrCreateActor(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	q, err := a.readCreate(w, r, true)
	if err != nil {
		return err
	}
	row, created, err := a.cfg.Directory.GetOrCreate(r.Context(), q)
	if err != nil {
		return err
	}
	if created {
		a.cfg.Placement.Start(row.ID)
	}
	return answer(w, struct {
		Actor   actorObject `json:"actor"`
		Created bool        `json:"created"`
	}{a.object(row), created})
}

func (a *API) createActor(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	q, err := a.readCreate(w, r, false)
	if err != nil {
		return err
	}
	row, err := a.cfg.Directory.Create(r.Context(), q)
	if err != nil {
		return err
	}
	a.cfg.Placement.Start(row.ID)
	return answer(w, struct {
		Actor actorObject `json:"actor"`
	}{a.object(row)})
}

// actor returns the row of an actor of the request's namespace.
func (a *API) actor(r *http.Request, actor id.ID) (store.Actor, error) {
	q, err := parseQuery(r, "namespace")
	if err != nil {
		return store.Actor{}, err
	}
	ns, err := q.namespace()
	if err != nil {
		return store.Actor{}, err
	}
	rows, err := a.cfg.Directory.Actors(r.Context(), ns, []id.ID{actor})
	if err != nil {
		return store.Actor{}, err
	}
	if len(rows) == 0 {
		return store.Actor{}, refusal.ActorNotFound()
	}
	return rows[0], nil
}

func (a *API) destroyActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	row, err := a.actor(r, actor)
	if err != nil {
		return err
	}
	if row.DestroyedAt.IsZero() {
		if err := a.cfg.Placement.Destroy(r.Context(), actor); err != nil {
			return err
		}
	}
	return empty(w)
}

// liveActor returns the row of an actor that a command is meant for, and reads the command's body, which must be {}.
func (a *API) liveActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	row, err := a.actor(r, actor)
	if err != nil {
		return err
	}
	if !row.DestroyedAt.IsZero() {
		return refusal.ActorNotFound()
	}
	return decodeBody(w, r, &struct{}{})
}

func (a *API) sleepActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	if err := a.liveActor(w, r, actor); err != nil {
		return err
	}
	if err := a.cfg.Placement.Sleep(r.Context(), actor); err != nil {
		return err
	}
	return empty(w)
}

func (a *API) rescheduleActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	if err := a.liveActor(w, r, actor); err != nil {
		return err
	}
	if err := a.cfg.Placement.Sleep(r.Context(), actor); err != nil {
		return err
	}
	a.cfg.Placement.Start(actor)
	return empty(w)
}

// whyActor says why an actor is as it is, see package why. A destroyed one is not found.
func (a *API) whyActor(w http.ResponseWriter, r *http.Request, actor id.ID) error {
	row, err := a.actor(r, actor)
	if err != nil {
		return err
	}
	if !row.DestroyedAt.IsZero() {
		return refusal.ActorNotFound()
	}
	report := a.cfg.Placement.Why(r.Context(), actor)
	report.ActorID, report.Name, report.Key = actor.String(), row.Name, actorkey.Parse(row.Key)
	if report.Key == nil {
		report.Key = []string{}
	}
	if report.Alarm.IsZero() {
		report.Alarm = row.Alarm
	}
	if report.State == why.Sleeping {
		report.Since = row.SleptAt
	}
	report.Summarise(time.Now())
	return answer(w, report)
}

func (a *API) listNames(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	q, err := parseQuery(r, "namespace", "limit", "cursor")
	if err != nil {
		return err
	}
	ns, err := q.namespace()
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	names, err := a.cfg.Directory.Names(r.Context(), ns, q.get("cursor"), limit)
	if err != nil {
		return err
	}
	type actorName struct {
		Metadata json.RawMessage `json:"metadata"`
	}
	out := make(map[string]actorName, len(names)) // encoding/json writes keys in byte order, the order of the list
	var p pagination
	for _, n := range names {
		md := json.RawMessage(n.Metadata)
		if !json.Valid(md) {
			md = json.RawMessage("{}")
		}
		out[n.Name] = actorName{md}
		p.Cursor = &n.Name
	}
	return answer(w, struct {
		Names      map[string]actorName `json:"names"`
		Pagination pagination           `json:"pagination"`
	}{out, p})
}
