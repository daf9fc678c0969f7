package engine

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rivetgo/rivet/internal/host"
)

// banner says what runs where and how to call it.
func (e *Engine) banner(out io.Writer) {
	dir := e.cfg.StoragePath
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Rivet actors %s\n\n", Version)
	fmt.Fprintf(&b, "  address     %s\n", e.URL())
	if e.cfg.Pages != nil {
		fmt.Fprintf(&b, "  page        %s/\n", e.URL())
	}
	fmt.Fprintf(&b, "  data        %s\n", dir)
	if len(e.names) == 0 {
		fmt.Fprintf(&b, "  actors      none: run a program that defines some, as in `rivet dev ./examples/counter`\n\n")
		io.WriteString(out, b.String()) // a terminal that is gone reads no banner
		return
	}
	fmt.Fprintf(&b, "  actors      %s\n", strings.Join(e.names, ", "))
	c := e.sample
	fmt.Fprintf(&b, "\n  curl        curl -X POST '%s/gateway/%s/action/%s?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=hello' \\\n", e.URL(), c.actor, c.action)
	fmt.Fprintf(&b, "                -H 'content-type: application/json' -d '{\"args\":[%s]}'\n", c.args)
	fmt.Fprintf(&b, "  JavaScript  import { createClient } from \"rivetkit/client\";\n")
	fmt.Fprintf(&b, "              const client = createClient(\"%s\");\n", e.URL())
	fmt.Fprintf(&b, "              await client.%s.getOrCreate([\"hello\"]).%s(%s);\n\n", c.actor, c.action, c.args)
	io.WriteString(out, b.String())
}

// sample is a call that works.
type sample struct{ actor, action, args string }

// sampleOf picks the action to show: the first by name that takes arguments, for it shows more, else the first. An actor
// that asks its callers for parameters may refuse a call without them, and one that only reads least of all.
func sampleOf(s *host.Spec) sample {
	c := sample{actor: s.Name, action: "ACTION"}
	names := slices.Sorted(maps.Keys(s.Actions))
	if len(names) > 0 {
		c.action = names[0]
	}
	asks := s.BeforeConnect != nil || s.ConnState != nil
	for _, name := range names {
		if asks && s.Actions[name].Kind == host.ViewAction {
			c.action, c.args = name, s.Actions[name].Example
			break
		}
		if args := s.Actions[name].Example; args != "" && !asks {
			c.action, c.args = name, args
			break
		}
	}
	return c
}
