package ws

import "sync"

// Sizes of pooled buffers.
const (
	size4K   = 4 << 10
	size16K  = 16 << 10
	size64K  = 64 << 10
	size256K = 256 << 10
	size1M   = 1 << 20
)

// Pools hold pointers to arrays, so that neither taking a buffer nor giving it back allocates.
var (
	pool4K   = sync.Pool{New: func() any { return new([size4K]byte) }}
	pool16K  = sync.Pool{New: func() any { return new([size16K]byte) }}
	pool64K  = sync.Pool{New: func() any { return new([size64K]byte) }}
	pool256K = sync.Pool{New: func() any { return new([size256K]byte) }}
	pool1M   = sync.Pool{New: func() any { return new([size1M]byte) }}
)

// getBuffer returns an empty buffer with room for at least n bytes; over 1 MiB it is not pooled.
func getBuffer(n int) []byte {
	switch {
	case n <= size4K:
		return pool4K.Get().(*[size4K]byte)[:0]
	case n <= size16K:
		return pool16K.Get().(*[size16K]byte)[:0]
	case n <= size64K:
		return pool64K.Get().(*[size64K]byte)[:0]
	case n <= size256K:
		return pool256K.Get().(*[size256K]byte)[:0]
	case n <= size1M:
		return pool1M.Get().(*[size1M]byte)[:0]
	}
	return make([]byte, 0, n)
}

// putBuffer gives back a buffer from getBuffer; b must still begin where that one began.
func putBuffer(b []byte) {
	switch cap(b) {
	case size4K:
		pool4K.Put((*[size4K]byte)(b[:size4K]))
	case size16K:
		pool16K.Put((*[size16K]byte)(b[:size16K]))
	case size64K:
		pool64K.Put((*[size64K]byte)(b[:size64K]))
	case size256K:
		pool256K.Put((*[size256K]byte)(b[:size256K]))
	case size1M:
		pool1M.Put((*[size1M]byte)(b[:size1M]))
	}
}
