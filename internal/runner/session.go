package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

const (
	backoffMin  = time.Second
	backoffMax  = 30 * time.Second
	stableAfter = time.Minute
	dialTimeout = 15 * time.Second
	// silentAfter is how long a connection may bring nothing before it is given up: the engine pings every three seconds.
	silentAfter = 15 * time.Second
)

// run keeps the runner connected.
func (r *Runner) run() {
	defer close(r.ended)
	r.armLost()
	wait := backoffMin
	for {
		began := time.Now()
		err := r.session()
		r.disconnected()
		if r.ctx.Err() != nil {
			return
		}
		var closed websocket.CloseError
		if errors.As(err, &closed) && isEviction(closed) {
			r.log.Error("the engine replaced this runner by another one with the same key; it does not connect again", "reason", closed.Reason)
			r.mu.Lock()
			r.err = &EvictedError{closed.Reason}
			r.mu.Unlock()
			r.loseAll("the runner was evicted")
			return
		}
		if time.Since(began) >= stableAfter {
			wait = backoffMin
		}
		pause := randomWait(wait)
		if help := advice(err, r); help != "" {
			r.log.Error("the engine does not take this runner in", "endpoint", r.base.Redacted(), "error", err, "what_to_do", help, "again_in", pause.Round(time.Millisecond))
		} else {
			r.log.Warn("the connection to the engine is lost", "endpoint", r.base.Redacted(), "error", err, "again_in", pause.Round(time.Millisecond))
		}
		wait = min(2*wait, backoffMax)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-r.ctx.Done():
			t.Stop()
			return
		}
	}
}

func isEviction(e websocket.CloseError) bool {
	return e.Code == websocket.StatusNormalClosure && strings.HasPrefix(e.Reason, "ws.eviction")
}

// advice is what people can do about an engine that refuses; empty when nothing but waiting helps.
func advice(err error, r *Runner) string {
	text := err.Error()
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		text = closed.Reason
	}
	switch {
	case strings.Contains(text, "ws.no_runner_config"):
		return fmt.Sprintf("create the pool %q in the namespace %q first: PUT /runner-configs/%s, or the dashboard (RIVET_POOL)", r.cfg.Pool, r.cfg.Namespace, r.cfg.Pool)
	case strings.Contains(text, "namespace.not_found"):
		return fmt.Sprintf("the namespace %q does not exist: create it, or set RIVET_NAMESPACE", r.cfg.Namespace)
	case strings.Contains(text, "api.forbidden"), strings.Contains(text, "api.unauthorized"), strings.Contains(text, "guard.missing_header"):
		return "the engine does not accept the token: set RIVET_TOKEN"
	case strings.Contains(text, "ws.invalid_request"):
		return "the engine does not accept the request: check RIVET_POOL, RIVET_ENVOY_VERSION, and that the engine is version 2.3.9 or later"
	case strings.Contains(text, "no version in common"):
		return "use an engine of version 2.3.9 or later"
	}
	return ""
}

// engineVersion asks which protocol the engine speaks.
func (r *Runner) engineVersion(ctx context.Context) (uint16, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base.JoinPath("metadata").String(), nil)
	if err != nil {
		return 0, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	var m struct {
		Version int `json:"envoy_protocol_version"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &m) != nil || m.Version == 0 {
		// Something in between may hide the route. The newest version is the best guess.
		return runnerproto.MaxVersion, nil
	}
	if m.Version < runnerproto.MinVersion {
		return 0, fmt.Errorf("there is no version in common: the engine speaks envoy protocol %d at most, this runner %d to %d", m.Version, runnerproto.MinVersion, runnerproto.MaxVersion)
	}
	return uint16(min(m.Version, runnerproto.MaxVersion)), nil
}

// dial opens a connection.
func (r *Runner) dial(ctx context.Context) (*websocket.Conn, uint16, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	version, err := r.engineVersion(ctx)
	if err != nil {
		return nil, 0, err
	}
	u := *r.base.JoinPath("envoys", "connect")
	u.User = nil
	u.RawQuery = url.Values{
		"protocol_version": {strconv.Itoa(int(version))}, "namespace": {r.cfg.Namespace}, "envoy_key": {r.key},
		"version": {strconv.FormatUint(uint64(r.cfg.Version), 10)}, "pool_name": {r.cfg.Pool},
	}.Encode()
	protocols := []string{"rivet"}
	if r.cfg.Token != "" {
		protocols = append(protocols, "rivet_token."+r.cfg.Token)
	}
	c, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: r.http, Subprotocols: protocols, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		if resp != nil && resp.Header.Get("X-Rivet-Error") != "" {
			err = fmt.Errorf("%s: %w", resp.Header.Get("X-Rivet-Error"), err)
		}
		return nil, 0, err
	}
	c.SetReadLimit(maxFrame)
	return c, version, nil
}

// session is one connection, from its opening to its end.
func (r *Runner) session() error {
	c, version, err := r.dial(r.ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	l := newLine(c, version)
	defer l.stop()
	first, err := r.metadata()
	if err != nil {
		return err
	}
	l.send(first)
	go l.confirm(ctx, r.confirmed) // ends with the session
	for {
		read, stop := context.WithTimeout(ctx, silentAfter)
		typ, b, err := c.Read(read)
		silent := read.Err() != nil && ctx.Err() == nil
		stop()
		if err != nil {
			switch cause := l.why(); {
			case cause != nil:
				return cause
			case silent:
				return errors.New("the engine is silent")
			}
			return err
		}
		if typ != websocket.MessageBinary {
			continue
		}
		m, err := runnerproto.DecodeToEnvoy(version, b)
		if err != nil {
			r.log.Error("a message of the engine is not readable and was dropped", "error", err, "bytes", len(b))
			continue
		}
		r.handle(l, m)
	}
}

// handle handles one message, on the goroutine that reads: it waits for nothing.
func (r *Runner) handle(l *line, m runnerproto.ToEnvoy) {
	switch m := m.(type) {
	case *runnerproto.Init:
		r.connected(l, m)
	case *runnerproto.Ping:
		r.mu.Lock()
		r.lastPing = time.Now()
		r.mu.Unlock()
		l.send(&runnerproto.Pong{TS: m.TS})
	case *runnerproto.Commands:
		r.commands(l, m.List)
	case *runnerproto.AckEvents:
		r.eventsAcked(m.Upto)
	case *runnerproto.FromGateway:
		r.fromGateway(m)
	case *runnerproto.GetPagesResponse:
		r.answered(m.ID, m, m.Failure)
	case *runnerproto.CommitResponse:
		r.answered(m.ID, m, m.Failure)
	case *runnerproto.StageBeginResponse:
		r.answered(m.ID, m, m.Failure)
	case *runnerproto.StageSegmentResponse:
		r.answered(m.ID, m, m.Failure)
	case *runnerproto.StageFinalizeResponse:
		r.answered(m.ID, m, m.Failure)
	default:
		r.log.Warn("the engine sent something that nobody asked for", "message", fmt.Sprintf("%T", m))
	}
}

// connected is called with the engine's first message: everything that it may not have is said again.
func (r *Runner) connected(l *line, m *runnerproto.Init) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.lastPing.IsZero()
	r.init, r.line, r.lastPing = *m, l, time.Now()
	if r.lostTimer != nil {
		r.lostTimer.Stop()
		r.lostTimer = nil
	}
	r.resendEvents(l)
	r.resendRequests(l)
	r.resendTunnel(l)
	if r.draining {
		l.send(&runnerproto.Stopping{})
	}
	if first {
		close(r.ready)
		r.log.Info("connected to the engine", "endpoint", r.base.Redacted(), "namespace", r.cfg.Namespace, "pool", r.cfg.Pool, "runner", r.key, "protocol", l.version)
	} else {
		r.log.Info("connected to the engine again")
	}
}

// disconnected is called when a session is over.
func (r *Runner) disconnected() {
	r.mu.Lock()
	had := r.line != nil
	r.line = nil
	if had {
		r.tunnelsLost()
	}
	r.mu.Unlock()
	if had {
		r.armLost()
	}
}

// armLost ends the actors of a runner that stays without its engine: the engine gives them to others by then.
func (r *Runner) armLost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	after := lostDefault
	if t := r.init.EnvoyLostThreshold; t > 0 {
		after = time.Duration(t) * time.Millisecond
	}
	r.lostTimer = time.AfterFunc(after, func() {
		r.mu.Lock()
		connected := r.line != nil
		r.mu.Unlock()
		if !connected {
			r.loseAll("actor lost due to timeout")
		}
	})
}
