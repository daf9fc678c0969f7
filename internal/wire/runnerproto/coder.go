package runnerproto

import (
	"fmt"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/wire/bare"
)

// coder writes or reads one message: each of its methods does with a field what the direction asks for.
type coder struct {
	version uint16
	writing bool
	dst     []byte
	src     bare.Reader
	err     error // of writing
}

// fail records why a message cannot be written or read.
func (c *coder) fail(reason string) {
	if !c.writing {
		c.src.Fail(reason)
	} else if c.err == nil {
		c.err = fmt.Errorf("runnerproto: %s", reason)
	}
}

func (c *coder) failed() bool { return c.err != nil || c.src.Err() != nil }

func (c *coder) u8(p *uint8) {
	if c.writing {
		c.dst = bare.AppendU8(c.dst, *p)
	} else {
		*p = c.src.U8()
	}
}

func (c *coder) u16(p *uint16) {
	if c.writing {
		c.dst = bare.AppendU16(c.dst, *p)
	} else {
		*p = c.src.U16()
	}
}

func (c *coder) u32(p *uint32) {
	if c.writing {
		c.dst = bare.AppendU32(c.dst, *p)
	} else {
		*p = c.src.U32()
	}
}

func (c *coder) u64(p *uint64) {
	if c.writing {
		c.dst = bare.AppendU64(c.dst, *p)
	} else {
		*p = c.src.U64()
	}
}

func (c *coder) i64(p *int64) {
	if c.writing {
		c.dst = bare.AppendI64(c.dst, *p)
	} else {
		*p = c.src.I64()
	}
}

func (c *coder) bool(p *bool) {
	if c.writing {
		c.dst = bare.AppendBool(c.dst, *p)
	} else {
		*p = c.src.Bool()
	}
}

func (c *coder) str(p *string) {
	if !c.writing {
		*p = c.src.String()
		return
	}
	if !utf8.ValidString(*p) {
		c.fail("a text is not valid UTF-8")
	}
	c.dst = bare.AppendString(c.dst, *p)
}

func (c *coder) data(p *[]byte) {
	if c.writing {
		c.dst = bare.AppendData(c.dst, *p)
	} else {
		*p = c.src.Data()
	}
}

// optData is data that may be absent, which is nil.
func (c *coder) optData(p *[]byte) {
	if c.present(*p != nil) {
		c.data(p)
	}
}

// fixed4 is four bytes without a length.
func (c *coder) fixed4(p *[4]byte) {
	if c.writing {
		c.dst = append(c.dst, p[:]...)
	} else {
		copy(p[:], c.src.Fixed(4))
	}
}

// present writes whether an optional field follows, or reads it.
func (c *coder) present(is bool) bool {
	c.bool(&is)
	return is && !c.failed()
}

// enum is one of limit values.
func (c *coder) enum(p *uint8, limit uint8, what string) {
	c.u8(p)
	if *p >= limit && !c.failed() {
		c.fail(fmt.Sprintf("unknown %s %d", what, *p))
	}
}

// opt is an optional field.
func opt[T any](c *coder, p **T, field func(*T)) {
	if !c.present(*p != nil) {
		return
	}
	if !c.writing {
		*p = new(T)
	}
	field(*p)
}

// list is a list of items of which each takes at least min bytes.
func list[T any](c *coder, p *[]T, min int, item func(*T)) {
	if c.writing {
		c.dst = bare.AppendUint(c.dst, uint64(len(*p)))
		for i := range *p {
			item(&(*p)[i])
		}
		return
	}
	n := c.src.ListLen(min)
	if n == 0 {
		return
	}
	*p = make([]T, 0, allocate[T](n, c.src.Remaining()))
	for range n {
		var v T
		item(&v)
		if c.failed() {
			return
		}
		*p = append(*p, v)
	}
}

// allocate is how many items to make room for at once: items may be much larger in memory than the bytes that claim them.
func allocate[T any](n, remaining int) int { return min(n, max(16, remaining/32)) }

// pair is an entry of a map.
type pair interface{ name() string }

// dict is a map from texts, in the order in which it was written. A name that is there twice is an error.
func dict[T pair](c *coder, p *[]T, min int, item func(*T)) {
	list(c, p, min, item)
	if c.writing || len(*p) < 2 {
		return
	}
	seen := make(map[string]struct{}, len(*p))
	for _, e := range *p {
		if _, twice := seen[e.name()]; twice {
			c.fail("a map has a key twice")
			return
		}
		seen[e.name()] = struct{}{}
	}
}
