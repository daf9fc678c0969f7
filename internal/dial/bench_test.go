package dial

import (
	"net/http"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
)

// answers serves an action over HTTP without a network, so that the benchmark shows the client's own cost.
type answers []byte

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Body.Close()
	return &http.Response{StatusCode: 200, ContentLength: int64(len(a)), Body: &body{b: a}, Header: http.Header{}, Request: r}, nil
}

type body struct{ b []byte }

func (b *body) Read(p []byte) (int, error) {
	n := copy(p, b.b)
	b.b = b.b[n:]
	return n, nil
}

func (b *body) Close() error { return nil }

func BenchmarkActionHTTP(b *testing.B) {
	c, err := New(Config{Encoding: clientproto.BARE, NoRedirect: true, Transport: Transport{HTTP: &http.Client{Transport: answers("\x04\x00\x01\xf6")}}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	target := c.GetOrCreate("counter", []string{"likes"}, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := target.Action(b.Context(), "increment", []byte{0x81, 0x01}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
