package actorkey_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/actorkey"
)

// vectors are the official table of keys and their canonical text.
var vectors = []struct {
	parts []string
	text  string
}{
	{[]string{}, "/"},
	{[]string{"test"}, "test"},
	{[]string{"a", "b", "c"}, "a/b/c"},
	{[]string{""}, `\0`},
	{[]string{"a", "", "b"}, `a/\0/b`},
	{[]string{"", "", ""}, `\0/\0/\0`},
	{[]string{"a/b", "c"}, `a\/b/c`},
	{[]string{"/"}, `\/`},
	{[]string{"a/b", "/", "c/d"}, `a\/b/\//c\/d`},
	{[]string{"a//b"}, `a\/\/b`},
	{[]string{"", "/", ""}, `\0/\//\0`},
	{[]string{`\0`}, `\\0`},
	{[]string{`abc\`}, `abc\\`},
	{[]string{`special\chars`, "more:complex,keys", "final key"}, `special\\chars/more:complex,keys/final key`},
	{[]string{"😀", "b"}, "😀/b"},
}

func TestGolden(t *testing.T) {
	for _, v := range vectors {
		if got := actorkey.Format(v.parts); got != v.text {
			t.Errorf("Format(%q) = %s, want %s", v.parts, got, v.text)
		}
		if got := actorkey.Parse(v.text); !slices.Equal(got, v.parts) {
			t.Errorf("Parse(%s) = %q, want %q", v.text, got, v.parts)
		}
		header := v.text
		if len(v.parts) == 0 {
			header = ""
		}
		if got := actorkey.HeaderValue(v.parts); got != header {
			t.Errorf("HeaderValue(%q) = %s, want %s", v.parts, got, header)
		}
	}
}

func TestParseTolerates(t *testing.T) {
	for text, want := range map[string][]string{
		"":       {},
		"a/":     {"a", ""},
		"//":     {"", "", ""},
		`a\0b`:   {""},
		`x/a\0`:  {"x", ""},
		`a\`:     {`a\`},
		`\a\b`:   {"ab"},
		`\0/\0a`: {"", ""},
		`é\/è`:   {"é/è"},
	} {
		if got := actorkey.Parse(text); !slices.Equal(got, want) || got == nil {
			t.Errorf("Parse(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestQuery(t *testing.T) {
	for _, v := range []struct {
		parts  []string
		joined string
		ok     bool
	}{
		{[]string{}, "", true},
		{[]string{"a", "b"}, "a,b", true},
		{[]string{"a/b"}, "a/b", true},
		{[]string{"", ""}, ",", true},
		{[]string{""}, "", false},
		{[]string{"a,b"}, "", false},
		{[]string{"a", ","}, "", false},
	} {
		joined, ok := actorkey.JoinQuery(v.parts)
		if joined != v.joined || ok != v.ok {
			t.Errorf("JoinQuery(%q) = %q, %v, want %q, %v", v.parts, joined, ok, v.joined, v.ok)
		}
		if !ok {
			continue
		}
		if got := actorkey.SplitQuery(joined); !slices.Equal(got, v.parts) || got == nil {
			t.Errorf("SplitQuery(%q) = %q, want %q", joined, got, v.parts)
		}
	}
}

func TestCheck(t *testing.T) {
	long := strings.Repeat("x", 128)
	for _, v := range []struct {
		name  string
		parts []string
		want  actorkey.LimitError
	}{
		{"longest part", []string{long}, actorkey.LimitError{}},
		{"part too long", []string{"a", long + "x"}, actorkey.LimitError{Part: 1, Size: 129, Limit: 128}},
		{"longest text", []string{long, long, long, long, long, long, long, long[:121]}, actorkey.LimitError{}},
		{"text too long", []string{long, long, long, long, long, long, long, long[:122]}, actorkey.LimitError{Part: -1, Size: 1025, Limit: 1024}},
		{"escapes count", []string{long, long, long, long, long, long, long, long[:119] + `\/`}, actorkey.LimitError{Part: -1, Size: 1026, Limit: 1024}},
		{"empty parts count", slices.Repeat([]string{""}, 342), actorkey.LimitError{Part: -1, Size: 1025, Limit: 1024}},
		{"empty key", nil, actorkey.LimitError{}},
	} {
		err := actorkey.Check(v.parts)
		var got *actorkey.LimitError
		switch {
		case v.want == (actorkey.LimitError{}):
			if err != nil {
				t.Errorf("%s: %v", v.name, err)
			}
		case !errors.As(err, &got) || *got != v.want:
			t.Errorf("%s: %v, want %v", v.name, err, &v.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.text)
	}
	f.Add(`a\0b/`)
	f.Fuzz(func(t *testing.T, text string) {
		parts := actorkey.Parse(text)
		again := actorkey.Format(parts)
		if back := actorkey.Parse(again); !slices.Equal(back, parts) {
			t.Fatalf("%q parses to %q, whose text %q parses to %q", text, parts, again, back)
		}
	})
}

func FuzzFormat(f *testing.F) {
	for _, v := range vectors {
		f.Add(strings.Join(v.parts, "\n"))
	}
	f.Fuzz(func(t *testing.T, lines string) {
		parts := strings.Split(lines, "\n")
		text := actorkey.Format(parts)
		if back := actorkey.Parse(text); !slices.Equal(back, parts) {
			t.Fatalf("Format(%q) = %q, which parses to %q", parts, text, back)
		}
		var limit *actorkey.LimitError
		if err := actorkey.Check(parts); errors.As(err, &limit) && limit.Part < 0 && limit.Size != len(text) {
			t.Fatalf("Check says %d bytes, the text has %d", limit.Size, len(text))
		}
		if joined, ok := actorkey.JoinQuery(parts); ok {
			if back := actorkey.SplitQuery(joined); !slices.Equal(back, parts) {
				t.Fatalf("JoinQuery(%q) = %q, which splits to %q", parts, joined, back)
			}
		}
	})
}

func BenchmarkFormat(b *testing.B) {
	for name, parts := range map[string][]string{"one": {"room-1"}, "two": {"tenant", "room-1"}, "escaped": {"a/b", ""}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = actorkey.Format(parts)
			}
		})
	}
}
