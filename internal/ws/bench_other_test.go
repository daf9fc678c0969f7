//go:build !unix

package ws

import "testing"

func idleClient(b *testing.B, _ int) int {
	b.Skip("needs bare sockets")
	return 0
}

func closeIdleClient(int) {}
