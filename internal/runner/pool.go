package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// EnsurePool makes the runner's pool at an engine on this machine, if it does not exist. Elsewhere it is for whoever runs the
// engine to make. It waits for an engine that is about to start, until ctx ends.
func (r *Runner) EnsurePool(ctx context.Context) error {
	if !loopback(r.base.Hostname()) {
		return nil
	}
	for told := false; ; {
		err := r.ensurePool(ctx)
		if err == nil {
			return nil
		}
		if refused := (*refusedError)(nil); errors.As(err, &refused) {
			return fmt.Errorf("the pool %q cannot be made at %s: %w", r.cfg.Pool, r.base.Redacted(), err) // asking again changes nothing
		}
		if !told && ctx.Err() == nil {
			told = true
			r.log.Warn("the engine does not answer yet", "endpoint", r.base.Redacted(), "error", err)
		}
		t := time.NewTimer(500 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("the pool %q cannot be made at %s: %w", r.cfg.Pool, r.base.Redacted(), err)
		}
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *Runner) ensurePool(ctx context.Context) error {
	namespace := url.Values{"namespace": {r.cfg.Namespace}}
	var known struct {
		Configs map[string]json.RawMessage `json:"runner_configs"`
	}
	query := url.Values{"namespace": {r.cfg.Namespace}, "runner_name": {r.cfg.Pool}}
	if err := r.api(ctx, http.MethodGet, "runner-configs", query, nil, &known); err != nil {
		return err
	}
	if len(known.Configs[r.cfg.Pool]) > 0 {
		return nil // somebody has made it to their liking
	}
	var centers struct {
		Datacenters []struct {
			Name string `json:"name"`
		} `json:"datacenters"`
	}
	if err := r.api(ctx, http.MethodGet, "datacenters", namespace, nil, &centers); err != nil {
		return err
	}
	configs := make(map[string]any)
	for _, d := range centers.Datacenters {
		configs[d.Name] = map[string]any{"normal": map[string]any{}, "drain_on_version_upgrade": true}
	}
	return r.api(ctx, http.MethodPut, "runner-configs/"+url.PathEscape(r.cfg.Pool), namespace, map[string]any{"datacenters": configs}, nil)
}

// refusedError is an engine's answer that is a refusal.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

// api calls the engine's control API.
func (r *Runner) api(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	u := r.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.cfg.Token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return &refusedError{fmt.Sprintf("%s %s: %s: %s", method, u.Path, resp.Status, answer[:min(len(answer), 500)])}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
