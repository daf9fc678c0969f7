// Chat is a chat room with a web page that uses the official client.
//
//	go run ./examples/chat
//
// Then open the address that it prints in two browser windows.
package main

import (
	"embed"
	"io/fs"
	"log"
	"net/http"

	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/engine"
)

//go:embed web/dist
var web embed.FS

func main() {
	pages, err := fs.Sub(web, "web/dist")
	if err != nil {
		log.Fatal(err)
	}
	engine.Program{
		Actors: []actor.Definition{Definition()},
		Pages:  http.FileServerFS(pages),
	}.Main()
}
