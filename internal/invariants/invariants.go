// Package invariants says whether this build checks what it could take for granted. The race detector turns the checks
// on, so every test run makes them and no production build pays for them.
package invariants
