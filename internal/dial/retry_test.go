package dial

import (
	"testing"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// waits lists how long a call waits between its attempts when every attempt takes took and fails with f.
func waits(k kind, f *fault.Error, took time.Duration) (list []time.Duration) {
	r := retries{kind: k}
	now := time.Unix(1000, 0)
	for {
		now = now.Add(took)
		w, again := r.next(f, now)
		if !again {
			return list
		}
		list = append(list, w)
		now = now.Add(w)
	}
}

func TestBoundaryRetries(t *testing.T) {
	for _, f := range []*fault.Error{
		fault.New("actor", "restarting", ""),
		fault.New("guard", "service_unavailable", ""),
		fault.New("guard", "actor_wake_retries_exceeded", ""),
		fault.New("guard", "actor_stopped_while_waiting", ""),
		fault.New("guard", "tunnel_request_aborted", ""),
		fault.New("guard", "tunnel_message_timeout", ""),
		fault.New("guard", "tunnel_response_closed", ""),
		fault.New("guard", "gateway_response_start_timeout", ""),
		fault.New("actor", "internal_error", "Actor is stopping"),
		fault.New("actor", "stopping", "Actor stopping: Cannot accept new connections while actor is stopping"),
		fault.New("rivetkit", "internal_error", "Actor 9qh1pqbb9yefrawdqx1yvb5ywdbl00 stopped"),
	} {
		got := waits(byID, f, time.Millisecond)
		if len(got) != 4 || got[0] != 25*time.Millisecond || got[1] != 50*time.Millisecond || got[2] != 100*time.Millisecond || got[3] != 200*time.Millisecond {
			t.Errorf("%v: %v", f, got)
		}
	}
}

func TestFinalAnswers(t *testing.T) {
	for _, f := range []*fault.Error{
		fault.New("actor", "not_found", ""),
		fault.New("actor", "action_not_found", ""),
		fault.New("user", "user_error", ""),
		fault.New("guard", "actor_ready_timeout", ""), // the gateway has waited 30 s already
		fault.New("guard", "rate_limit", ""),
		fault.New("client", "request_failed", ""),
		fault.New("actor", "internal_error", "something else"),
		fault.New("guard", "service_unavailable", "database accessed after actor stopped"),
		fault.New("user", "x", "The Actor a stopped"),
	} {
		if got := waits(get, f, time.Millisecond); got != nil {
			t.Errorf("%v: %v", f, got)
		}
	}
}

func TestDynamicRetries(t *testing.T) {
	sum := func(list []time.Duration) (s time.Duration) {
		for _, d := range list {
			s += d
		}
		return s
	}
	for _, code := range []string{"starting", "stopping", "not_configured", "dropped_reply", "destroying", "destroyed_during_creation"} {
		f := fault.New("actor", code, "")
		for _, k := range []kind{get, getOrCreate} {
			if got := waits(k, f, 0); sum(got) < 4*time.Second || sum(got) > 5*time.Second {
				t.Errorf("%s: %v is %v", code, got, sum(got))
			}
			if got := waits(k, f, 3*time.Second); len(got) != 2 {
				t.Errorf("%s, slow answers: %v", code, got)
			}
		}
		if got := waits(byID, f, 0); got != nil {
			t.Errorf("%s by id: %v", code, got)
		}
	}

	missing := fault.New("actor", "not_found", "")
	if got := waits(getOrCreate, missing, 0); len(got) < 5 {
		t.Errorf("not_found: %v", got)
	}
	route := missing.With([]byte("\xa2\x62id\x62/x\x68resource\x65route"))
	fromActor := fault.New("actor", "not_found", "")
	fromActor.Actor = &fault.Actor{ID: "a"}
	for _, f := range []*fault.Error{route, fromActor} {
		if got := waits(getOrCreate, f, 0); got != nil {
			t.Errorf("not_found of an actor: %v", got)
		}
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}
	for i, w := range want {
		if got := b.next(); got != w {
			t.Errorf("wait %d = %v, want %v", i, got, w)
		}
		b.lost(time.Second) // not for long enough
	}
	for range 100 {
		if got := b.next(); got != 30*time.Second {
			t.Fatalf("wait = %v", got)
		}
	}
	b.lost(stableAfter)
	if got := b.next(); got != 0 {
		t.Errorf("wait after a stable socket = %v", got)
	}
}

func TestJitter(t *testing.T) {
	for range 1000 {
		if d := jitter(time.Second); d < 500*time.Millisecond || d >= time.Second {
			t.Fatalf("jitter(1s) = %v", d)
		}
	}
	if jitter(0) != 0 {
		t.Error("jitter(0) waits")
	}
}
