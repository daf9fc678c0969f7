package dial

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/rivetgo/rivet/internal/callchain"
	"github.com/rivetgo/rivet/internal/wire/actorkey"
)

// Copied is what the engine says of an actor that was imported or cloned.
type Copied struct {
	Actor   apiActor `json:"actor"`
	Pages   int      `json:"pages"`
	Records int      `json:"records"`
	Bytes   int64    `json:"bytes"`
	Dropped int      `json:"dropped_messages"`
}

// ID is the id of the copy.
func (c *Copied) ID() string { return c.Actor.ID }

// Verified is what the engine says of an actor that it checked.
type Verified struct {
	Sound    bool     `json:"sound"`
	Pages    int      `json:"pages"`
	Records  int      `json:"records"`
	Problems []string `json:"problems"`
}

// live is the id of the actor, which is neither created nor woken.
func (t *Target) live(ctx context.Context) (string, error) {
	if t.err != nil || t.kind == byID {
		return t.id, t.err
	}
	return t.lookUp(ctx)
}

// Export copies the actor as one file to w. progress hears how many of all bytes were copied; nil: nobody does. After an
// error w holds a part of the file.
func (t *Target) Export(ctx context.Context, w io.Writer, progress func(done, all int64)) error {
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	id, err := t.live(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	res, err := t.client.stream(ctx, http.MethodGet, "/actors/"+escape(id)+"/export", "", nil, 0)
	if err != nil {
		return ended(ctx, err)
	}
	defer res.Body.Close()
	if res.ContentLength < 0 {
		return failure(CodeInvalidResponse, "the answer does not say how long the file is, so that nobody could tell whether it is whole", nil)
	}
	_, err = io.Copy(w, &counted{r: res.Body, all: res.ContentLength, report: progress})
	if err != nil {
		return ended(ctx, transportError(ctx, CodeRequestFailed, "the file was cut short", err))
	}
	return nil
}

// Verify asks the engine to check the actor.
func (t *Target) Verify(ctx context.Context) (*Verified, error) {
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	id, err := t.live(ctx)
	if err != nil {
		return nil, ended(ctx, err)
	}
	var v Verified
	if err := t.client.api(ctx, http.MethodGet, "/actors/"+escape(id)+"/verify", "", nil, &v); err != nil {
		return nil, ended(ctx, err)
	}
	return &v, nil
}

// Clone asks the engine to make a second actor of this one, under another key.
func (t *Target) Clone(ctx context.Context, key []string, replace bool) (*Target, *Copied, error) {
	if err := checkKey("clone", key); err != nil {
		return nil, nil, err
	}
	ctx, end, err := t.client.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	id, err := t.live(ctx)
	if err != nil {
		return nil, nil, ended(ctx, err)
	}
	query := "key=" + escape(actorkey.Format(key)) + "&replace=" + strconv.FormatBool(replace)
	var made Copied
	if err := t.client.api(ctx, http.MethodPost, "/actors/"+escape(id)+"/clone", query, nil, &made); err != nil {
		return nil, nil, ended(ctx, err)
	}
	return t.client.ByID(made.ID()), &made, nil
}

// Import is what a file is to become.
type Import struct {
	Name    string // of the actor type; empty: as the file says
	Key     []string
	OwnKey  bool // Key counts; else the file's does
	Replace bool
	Foreign bool
	Size    int64 // of the file; 0: unknown
	Report  func(done, all int64)
}

// Import sends a file, of which the engine makes an actor.
func (c *Client) Import(ctx context.Context, file io.Reader, im Import) (*Copied, error) {
	if im.OwnKey {
		if err := checkKey(im.Name, im.Key); err != nil {
			return nil, err
		}
	}
	ctx, end, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	query := "replace=" + strconv.FormatBool(im.Replace) + "&foreign=" + strconv.FormatBool(im.Foreign)
	if im.Name != "" {
		query += "&name=" + escape(im.Name)
	}
	if im.OwnKey {
		query += "&key=" + escape(actorkey.Format(im.Key))
	}
	res, err := c.stream(ctx, http.MethodPost, "/actors/import", query, &counted{r: file, all: im.Size, report: im.Report}, im.Size)
	if err != nil {
		return nil, ended(ctx, err)
	}
	defer res.Body.Close()
	var made Copied
	if err := json.NewDecoder(io.LimitReader(res.Body, maxMessage)).Decode(&made); err != nil || made.Actor.ID == "" {
		return nil, ended(ctx, errNoActor)
	}
	return &made, nil
}

// stream makes a call of the control API whose bodies may be large. An answer that is no success is its error.
func (c *Client) stream(ctx context.Context, method, path, query string, body io.Reader, size int64) (*http.Response, error) {
	server, err := c.server(ctx)
	if err != nil {
		return nil, err
	}
	if query != "" {
		query += "&"
	}
	req, err := c.request(ctx, method, server.base+path+"?"+query+"namespace="+escape(server.namespace), nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Body = io.NopCloser(body)
		req.ContentLength = -1
		if size > 0 {
			req.ContentLength = size
		}
		req.Header.Set("Content-Type", "application/vnd.sqlite3")
	}
	if server.token != "" {
		req.Header.Set("Authorization", "Bearer "+server.token)
	}
	c.finish(req)
	if err := callchain.BeforeSend(ctx); err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, transportError(ctx, CodeRequestFailed, "the request failed", err)
	}
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return res, nil
	}
	defer res.Body.Close()
	a := &answer{
		status: res.StatusCode, statusText: res.Status, contentType: res.Header.Get("Content-Type"),
		ray: res.Header.Get("X-Rivet-Ray-Id"), location: res.Header.Get("Location"),
	}
	if a.body, err = readBody(res); err != nil {
		return nil, transportError(ctx, CodeRequestFailed, "the answer was cut short", err)
	}
	return nil, a.fault(nil)
}

// counted reports how much was read.
type counted struct {
	r         io.Reader
	done, all int64
	report    func(done, all int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.report != nil && n > 0 {
		c.report(c.done, c.all)
	}
	return n, err
}
