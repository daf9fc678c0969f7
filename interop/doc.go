// Package interop holds no code of ours, only tests: the official JavaScript clients, unmodified, against our server.
//
// Each test starts a real server program as a child process and runs scripts of js/ with Node against it. README.md
// tells how to run them and which actors the server offers.
package interop
