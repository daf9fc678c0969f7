package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/rivettest"
)

// browser is an HTTP client at a folder.
type browser struct {
	t      *testing.T
	app    *rivettest.App
	folder rivet.Handle[Folder]
	http   *http.Client
}

func open(t *testing.T) *browser {
	t.Helper()
	app := rivettest.Start(t, Definition())
	transport := &http.Transport{DialContext: app.Dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, app, Folders.GetOrCreate(app.Client(), rivet.Key{"docs"}, Folder{}), &http.Client{Transport: transport}}
}

// url is where a path of the folder is reached.
func (b *browser) url(path string) string {
	base, query, _ := strings.Cut(b.folder.GatewayURL(), "?")
	return strings.TrimSuffix(base, "/") + path + "?" + query
}

func (b *browser) do(method, path string, body io.Reader) (status int, content string, err error) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url("/request"+path), body)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	return res.StatusCode, string(all), err
}

func (b *browser) put(name, content string) {
	b.t.Helper()
	if status, text, err := b.do("PUT", "/files/"+name, strings.NewReader(content)); status != http.StatusCreated || err != nil {
		b.t.Fatalf("PUT %s: %d %q %v", name, status, text, err)
	}
}

func (b *browser) get(name, want string) {
	b.t.Helper()
	if status, got, err := b.do("GET", "/files/"+name, nil); status != http.StatusOK || got != want || err != nil {
		b.t.Errorf("GET %s: %d, %d bytes, %v; want %d bytes", name, status, len(got), err, len(want))
	}
}

func TestG2_FilesSurviveACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		large := strings.Repeat("0123456789", 50_000) // several parts
		b.put("large", large)
		b.put("small", "first")
		b.put("small", "second")
		b.put("empty", "")
		b.http.CloseIdleConnections()
		b.app.Crash()
		b.get("large", large)
		b.get("small", "second")
		b.get("empty", "")
		if status, _, err := b.do("GET", "/files/none", nil); status != http.StatusNotFound || err != nil {
			t.Errorf("GET of no file: %d, %v", status, err)
		}
		sizes, err := List.Call(t.Context(), b.folder, rivet.None{})
		if err != nil || len(sizes) != 3 || sizes["large"] != 500_000 {
			t.Errorf("list %v, %v", sizes, err)
		}
	})
}

// broken is a body that ends before it is whole.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrClosedPipe
	}
	return n, err
}

func TestG1_AnUploadThatBreaksOffChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		b.put("a", "whole")
		if _, _, err := b.do("PUT", "/files/a", broken{bytes.NewReader(make([]byte, 3*partBytes))}); err == nil {
			t.Fatal("an upload that broke off succeeded")
		}
		b.app.Advance(0)
		b.get("a", "whole")
	})
}

func TestChangesAreToldAsTheyHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url("/request/changes"), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := b.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b.put("a", "1")
		b.put("b", "2")
		lines := bufio.NewReader(res.Body)
		for _, want := range []string{"data: a\n", "\n", "data: b\n", "\n"} {
			if line, err := lines.ReadString('\n'); line != want || err != nil {
				t.Fatalf("line %q, %v; want %q", line, err, want)
			}
		}
	})
}

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		c, _, err := websocket.Dial(t.Context(), b.url("/websocket/echo"), &websocket.DialOptions{
			HTTPClient:   b.http,
			Subprotocols: []string{"rivet"}, // the gateway wants it of everybody
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			if err := c.Write(t.Context(), kind, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if got, back, err := c.Read(t.Context()); got != kind || string(back) != "hello" || err != nil {
				t.Fatalf("back came %v %q, %v", got, back, err)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	})
}
