package pagetree

import "encoding/binary"

// Reseal makes a page's checksum fit its content.
func Reseal(no uint32, page []byte) { binary.LittleEndian.PutUint32(page[4:], sum(no, page)) }
