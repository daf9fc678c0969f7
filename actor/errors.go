package actor

import (
	"errors"
	"fmt"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/internal/wire/fault"
)

// wire turns a typed error of user code into its wire form; other errors pass, and stay in the log.
func wire(err error) error {
	var e *rivet.Error
	if !errors.As(err, &e) {
		return err
	}
	f, ferr := e.Fault()
	if ferr != nil {
		return fmt.Errorf("metadata of error %s.%s cannot be encoded: %w", e.Group, e.Code, ferr)
	}
	if err != error(e) {
		f.Cause = err // the context that was wrapped around it is for the log
	}
	return f
}

// local turns an error of the host into one that user code can look at.
func local(err error) error {
	f, ok := fault.From(err)
	if err == nil || !ok {
		return err
	}
	return &rivet.Error{Group: f.Group, Code: f.Code, Message: f.Message}
}
