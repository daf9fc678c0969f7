package host

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rivetgo/rivet/internal/wire/record"
)

// kvModel is what the key-value store should be.
type kvModel map[string]string

func (m kvModel) list(start, end string, reverse bool, limit int) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= start && (end == "" || k < end) {
			out = append(out, k+"="+m[k])
		}
	}
	if reverse {
		slices.Reverse(out)
	}
	return out[:min(max(limit, 0), len(out))]
}

func (m kvModel) deleteRange(start, end string) {
	maps.DeleteFunc(m, func(k, _ string) bool { return k >= start && (end == "" || k < end) })
}

// Turns of random writes and reads, some of which fail, agree with a map.
func TestG1_key_value_pairs_agree_with_a_map(t *testing.T) {
	s := scripted(spec())
	key := rapid.StringMatching(`[ab\x00\xff]{0,3}`)
	rapid.Check(t, func(rt *rapid.T) {
		l := start(t, s, newDisk())
		defer l.Kill()
		saved := kvModel{}
		read := func(c *Call, m kvModel) {
			switch rapid.IntRange(0, 1).Draw(rt, "read") {
			case 0:
				k := key.Draw(rt, "key")
				v, ok, err := c.KVGet(c, []byte(k))
				if want, there := m[k]; err != nil || ok != there || string(v) != want {
					rt.Errorf("get %q = %q, %v, %v; want %q, %v", k, v, ok, err, want, there)
				}
			case 1:
				from, to, reverse, limit := key.Draw(rt, "from"), key.Draw(rt, "to"), rapid.Bool().Draw(rt, "reverse"), rapid.IntRange(0, 6).Draw(rt, "limit")
				pairs, err := c.KVRange(c, []byte(from), []byte(to), reverse, limit)
				var got []string
				for _, p := range pairs {
					got = append(got, string(p.Key)+"="+string(p.Value))
				}
				if want := m.list(from, to, reverse, limit); err != nil || !slices.Equal(got, want) {
					rt.Errorf("range %q to %q, reverse %v, limit %d = %q, %v; want %q", from, to, reverse, limit, got, err, want)
				}
			}
		}
		write := func(c *Call, m kvModel) error {
			switch rapid.IntRange(0, 2).Draw(rt, "write") {
			case 0:
				var pairs []Pair
				for range rapid.IntRange(1, 3).Draw(rt, "pairs") {
					k, v := key.Draw(rt, "key"), rapid.StringN(0, 3, -1).Draw(rt, "value")
					pairs = append(pairs, Pair{[]byte(k), []byte(v)})
					m[k] = v
				}
				return c.KVPut(pairs)
			case 1:
				k := key.Draw(rt, "key")
				delete(m, k)
				return c.KVDelete([][]byte{[]byte(k)})
			default:
				from, to := key.Draw(rt, "from"), key.Draw(rt, "to")
				m.deleteRange(from, to)
				return c.KVDeleteRange([]byte(from), []byte(to))
			}
		}
		for range rapid.IntRange(1, 8).Draw(rt, "turns") {
			m := maps.Clone(saved)
			fails, alone := rapid.Bool().Draw(rt, "fails"), rapid.Bool().Draw(rt, "outside")
			if alone { // each write is a turn of its own
				no(rt, l.outside(func(c *Call) error {
					for range rapid.IntRange(1, 4).Draw(rt, "steps") {
						if err := write(c, m); err != nil {
							return err
						}
						read(c, m)
					}
					return nil
				}))
				saved = m
				continue
			}
			err := l.turn(func(c *Call, _ *tally) error {
				for range rapid.IntRange(1, 8).Draw(rt, "steps") {
					if err := write(c, m); err != nil {
						return err
					}
					read(c, m)
				}
				if fails {
					return errBroken
				}
				return nil
			})
			if fails != (err != nil) {
				rt.Fatalf("fails %v: %v", fails, err)
			}
			if !fails {
				saved = m
			}
		}
		no(rt, l.outside(func(c *Call) error { read(c, saved); return nil }))
		stored := kvModel{}
		l.disk.mu.Lock()
		for k, v := range l.disk.applied.records {
			if record.Kind(k[0]) == record.KindKV {
				stored[k[1:]] = string(v[1:])
			}
		}
		l.disk.mu.Unlock()
		if !maps.Equal(stored, saved) {
			rt.Errorf("stored %q, want %q", stored, saved)
		}
	})
}

// More pairs than one page, most of them changed by the turn that reads.
func TestKVRangeAcrossPages(t *testing.T) {
	l := start(t, scripted(spec()), newDisk())
	m := kvModel{}
	put := func(c *Call, n int, v string) error {
		k := fmt.Sprintf("%05d", n)
		m[k] = v
		return c.KVPut([]Pair{{[]byte(k), []byte(v)}})
	}
	no(t, l.turn(func(c *Call, _ *tally) error {
		for n := range 2000 {
			if err := put(c, 2*n, "old"); err != nil {
				return err
			}
		}
		return nil
	}))
	no(t, l.turn(func(c *Call, _ *tally) error {
		m.deleteRange("00100", "03900")
		if err := c.KVDeleteRange([]byte("00100"), []byte("03900")); err != nil {
			return err
		}
		for n := 3000; n < 3100; n++ {
			if err := put(c, n, "new"); err != nil {
				return err
			}
		}
		for _, reverse := range []bool{false, true} {
			for _, limit := range []int{1, 60, 100, 10_000} {
				pairs, err := c.KVRange(c, nil, nil, reverse, limit)
				var got []string
				for _, p := range pairs {
					got = append(got, string(p.Key)+"="+string(p.Value))
				}
				if err != nil || !slices.Equal(got, m.list("", "", reverse, limit)) {
					t.Errorf("reverse %v, limit %d: %d pairs, %v", reverse, limit, len(got), err)
				}
			}
		}
		return nil
	}))
	l.end(false)
}

func TestKVLimits(t *testing.T) {
	s := scripted(spec())
	s.Options.MaxKVKeyBytes, s.Options.MaxKVValueBytes, s.Options.MaxTurnBytes = 10, 20, 1000
	l := start(t, s, newDisk())
	long, value := bytes.Repeat([]byte("k"), 11), make([]byte, 21)
	for name, op := range map[string]func(c *Call) error{
		"key_too_large get":    func(c *Call) error { _, _, err := c.KVGet(c, long); return err },
		"key_too_large put":    func(c *Call) error { return c.KVPut([]Pair{{[]byte("a"), nil}, {long, nil}}) },
		"key_too_large delete": func(c *Call) error { return c.KVDelete([][]byte{long}) },
		"key_too_large range":  func(c *Call) error { _, err := c.KVRange(c, long, nil, false, 1); return err },
		"key_too_large clear":  func(c *Call) error { return c.KVDeleteRange(nil, long) },
		"value_too_large put":  func(c *Call) error { return c.KVPut([]Pair{{[]byte("a"), nil}, {[]byte("k"), value}}) },
	} {
		want, _, _ := bytes.Cut([]byte(name), []byte(" "))
		if err := l.turn(func(c *Call, _ *tally) error { return op(c) }); err == nil || err.Group != "kv" || err.Code != string(want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := <-l.script("view", func(c *Call, _ *tally) ([]byte, error) { return nil, c.KVPut([]Pair{{[]byte("a"), nil}}) }).ch
	if !is(o.err, "actor", "read_only") {
		t.Errorf("a view wrote: %v", o.err)
	}
	if n := l.disk.count(record.KindKV); n != 0 {
		t.Errorf("%d pairs were written", n)
	}
	l.end(false)
}

// A turn that writes without end is refused when it has written too much, not when it ends.
func TestG7_a_turn_cannot_collect_without_bound(t *testing.T) {
	s := scripted(spec())
	s.Options.MaxTurnBytes = 10_000
	l := start(t, s, newDisk())
	wrote := 0
	err := l.turn(func(c *Call, _ *tally) error {
		for range 1000 { // the same pair again and again is no more than one
			if err := c.KVPut([]Pair{{[]byte("k"), make([]byte, 100)}}); err != nil {
				return err
			}
		}
		for n := range 1000 {
			wrote = n
			if err := c.KVPut([]Pair{{fmt.Append(nil, n), make([]byte, 100)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if !is(err, "actor", "turn_too_large") || wrote < 80 || wrote > 100 {
		t.Errorf("after %d pairs: %v", wrote, err)
	}
	if n := l.disk.count(record.KindKV); n != 0 {
		t.Errorf("%d pairs were written", n)
	}
	l.end(false)
}
