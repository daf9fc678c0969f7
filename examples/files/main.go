// Files shows the key-value store, raw HTTP and raw WebSockets: folders that take and give files of any kind, tell who
// watches of every change, and echo.
//
//	go run ./examples/files
package main

import "github.com/rivetgo/rivet/engine"

func main() {
	engine.Main(Definition())
}
