package rivet

import "github.com/rivetgo/rivet/internal/wire/actorkey"

// Key addresses one actor of a name: an ordered list of parts, each up to 128 bytes, 1,024 bytes together. The empty
// key is a key like any other. Parts are never joined by hand: String gives the canonical text.
type Key []string

// String is the canonical text of the key: parts joined with "/", "/" and "\" inside a part escaped with "\", an empty
// part written as \0, the empty key as "/".
func (k Key) String() string { return actorkey.Format(k) }

// ParseKey reads a canonical text. Every text is some key.
func ParseKey(s string) Key { return actorkey.Parse(s) }
