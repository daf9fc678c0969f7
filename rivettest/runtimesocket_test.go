package rivettest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
	"github.com/rivetgo/rivet/rivettest"
)

// companion is a program beside the actor, which talks to its runtime socket as the protocol's description says.
type companion struct {
	t    *testing.T
	conn net.Conn
}

func (c *companion) write(body []byte) {
	c.t.Helper()
	f := binary.BigEndian.AppendUint32(nil, uint32(len(body)+2))
	if _, err := c.conn.Write(append(append(f, 1, 0), body...)); err != nil {
		c.t.Fatal(err)
	}
}

// read reads a frame's body; io.EOF at the end of the connection.
func (c *companion) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c.conn, frame); err != nil {
		return nil, err
	}
	if frame[0] != 1 || frame[1] != 0 {
		c.t.Errorf("version %x", frame[:2])
	}
	return frame[2:], nil
}

func dialSocket(t *testing.T, path string) *companion {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &companion{t, conn}
	c.write(nil)
	if hello, err := c.read(); err != nil || !bytes.Equal(hello, []byte{0, 0, 0, 0, 2}) {
		t.Fatalf("hello %x, %v", hello, err)
	}
	return c
}

func bareText(s string) []byte { return append([]byte{byte(len(s))}, s...) }

// asking makes the body of a request. An empty lease: none.
func asking(id byte, lease string, op byte, rest ...[]byte) []byte {
	body := []byte{0, id, 0, 0, 0, 0}
	if lease != "" {
		body = append(append(body[:5], 1), bareText(lease)...)
	}
	return append(append(body, op), bytes.Join(rest, nil)...)
}

const (
	askExec, askQuery, askBegin, askCommit, askRollback                = 0, 1, 2, 3, 4
	execOK, queryOK, beginOK, commitOK, rollbackOK                     = 0, 1, 2, 3, 4
	sqlFailed, endpointClosed, queueFull, invalidLeaseKey, leaseLapsed = 5, 6, 7, 8, 9
)

// call asks and returns the answer, which must be of a kind.
func (c *companion) call(want byte, body []byte) []byte {
	c.t.Helper()
	c.write(body)
	got, err := c.read()
	if err != nil || got[0] != 0 || !bytes.Equal(got[1:5], body[1:5]) || got[5] != want {
		c.t.Fatalf("%x is answered with %x, %v: want kind %d", body, got, err, want)
	}
	return got[6:]
}

func withTimeout(ms uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{1}, ms) }

var noTimeout = []byte{0}

func socketNotebook(t *testing.T, o actor.Options) (rivet.Handle[notebook], *rivettest.App, string) {
	t.Helper()
	app := rivettest.Start(t, notebookDefinition(map[string]turnCase{
		"path": func(_ *notes, c *actor.Ctx) (string, error) { return c.RuntimeSocket() },
		"count": func(_ *notes, c *actor.Ctx) (n string, err error) {
			return n, c.DB().QueryRow(`SELECT count(*) FROM note`).Scan(&n)
		},
	}, map[string]asideCase{
		"sleep": func(c *actor.Ctx, _ actor.Self[notes]) (string, error) { c.Sleep(); return "", nil },
	}, o))
	h := openNotebook(t, app)
	path, err := do.Call(t.Context(), h, "path")
	if err != nil {
		t.Fatal(err)
	}
	return h, app, path
}

// socketOn lets calls fail that wait for a lease which nobody ends.
var socketOn = actor.Options{RuntimeSocket: true, ActionTimeout: 5 * time.Second, TransactionTimeout: 20 * time.Second}

func TestRuntimeSocketIsOffByDefault(t *testing.T) {
	app := rivettest.Start(t, notebookDefinition(map[string]turnCase{
		"path": func(_ *notes, c *actor.Ctx) (string, error) { return c.RuntimeSocket() },
	}, nil, actor.Options{}))
	wantCode(t, do, openNotebook(t, app), "path", "actor_runtime_socket", "not_enabled")
}

func TestRuntimeSocketRunsStatements(t *testing.T) {
	h, _, path := socketNotebook(t, socketOn)
	for file, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	c := dialSocket(t, path)
	c.call(execOK, asking(1, "", askExec, bareText(`CREATE TABLE kinds(b BOOLEAN, d DATETIME, i, f, x); INSERT INTO note(body) VALUES('one')`)))
	wantResult(t, do, h, "count", "1")

	values := bytes.Join([][]byte{{5}, {1}, binary.LittleEndian.AppendUint64(nil, 1), {3}, bareText("2026-11-27 10:00:00"),
		{1}, binary.LittleEndian.AppendUint64(nil, 1<<62+1), {2}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1)), {4, 2, 0, 255}}, nil)
	wrote := c.call(queryOK, asking(2, "", askQuery, bareText(`INSERT INTO kinds VALUES(?,?,?,?,?)`), values))
	one := binary.LittleEndian.AppendUint64(nil, 1)
	if want := bytes.Join([][]byte{{0, 0}, one, {1}, one}, nil); !bytes.Equal(wrote, want) {
		t.Errorf("the insert is answered with %x, want %x", wrote, want)
	}
	read := c.call(queryOK, asking(3, "", askQuery, bareText(`SELECT * FROM kinds`), []byte{0}))
	want := bytes.Join([][]byte{{5}, bareText("b"), bareText("d"), bareText("i"), bareText("f"), bareText("x"), {1}, values, make([]byte, 8), {0}}, nil)
	if !bytes.Equal(read, want) {
		t.Errorf("the rows are\n%x, want\n%x", read, want)
	}

	failed := c.call(sqlFailed, asking(4, "", askExec, bareText(`INSERT INTO note(body) VALUES('two'); INSERT INTO note(body) VALUES('one')`)))
	if !bytes.HasPrefix(failed, []byte{19, 0, 0, 0, 1, 0, 0, 0}) || !strings.Contains(string(failed), "UNIQUE") {
		t.Errorf("a constraint in the second statement: %x", failed)
	}
	wantResult(t, do, h, "count", "1") // a request is one transaction
}

// While a lease is open the actor's own statements wait; what it changed is seen once it is committed, and never otherwise.
func TestG1_RuntimeSocketLeases(t *testing.T) {
	h, _, path := socketNotebook(t, socketOn)
	c := dialSocket(t, path)
	add := bareText(`INSERT INTO note(body) VALUES(hex(randomblob(8)))`)
	c.call(invalidLeaseKey, asking(1, "k", askExec, add))
	c.call(beginOK, asking(2, "", askBegin, bareText("k"), noTimeout))
	c.call(invalidLeaseKey, asking(3, "", askBegin, bareText("k"), noTimeout))
	c.call(execOK, asking(4, "k", askExec, add))
	counted := make(chan string, 1)
	go func() {
		n, err := do.Call(t.Context(), h, "count")
		counted <- n + errText(err)
	}()
	other := dialSocket(t, path)
	other.write(asking(9, "", askQuery, bareText(`SELECT count(*) FROM note`), []byte{0})) // waits too
	other.call(invalidLeaseKey, asking(10, "k", askExec, add))                             // the lease is not its own
	select {
	case n := <-counted:
		t.Fatalf("the actor did not wait for the lease: %s", n)
	case <-time.After(50 * time.Millisecond):
	}
	c.call(commitOK, asking(5, "", askCommit, bareText("k")))
	if n := <-counted; n != "1" {
		t.Errorf("after the commit: %s", n)
	}
	if got, err := other.read(); err != nil || got[1] != 9 || got[5] != queryOK {
		t.Errorf("the other's query: %x, %v", got, err)
	}

	c.call(beginOK, asking(6, "", askBegin, bareText("k"), noTimeout))
	c.call(execOK, asking(7, "k", askExec, add))
	c.call(rollbackOK, asking(8, "", askRollback, bareText("k")))
	wantResult(t, do, h, "count", "1")

	c.call(beginOK, asking(9, "", askBegin, bareText("k"), noTimeout))
	c.call(execOK, asking(10, "k", askExec, add))
	c.conn.Close()
	wantResult(t, do, h, "count", "1") // the end of the connection rolled it back
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What a companion is told of is durable.
func TestG2_RuntimeSocketAnswersWaitForTheCommit(t *testing.T) {
	_, app, path := socketNotebook(t, socketOn)
	c := dialSocket(t, path)
	app.Faults().HoldCommits()
	add := asking(1, "", askExec, bareText(`INSERT INTO note(body) VALUES('one')`))
	c.write(add)
	if err := c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("answered before the commit: %x, %v", got, err)
	}
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	app.Faults().ReleaseCommits()
	if got, err := c.read(); err != nil || got[5] != execOK {
		t.Errorf("%x, %v", got, err)
	}
}

// A commit that fails ends the actor, and the socket with it, whatever runs there.
func TestG10_RuntimeSocketAndACommitThatFails(t *testing.T) {
	h, app, path := socketNotebook(t, socketOn)
	for name, body := range map[string][]byte{
		"a statement": asking(1, "", askExec, bareText(`INSERT INTO note(body) VALUES('lost')`)),
		"a lease":     asking(3, "", askCommit, bareText("k")),
	} {
		c := dialSocket(t, path)
		if name == "a lease" {
			c.call(beginOK, asking(1, "", askBegin, bareText("k"), noTimeout))
			c.call(execOK, asking(2, "k", askExec, bareText(`INSERT INTO note(body) VALUES('lost')`)))
		}
		app.Faults().FailCommits(1, syscall.EIO)
		c.write(body)
		switch got, err := c.read(); {
		case err == nil && got[5] != sqlFailed && got[5] != endpointClosed:
			t.Errorf("%s: %x", name, got)
		case err != nil && !errors.Is(err, io.EOF):
			t.Errorf("%s: %v", name, err)
		}
		wantResult(t, do, h, "count", "0")
		var err error
		if path, err = do.Call(t.Context(), h, "path"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRuntimeSocketLeaseExpires(t *testing.T) {
	for name, o := range map[string]actor.Options{"its own time": socketOn, "the actor's": {RuntimeSocket: true, TransactionTimeout: 50 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			h, _, path := socketNotebook(t, o)
			c := dialSocket(t, path)
			timeout := noTimeout
			if name == "its own time" {
				timeout = withTimeout(50)
			}
			c.call(beginOK, asking(1, "", askBegin, bareText("k"), timeout))
			c.call(execOK, asking(2, "k", askExec, bareText(`INSERT INTO note(body) VALUES('lost')`)))
			wantResult(t, do, h, "count", "0") // it waits until the lease is over
			lapsed := c.call(leaseLapsed, asking(3, "k", askExec, bareText(`SELECT 1`)))
			if !bytes.HasPrefix(lapsed, binary.LittleEndian.AppendUint64(nil, 50)) || !strings.Contains(string(lapsed), "deadlock-safety backstop") {
				t.Errorf("told: %x", lapsed)
			}
			c.call(leaseLapsed, asking(4, "", askCommit, bareText("k")))
			c.call(invalidLeaseKey, asking(5, "", askCommit, bareText("k")))
			c.call(execOK, asking(6, "", askExec, bareText(`INSERT INTO note(body) VALUES('kept')`)))
			wantResult(t, do, h, "count", "1")
		})
	}
}

// The socket ends with the actor's life, an open lease with it, and the next life has another one.
func TestRuntimeSocketEndsWithTheLife(t *testing.T) {
	h, _, path := socketNotebook(t, socketOn)
	c := dialSocket(t, path)
	c.call(beginOK, asking(1, "", askBegin, bareText("k"), noTimeout))
	c.call(execOK, asking(2, "k", askExec, bareText(`INSERT INTO note(body) VALUES('lost')`)))
	wantResult(t, aside, h, "sleep", "") // which needs no turn: the lease has it
	if _, err := c.read(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection ends with %v", err)
	}
	next, err := do.Call(t.Context(), h, "path")
	if err != nil || next == path {
		t.Errorf("the next life's is %s, %v", next, err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
	dialSocket(t, next).call(execOK, asking(1, "", askExec, bareText(`INSERT INTO note(body) VALUES('kept')`)))
	wantResult(t, do, h, "count", "1")
}

func TestRuntimeSocketRefusesBadFrames(t *testing.T) {
	_, _, path := socketNotebook(t, socketOn)
	for name, bad := range map[string]struct{ frame, want []byte }{
		"malformed": {[]byte{0, 0, 0, 3, 1, 0, 7}, []byte{1, 1}},
		"too long":  {[]byte{255, 255, 255, 255}, []byte{1, 0}},
	} {
		c := dialSocket(t, path)
		if _, err := c.conn.Write(bad.frame); err != nil {
			t.Fatal(err)
		}
		if got, err := c.read(); err != nil || !bytes.Equal(got, bad.want) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
		if _, err := c.read(); err == nil {
			t.Errorf("%s: the connection stays open", name)
		}
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0, 0, 0, 2, 2, 0}); err != nil {
		t.Fatal(err)
	}
	c := &companion{t, conn}
	if got, err := c.read(); err != nil || !bytes.Equal(got, []byte{1}) {
		t.Errorf("another version: %x, %v", got, err)
	}
	// A number that is in use.
	d := dialSocket(t, path)
	d.call(beginOK, asking(1, "", askBegin, bareText("k"), noTimeout))
	d.write(asking(2, "", askExec, bareText(`SELECT 1`))) // waits for the lease
	d.write(asking(2, "", askExec, bareText(`SELECT 1`)))
	for {
		got, err := d.read()
		if err != nil {
			t.Fatal(err)
		}
		if got[0] == 1 {
			break
		}
	}
}
