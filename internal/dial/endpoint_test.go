package dial

import (
	"strings"
	"testing"
)

func TestEndpoint(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string // base namespace token pool, or the start of an error
	}{
		{"nothing said", Config{}, "http://127.0.0.1:6420 default - default"},
		{"plain", Config{Endpoint: "http://h:1"}, "http://h:1 default - default"},
		{"base path", Config{Endpoint: "https://h/api//rivet/"}, "https://h/api/rivet default - default"},
		{"root", Config{Endpoint: "https://h/"}, "https://h default - default"},
		{"namespace and token", Config{Endpoint: "https://n%2Fs:t%40k@h"}, "https://h n/s t@k default"},
		{"namespace only", Config{Endpoint: "https://ns@h"}, "https://h ns - default"},
		{"options", Config{Endpoint: "https://h", Namespace: "n", Token: "t", Pool: "p"}, "https://h n t p"},
		{"options before environment", Config{Namespace: "n", Pool: "p", Getenv: env("RIVET_NAMESPACE", "e", "RIVET_POOL", "e", "RIVET_TOKEN", "tok")}, "http://127.0.0.1:6420 n tok p"},
		{"environment", Config{Getenv: env("RIVET_ENDPOINT", "http://e:2", "RIVET_NAMESPACE", "n", "RIVET_POOL", "p")}, "http://e:2 n - p"},
		{"engine before endpoint", Config{Getenv: env("RIVET_ENDPOINT", "http://e:2", "RIVET_ENGINE", "http://e:1")}, "http://e:1 default - default"},
		{"argument before environment", Config{Endpoint: "http://a", Getenv: env("RIVET_ENGINE", "http://e:1")}, "http://a default - default"},

		{"no URL", Config{Endpoint: "http://h:secret%zz@h"}, "error: the endpoint is not a URL"},
		{"no scheme", Config{Endpoint: "h:6420"}, "error: the endpoint's scheme"},
		{"other scheme", Config{Endpoint: "ws://h"}, "error: the endpoint's scheme"},
		{"no host", Config{Endpoint: "http:///x"}, "error: the endpoint has no host"},
		{"query", Config{Endpoint: "http://h?x=1"}, "error: the endpoint has a query string"},
		{"empty query", Config{Endpoint: "http://h?"}, "error: the endpoint has a query string"},
		{"fragment", Config{Endpoint: "http://h#"}, "error: the endpoint has a fragment"},
		{"token alone", Config{Endpoint: "http://:t@h"}, "error: the endpoint has a token but no namespace"},
		{"namespace twice", Config{Endpoint: "http://n@h", Namespace: "n"}, "error: the namespace is given twice"},
		{"namespace twice, environment", Config{Endpoint: "http://n@h", Getenv: env("RIVET_NAMESPACE", "n")}, "error: the namespace is given twice"},
		{"token twice", Config{Endpoint: "http://n:t@h", Getenv: env("RIVET_TOKEN", "t")}, "error: the token is given twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, pool, err := configured(&tt.cfg)
			got := strings.Join([]string{e.base, e.namespace, first(e.token, "-"), pool}, " ")
			if err != nil {
				got = "error: " + err.Error()
				if strings.Contains(got, "secret") {
					t.Errorf("the error tells the token: %s", got)
				}
			}
			if got != tt.want && !(err != nil && strings.HasPrefix(got, tt.want)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain-_.~09AZ":  "plain-_.~09AZ",
		"se cr/et@1":     "se%20cr%2Fet%401",
		`{"user":"bob"}`: "%7B%22user%22%3A%22bob%22%7D",
		"a+b&c!'()*":     "a%2Bb%26c%21%27%28%29%2A",
		"😀":              "%F0%9F%98%80",
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1}`:  `{"a":1}`,
		`"é"`:      `"\u00e9"`,
		`"😀x"`:     `"\ud83d\ude00x"`,
		"\"\x7f\"": `"\u007f"`,
	} {
		if got := string(ASCII([]byte(in))); got != want {
			t.Errorf("ASCII(%q) = %s, want %s", in, got, want)
		}
	}
}
