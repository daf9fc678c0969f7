package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// Limits on what an actor is created with, in bytes.
const (
	MaxNameBytes  = 64
	MaxInputBytes = 4 << 20
)

// DefaultNamespace and DefaultPool always exist.
const (
	DefaultNamespace = "default"
	DefaultPool      = "default"
)

// Config configures a Directory. The zero value works.
type Config struct {
	// Datacenter and Label name the datacenter of this process. Default "default" and 1.
	Datacenter string
	Label      uint16
	// Pools are the names of pools that exist besides DefaultPool.
	Pools []string
	// CacheSize bounds the mappings of awake actors that are kept. Default 131,072, about 200 bytes each.
	CacheSize int
	// ResolveTimeout bounds Resolve when it has to ask the store. Default 15 s.
	ResolveTimeout time.Duration
	// Lost is called when an actor that Resolve returned could not be made durable; the actor must be stopped. It must
	// return quickly and not call into the store. Default: nothing is called.
	Lost func(actor id.ID, err error)
	// Logger hears of lost reservations. Default slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Datacenter == "" {
		c.Datacenter = "default"
	}
	if c.Label == 0 {
		c.Label = 1
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 131_072
	}
	if c.ResolveTimeout <= 0 {
		c.ResolveTimeout = 15 * time.Second
	}
	if c.Lost == nil {
		c.Lost = func(id.ID, error) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Pools = append([]string{DefaultPool}, c.Pools...)
	return c
}

// Query names one actor by key, and says what it is to be created with.
type Query struct {
	Namespace string // name
	Name      string
	Key       string // canonical text (wire/actorkey); "/" is the empty list
	Anonymous bool   // Create only: no key at all

	Create      bool // Resolve only: record the actor when there is none
	Pool        string
	Region      string // datacenter name; empty for this one
	CrashPolicy string
	Input       []byte // one CBOR item, nil for none
}

// Directory finds and creates actors. All methods may be called concurrently. Errors that are *fault.Error may be sent to
// clients; what the store cannot serve now is the retryable guard.service_unavailable.
type Directory struct {
	store      store.Store
	cfg        Config
	cache      *cache
	namespaces atomic.Pointer[namespaces]
	reloadAt   atomic.Int64 // Unix nanoseconds before which an unknown namespace is not looked for again
}

// Open reads the namespaces and creates DefaultNamespace when the store has none of that name.
func Open(ctx context.Context, st store.Store, cfg Config) (*Directory, error) {
	d := &Directory{store: st, cfg: cfg.withDefaults()}
	d.cache = newCache(d.cfg.CacheSize)
	if err := d.reload(ctx); err != nil {
		return nil, fmt.Errorf("directory: read namespaces: %w", err)
	}
	if _, ok := d.namespaces.Load().byName[DefaultNamespace]; ok {
		return d, nil
	}
	if _, err := d.addNamespace(ctx, DefaultNamespace, "Default"); err != nil && !errors.Is(err, store.ErrExists) {
		return nil, fmt.Errorf("directory: create the default namespace: %w", err)
	}
	return d, nil
}

// Datacenter returns the name and label of the datacenter of this process.
func (d *Directory) Datacenter() (name string, label uint16) { return d.cfg.Datacenter, d.cfg.Label }

// CheckID reports datacenter.not_found for an id of a datacenter that is not known.
func (d *Directory) CheckID(actor id.ID) error {
	if actor.Label() != d.cfg.Label {
		return refusal.DatacenterNotFound()
	}
	return nil
}

// Resolve returns the actor that q names, creating it when q.Create is set. An actor it created may be started at once,
// but see the package comment before telling anybody about it.
func (d *Directory) Resolve(ctx context.Context, q *Query) (id.ID, error) {
	if actor, ok := d.cache.get(q); ok {
		return actor, nil
	}
	return d.resolve(ctx, q)
}

func (d *Directory) resolve(ctx context.Context, q *Query) (id.ID, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, d.cfg.ResolveTimeout, errResolveTimeout)
	defer cancel()

	actor, err := d.resolveInStore(ctx, q)
	if err != nil && context.Cause(ctx) == errResolveTimeout {
		return id.ID{}, refusal.ResolveTimeout(time.Since(begin).Milliseconds(), d.cfg.ResolveTimeout.Milliseconds())
	}
	return actor, err
}

var errResolveTimeout = errors.New("directory: resolving took too long")

func (d *Directory) resolveInStore(ctx context.Context, q *Query) (id.ID, error) {
	epoch := d.cache.epoch(q)
	ns, err := d.namespace(ctx, q.Namespace)
	if err != nil {
		return id.ID{}, err
	}
	row, err := d.store.Lookup(ctx, ns.ID, q.Name, q.Key)
	switch {
	case err == nil:
	case !errors.Is(err, store.ErrNotFound):
		return id.ID{}, storeError(ctx, err)
	case !q.Create:
		return id.ID{}, refusal.ActorNotFound()
	default:
		n, err := d.newActor(ns, q)
		if err != nil {
			return id.ID{}, err
		}
		var w watch
		row, _, err = d.store.Reserve(ctx, n, func(err error) {
			if err == nil {
				return
			}
			d.cfg.Logger.Error("actor reservation lost", "namespace", ns.Name, "name", n.Name, "key", n.Key, "error", err)
			d.Forget(ns.Name, n.Name, n.Key)
			w.failed.Store(&err)
			if actor := w.actor.Load(); actor != nil {
				d.cfg.Lost(*actor, err)
			}
		})
		if err != nil {
			return id.ID{}, storeError(ctx, err)
		}
		// Of the two orders in which the answer and the failure can come, each is noticed by whoever comes second.
		w.actor.Store(&row.ID)
		if failed := w.failed.Load(); failed != nil {
			d.cfg.Lost(row.ID, *failed)
			return id.ID{}, storeError(ctx, *failed)
		}
	}
	d.cache.put(q, row.ID, epoch)
	return row.ID, nil
}

// watch joins the two outcomes of a reservation: which actor it is, and whether it was lost.
type watch struct {
	actor  atomic.Pointer[id.ID]
	failed atomic.Pointer[error]
}

// Forget drops the cached mapping of a key. It must be called when the actor falls asleep or is destroyed.
func (d *Directory) Forget(namespace, name, key string) {
	d.cache.drop(&Query{Namespace: namespace, Name: name, Key: key})
}

// Lookup returns the live actor of a key.
func (d *Directory) Lookup(ctx context.Context, namespace, name, key string) (store.Actor, error) {
	ns, err := d.namespace(ctx, namespace)
	if err != nil {
		return store.Actor{}, err
	}
	row, err := d.store.Lookup(ctx, ns.ID, name, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Actor{}, refusal.ActorNotFound()
	}
	return row, storeError(ctx, err)
}

// GetOrCreate returns the live actor of q's key, or creates it. It returns when the row is durable.
func (d *Directory) GetOrCreate(ctx context.Context, q *Query) (row store.Actor, created bool, err error) {
	ns, err := d.namespace(ctx, q.Namespace)
	if err != nil {
		return store.Actor{}, false, err
	}
	if row, err = d.store.Lookup(ctx, ns.ID, q.Name, q.Key); err == nil {
		// Reserve would find the same row, and says when it is durable.
		return d.reserve(ctx, store.NewActor{
			ID: id.New(d.cfg.Label), Namespace: ns.ID, Name: q.Name, Key: q.Key, HasKey: true,
			Pool: row.Pool, CrashPolicy: row.CrashPolicy, CreatedAt: time.Now(), Input: q.Input,
		})
	} else if !errors.Is(err, store.ErrNotFound) {
		return store.Actor{}, false, storeError(ctx, err)
	}
	n, err := d.newActor(ns, q)
	if err != nil {
		return store.Actor{}, false, err
	}
	return d.reserve(ctx, n)
}

// Create creates an actor and fails with actor.duplicate_key when its key is taken. It returns when the row is durable.
func (d *Directory) Create(ctx context.Context, q *Query) (store.Actor, error) {
	ns, err := d.namespace(ctx, q.Namespace)
	if err != nil {
		return store.Actor{}, err
	}
	n, err := d.newActor(ns, q)
	if err != nil {
		return store.Actor{}, err
	}
	row, created, err := d.reserve(ctx, n)
	if err != nil {
		return store.Actor{}, err
	}
	if !created {
		return store.Actor{}, refusal.DuplicateKey(n.Key, row.ID)
	}
	return row, nil
}

// reserve records n and waits until the outcome is durable.
func (d *Directory) reserve(ctx context.Context, n store.NewActor) (store.Actor, bool, error) {
	durable := make(chan error, 1)
	row, created, err := d.store.Reserve(ctx, n, func(err error) { durable <- err })
	if err != nil {
		return store.Actor{}, false, storeError(ctx, err)
	}
	select {
	case err = <-durable:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return store.Actor{}, false, storeError(ctx, err)
	}
	return row, created, nil
}

// newActor checks what an actor is to be created with.
func (d *Directory) newActor(ns store.Namespace, q *Query) (store.NewActor, error) {
	if q.Region != "" && q.Region != d.cfg.Datacenter {
		return store.NewActor{}, refusal.DatacenterNotFound()
	}
	if !slices.Contains(d.cfg.Pools, q.Pool) {
		return store.NewActor{}, refusal.NoPool(ns.Name, q.Pool)
	}
	if q.Name == "" {
		return store.NewActor{}, refusal.InvalidInput("Actor name must not be empty.")
	}
	if len(q.Name) > MaxNameBytes {
		return store.NewActor{}, refusal.InvalidInput(fmt.Sprintf("Actor name is too long: %d bytes, limit is %d.", len(q.Name), MaxNameBytes))
	}
	if !q.Anonymous {
		if err := checkKey(q.Key); err != nil {
			return store.NewActor{}, err
		}
	}
	if len(q.Input) > MaxInputBytes {
		return store.NewActor{}, refusal.InputTooLarge(MaxInputBytes)
	}
	n := store.NewActor{
		ID: id.New(d.cfg.Label), Namespace: ns.ID, Name: q.Name, Pool: q.Pool, CrashPolicy: q.CrashPolicy,
		CreatedAt: time.Now(), Input: q.Input,
	}
	if n.CrashPolicy == "" {
		n.CrashPolicy = "sleep"
	}
	if !q.Anonymous {
		n.Key, n.HasKey = q.Key, true
	}
	return n, nil
}

func checkKey(text string) error {
	if len(text) > actorkey.MaxTextBytes {
		return refusal.KeyTooLarge(text, actorkey.MaxTextBytes)
	}
	if len(text) <= actorkey.MaxPartBytes {
		return nil
	}
	parts := actorkey.Parse(text)
	var limit *actorkey.LimitError
	switch err := actorkey.Check(parts); {
	case !errors.As(err, &limit):
		return nil
	case limit.Part >= 0:
		return refusal.KeyTooLarge(parts[limit.Part], limit.Limit)
	default:
		return refusal.KeyTooLarge(text, limit.Limit)
	}
}

// Actor returns the row of an actor of the namespace, destroyed or not.
func (d *Directory) Actor(ctx context.Context, namespace string, actor id.ID) (store.Actor, error) {
	rows, err := d.Actors(ctx, namespace, []id.ID{actor})
	if err != nil {
		return store.Actor{}, err
	}
	if len(rows) == 0 {
		return store.Actor{}, refusal.ActorNotFound()
	}
	return rows[0], nil
}

// Actors returns the rows of those ids that are actors of the namespace, destroyed ones included, in the order given.
func (d *Directory) Actors(ctx context.Context, namespace string, ids []id.ID) ([]store.Actor, error) {
	ns, err := d.namespace(ctx, namespace)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	rows, err := d.store.Actors(ctx, ids)
	if err != nil {
		return nil, storeError(ctx, err)
	}
	return slices.DeleteFunc(rows, func(a store.Actor) bool { return a.Namespace != ns.ID }), nil
}

// List returns the actors of one name, newest first; q.Namespace is filled in.
func (d *Directory) List(ctx context.Context, namespace string, q store.ListQuery) ([]store.Actor, error) {
	ns, err := d.namespace(ctx, namespace)
	if err != nil {
		return nil, err
	}
	q.Namespace = ns.ID
	rows, err := d.store.List(ctx, q)
	return rows, storeError(ctx, err)
}

// Names returns actor names after the given one, at most limit.
func (d *Directory) Names(ctx context.Context, namespace, after string, limit int) ([]store.ActorName, error) {
	ns, err := d.namespace(ctx, namespace)
	if err != nil {
		return nil, err
	}
	names, err := d.store.Names(ctx, ns.ID, after, limit)
	return names, storeError(ctx, err)
}

// Announce records the actor names that a host can run in a namespace.
func (d *Directory) Announce(ctx context.Context, namespace string, names []store.ActorName) error {
	ns, err := d.namespace(ctx, namespace)
	if err != nil {
		return err
	}
	return storeError(ctx, d.store.PutNames(ctx, ns.ID, names))
}

// storeError turns an error of the store into one that may be sent. nil stays nil; so does the end of ctx.
func storeError(ctx context.Context, err error) error {
	var commit *store.CommitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed), errors.As(err, &commit):
		return refusal.Unavailable(err)
	}
	if e, ok := fault.From(err); ok {
		return e
	}
	return refusal.Internal(err)
}
