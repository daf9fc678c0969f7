package actor

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/rivetgo/rivet/internal/codec"
	"github.com/rivetgo/rivet/internal/host"
)

// box is a user's struct as the host handles it: its exported fields are the durable part.
type box[S any] struct {
	s      *S
	fields []durableField
}

var _ host.State = (*box[struct{}])(nil)

// AppendTo appends the stored form of the durable fields.
func (b *box[S]) AppendTo(dst []byte) ([]byte, error) { return codec.AppendStored(dst, b.s) }

// Restore empties the durable fields and reads them back; the struct stays where it is, so pointers to it stay good.
func (b *box[S]) Restore(encoded []byte) error {
	v := reflect.ValueOf(b.s).Elem()
	for _, f := range b.fields {
		v.FieldByIndex(f).SetZero()
	}
	return codec.Decode(encoded, b.s)
}

func unbox[S any](s host.State) *S { return s.(*box[S]).s }

// unboxed is unbox for a hook that may run outside the turn, without a state.
func unboxed[S any](s host.State) *S {
	if s == nil {
		return nil
	}
	return unbox[S](s)
}

// durableField is the path of a field that is stored.
type durableField []int

// durableFields lists what of a struct type is stored, by the rules of the encoder: exported fields without the tag "-",
// and those of embedded structs.
func durableFields(t reflect.Type) []durableField {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []durableField
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("cbor")
		if tag == "" {
			tag = f.Tag.Get("json")
		}
		name, _, _ := strings.Cut(tag, ",")
		if tag == "-" {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			for _, inner := range durableFields(f.Type) {
				out = append(out, append(durableField{i}, inner...))
			}
			continue
		}
		if f.IsExported() {
			out = append(out, durableField{i})
		}
	}
	return out
}

func durableFieldsOf[S any]() []durableField { return durableFields(reflect.TypeFor[S]()) }

// storable says why values of type S cannot be stored; empty when they can.
func storable[S any](what string) string {
	t := reflect.TypeFor[S]()
	if t.Kind() != reflect.Struct {
		return fmt.Sprintf("the %s type %s is not a struct: its exported fields would be what is stored", what, t)
	}
	if _, err := codec.AppendStored(nil, new(S)); err != nil {
		return fmt.Sprintf("the %s type %s cannot be stored: %v: make the field unexported, or tag it `cbor:\"-\"`", what, t, err)
	}
	return ""
}
