// Package lint is the rules of the house as tests: which room may import which, that every package says what it is, that
// public names are documented, that tests do not sleep. Each rule has its reason beside it.
package lint
