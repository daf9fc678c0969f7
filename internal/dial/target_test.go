package dial

import (
	"strings"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// The URLs of §5.2 and §26.2 of the client protocol.
func TestURLs(t *testing.T) {
	for _, tt := range []struct {
		name     string
		endpoint string
		target   func(*Client) *Target
		path     string
		want     string // after http://h
	}{
		{"get", "http://h", func(c *Client) *Target { return c.Get("tests", []string{"k"}) },
			"/action/echo", "/gateway/tests/action/echo?rvt-namespace=default&rvt-method=get&rvt-key=k"},
		{"getOrCreate, empty key", "http://h", func(c *Client) *Target { return c.GetOrCreate("tests", nil, nil, nil) },
			"/connect", "/gateway/tests/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-crash-policy=sleep"},
		{"several parts", "http://h", func(c *Client) *Target { return c.GetOrCreate("tests", []string{"a b", "c/d", ""}, nil, nil) },
			"/connect", "/gateway/tests/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=a+b%2Cc%2Fd%2C&rvt-crash-policy=sleep"},
		{"path with a query", "http://h", func(c *Client) *Target { return c.GetOrCreate("tests", []string{"t1"}, nil, nil) },
			"/request/foo?x=1", "/gateway/tests/request/foo?x=1&rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=t1&rvt-crash-policy=sleep"},
		{"input", "http://h", func(c *Client) *Target {
			return c.GetOrCreate("tests", []string{"t1"}, []byte{0xb9, 0, 1, 0x61, 0x61, 1}, nil)
		}, "", "/gateway/tests?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=t1&rvt-input=uQABYWEB&rvt-crash-policy=sleep"},
		{"input 0", "http://h", func(c *Client) *Target { return c.GetOrCreate("tests", nil, []byte{0}, nil) },
			"", "/gateway/tests?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-input=AA&rvt-crash-policy=sleep"},
		{"id and token", "http://default:se%20cr%2Fet%401@h", func(c *Client) *Target { return c.ByID("ID") },
			"/action/echo", "/gateway/ID@se%20cr%2Fet%401/action/echo"},
		{"token in a query", "http://n%26s:t%26k@h", func(c *Client) *Target { return c.Get("te sts@x", []string{"k"}) },
			"", "/gateway/te%20sts%40x?rvt-namespace=n%26s&rvt-method=get&rvt-key=k&rvt-token=t%26k"},
		{"base path", "http://h/api/rivet/", func(c *Client) *Target { return c.ByID("ID") },
			"/connect", "/api/rivet/gateway/ID/connect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := New(Config{Endpoint: tt.endpoint, NoRedirect: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			target := tt.target(c)
			got, err := target.urlFor(t.Context(), tt.path)
			if want := "http://h" + tt.want; err != nil || got != want {
				t.Errorf("got  %s %v\nwant %s", got, err, want)
			}
			if tt.path == "" && target.GatewayURL() != got {
				t.Errorf("GatewayURL() = %s", target.GatewayURL())
			}
		})
	}
}

func TestUnusableTargets(t *testing.T) {
	c, err := New(Config{NoRedirect: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, target := range map[string]*Target{
		"no name":       c.Get("", nil),
		"no id":         c.ByID(""),
		"part too long": c.Get("a", []string{strings.Repeat("x", 129)}),
		"invalid UTF-8": c.Get("a", []string{"\xff"}),
		"no input":      c.GetOrCreate("a", nil, nil, errRefused),
	} {
		_, err := target.Action(t.Context(), "x", []byte{0x80}, nil)
		if f, ok := fault.From(err); !ok || f.Group != "client" || f.Code != "invalid_target" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := target.Connect(t.Context(), nil); err == nil {
			t.Errorf("%s: connected", name)
		}
		if _, err := target.Resolve(t.Context()); err == nil {
			t.Errorf("%s: resolved", name)
		}
		if url := target.GatewayURL(); url != "" {
			t.Errorf("%s: %s", name, url)
		}
	}
}
