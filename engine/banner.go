package engine

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
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
	fmt.Fprintf(&b, "  data        %s\n", dir)
	if len(e.names) == 0 {
		fmt.Fprintf(&b, "  actors      none: run a program that defines some, as in `rivet dev ./examples/counter`\n\n")
		io.WriteString(out, b.String()) // a terminal that is gone reads no banner
		return
	}
	fmt.Fprintf(&b, "  actors      %s\n", strings.Join(e.names, ", "))
	name, action := e.names[0], "ACTION"
	if len(e.sample) > 0 {
		action = e.sample
	}
	fmt.Fprintf(&b, "\n  curl        curl -X POST '%s/gateway/%s/action/%s?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=hello' \\\n", e.URL(), name, action)
	fmt.Fprintf(&b, "                -H 'content-type: application/json' -d '{\"args\":[1]}'\n")
	fmt.Fprintf(&b, "  JavaScript  import { createClient } from \"rivetkit/client\";\n")
	fmt.Fprintf(&b, "              const client = createClient(\"%s\");\n", e.URL())
	fmt.Fprintf(&b, "              await client.%s.getOrCreate([\"hello\"]).%s(1);\n\n", name, action)
	io.WriteString(out, b.String())
}
