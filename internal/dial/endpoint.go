package dial

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Defaults of what neither the configuration nor the environment says.
const (
	DefaultEndpoint  = "http://127.0.0.1:6420"
	DefaultNamespace = "default"
	DefaultPool      = "default"
)

// endpoint is one server to talk to. Immutable.
type endpoint struct {
	base      string // scheme://host[:port][/base path], without a trailing slash
	namespace string
	token     string // "" for none
}

// parseEndpoint reads scheme://[namespace[:token]@]host[:port][/base]. Namespace and token are empty when it has none.
// Errors do not repeat the text: it may hold a token.
func parseEndpoint(text string) (endpoint, error) {
	u, err := url.Parse(text)
	if err != nil {
		return endpoint{}, errors.New("the endpoint is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return endpoint{}, fmt.Errorf("the endpoint's scheme is %q, want http or https", u.Scheme)
	case u.Host == "" || u.Opaque != "":
		return endpoint{}, errors.New("the endpoint has no host")
	case u.RawQuery != "" || u.ForceQuery:
		return endpoint{}, errors.New("the endpoint has a query string")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return endpoint{}, errors.New("the endpoint has a fragment")
	}
	e := endpoint{}
	if u.User != nil {
		e.namespace = u.User.Username()
		e.token, _ = u.User.Password()
		if e.token != "" && e.namespace == "" {
			return endpoint{}, errors.New("the endpoint has a token but no namespace")
		}
	}
	path := u.EscapedPath()
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	e.base = u.Scheme + "://" + u.Host + strings.TrimSuffix(path, "/")
	return e, nil
}

// configured merges the configuration, the environment and the defaults. What the endpoint's URL says may not be said
// again elsewhere, not even in the environment: two sources that disagree must not be decided by luck.
func configured(cfg *Config) (e endpoint, pool string, err error) {
	env := cfg.Getenv
	if env == nil {
		env = func(string) string { return "" }
	}
	text := first(cfg.Endpoint, env("RIVET_ENGINE"), env("RIVET_ENDPOINT"), DefaultEndpoint)
	if e, err = parseEndpoint(text); err != nil {
		return e, "", err
	}
	namespace := first(cfg.Namespace, env("RIVET_NAMESPACE"))
	token := first(cfg.Token, env("RIVET_TOKEN"))
	if e.namespace != "" && namespace != "" {
		return e, "", errors.New("the namespace is given twice: in the endpoint's URL and in the options or RIVET_NAMESPACE")
	}
	if e.token != "" && token != "" {
		return e, "", errors.New("the token is given twice: in the endpoint's URL and in the options or RIVET_TOKEN")
	}
	e.namespace = first(e.namespace, namespace, DefaultNamespace)
	e.token = first(e.token, token)
	return e, first(cfg.Pool, env("RIVET_POOL"), DefaultPool), nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes every byte but A–Z a–z 0–9 - _ . ~, which is right for a path segment, for a token in a path
// and for a WebSocket subprotocol (where the server reads "+" and "&" as a form would).
func escape(s string) string {
	plain := true
	for i := range len(s) {
		if !unreserved(s[i]) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if unreserved(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
}

// visible reports whether s may stand in a header as it is.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
