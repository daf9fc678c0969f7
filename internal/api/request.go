package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/wire/id"
)

// query holds the parameters of a request, all of them known to its route.
type query struct {
	values url.Values
	names  []string
}

// parseQuery refuses parameters that are not among names. A name that ends in "…" may be repeated.
func parseQuery(r *http.Request, names ...string) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, refusal.BadRequest("Failed to deserialize query string: " + err.Error())
	}
	for _, name := range sortedKeys(values) {
		switch {
		case slices.Contains(names, name+"…"):
		case !slices.Contains(names, name):
			return query{}, refusal.BadRequest("Failed to deserialize query string: unknown field `" + name + "`, expected " + listNames(names))
		case len(values[name]) > 1:
			return query{}, refusal.BadRequest("Failed to deserialize query string: duplicate field `" + name + "`")
		}
	}
	return query{values: values, names: names}, nil
}

func sortedKeys(v url.Values) []string {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func listNames(names []string) string {
	var b strings.Builder
	if len(names) > 1 {
		b.WriteString("one of ")
	}
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("`" + strings.TrimSuffix(n, "…") + "`")
	}
	return b.String()
}

func (q query) has(name string) bool   { return q.values.Has(name) }
func (q query) get(name string) string { return q.values.Get(name) }

// namespace is the parameter that most routes need.
func (q query) namespace() (string, error) {
	if !q.has("namespace") {
		return "", refusal.BadRequest("Failed to deserialize query string: missing field `namespace`")
	}
	return q.get("namespace"), nil
}

func (q query) flag(name string) (bool, error) {
	switch v := q.get(name); v {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	default:
		return false, refusal.BadRequest("Failed to deserialize query string: " + name + ": provided string was not `true` or `false`")
	}
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// limit is how many items a page may have; more than maxLimit count as that.
func (q query) limit() (int, error) {
	if !q.has("limit") {
		return defaultLimit, nil
	}
	n, err := strconv.ParseUint(q.get("limit"), 10, 32)
	if err != nil || n == 0 {
		return 0, refusal.BadRequest("Failed to deserialize query string: limit: must be a number of at least 1")
	}
	return min(int(n), maxLimit), nil
}

// ids reads a list of ids from a comma list and a repeatable parameter. Texts that are no ids are left out.
func (q query) ids(list, single string) []id.ID {
	var out []id.ID
	add := func(text string) {
		if v, err := id.Parse(strings.TrimSpace(text)); err == nil {
			out = append(out, v)
		}
	}
	for text := range strings.SplitSeq(q.get(list), ",") {
		add(text)
	}
	for _, text := range q.values[single] {
		add(text)
	}
	return out
}

// maxBodyBytes leaves room for the base64 of the largest creation input and the rest of a body.
const maxBodyBytes = directory.MaxInputBytes/3*4 + 64<<10

// decodeBody reads a JSON body into v, whose members are all that it may have.
func decodeBody(w http.ResponseWriter, r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refusal.BadRequest("Expected request with `Content-Type: application/json`")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		e := refusal.BodyTooLarge()
		e.HTTPStatus = http.StatusRequestEntityTooLarge
		return e
	}
	if err != nil {
		return refusal.BadRequest("Failed to buffer the request body: " + err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return refusal.BadRequest("Failed to parse the request body as JSON: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return refusal.BadRequest("Failed to parse the request body as JSON: trailing characters")
	}
	return nil
}

// missing says that a member of a body is not there.
func missing(name string) error {
	return refusal.BadRequest("Failed to deserialize the JSON body into the target type: missing field `" + name + "`")
}
