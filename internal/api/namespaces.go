package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
)

type namespaceObject struct {
	NamespaceID id.ID  `json:"namespace_id"`
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
	CreateTS    int64  `json:"create_ts"`
}

func namespaceOf(ns store.Namespace) namespaceObject {
	return namespaceObject{ns.ID, ns.Name, ns.DisplayName, ns.CreatedAt.UnixMilli()}
}

// listNamespaces pages through all namespaces, newest first; asking by name or id is not paginated.
func (a *API) listNamespaces(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	q, err := parseQuery(r, "limit", "cursor", "name", "namespace_ids", "namespace_id…")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	var before int64
	if c := q.get("cursor"); c != "" {
		if before, err = strconv.ParseInt(c, 10, 64); err != nil {
			return refusal.BadRequest("Failed to deserialize query string: cursor: not a cursor of this list")
		}
	}
	ids := q.ids("namespace_ids", "namespace_id")
	byID := q.has("namespace_ids") || q.has("namespace_id")

	out := []namespaceObject{}
	for _, ns := range a.cfg.Directory.Namespaces() {
		switch {
		case byID && !slices.Contains(ids, ns.ID):
		case q.has("name") && ns.Name != q.get("name"):
		case before != 0 && ns.CreatedAt.UnixMilli() >= before:
		default:
			out = append(out, namespaceOf(ns))
		}
	}
	slices.SortStableFunc(out, func(x, y namespaceObject) int { return cmp.Compare(y.CreateTS, x.CreateTS) })
	var p pagination
	if !byID {
		for limit < len(out) && out[limit].CreateTS == out[limit-1].CreateTS {
			limit++ // a page does not end between two of one millisecond
		}
		if limit < len(out) {
			out = out[:limit]
		}
		if len(out) > 0 {
			last := strconv.FormatInt(out[len(out)-1].CreateTS, 10)
			p.Cursor = &last
		}
	}
	return answer(w, struct {
		Namespaces []namespaceObject `json:"namespaces"`
		Pagination pagination        `json:"pagination"`
	}{out, p})
}

func (a *API) createNamespace(w http.ResponseWriter, r *http.Request, _ id.ID) error {
	var b struct {
		Name        *string `json:"name"`
		DisplayName *string `json:"display_name"`
	}
	if _, err := parseQuery(r, "namespace"); err != nil {
		return err
	}
	if err := decodeBody(w, r, &b); err != nil {
		return err
	}
	switch {
	case b.Name == nil:
		return missing("name")
	case b.DisplayName == nil:
		return missing("display_name")
	}
	ns, err := a.cfg.Directory.CreateNamespace(r.Context(), *b.Name, *b.DisplayName)
	if err != nil {
		return err
	}
	return answer(w, struct {
		Namespace namespaceObject `json:"namespace"`
	}{namespaceOf(ns)})
}
