package rivet_test

import (
	"testing"

	"github.com/rivetgo/rivet/internal/compiletest"
)

// What a contract promises to callers is that mistakes do not compile.
func TestMistakesDoNotCompile(t *testing.T) { compiletest.Run(t, "./testdata/compile") }
