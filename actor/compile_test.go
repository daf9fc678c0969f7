package actor

import (
	"testing"

	"github.com/rivetgo/rivet/internal/compiletest"
)

// What a definition promises is that handlers which do not fit their declaration do not compile.
func TestMisfitsDoNotCompile(t *testing.T) { compiletest.Run(t, "./testdata/compile") }
