// Package version is the version of this module.
package version

// Version is what runners, actors and the command tell of themselves.
const Version = "0.1.0"
