// Package actorkey spells an actor's key, a list of strings, the ways the wire and the storage spell it.
//
// The canonical text joins the parts with '/'. Inside a part '\' is written '\\' and '/' is written '\/'; an empty part
// is '\0'; the empty list is "/". It is unambiguous: Parse undoes Format for every key. The spelling of query
// parameters joins with ',' and has no escape, so some keys have none; see JoinQuery.
package actorkey

import (
	"fmt"
	"slices"
	"strings"
)

// Limits on a key, in bytes.
const (
	MaxPartBytes = 128  // one part, unescaped
	MaxTextBytes = 1024 // the canonical text
)

// LimitError says that a key is too large.
type LimitError struct {
	Part  int // index of the part that is too large; -1: the whole canonical text is
	Size  int // bytes
	Limit int // bytes
}

func (e *LimitError) Error() string {
	if e.Part < 0 {
		return fmt.Sprintf("actor key is too large: %d bytes, limit is %d", e.Size, e.Limit)
	}
	return fmt.Sprintf("part %d of the actor key is too large: %d bytes, limit is %d", e.Part, e.Size, e.Limit)
}

// Check reports a *LimitError when the key breaks a limit.
func Check(parts []string) error {
	for i, p := range parts {
		if len(p) > MaxPartBytes {
			return &LimitError{Part: i, Size: len(p), Limit: MaxPartBytes}
		}
	}
	if n := textLen(parts); n > MaxTextBytes {
		return &LimitError{Part: -1, Size: n, Limit: MaxTextBytes}
	}
	return nil
}

func textLen(parts []string) int {
	n := max(len(parts)-1, 0)
	if len(parts) == 0 {
		n = 1
	}
	for _, p := range parts {
		n += len(p) + strings.Count(p, `\`) + strings.Count(p, "/")
		if p == "" {
			n += 2
		}
	}
	return n
}

// Format returns the canonical text of a key.
func Format(parts []string) string {
	if len(parts) == 0 {
		return "/"
	}
	if len(parts) == 1 && parts[0] != "" && !strings.ContainsAny(parts[0], `\/`) {
		return parts[0]
	}
	b := make([]byte, 0, textLen(parts))
	for i, p := range parts {
		if i > 0 {
			b = append(b, '/')
		}
		if p == "" {
			b = append(b, '\\', '0')
		}
		for j := range len(p) {
			if p[j] == '\\' || p[j] == '/' {
				b = append(b, '\\')
			}
			b = append(b, p[j])
		}
	}
	return string(b)
}

// Parse reads a canonical text. It accepts every text: "" is the empty list like "/"; '\0' empties the part it stands
// in; '\' makes any other character literal; a '\' at the very end stands for itself. The result is never nil.
func Parse(text string) []string {
	if text == "" || text == "/" {
		return []string{}
	}
	if !strings.Contains(text, `\`) {
		return strings.Split(text, "/")
	}
	var (
		parts []string
		part  []byte
		empty bool
	)
	end := func() {
		if empty {
			part = part[:0]
		}
		parts = append(parts, string(part))
		part, empty = part[:0], false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '/':
			end()
		case c != '\\' || i+1 == len(text):
			part = append(part, c)
		case text[i+1] == '0':
			empty = true
			i++
		default:
			i++
			part = append(part, text[i])
		}
	}
	end()
	return parts
}

// HeaderValue is the spelling used by the x-rivet-actor-key header and inside errors: the canonical text, but empty for
// the empty list.
func HeaderValue(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return Format(parts)
}

// JoinQuery returns the spelling used by the rvt-key query parameter, before percent-encoding. The empty list is "": the
// parameter is left out. ok is false when the spelling would address another actor: a part contains a comma, or the
// key is one empty part.
func JoinQuery(parts []string) (joined string, ok bool) {
	if len(parts) == 1 && parts[0] == "" {
		return "", false
	}
	if slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(p, ",") }) {
		return "", false
	}
	return strings.Join(parts, ","), true
}

// SplitQuery reads the rvt-key query parameter after percent-decoding; an absent parameter is "". The result is never
// nil.
func SplitQuery(joined string) []string {
	if joined == "" {
		return []string{}
	}
	return strings.Split(joined, ",")
}
