package refusal

import (
	"net/http"
	"strconv"

	"github.com/rivetgo/rivet/internal/wire/fault"
	"github.com/rivetgo/rivet/internal/wire/value"
)

// AppendBody appends the JSON body of an error: group, code, message, and metadata when there is any. An error that an
// actor made has the members in alphabetical order and says which actor it was.
func AppendBody(dst []byte, e *fault.Error) []byte {
	if e.Actor != nil {
		dst = append(dst, `{"actor":{"actorId":`...)
		dst = value.AppendJSONString(dst, e.Actor.ID)
		dst = append(dst, `,"generation":`...)
		dst = strconv.AppendUint(dst, e.Actor.Generation, 10)
		if e.Actor.HasKey {
			dst = append(dst, `,"key":`...)
			dst = value.AppendJSONString(dst, e.Actor.Key)
		}
		dst = append(dst, `},"code":`...)
		dst = value.AppendJSONString(dst, e.Code)
		dst = append(dst, `,"group":`...)
		dst = value.AppendJSONString(dst, e.Group)
	} else {
		dst = append(dst, `{"group":`...)
		dst = value.AppendJSONString(dst, e.Group)
		dst = append(dst, `,"code":`...)
		dst = value.AppendJSONString(dst, e.Code)
	}
	dst = append(dst, `,"message":`...)
	dst = value.AppendJSONString(dst, e.Message)
	if len(e.Metadata) > 0 {
		before := len(dst)
		dst = append(dst, `,"metadata":`...)
		var err error
		if dst, err = value.ToJSON(dst, e.Metadata, value.UndefinedNull); err != nil {
			dst = dst[:before] // metadata that is no CBOR item is left out rather than spoil the error
		}
	}
	return append(dst, '}')
}

// Write answers with an error's body and the given status. Other headers are the caller's.
func Write(w http.ResponseWriter, e *fault.Error, status int) {
	body := AppendBody(make([]byte, 0, 256), e)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
