package ws

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFrame(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65_535, 65_536, 100_000} {
		payload := random(size)
		sealed := Seal(OpBinary, append(Reserve(size), payload...))
		for _, f := range []Frame{Text(payload), Binary(payload), sealed} {
			got := readFrame(t, bytes.NewReader(f.b))
			if !bytes.Equal(got.Payload, payload) || !bytes.Equal(f.Payload(), payload) {
				t.Errorf("size %d: payload differs", size)
			}
			if Op(got.Header.OpCode) != f.Op() || f.Len() != len(f.b) {
				t.Errorf("size %d: op %d, len %d", size, f.Op(), f.Len())
			}
		}
	}
	var zero Frame
	if !zero.IsZero() || zero.Op() != 0 || zero.Payload() != nil || zero.Len() != 0 || Text(nil).IsZero() {
		t.Error("zero Frame")
	}
}

func TestFrameAllocatesOnce(t *testing.T) {
	payload := random(200)
	var f Frame
	if n := testing.AllocsPerRun(100, func() { f = Text(payload) }); n != 1 {
		t.Errorf("Text: %v allocations", n)
	}
	_ = f
}

func TestCutReason(t *testing.T) {
	for _, reason := range []string{
		"", "ws.closed", strings.Repeat("a", 123), strings.Repeat("a", 124), strings.Repeat("é", 62),
		strings.Repeat("a", 121) + "€", strings.Repeat("a", 120) + "€", "a\xffb", strings.Repeat("\xf0\x9f\x98\x80", 40),
	} {
		got := CutReason(reason)
		if len(got) > 123 || !utf8.ValidString(got) {
			t.Errorf("CutReason(%q) = %q", reason, got)
		}
		if utf8.ValidString(reason) && (!strings.HasPrefix(reason, got) || len(got) < min(len(reason), 120)) {
			t.Errorf("CutReason(%q) = %q, cut too much", reason, got)
		}
	}
}

func TestCloseFrame(t *testing.T) {
	for _, test := range []struct {
		code int
		want string
	}{
		{0, ""}, {CodeNoStatus, ""}, {1000, closePayload(1000, "r")}, {4999, closePayload(4999, "r")},
		{1006, closePayload(1011, "r")}, {999, closePayload(1011, "r")}, {5000, closePayload(1011, "r")},
		{-1, closePayload(1011, "r")}, {70_000, closePayload(1011, "r")},
	} {
		wantFrame(t, bytes.NewReader(closeFrame(test.code, "r")), 8, test.want)
	}
}
