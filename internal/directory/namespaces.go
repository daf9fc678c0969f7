package directory

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

const (
	maxNamespaceNameBytes   = 64
	maxNamespaceTitleRunes  = 128
	namespaceReloadInterval = time.Second
)

// namespaces is an immutable picture of all namespaces.
type namespaces struct {
	list   []store.Namespace // by name
	byName map[string]store.Namespace
	byID   map[id.ID]string
}

// Namespaces lists all namespaces by name. The slice must not be changed.
func (d *Directory) Namespaces() []store.Namespace { return d.namespaces.Load().list }

// NamespaceName returns the name of a namespace, "" for an unknown one.
func (d *Directory) NamespaceName(ns id.ID) string { return d.namespaces.Load().byID[ns] }

// CreateNamespace creates a namespace. A title of "" is taken from the name.
func (d *Directory) CreateNamespace(ctx context.Context, name, title string) (store.Namespace, error) {
	if why := checkNamespaceName(name); why != "" {
		return store.Namespace{}, refusal.NamespaceInvalid(why)
	}
	if title == "" {
		title = name
	}
	if why := checkNamespaceTitle(title); why != "" {
		return store.Namespace{}, refusal.NamespaceInvalid(why)
	}
	ns, err := d.addNamespace(ctx, name, title)
	if errors.Is(err, store.ErrExists) {
		return store.Namespace{}, refusal.NamespaceTaken()
	}
	return ns, storeError(ctx, err)
}

func (d *Directory) addNamespace(ctx context.Context, name, title string) (store.Namespace, error) {
	ns := store.Namespace{
		ID: id.New(d.cfg.Label), Name: name, DisplayName: title, CreatedAt: time.Now().Truncate(time.Millisecond),
	}
	err := d.store.CreateNamespace(ctx, ns)
	if err != nil && !errors.Is(err, store.ErrExists) {
		return store.Namespace{}, err
	}
	if reloadErr := d.reload(ctx); reloadErr != nil {
		return store.Namespace{}, reloadErr
	}
	return ns, err
}

// namespace finds a namespace by name. Another process may have created it since the last reload, so an unknown name is
// looked for in the store, but not more often than namespaceReloadInterval.
func (d *Directory) namespace(ctx context.Context, name string) (store.Namespace, error) {
	if ns, ok := d.namespaces.Load().byName[name]; ok {
		return ns, nil
	}
	now, due := time.Now().UnixNano(), d.reloadAt.Load()
	if now >= due && d.reloadAt.CompareAndSwap(due, now+int64(namespaceReloadInterval)) {
		if err := d.reload(ctx); err != nil {
			return store.Namespace{}, storeError(ctx, err)
		}
		if ns, ok := d.namespaces.Load().byName[name]; ok {
			return ns, nil
		}
	}
	return store.Namespace{}, refusal.NamespaceNotFound()
}

func (d *Directory) reload(ctx context.Context) error {
	list, err := d.store.Namespaces(ctx)
	if err != nil {
		return err
	}
	n := &namespaces{list: list, byName: make(map[string]store.Namespace, len(list)), byID: make(map[id.ID]string, len(list))}
	for _, ns := range list {
		n.byName[ns.Name], n.byID[ns.ID] = ns, ns.Name
	}
	// Namespaces are never removed, so of two pictures the larger is the newer one.
	for {
		old := d.namespaces.Load()
		if old != nil && len(old.list) > len(n.list) {
			return nil
		}
		if d.namespaces.CompareAndSwap(old, n) {
			return nil
		}
	}
}

// checkNamespaceName returns what is wrong with a name, or "".
func checkNamespaceName(name string) string {
	switch {
	case name == "":
		return "name must not be empty"
	case len(name) > maxNamespaceNameBytes:
		return "name must be at most 64 characters"
	case strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-"):
		return "name must not begin or end with '-'"
	case strings.Contains(name, "--"):
		return "name must not contain '--'"
	}
	for _, c := range []byte(name) {
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "name must consist of lower-case letters, digits and '-'"
		}
	}
	return ""
}

func checkNamespaceTitle(title string) string {
	switch {
	case utf8.RuneCountInString(title) > maxNamespaceTitleRunes:
		return "display_name must be at most 128 characters"
	case strings.TrimSpace(title) != title || strings.Contains(title, "  "):
		return "display_name must not begin or end with a space or contain two in a row"
	}
	return ""
}
