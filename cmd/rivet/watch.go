package main

import (
	"hash/maphash"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// watchEvery is how often the sources are looked at: a look at a few thousand files costs some milliseconds.
const watchEvery = 500 * time.Millisecond

// watch tells when a Go source, go.mod or an embedded page below dir changed. off gives a channel that never tells.
func watch(dir string, off bool) <-chan struct{} {
	changes := make(chan struct{}, 1)
	if off {
		return changes
	}
	go func() { // ends with the process
		seed := maphash.MakeSeed()
		last := fingerprint(seed, dir)
		for range time.Tick(watchEvery) {
			if now := fingerprint(seed, dir); now != last {
				last = now
				select {
				case changes <- struct{}{}:
				default:
				}
			}
		}
	}()
	return changes
}

// fingerprint sums up names, sizes and times of what a build depends on.
func fingerprint(seed maphash.Seed, dir string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	// A file that vanishes during the walk is a change that the next look sees.
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		name := e.Name()
		if e.IsDir() {
			if path != dir && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(name) {
		case ".go", ".mod", ".sum", ".html", ".css", ".js":
		default:
			return nil
		}
		if info, err := e.Info(); err == nil {
			h.WriteString(path)
			maphash.WriteComparable(&h, info.Size())
			maphash.WriteComparable(&h, info.ModTime().UnixNano())
		}
		return nil
	})
	return h.Sum64()
}
