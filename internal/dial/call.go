package dial

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/rivetgo/rivet/internal/wire/clientproto"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// Action calls an action over HTTP and returns its encoded output. args is an encoded array of arguments; params is
// what the actor's connection hooks get, as JSON in ASCII, nil for none.
//
// The call is repeated as retries says. Its error is a *fault.Error, or wraps the context's.
func (t *Target) Action(ctx context.Context, name string, args, params []byte) ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	encoding := t.client.encoding
	body, err := clientproto.AppendActionRequest(nil, encoding, args)
	if err != nil {
		return nil, failure(CodeInvalidTarget, "the arguments cannot be encoded: "+err.Error(), err)
	}
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	path := "/action/" + escape(name)
	r := retries{kind: t.kind}
	for {
		a, err := t.post(ctx, path, body, params, nil)
		if err == nil {
			output, err := clientproto.DecodeActionResponse(encoding, a.body)
			if err != nil {
				return nil, failure(CodeInvalidResponse, "the answer cannot be read: "+err.Error(), err)
			}
			return output, nil
		}
		// An action of this name is how actors are asked to end: that they do is no reason to ask the next one.
		if name != "destroy" {
			if err = t.retry(ctx, &r, err); err == nil {
				continue
			}
		}
		return nil, t.meaning(ended(ctx, err))
	}
}

// post sends a body to a path on the actor, with headers of its kind of call. An answer that is not a success is an error.
func (t *Target) post(ctx context.Context, path string, body, params []byte, extra http.Header) (*answer, error) {
	c := t.client
	url, err := t.urlFor(ctx, path)
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	h := req.Header
	h["X-Rivet-Encoding"] = []string{c.encoding.String()}
	h["Content-Type"] = []string{c.encoding.ContentType()}
	maps.Copy(h, extra)
	if params != nil {
		h["X-Rivet-Conn-Params"] = []string{string(params)}
	}
	if token := c.current().token; token != "" && visible(token) {
		h["X-Rivet-Token"] = []string{token}
	}
	c.finish(req)
	a, err := c.send(req)
	if err != nil {
		return nil, err
	}
	if a.status < 200 || a.status > 299 {
		return nil, a.fault(&c.encoding)
	}
	return a, nil
}

// meaning turns an answer about the life of an id into what it means to the caller.
func (t *Target) meaning(err error) error {
	f, ok := fault.From(err)
	if ok && t.kind == byID && f.Group == "actor" && f.Code == "destroyed_while_waiting_for_ready" {
		g := *f
		g.Code = "not_found"
		return &g
	}
	return err
}

// fault reads the error of an answer that is not a success. Gateways and the API answer in JSON whatever was asked for;
// actors answer in own, the encoding of the request (nil for the API, which has none).
func (a *answer) fault(own *clientproto.Encoding) error {
	encoding := clientproto.JSON
	if own != nil && !strings.Contains(a.contentType, "application/json") {
		encoding = *own
	}
	f, err := clientproto.DecodeError(encoding, a.body)
	if err != nil || f.Group == "" {
		// A proxy, or no server of ours at all.
		f = failure(CodeInvalidResponse, a.describe(), nil)
	}
	f.Ray, f.HTTPStatus = a.ray, a.status
	return f
}

// describe says what an answer that nobody understands looks like.
func (a *answer) describe() string {
	text := "unexpected answer: " + a.statusText
	if a.location != "" {
		return text + ", which points elsewhere; check the endpoint"
	}
	body := strings.TrimSpace(string(a.body[:min(len(a.body), 200)]))
	if body == "" || !utf8.ValidString(body) && !strings.HasPrefix(a.contentType, "text/") {
		return text
	}
	return fmt.Sprintf("%s: %q", text, body)
}

// upgradeRefused reads the answer to an upgrade that was not upgraded.
func upgradeRefused(res *http.Response) error {
	a := &answer{
		status: res.StatusCode, statusText: res.Status, contentType: res.Header.Get("Content-Type"),
		ray: res.Header.Get("X-Rivet-Ray-Id"), location: res.Header.Get("Location"),
	}
	a.body, _ = io.ReadAll(res.Body) // what the WebSocket library kept of it, 1 KiB at most
	return a.fault(nil)
}

// ASCII returns JSON text with everything outside of ASCII escaped, as a header needs it. Text that is ASCII already is
// returned as it is.
func ASCII(text []byte) []byte {
	plain := true
	for _, c := range text {
		if c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/2)
	for i := 0; i < len(text); {
		if text[i] < 0x7f {
			out = append(out, text[i])
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		i += n
		if r > 0xffff {
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
			continue
		}
		out = fmt.Appendf(out, `\u%04x`, r)
	}
	return out
}
