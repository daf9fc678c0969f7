package runnerproto_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rivetgo/rivet/internal/wire/runnerproto"
)

// frame is a line of testdata/frames.txt.
type frame struct {
	sender  string
	version uint16
	wire    []byte
	content string
}

func frames(t testing.TB) (out []frame) {
	t.Helper()
	text, err := os.ReadFile("testdata/frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.SplitN(strings.TrimSpace(line), " ", 4)
		version, err := strconv.ParseUint(f[1], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, frame{f[0], uint16(version), wire, f[3]})
	}
	return out
}

// decode reads a frame, and returns what writes it.
func decode(f frame) (m any, write func() ([]byte, error), err error) {
	switch f.sender {
	case "runner":
		m, err := runnerproto.DecodeToRivet(f.version, f.wire)
		return m, func() ([]byte, error) { return runnerproto.AppendToRivet(nil, f.version, m) }, err
	case "engine":
		m, err := runnerproto.DecodeToEnvoy(f.version, f.wire)
		return m, func() ([]byte, error) { return runnerproto.AppendToEnvoy(nil, f.version, m) }, err
	default:
		version, m, err := runnerproto.DecodeStart(f.wire)
		return m, func() ([]byte, error) { return runnerproto.AppendStart(nil, version, m) }, err
	}
}

func TestGolden(t *testing.T) {
	for _, f := range frames(t) {
		_, write, err := decode(f)
		if err != nil {
			t.Errorf("%s: %v", f.content, err)
			continue
		}
		got, err := write()
		if err != nil || !bytes.Equal(got, f.wire) {
			t.Errorf("%s: %v\n got %x\nwant %x", f.content, err, got, f.wire)
		}
		for n := range f.wire {
			cut := f
			cut.wire = f.wire[:n]
			if m, _, err := decode(cut); err == nil {
				t.Errorf("%s: the first %d of %d bytes are taken for %#v", f.content, n, len(f.wire), m)
			}
		}
		long := f
		long.wire = append(bytes.Clone(f.wire), 0)
		if _, _, err := decode(long); err == nil {
			t.Errorf("%s: a byte too many is not noticed", f.content)
		}
	}
}

const (
	probe = "pii14uo6luorikz3tfxame8qbzbl00"
	third = "dtivlb8bovx163gb3n6ph01kpddl00"
)

var tunnel = runnerproto.Tunnel{Gateway: [4]byte{0x35, 0x7d, 0x79, 0x65}, Request: [4]byte{0x03, 0xf8, 0x81, 0x68}}

// meanings are what recorded frames say, by their content.
var meanings = map[string]any{
	"ToEnvoyInit": &runnerproto.Init{EnvoyLostThreshold: 15_000, ActorStopThreshold: 1_800_000, MaxResponsePayloadSize: 20 << 20},
	"ToRivetMetadata": &runnerproto.Metadata{
		HasNames: true, Names: []runnerproto.ActorName{{Name: "probe-actor", Metadata: "{}"}},
	},
	"ToEnvoyCommands/CommandStartActor": &runnerproto.Commands{List: []runnerproto.Command{{
		At:    runnerproto.Checkpoint{Actor: probe, Generation: 2, Index: 1},
		Start: &runnerproto.Start{Name: "probe-actor", Key: new("k1795346117031"), CreateTS: 1795346122136, Input: []byte("hello"), Sockets: []runnerproto.Tunnel{tunnel}},
	}}},
	"ToEnvoyCommands/CommandStopActor": &runnerproto.Commands{List: []runnerproto.Command{{
		At: runnerproto.Checkpoint{Actor: probe, Generation: 2, Index: 2}, Stop: new(runnerproto.StopDestroy),
	}}},
	"ToRivetEvents/EventActorStateUpdate/ActorStateStopped": &runnerproto.Events{List: []runnerproto.Event{{
		At: runnerproto.Checkpoint{Actor: probe, Generation: 1, Index: 3}, State: &runnerproto.State{Stopped: true},
	}}},
	"ToRivetEvents/EventActorIntent/ActorIntentSleep": &runnerproto.Events{List: []runnerproto.Event{{
		At: runnerproto.Checkpoint{Actor: probe, Generation: 1, Index: 2}, Intent: new(runnerproto.IntentSleep),
	}}},
	"ToRivetEvents/EventActorSetAlarm": &runnerproto.Events{List: []runnerproto.Event{{
		At: runnerproto.Checkpoint{Actor: probe, Generation: 1, Index: 1}, Alarm: &runnerproto.Alarm{At: new(int64(1795346122143))},
	}}},
	"ToRivetAckCommands": &runnerproto.AckCommands{Upto: []runnerproto.Checkpoint{{Actor: probe, Generation: 2, Index: 1}}},
	"ToRivetKvRequest/KvListRequest/KvListPrefixQuery": &runnerproto.KVRequest{Actor: probe, ID: 3, Op: &runnerproto.KVList{
		Query: runnerproto.KVQuery{Kind: runnerproto.KVPrefix, Prefix: []byte("a")}, Reverse: new(true), Limit: new(uint64(10)),
	}},
	"ToRivetSqliteCommitStageBeginRequest": &runnerproto.StageBeginRequest{ID: 6, Actor: probe, Fence: runnerproto.Fence{Generation: new(uint64(1)), Head: new(uint64(1))}},
	"ToRivetSqliteCommitFinalizeRequest": &runnerproto.StageFinalizeRequest{
		ID: 8, Actor: probe, Generation: new(uint64(1)), Txid: 2, Size: 2, NowMS: 1795346117970, Segments: []uint32{0},
	},
	"ToRivetWebSocketOpen":       &runnerproto.FromRunner{Tunnel: tunnel, Kind: &runnerproto.SocketOpened{CanHibernate: true}},
	"ToEnvoyWebSocketClose":      &runnerproto.FromGateway{Tunnel: tunnel, Index: 3, Kind: &runnerproto.SocketClose{Code: new(uint16(4001)), Reason: new("client bye")}},
	"ToRivetWebSocketMessageAck": &runnerproto.FromRunner{Tunnel: tunnel, Kind: &runnerproto.SocketAck{Index: 2}},
	"v8 RequestAbort CANCELLED": &runnerproto.FromGateway{
		Tunnel: runnerproto.Tunnel{Gateway: [4]byte{0x05, 0x02, 0x0a, 0xae}, Request: [4]byte{0xca, 0xf0, 0xb2, 0x42}}, Index: 2,
		Kind: &runnerproto.RequestAbort{
			Actor: new(third), Generation: new(uint32(1)),
			Reason: runnerproto.Abort{Kind: runnerproto.AbortCancelled, Detail: new("client dropped streaming response body")},
		},
	},
	"v8 RequestStart gateway3 (actorGeneration 1, responseStream)": &runnerproto.FromGateway{
		Tunnel: runnerproto.Tunnel{Gateway: [4]byte{0x05, 0x02, 0x0a, 0xae}, Request: [4]byte{0xdb, 0xc1, 0xe0, 0xb6}},
		Kind: &runnerproto.RequestStart{
			Actor: third, Generation: new(uint32(1)), Method: "GET", Path: "/request/s", ResponseStream: true,
			Headers: []runnerproto.Header{{Name: "x-rivet-ray-id", Value: "9i3p4xog7k1gstvq929s3afttpbl00"}, {Name: "host", Value: "127.0.0.1:16420"}, {Name: "connection", Value: "keep-alive"}},
		},
	},
	"stop LOST replayed": &runnerproto.Commands{List: []runnerproto.Command{{
		At: runnerproto.Checkpoint{Actor: "pqkcjwgi4lfnwl5w84n864xm77dl00", Generation: 1, Index: 2}, Stop: new(runnerproto.StopLost),
	}}},
}

func TestGoldenMeaning(t *testing.T) {
	for content, want := range meanings {
		diff := "there is no such frame"
		for _, f := range frames(t) {
			if f.content != content || diff == "" {
				continue // one of several with the same content is enough
			}
			m, _, err := decode(f)
			if err != nil {
				t.Fatal(err)
			}
			diff = cmp.Diff(want, m)
		}
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", content, diff)
		}
	}
}

func TestVersions(t *testing.T) {
	gateway := func(k runnerproto.GatewayKind) func(v uint16) ([]byte, error) {
		return func(v uint16) ([]byte, error) {
			return runnerproto.AppendToEnvoy(nil, v, &runnerproto.FromGateway{Kind: k})
		}
	}
	runner := func(k runnerproto.RunnerKind) func(v uint16) ([]byte, error) {
		return func(v uint16) ([]byte, error) {
			return runnerproto.AppendToRivet(nil, v, &runnerproto.FromRunner{Kind: k})
		}
	}
	toRivet := func(m runnerproto.ToRivet) func(v uint16) ([]byte, error) {
		return func(v uint16) ([]byte, error) { return runnerproto.AppendToRivet(nil, v, m) }
	}
	toEnvoy := func(m runnerproto.ToEnvoy) func(v uint16) ([]byte, error) {
		return func(v uint16) ([]byte, error) { return runnerproto.AppendToEnvoy(nil, v, m) }
	}
	const none = 0xff
	for name, c := range map[string]struct {
		write func(v uint16) ([]byte, error)
		at    int     // where the tag is
		tags  [3]byte // in versions 6, 7, 8
	}{
		"get pages":             {toRivet(&runnerproto.GetPagesRequest{}), 0, [3]byte{7, 7, 7}},
		"commit":                {toRivet(&runnerproto.CommitRequest{}), 0, [3]byte{8, 8, 8}},
		"stage begin":           {toRivet(&runnerproto.StageBeginRequest{}), 0, [3]byte{none, 9, 9}},
		"stage segment":         {toRivet(&runnerproto.StageSegmentRequest{}), 0, [3]byte{none, 10, 10}},
		"finalize":              {toRivet(&runnerproto.StageFinalizeRequest{}), 0, [3]byte{none, 11, 11}},
		"exec":                  {toRivet(&runnerproto.ExecRequest{}), 0, [3]byte{9, 12, 12}},
		"execute":               {toRivet(&runnerproto.ExecuteRequest{}), 0, [3]byte{10, 13, 13}},
		"batch":                 {toRivet(&runnerproto.ExecuteBatchRequest{}), 0, [3]byte{11, 14, 14}},
		"stage begun":           {toEnvoy(&runnerproto.StageBeginResponse{}), 0, [3]byte{none, 8, 8}},
		"staged":                {toEnvoy(&runnerproto.StageSegmentResponse{}), 0, [3]byte{none, 9, 9}},
		"finalized":             {toEnvoy(&runnerproto.StageFinalizeResponse{}), 0, [3]byte{none, 10, 10}},
		"exec answer":           {toEnvoy(&runnerproto.ExecResponse{}), 0, [3]byte{8, 11, 11}},
		"execute answer":        {toEnvoy(&runnerproto.ExecuteResponse{}), 0, [3]byte{9, 12, 12}},
		"batch answer":          {toEnvoy(&runnerproto.ExecuteBatchResponse{}), 0, [3]byte{10, 13, 13}},
		"request":               {gateway(&runnerproto.RequestStart{}), 11, [3]byte{0, 0, 0}},
		"request chunk":         {gateway(&runnerproto.RequestChunk{}), 11, [3]byte{1, 1, 1}},
		"request abort":         {gateway(&runnerproto.RequestAbort{}), 11, [3]byte{2, 2, 2}},
		"request cancelled":     {gateway(&runnerproto.RequestBodyCancelled{}), 11, [3]byte{none, none, 3}},
		"response window":       {gateway(&runnerproto.ResponseWindow{}), 11, [3]byte{none, none, 4}},
		"socket open":           {gateway(&runnerproto.SocketOpen{}), 11, [3]byte{3, 3, 5}},
		"socket message":        {gateway(&runnerproto.SocketMessage{}), 11, [3]byte{4, 4, 6}},
		"socket close":          {gateway(&runnerproto.SocketClose{}), 11, [3]byte{5, 5, 7}},
		"response":              {runner(&runnerproto.ResponseStart{}), 11, [3]byte{0, 0, 0}},
		"response chunk":        {runner(&runnerproto.ResponseChunk{}), 11, [3]byte{1, 1, 1}},
		"response abort":        {runner(&runnerproto.ResponseAbort{}), 11, [3]byte{2, 2, 2}},
		"request window":        {runner(&runnerproto.RequestWindow{}), 11, [3]byte{none, none, 3}},
		"request body cancel":   {runner(&runnerproto.RequestBodyCancel{}), 11, [3]byte{none, none, 4}},
		"socket opened":         {runner(&runnerproto.SocketOpened{}), 11, [3]byte{3, 3, 5}},
		"socket sent":           {runner(&runnerproto.SocketSent{}), 11, [3]byte{4, 4, 6}},
		"socket ack":            {runner(&runnerproto.SocketAck{}), 11, [3]byte{5, 5, 7}},
		"socket closed":         {runner(&runnerproto.SocketClosed{}), 11, [3]byte{6, 6, 8}},
		"something without end": {toRivet(&runnerproto.FromRunner{}), 0, [3]byte{none, none, none}},
	} {
		for i, tag := range c.tags {
			v := uint16(runnerproto.MinVersion + i)
			b, err := c.write(v)
			switch {
			case tag == none && err == nil:
				t.Errorf("%s: version %d has it: % x", name, v, b[:c.at+1])
			case tag == none:
			case err != nil || b[c.at] != tag:
				t.Errorf("%s: version %d: % x, %v, want tag %d", name, v, b, err, tag)
			}
		}
	}
	for _, v := range []uint16{0, runnerproto.MinVersion - 1, runnerproto.MaxVersion + 1} {
		if _, err := runnerproto.DecodeToEnvoy(v, []byte{5, 0, 0, 0, 0, 0, 0, 0, 0}); err == nil {
			t.Errorf("version %d is read", v)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, wire := range map[string]string{
		"empty":                             "",
		"unknown tag":                       "0f",
		"count that nothing can hold":       "01ffffffff7f",
		"name twice":                        "0001" + "02" + "0161027b7d" + "0161027b7d" + "00",
		"text that is none":                 "0001" + "01" + "01ff027b7d" + "00",
		"keys without values":               "05" + "00" + "00000000" + "02" + "010161" + "00",
		"unknown intent":                    "01" + "01" + "00" + "00000000" + "0000000000000000" + "00" + "02",
		"value of a bool":                   "0002",
		"data longer than what is left":     "06" + "00000000" + "00000000" + "0000" + "06" + "ff" + "00",
		"a query of a list that is unknown": "05" + "00" + "00000000" + "01" + "03" + "0000",
	} {
		b, err := hex.DecodeString(wire)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := runnerproto.DecodeToRivet(8, b); err == nil {
			t.Errorf("%s is read as %#v", name, m)
		}
	}
	if _, err := runnerproto.AppendToRivet(nil, 8, &runnerproto.FromRunner{Kind: &runnerproto.ResponseStart{Headers: []runnerproto.Header{{Name: "x", Value: "\xff"}}}}); err == nil {
		t.Error("a text that is none is written")
	}
}

func fuzzSeeds(f *testing.F, sender string) {
	for _, fr := range frames(f) {
		if fr.sender == sender {
			f.Add(fr.version, fr.wire)
		}
	}
}

func FuzzDecodeToEnvoy(f *testing.F) {
	fuzzSeeds(f, "engine")
	f.Fuzz(func(t *testing.T, version uint16, b []byte) {
		m, err := runnerproto.DecodeToEnvoy(version, b)
		if err != nil {
			return
		}
		again, err := runnerproto.AppendToEnvoy(nil, version, m)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is read as %#v and written as %x, %v", b, m, again, err)
		}
	})
}

func FuzzDecodeToRivet(f *testing.F) {
	fuzzSeeds(f, "runner")
	f.Fuzz(func(t *testing.T, version uint16, b []byte) {
		m, err := runnerproto.DecodeToRivet(version, b)
		if err != nil {
			return
		}
		again, err := runnerproto.AppendToRivet(nil, version, m)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is read as %#v and written as %x, %v", b, m, again, err)
		}
	})
}

func FuzzDecodeStart(f *testing.F) {
	for _, fr := range frames(f) {
		if fr.sender == "start" {
			f.Add(fr.wire)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		version, m, err := runnerproto.DecodeStart(b)
		if err != nil {
			return
		}
		if again, err := runnerproto.AppendStart(nil, version, m); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is written as %x, %v", b, again, err)
		}
	})
}
