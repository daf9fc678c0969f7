// Worker shows queues: a studio that shrinks pictures in a loop of its own, and orders and a warehouse that send each
// other messages exactly once.
//
//	go run ./examples/worker
package main

import "github.com/rivetgo/rivet/engine"

func main() {
	engine.Main(StudioDefinition(), OrderDefinition(), WarehouseDefinition())
}
