package sqlsocket

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/rivetgo/rivet/internal/actordb"
)

// FrameVariable is the environment variable that sets the longest frame, in bytes.
const FrameVariable = "RIVET_ACTOR_RUNTIME_SOCKET_MAX_FRAME_BYTES"

// ErrUnsupported is the error of Listen where there are no Unix sockets with file permissions.
var ErrUnsupported = errors.New("sqlsocket: Unix sockets are for Unix only")

const (
	// helloTime is how long a client may take to begin.
	helloTime = 10 * time.Second
	// closeTime is how long answers under way may take when the socket closes.
	closeTime = time.Second
)

// Server is one actor's socket. Its files are readable by this user only.
type Server struct {
	db       actordb.Scope
	settled  func(ctx context.Context) error // waits until what was committed so far is durable
	log      *slog.Logger
	longest  time.Duration // that a lease may take
	maxFrame int
	dir      string
	path     string
	listener net.Listener
	ctx      context.Context // of all statements
	cancel   context.CancelFunc
	running  sync.WaitGroup // connections and what they run

	mu     sync.Mutex // guards all below
	closed bool
	conns  map[*conn]struct{}
}

// Listen opens a socket at a path of its own. longest bounds a lease. Statements run where db says, each on a goroutine; settled is
// waited for before each answer, which shows what was committed.
func Listen(db actordb.Scope, settled func(context.Context) error, longest time.Duration, log *slog.Logger) (*Server, error) {
	if runtime.GOOS == "windows" {
		return nil, ErrUnsupported
	}
	s := &Server{db: db, settled: settled, log: log, longest: longest, maxFrame: MaxFrameBytes, conns: make(map[*conn]struct{})}
	if text := os.Getenv(FrameVariable); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n < MinFrameBytes {
			return nil, fmt.Errorf("%s is %q: it is a number of bytes, %d or more", FrameVariable, text, MinFrameBytes)
		}
		s.maxFrame = int(n)
	}
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		base = os.TempDir()
	}
	s.dir = filepath.Join(base, "rivet-actor-runtime."+random())
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the runtime socket's directory: %w", err)
	}
	s.path = filepath.Join(s.dir, random()+".sock")
	listener, err := net.Listen("unix", s.path)
	if err == nil {
		err = os.Chmod(s.path, 0o600)
	}
	if err != nil {
		if listener != nil {
			_ = listener.Close()
		}
		_ = os.RemoveAll(s.dir) // the error says more
		return nil, fmt.Errorf("open the runtime socket: %w", err)
	}
	s.listener = listener
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Add(1)
	go s.accept() // ends with the listener
	return s, nil
}

func random() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Path is where the socket is.
func (s *Server) Path() string { return s.path }

// Close ends all connections, rolls their leases back and removes the socket. Requests under way are answered with
// EndpointClosed.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	_ = s.listener.Close() // nothing can be done about it
	s.cancel()
	for c := range conns {
		c.finish()
	}
	s.running.Wait()
	if err := os.RemoveAll(s.dir); err != nil {
		s.log.Warn("the runtime socket's files cannot be removed", "directory", s.dir, "error", err)
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) accept() {
	defer s.running.Done()
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			if !s.isClosed() {
				s.log.Error("the runtime socket takes no more connections", "error", err)
			}
			return
		}
		c := &conn{s: s, nc: nc, leases: make(map[string]*lease), flying: make(map[uint32]struct{})}
		c.ctx, c.cancel = context.WithCancel(s.ctx)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = nc.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.running.Add(1)
		s.mu.Unlock()
		go c.serve() // ends with the connection
	}
}
