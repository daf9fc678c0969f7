// Package contract is what the typed names of package rivet are made of: the list of things that an actor type
// promises, each with the line that declared it. Package actor compares it with what a definition binds, so that a
// missing handler is found when the program starts, with the line to change.
package contract

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
)

// Kind is what a declared name is.
type Kind string

const (
	Action Kind = "action"
	Event  Kind = "event"
	Params Kind = "params"
	Queue  Kind = "queue"
)

// Position is where in the user's source something was declared or bound.
type Position struct {
	File string
	Line int
}

func (p Position) String() string {
	if p.File == "" {
		return "unknown position"
	}
	return fmt.Sprintf("%s:%d", filepath.Base(p.File), p.Line)
}

// Caller returns the position of the caller's caller, skip frames further up.
func Caller(skip int) Position {
	_, file, line, ok := runtime.Caller(2 + skip)
	if !ok {
		return Position{}
	}
	return Position{File: file, Line: line}
}

// Member is one declared name.
type Member struct {
	Kind Kind
	Name string
	At   Position
	// Fits says why an encoded value is none of the member's; only queues have it.
	Fits func(item []byte) error
}

// Contract is one actor type's list of declared names. Safe for concurrent use.
type Contract struct {
	Name string
	At   Position

	mu      sync.Mutex // guards members
	members []Member
}

// New starts the contract of an actor type.
func New(name string, at Position) *Contract {
	return &Contract{Name: name, At: at}
}

// Declare adds a member.
func (c *Contract) Declare(m Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, m)
}

// Members returns what was declared so far, in order.
func (c *Contract) Members() []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Member(nil), c.members...)
}
