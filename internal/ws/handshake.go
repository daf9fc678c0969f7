package ws

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Subprotocol is the one protocol a server selects, when the client offers it.
const Subprotocol = "rivet"

// acceptGUID is appended to the client's key before hashing (RFC 6455 §1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// UpgradeOptions configures a connection. The zero value works.
type UpgradeOptions struct {
	// Header is added to the 101, except for the names that belong to the handshake itself.
	Header http.Header

	// MaxMessageBytes bounds an incoming message, summed over its fragments. Default 32 MiB.
	MaxMessageBytes int
	// TooLargeCode and TooLargeReason close a connection whose peer goes over MaxMessageBytes. Default 1011
	// "message.incoming_too_long", which is what official clients know, not RFC 6455's 1009.
	TooLargeCode   int
	TooLargeReason string

	// MaxQueueBytes and MaxQueueFrames bound what waits to be written, frames being written included. A frame that
	// would go over ends the connection, unless it is the only one. Default 16 MiB and 65,536.
	MaxQueueBytes  int
	MaxQueueFrames int
	// WriteTimeout bounds the wait for the peer to take one chunk, which is at most 256 KiB. Default 30 s.
	WriteTimeout time.Duration
	// CloseTimeout bounds the wait for the peer's close frame. Default 5 s.
	CloseTimeout time.Duration

	// PingEvery is how often a silent peer is asked for a sign of life. Default 30 s; negative means no pings, and
	// then a silent peer is never taken for dead.
	PingEvery time.Duration
	// DeadAfter is how long a peer may send nothing at all before the connection is cut. Default 90 s; negative
	// means for ever.
	DeadAfter time.Duration

	// ReadBufferBytes is the size of the buffer in which a connection waits whose transport is not a plain socket (TLS
	// for example); others wait without one. Default 2 KiB, at least 256.
	ReadBufferBytes int

	// Logger hears, at level info, of connections that were cut. Default none.
	Logger *slog.Logger
}

func (o *UpgradeOptions) withDefaults() {
	def(&o.MaxMessageBytes, 32<<20)
	def(&o.TooLargeCode, CodeInternal)
	def(&o.TooLargeReason, "message.incoming_too_long")
	def(&o.MaxQueueBytes, 16<<20)
	def(&o.MaxQueueFrames, 65_536)
	def(&o.WriteTimeout, 30*time.Second)
	def(&o.CloseTimeout, 5*time.Second)
	def(&o.PingEvery, 30*time.Second)
	def(&o.DeadAfter, 90*time.Second)
	def(&o.ReadBufferBytes, 2<<10)
	o.ReadBufferBytes = max(o.ReadBufferBytes, 256)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// IsUpgrade reports whether r asks for a WebSocket, properly or not.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
}

// Protocols returns the entries of Sec-WebSocket-Protocol as offered: in order, over all headers of that name, with
// blanks trimmed and empty entries left out.
func Protocols(r *http.Request) []string {
	var list []string
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for entry := range strings.SplitSeq(line, ",") {
			if entry = trimBlanks(entry); entry != "" {
				list = append(list, entry)
			}
		}
	}
	return list
}

// Upgrade answers r with 101 and takes its connection over from net/http. It selects Subprotocol when that was offered
// and no extension ever. It does not check the Origin, which is the caller's policy.
//
// A *HandshakeError means that nothing has been answered yet and the caller should; after any other error the
// connection is gone. The caller owns the Conn: it must call ReadMessage until that fails, or CloseNow, and it should
// read in a goroutine of its own and return from the handler.
func Upgrade(w http.ResponseWriter, r *http.Request, opts UpgradeOptions) (*Conn, error) {
	key, err := checkHandshake(r)
	if err != nil {
		return nil, err
	}
	opts.withDefaults()

	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, &HandshakeError{
			Status: http.StatusInternalServerError,
			Detail: "cannot take over the connection: " + err.Error(),
		}
	}
	// A client may send frames right behind its request; net/http has read them already then.
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())

	err = nc.SetDeadline(time.Now().Add(opts.WriteTimeout))
	if err == nil {
		_, err = nc.Write(answer(key, offersSubprotocol(r), opts.Header))
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("ws: answer handshake: %w", err)
	}
	return newConn(nc, early, &opts), nil
}

// checkHandshake returns the client's key when r is a proper opening handshake (RFC 6455 §4.2.1).
func checkHandshake(r *http.Request) (key string, err error) {
	bad := func(detail string) (string, error) {
		return "", &HandshakeError{Status: http.StatusBadRequest, Detail: detail}
	}
	switch {
	case !IsUpgrade(r):
		return "", &HandshakeError{
			Status: http.StatusUpgradeRequired,
			Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
			Detail: "request does not ask for an upgrade to websocket",
		}
	case r.Method != http.MethodGet:
		return "", &HandshakeError{
			Status: http.StatusMethodNotAllowed,
			Header: http.Header{"Allow": {http.MethodGet}},
			Detail: "method of an upgrade must be GET, not " + r.Method,
		}
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return bad("upgrade needs HTTP/1.1, not " + r.Proto)
	case r.ContentLength != 0 || len(r.TransferEncoding) != 0:
		// The body would be taken for frames.
		return bad("upgrade request has a body")
	}
	if v := r.Header["Sec-Websocket-Version"]; len(v) != 1 || trimBlanks(v[0]) != "13" {
		return "", &HandshakeError{
			Status: http.StatusUpgradeRequired,
			Header: http.Header{"Sec-Websocket-Version": {"13"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
			Detail: "websocket version must be 13",
		}
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return bad("upgrade needs one Sec-WebSocket-Key")
	}
	key = trimBlanks(keys[0])
	if nonce, err := base64.StdEncoding.DecodeString(key); err != nil || len(nonce) != 16 {
		return bad("Sec-WebSocket-Key is not 16 bytes in base64")
	}
	return key, nil
}

// handshakeHeaders are never taken from UpgradeOptions.Header.
var handshakeHeaders = map[string]bool{
	"Connection":               true,
	"Content-Length":           true,
	"Sec-Websocket-Accept":     true,
	"Sec-Websocket-Extensions": true,
	"Sec-Websocket-Protocol":   true,
	"Transfer-Encoding":        true,
	"Upgrade":                  true,
}

func answer(key string, subprotocol bool, header http.Header) []byte {
	sum := sha1.Sum([]byte(key + acceptGUID))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	b.WriteString("Sec-WebSocket-Accept: ")
	b.WriteString(base64.StdEncoding.EncodeToString(sum[:]))
	b.WriteString("\r\n")
	if subprotocol {
		b.WriteString("Sec-WebSocket-Protocol: " + Subprotocol + "\r\n")
	}
	// Writing to a bytes.Buffer cannot fail; names that are no header names are left out, line breaks become blanks.
	_ = header.WriteSubset(&b, handshakeHeaders)
	b.WriteString("\r\n")
	return b.Bytes()
}

func offersSubprotocol(r *http.Request) bool {
	return slices.Contains(Protocols(r), Subprotocol)
}

// hasToken reports whether a comma-separated header has the token, in any case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for entry := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(trimBlanks(entry), token) {
				return true
			}
		}
	}
	return false
}

func trimBlanks(s string) string { return strings.Trim(s, " \t") }
