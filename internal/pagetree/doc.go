// Package pagetree keeps an actor's records in pages of 4,096 bytes that somebody else stores: a B+tree in place, made for
// engines that store an actor as the pages of one database, and commit any number of them at once.
//
//	Open ── page 1 ──► Tree ── Apply(batch) ──► changed pages in memory ── Take ──► one commit of whoever stores them
//	                    ▲                                                               │
//	                    └──────────────────────── Settled ◄─────────────────────────────┘
//
// A batch changes the tree in memory, at once and as a whole. Take hands over every page that changed since the last one;
// several batches may share a commit, and no commit holds a part of one. Until Settled those pages stay in memory, so a
// read never asks for a page that is on its way.
//
// # Pages
//
//	every page  kind u8, version u8, count u16, crc32c u32 (over the page's number and all but itself), next u32, content
//	1  meta     "RIVETRECORDS", root u32, size u32 (pages), first trunk u32, alarm i64 (ms; 0 none)
//	leaf        cells: key length, key, value length (uvarints), how many runs of pages (u8), runs (first u32, count u16), rest of the value
//	branch      first child u32, then separators: length uvarint, key, child u32; a child's keys are not below its separator
//	more        what of a leaf or branch does not fit its page: only few long keys do that (next leads there)
//	overflow    a part of a value above inlineMax bytes
//	trunk       page numbers that are free, u32 each; next leads to the next trunk
//
// Numbers are little-endian. A page is never moved, and the count of pages never falls: free ones are used again.
//
// What must never happen: a page that is damaged, missing, or another's is taken for what it is not (CorruptError); a
// page of a View changes under it; a batch that failed half-way is ever handed out (the tree refuses everything from then on).
//
// A Tree is not safe for concurrent use, its views included: its owner lets one caller in at a time. It never starts a
// goroutine; reading pages is its only wait.
package pagetree
