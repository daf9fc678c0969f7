// Package api is the control API: what tools and clients use to look up, create and destroy actors and namespaces.
//
//	GET  /                        what this is                 open
//	GET  /health                  liveness                     open
//	GET  /metadata                build and protocol versions  open
//	GET  /datacenters             list                         token
//	GET  /namespaces              list                         token
//	POST /namespaces              create                       token
//	GET  /actors                  by id, by key, by name       token
//	PUT  /actors                  get or create                token
//	POST /actors                  create                       token
//	GET  /actors/names            actor types                  token
//	DEL  /actors/{id}             destroy, durably             token
//	POST /actors/{id}/sleep       put to sleep                 token
//	POST /actors/{id}/reschedule  stop and start               token
//
// Requests and answers are JSON. Parameters and members that a route does not know are refused, so a misspelt one is
// noticed. Lists are newest first, and a cursor is the creation time in milliseconds of the last item; a page never ends
// between two items of one millisecond, so none is lost at its boundary.
//
// Authentication is one bearer token, compared in constant time; without a token configured everything is open.
package api
