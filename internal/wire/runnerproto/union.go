package runnerproto

import (
	"fmt"

	"github.com/rivetgo/rivet/internal/wire/bare"
)

// The versions that this package speaks.
const (
	MinVersion = 6
	MaxVersion = 8
)

// layouter is a variant of a union.
type layouter interface {
	// variant is the tag in the newest version.
	variant() uint8
	layout(c *coder)
}

// union is the variants of a union in the order of the newest version's tags. Those in gap, which follow each other, came
// with version since, and in older versions the tags behind them are lower by their number.
type union[M layouter] struct {
	name  string
	make  []func() M
	gap   [2]uint8 // first, and one past the last
	since uint16
}

func (u *union[M]) code(c *coder, p *M) {
	old := c.version < u.since
	missing := u.gap[1] - u.gap[0]
	if c.writing {
		if any(*p) == nil {
			c.fail(u.name + " without content")
			return
		}
		tag := (*p).variant()
		if old && tag >= u.gap[0] {
			if tag < u.gap[1] {
				c.fail(fmt.Sprintf("version %d has no %T", c.version, *p))
				return
			}
			tag -= missing
		}
		c.u8(&tag)
		(*p).layout(c)
		return
	}
	var tag uint8
	c.u8(&tag)
	if old && tag >= u.gap[0] {
		tag += min(missing, 255-tag)
	}
	if c.failed() {
		return
	}
	if int(tag) >= len(u.make) {
		c.fail("unknown tag of " + u.name)
		return
	}
	m := u.make[tag]()
	m.layout(c)
	*p = m
}

// ToRivet is a message of a runner to the engine.
type ToRivet interface {
	layouter
	toRivet()
}

// ToEnvoy is a message of the engine to a runner.
type ToEnvoy interface {
	layouter
	toEnvoy()
}

func variantOf[M any, T any, P interface {
	*T
	any
}]() func() M {
	return func() M { return any(P(new(T))).(M) }
}

var toRivet = &union[ToRivet]{
	name: "ToRivet", gap: [2]uint8{9, 12}, since: 7,
	make: []func() ToRivet{
		variantOf[ToRivet, Metadata](), variantOf[ToRivet, Events](), variantOf[ToRivet, AckCommands](), variantOf[ToRivet, Stopping](),
		variantOf[ToRivet, Pong](), variantOf[ToRivet, KVRequest](), variantOf[ToRivet, FromRunner](),
		variantOf[ToRivet, GetPagesRequest](), variantOf[ToRivet, CommitRequest](),
		variantOf[ToRivet, StageBeginRequest](), variantOf[ToRivet, StageSegmentRequest](), variantOf[ToRivet, StageFinalizeRequest](),
		variantOf[ToRivet, ExecRequest](), variantOf[ToRivet, ExecuteRequest](), variantOf[ToRivet, ExecuteBatchRequest](),
	},
}

var toEnvoy = &union[ToEnvoy]{
	name: "ToEnvoy", gap: [2]uint8{8, 11}, since: 7,
	make: []func() ToEnvoy{
		variantOf[ToEnvoy, Init](), variantOf[ToEnvoy, Commands](), variantOf[ToEnvoy, AckEvents](), variantOf[ToEnvoy, KVResponse](),
		variantOf[ToEnvoy, FromGateway](), variantOf[ToEnvoy, Ping](),
		variantOf[ToEnvoy, GetPagesResponse](), variantOf[ToEnvoy, CommitResponse](),
		variantOf[ToEnvoy, StageBeginResponse](), variantOf[ToEnvoy, StageSegmentResponse](), variantOf[ToEnvoy, StageFinalizeResponse](),
		variantOf[ToEnvoy, ExecResponse](), variantOf[ToEnvoy, ExecuteResponse](), variantOf[ToEnvoy, ExecuteBatchResponse](),
	},
}

// AppendToRivet appends a message in the given version. A message that the version does not have is an error.
func AppendToRivet(dst []byte, version uint16, m ToRivet) ([]byte, error) {
	return write(dst, version, toRivet, m)
}

// AppendToEnvoy appends a message in the given version. A message that the version does not have is an error.
func AppendToEnvoy(dst []byte, version uint16, m ToEnvoy) ([]byte, error) {
	return write(dst, version, toEnvoy, m)
}

// DecodeToRivet reads a message of the given version. It shares the input's memory.
func DecodeToRivet(version uint16, b []byte) (ToRivet, error) { return read(version, toRivet, b) }

// DecodeToEnvoy reads a message of the given version. It shares the input's memory.
func DecodeToEnvoy(version uint16, b []byte) (ToEnvoy, error) { return read(version, toEnvoy, b) }

func checkVersion(version uint16) error {
	if version < MinVersion || version > MaxVersion {
		return fmt.Errorf("runnerproto: version %d is not one of %d to %d", version, MinVersion, MaxVersion)
	}
	return nil
}

func write[M layouter](dst []byte, version uint16, u *union[M], m M) ([]byte, error) {
	if err := checkVersion(version); err != nil {
		return dst, err
	}
	c := coder{version: version, writing: true, dst: dst}
	u.code(&c, &m)
	if c.err != nil {
		return dst, c.err
	}
	return c.dst, nil
}

func read[M layouter](version uint16, u *union[M], b []byte) (m M, err error) {
	var none M
	if err := checkVersion(version); err != nil {
		return none, err
	}
	c := coder{version: version, src: bare.NewReader(b)}
	u.code(&c, &m)
	if err := c.src.Done(); err != nil {
		return none, fmt.Errorf("runnerproto: version %d: %s: %w", version, u.name, err)
	}
	return m, nil
}

// AppendStart appends the body of a serverless start request: the version, then the commands.
func AppendStart(dst []byte, version uint16, m *Commands) ([]byte, error) {
	return AppendToEnvoy(bare.AppendU16(dst, version), version, m)
}

// DecodeStart reads the body of a serverless start request.
func DecodeStart(b []byte) (version uint16, m *Commands, err error) {
	r := bare.NewReader(b)
	version = r.U16()
	if err := r.Err(); err != nil {
		return 0, nil, fmt.Errorf("runnerproto: start request: %w", err)
	}
	any, err := DecodeToEnvoy(version, b[r.Offset():])
	if err != nil {
		return version, nil, err
	}
	m, ok := any.(*Commands)
	if !ok {
		return version, nil, fmt.Errorf("runnerproto: start request holds %T, not commands", any)
	}
	return version, m, nil
}
