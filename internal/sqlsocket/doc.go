// Package sqlsocket lets programs on the same machine run SQL in an actor's database, over a Unix socket.
//
// A frame is its length (4 bytes, big-endian), the version 1 (2 bytes, little-endian) and a BARE body. A client begins with an
// empty body, which is answered with the longest frame; then it sends requests, each with a number of its own, and gets their
// answers as they come. A request without a lease is one transaction; a lease is a transaction over several requests, of the
// connection that began it. It ends with its commit or rollback, its time, or the connection.
//
// What must never happen: a lease that outlives its connection or its time, since the actor waits for it; an answer of one request
// under the number of another; an answer that shows what a
// crash could still undo; a frame that is taken for something that it is not.
package sqlsocket
