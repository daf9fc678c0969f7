package gateway

import (
	"net/http"
	"strings"
)

// Header values that never change. They are put into header maps as they are, and nobody appends to a slice in place.
var (
	valueStar    = []string{"*"}
	valueTrue    = []string{"true"}
	valueOrigin  = []string{"Origin"}
	valueMethods = []string{"GET, POST, PUT, DELETE, OPTIONS, PATCH"}
	valueMaxAge  = []string{"86400"}
	valueOne     = []string{"1"}
)

// allowOrigin sets the headers that let a browser's script read an answer, replacing what the actor said about that.
func allowOrigin(h http.Header, origin []string) {
	if len(origin) == 0 || origin[0] == "" {
		h["Access-Control-Allow-Origin"] = valueStar
	} else {
		h["Access-Control-Allow-Origin"] = origin[:1:1]
		varyByOrigin(h)
	}
	h["Access-Control-Allow-Credentials"] = valueTrue
	h["Access-Control-Expose-Headers"] = valueStar
}

func varyByOrigin(h http.Header) {
	old := h["Vary"]
	if len(old) == 0 {
		h["Vary"] = valueOrigin
		return
	}
	for _, line := range old {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); strings.EqualFold(name, "Origin") || name == "*" {
				return
			}
		}
	}
	h["Vary"] = []string{strings.Join(old, ", ") + ", Origin"}
}

// preflight answers a browser's question whether it may ask; no actor is looked up or woken for it.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	allowOrigin(h, r.Header["Origin"])
	h["Access-Control-Allow-Methods"] = valueMethods
	if asked := r.Header["Access-Control-Request-Headers"]; len(asked) > 0 {
		h["Access-Control-Allow-Headers"] = asked
	} else {
		h["Access-Control-Allow-Headers"] = valueStar
	}
	h["Access-Control-Max-Age"] = valueMaxAge
	w.WriteHeader(http.StatusNoContent)
}
