//go:build race

package actordb

const raceEnabled = true
