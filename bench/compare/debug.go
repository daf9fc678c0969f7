package main

import (
	"encoding/json"
	"net/http"
	"os"

	"golang.org/x/sys/unix"
)

// debugInfo is what bench/actors tells of itself after a garbage collection.
type debugInfo struct {
	HeapBytes  int64 `json:"heap_bytes"`
	StackBytes int64 `json:"stack_bytes"`
	Goroutines int   `json:"goroutines"`
}

func readDebug(addr string) (debugInfo, error) {
	resp, err := http.Get("http://" + addr + "/debug")
	if err != nil {
		return debugInfo{}, err
	}
	defer resp.Body.Close()
	var d debugInfo
	return d, json.NewDecoder(resp.Body).Decode(&d)
}

// datasync makes what was written durable, as the store does.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
