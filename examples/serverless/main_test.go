package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rivetgo/rivet/actor"
)

// TestHandler is what the example's handler answers to anybody; interop has an engine call it.
func TestHandler(t *testing.T) {
	h, err := actor.ServeConfig{Endpoint: "http://127.0.0.1:1", LogLevel: "error"}.Handler(definition())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/rivet/metadata", "/metadata", "/any/prefix/metadata"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, `"counter"`) || !strings.Contains(body, `"serverless"`) {
			t.Errorf("%s: %d %s", path, w.Code, body)
		}
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/rivet/start", http.NoBody))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a start after the end: %d", w.Code)
	}
}
