package gateway

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/directory"
	"github.com/rivetgo/rivet/internal/refusal"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// form is how a request names its actor.
type form uint8

const (
	formNone   form = iota // not an actor's path
	formDirect             // by id in the path
	formQuery              // by name and key in the path and the query
	formHeader             // by id in a header or a subprotocol
)

// route is a request target taken apart. Its strings share the target's memory where nothing had to be decoded.
type route struct {
	form      form
	id        string // formDirect: as given, decoded
	query     directory.Query
	token     string // from the path or rvt-token; "" for none
	skipReady bool   // rvt-skip-ready-wait

	path     string // the actor's own path, still encoded; begins with '/'
	rawQuery string // the actor's own query
	hasQuery bool   // a '?' is to be shown to the actor
}

const pathPrefix = "/gateway/"

// parse takes a request target apart. form stays formNone when it is not an actor's path. Errors are *fault.Error.
func (r *route) parse(target string) error {
	if !strings.HasPrefix(target, pathPrefix) {
		return nil
	}
	target, _, _ = strings.Cut(target, "#")
	path, rawQuery, hasQuery := strings.Cut(target, "?")
	if strings.Contains(path, "//") {
		return nil
	}
	segment, rest := path[len(pathPrefix):], "/"
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, rest = segment[:i], segment[i:]
	}
	if segment == "" {
		return nil
	}
	r.path = rest
	if hasQuery && hasOwnParams(rawQuery) {
		return r.parseQueryForm(segment, rawQuery)
	}
	r.rawQuery, r.hasQuery = rawQuery, hasQuery
	r.parseDirect(segment)
	return nil
}

// parseDirect reads "id" or "id@token".
func (r *route) parseDirect(segment string) {
	actor, token, hasToken := strings.Cut(segment, "@")
	actor, ok := percentDecode(actor, false)
	if !ok || actor == "" {
		return
	}
	if hasToken {
		if token, ok = percentDecode(token, false); !ok || token == "" {
			return
		}
	}
	r.form, r.id, r.token = formDirect, actor, token
}

// The parameters of the query form, without "rvt-". Their order is that of the text that lists them.
const (
	paramNamespace = iota
	paramMethod
	paramRunner
	paramPool
	paramKey
	paramInput
	paramRegion
	paramCrashPolicy
	paramToken
	paramSkipReadyWait
	paramCount
)

var paramNames = [paramCount]string{
	"namespace", "method", "runner", "pool", "key", "input", "region", "crash-policy", "token", "skip-ready-wait",
}

const (
	ownPrefix    = "rvt-"
	listOfParams = "`namespace`, `method`, `runner`, `pool`, `key`, `input`, `region`, `crash-policy`, `token`, `skip-ready-wait`"
)

// hasOwnParams reports whether any parameter belongs to the gateway.
func hasOwnParams(rawQuery string) bool {
	return strings.HasPrefix(rawQuery, ownPrefix) || strings.Contains(rawQuery, "&"+ownPrefix)
}

// params are the values given, decoded, and which of them were.
type params struct {
	value [paramCount]string
	given uint16
}

func (p *params) has(i int) bool { return p.given&(1<<i) != 0 }

func (r *route) parseQueryForm(segment, rawQuery string) error {
	if strings.Contains(segment, "@") {
		return refusal.QueryTokenSyntax()
	}
	name, ok := percentDecode(segment, false)
	if !ok {
		return refusal.QueryBadPercent("name")
	}
	if name == "" {
		return refusal.QueryEmptyName()
	}
	var p params
	if err := r.splitQuery(rawQuery, &p); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}

	r.form = formQuery
	r.token = p.value[paramToken]
	q := &r.query
	q.Namespace, q.Name, q.Key = p.value[paramNamespace], name, canonicalKey(p.value[paramKey])
	switch method := p.value[paramMethod]; method {
	case "get":
		if p.has(paramInput) || p.has(paramRegion) || p.has(paramCrashPolicy) || p.has(paramRunner) {
			return refusal.QueryGetDisallowed()
		}
	case "getOrCreate":
		if !p.has(paramPool) && !p.has(paramRunner) {
			return refusal.QueryMissingPool()
		}
		q.Create, q.Region, q.CrashPolicy = true, p.value[paramRegion], p.value[paramCrashPolicy]
		q.Pool = p.value[paramRunner]
		if p.has(paramPool) {
			q.Pool = p.value[paramPool]
		}
		if p.has(paramInput) {
			var err error
			if q.Input, err = decodeInput(p.value[paramInput]); err != nil {
				return err
			}
		}
	default:
		return refusal.QueryInvalidParams("unknown method: " + method + ", expected get or getOrCreate")
	}
	switch p.value[paramSkipReadyWait] {
	case "true", "1":
		r.skipReady = true
	}
	return nil
}

// splitQuery separates the gateway's parameters from the actor's. The actor's pass in order and untouched, without empty
// pieces; in the usual case, all of them in front of the gateway's, they are one part of the query and nothing is copied.
func (r *route) splitQuery(rawQuery string, p *params) error {
	var (
		unknown       []string // names that are none of ours
		from, to      = -1, 0  // the actor's part of rawQuery, while it is one
		joined        []byte   // the actor's pieces, once they are not
		scattered     bool
		pieceAt, next int
	)
	for ; pieceAt <= len(rawQuery); pieceAt = next {
		piece := rawQuery[pieceAt:]
		if i := strings.IndexByte(piece, '&'); i >= 0 {
			piece = piece[:i]
		}
		next = pieceAt + len(piece) + 1
		name, val, _ := strings.Cut(piece, "=")
		if !strings.HasPrefix(name, ownPrefix) {
			switch {
			case piece == "":
			case scattered:
				joined = append(append(joined, '&'), piece...)
			case from < 0:
				from, to = pieceAt, pieceAt+len(piece)
			case to+1 == pieceAt:
				to = pieceAt + len(piece)
			default:
				scattered = true
				joined = append(make([]byte, 0, len(rawQuery)), rawQuery[from:to]...)
				joined = append(append(joined, '&'), piece...)
			}
			continue
		}

		name = name[len(ownPrefix):]
		i := paramIndex(name)
		switch {
		case i >= 0 && p.has(i):
			return refusal.QueryDuplicateParam(ownPrefix + name)
		case i >= 0:
			p.given |= 1 << i
		default:
			if slices.Contains(unknown, name) {
				return refusal.QueryDuplicateParam(ownPrefix + name)
			}
			if unknown = append(unknown, name); len(unknown) > paramCount {
				return unknownParam(unknown[0]) // no use in looking at the rest
			}
		}
		val, ok := percentDecode(val, true)
		if !ok {
			return refusal.QueryBadPercent(ownPrefix + name)
		}
		if i >= 0 {
			p.value[i] = val
		}
	}
	switch {
	case scattered:
		r.rawQuery = string(joined)
	case from >= 0:
		r.rawQuery = rawQuery[from:to]
	}
	r.hasQuery = r.rawQuery != ""
	if len(unknown) > 0 {
		return unknownParam(unknown[0])
	}
	return nil
}

func unknownParam(name string) error {
	return refusal.QueryInvalidParams("unknown field `" + name + "`, expected one of " + listOfParams)
}

func paramIndex(name string) int {
	for i, n := range paramNames {
		if n == name {
			return i
		}
	}
	return -1
}

// check reports what is wrong with the parameters taken by themselves.
func (p *params) check() error {
	if p.has(paramSkipReadyWait) {
		if v := p.value[paramSkipReadyWait]; !isSwitch(v) {
			return refusal.QueryInvalidParams("invalid type: string " + strconv.Quote(v) + ", expected a boolean")
		}
	}
	for _, i := range []int{paramNamespace, paramMethod} {
		if !p.has(i) {
			return refusal.QueryInvalidParams("missing field `" + paramNames[i] + "`")
		}
	}
	if p.has(paramCrashPolicy) {
		switch v := p.value[paramCrashPolicy]; v {
		case "restart", "sleep", "destroy":
		default:
			return refusal.QueryInvalidParams("unknown crash policy: " + v + ", expected restart, sleep, or destroy")
		}
	}
	return nil
}

// isSwitch reports whether v is one of the spellings of a skip-ready-wait switch.
func isSwitch(v string) bool { return v == "true" || v == "1" || v == "false" || v == "0" }

// canonicalKey turns the decoded value of rvt-key into the canonical text. A key of one plain part is its own text.
func canonicalKey(joined string) string {
	if joined != "" && !strings.ContainsAny(joined, `,\/`) {
		return joined
	}
	return actorkey.Format(actorkey.SplitQuery(joined))
}

func decodeInput(text string) ([]byte, error) {
	for i := range len(text) {
		c := text[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return nil, refusal.QueryBadBase64()
		}
	}
	input, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, refusal.QueryBadBase64()
	}
	if value.Valid(input) != nil {
		return nil, refusal.QueryBadCBOR()
	}
	return input, nil
}

// percentDecode undoes percent-encoding, and '+' for a blank when plus is set. A sequence that is incomplete or has other
// digits stays as it is. ok is false when the result is not UTF-8.
func percentDecode(s string, plus bool) (decoded string, ok bool) {
	i := strings.IndexByte(s, '%')
	if j := strings.IndexByte(s, '+'); plus && j >= 0 && (i < 0 || j < i) {
		i = j
	}
	if i < 0 {
		return s, utf8.ValidString(s)
	}
	b := make([]byte, i, len(s))
	copy(b, s)
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+' && plus:
			c = ' '
		case c == '%' && i+2 < len(s):
			hi, lo := hexValue(s[i+1]), hexValue(s[i+2])
			if hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		b = append(b, c)
	}
	return string(b), utf8.Valid(b)
}

// hexValue is the value of a hexadecimal digit, 16 for any other byte.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
