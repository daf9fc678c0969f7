package fault_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

func TestStatus(t *testing.T) {
	for _, v := range []struct {
		group, code               string
		onActor, onGateway, onAPI int
	}{
		{"auth", "forbidden", 403, 400, 400},
		{"actor", "not_found", 404, 404, 400},
		{"actor", "action_not_found", 404, 400, 400},
		{"actor", "method_not_allowed", 405, 400, 400},
		{"actor", "action_timed_out", 408, 400, 400},
		{"actor", "invalid_request", 400, 400, 400},
		{"message", "incoming_too_long", 400, 400, 400},
		{"queue", "full", 400, 400, 400},
		{"user", "anything", 400, 400, 400},
		{"rivetkit", "internal_error", 500, 400, 400},
		{"core", "internal_error", 500, 500, 500},
		{"api", "not_found", 500, 404, 404},
		{"api", "unauthorized", 500, 401, 401},
		{"api", "forbidden", 500, 403, 403},
		{"guard", "no_route", 500, 404, 400},
		{"guard", "rate_limit", 500, 429, 400},
		{"guard", "invalid_request_body", 500, 413, 400},
		{"guard", "upstream_error", 500, 502, 400},
		{"guard", "actor_ready_timeout", 500, 503, 400},
		{"guard", "request_timeout", 500, 504, 400},
		{"pegboard", "route_resolve_query_timeout", 500, 504, 400},
		{"namespace", "not_found", 500, 400, 400},
	} {
		e := fault.New(v.group, v.code, "")
		if a, g, i := e.StatusOnActor(), e.StatusOnGateway(), e.StatusOnAPI(); a != v.onActor || g != v.onGateway || i != v.onAPI {
			t.Errorf("%s.%s: %d on an actor, %d on the gateway, %d on the API; want %d, %d, %d",
				v.group, v.code, a, g, i, v.onActor, v.onGateway, v.onAPI)
		}
		e.HTTPStatus = 418
		if e.StatusOnActor() != 418 || e.StatusOnGateway() != 418 || e.StatusOnAPI() != 418 {
			t.Errorf("%s.%s: HTTPStatus does not override", v.group, v.code)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("disk")
	e := &fault.Error{Group: "queue", Code: "full", Message: "Queue is full.", Cause: cause}
	wrapped := fmt.Errorf("send: %w", e)

	if got := wrapped.Error(); got != "send: queue.full: Queue is full." {
		t.Errorf("Error() = %q", got)
	}
	for _, v := range []struct {
		target error
		want   bool
	}{
		{fault.New("queue", "full", "another message"), true},
		{fault.New("queue", "empty", "Queue is full."), false},
		{fault.New("kv", "full", "Queue is full."), false},
		{cause, true},
		{errors.New("disk"), false},
	} {
		if got := errors.Is(wrapped, v.target); got != v.want {
			t.Errorf("errors.Is(%v) = %v", v.target, got)
		}
	}
	if got, ok := fault.From(wrapped); !ok || got != e {
		t.Errorf("From = %v, %v", got, ok)
	}
	if got, ok := fault.From(cause); ok || got != nil {
		t.Errorf("From of a plain error = %v, %v", got, ok)
	}
}

func TestWithCopies(t *testing.T) {
	e := fault.New("queue", "full", "m")
	got := e.With([]byte{0xa0})
	if e.Metadata != nil || !bytes.Equal(got.Metadata, []byte{0xa0}) || got.Code != "full" {
		t.Errorf("With changed %+v into %+v", e, got)
	}
}
