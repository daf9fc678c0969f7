package rivet

import "errors"

// Args2 is two positional arguments, as JavaScript passes them: action(a, b). Trailing pointer types are optional.
type Args2[A, B any] struct {
	A A
	B B
}

// Pointers is for the codec.
func (a *Args2[A, B]) Pointers() []any { return []any{&a.A, &a.B} }

// Args3 is three positional arguments.
type Args3[A, B, C any] struct {
	A A
	B B
	C C
}

// Pointers is for the codec.
func (a *Args3[A, B, C]) Pointers() []any { return []any{&a.A, &a.B, &a.C} }

// Args4 is four positional arguments.
type Args4[A, B, C, D any] struct {
	A A
	B B
	C C
	D D
}

// Pointers is for the codec.
func (a *Args4[A, B, C, D]) Pointers() []any { return []any{&a.A, &a.B, &a.C, &a.D} }

// Raw is one encoded value (a CBOR item) that passes through untouched: for relays and for values whose shape only
// JavaScript knows. Numbers, dates, byte arrays, bigints and sets keep their JavaScript types.
type Raw []byte

// MarshalCBOR returns the item as it is; an empty Raw is undefined.
func (r Raw) MarshalCBOR() ([]byte, error) {
	if len(r) == 0 {
		return []byte{0xf7}, nil
	}
	return r, nil
}

// UnmarshalCBOR keeps a copy of the item.
func (r *Raw) UnmarshalCBOR(item []byte) error {
	if r == nil {
		return errors.New("rivet: UnmarshalCBOR on a nil *Raw")
	}
	*r = append((*r)[:0], item...)
	return nil
}
