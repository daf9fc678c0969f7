//go:build race

package engine_test

// raceEnabled: everything takes ten times as long.
const raceEnabled = true
