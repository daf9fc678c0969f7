package runnerproto

// Tunnel is one HTTP request or WebSocket of a client, as the gateway that holds it names it.
type Tunnel struct{ Gateway, Request [4]byte }

func (t *Tunnel) layout(c *coder) {
	c.fixed4(&t.Gateway)
	c.fixed4(&t.Request)
}

// Header is a header of a request or response. Names of requests are in lower case.
type Header struct{ Name, Value string }

func (h Header) name() string { return h.Name }

func headers(c *coder, p *[]Header) {
	dict(c, p, 2, func(h *Header) { c.str(&h.Name); c.str(&h.Value) })
}

// FromGateway is a tunnel message to a runner.
type FromGateway struct {
	Tunnel Tunnel
	Index  uint16
	Kind   GatewayKind
}

// GatewayKind is what a FromGateway says.
type GatewayKind interface {
	layouter
	fromGateway()
}

func (*FromGateway) toEnvoy()       {}
func (*FromGateway) variant() uint8 { return 4 }
func (m *FromGateway) layout(c *coder) {
	m.Tunnel.layout(c)
	c.u16(&m.Index)
	gatewayKinds.code(c, &m.Kind)
}

var gatewayKinds = &union[GatewayKind]{
	name: "ToEnvoyTunnelMessageKind", gap: [2]uint8{3, 5}, since: 8,
	make: []func() GatewayKind{
		variantOf[GatewayKind, RequestStart](), variantOf[GatewayKind, RequestChunk](), variantOf[GatewayKind, RequestAbort](),
		variantOf[GatewayKind, RequestBodyCancelled](), variantOf[GatewayKind, ResponseWindow](),
		variantOf[GatewayKind, SocketOpen](), variantOf[GatewayKind, SocketMessage](), variantOf[GatewayKind, SocketClose](),
	},
}

// FromRunner is a tunnel message to a gateway.
type FromRunner struct {
	Tunnel Tunnel
	Index  uint16
	Kind   RunnerKind
}

// RunnerKind is what a FromRunner says.
type RunnerKind interface {
	layouter
	fromRunner()
}

func (*FromRunner) toRivet()       {}
func (*FromRunner) variant() uint8 { return 6 }
func (m *FromRunner) layout(c *coder) {
	m.Tunnel.layout(c)
	c.u16(&m.Index)
	runnerKinds.code(c, &m.Kind)
}

var runnerKinds = &union[RunnerKind]{
	name: "ToRivetTunnelMessageKind", gap: [2]uint8{3, 5}, since: 8,
	make: []func() RunnerKind{
		variantOf[RunnerKind, ResponseStart](), variantOf[RunnerKind, ResponseChunk](), variantOf[RunnerKind, ResponseAbort](),
		variantOf[RunnerKind, RequestWindow](), variantOf[RunnerKind, RequestBodyCancel](),
		variantOf[RunnerKind, SocketOpened](), variantOf[RunnerKind, SocketSent](), variantOf[RunnerKind, SocketAck](), variantOf[RunnerKind, SocketClosed](),
	},
}

// RequestStart begins an HTTP request.
type RequestStart struct {
	Actor          string
	Generation     *uint32 // version 8
	Method         string
	Path           string // with the query
	Headers        []Header
	Body           []byte // nil: none, or in chunks
	Stream         bool   // the body comes in chunks
	ResponseStream bool   // version 8: the response may be streamed
}

func (*RequestStart) fromGateway()   {}
func (*RequestStart) variant() uint8 { return 0 }
func (m *RequestStart) layout(c *coder) {
	c.str(&m.Actor)
	if c.version >= 8 {
		opt(c, &m.Generation, c.u32)
	}
	c.str(&m.Method)
	c.str(&m.Path)
	headers(c, &m.Headers)
	c.optData(&m.Body)
	c.bool(&m.Stream)
	if c.version >= 8 {
		c.bool(&m.ResponseStream)
	}
}

// RequestChunk is a part of a request's body.
type RequestChunk struct {
	Body   []byte
	Finish bool
}

func (*RequestChunk) fromGateway()   {}
func (*RequestChunk) variant() uint8 { return 1 }
func (m *RequestChunk) layout(c *coder) {
	c.data(&m.Body)
	c.bool(&m.Finish)
}

// AbortKind is why a request or response ended early.
type AbortKind uint8

const (
	AbortUnknown AbortKind = iota
	AbortCancelled
	AbortHandler
	AbortInternal
)

// Abort tells the reason.
type Abort struct {
	Kind   AbortKind
	Detail *string
}

func (a *Abort) layout(c *coder) {
	c.enum((*uint8)(&a.Kind), 4, "abort reason")
	opt(c, &a.Detail, c.str)
}

// RequestAbort ends a request early. Before version 8 it says nothing more.
type RequestAbort struct {
	Actor      *string
	Generation *uint32
	Reason     Abort
}

func (*RequestAbort) fromGateway()   {}
func (*RequestAbort) variant() uint8 { return 2 }
func (m *RequestAbort) layout(c *coder) {
	if c.version < 8 {
		return
	}
	opt(c, &m.Actor, c.str)
	opt(c, &m.Generation, c.u32)
	m.Reason.layout(c)
}

// RequestBodyCancelled confirms that no more of a request's body comes. Version 8.
type RequestBodyCancelled struct{}

func (*RequestBodyCancelled) fromGateway()   {}
func (*RequestBodyCancelled) variant() uint8 { return 3 }
func (*RequestBodyCancelled) layout(*coder)  {}

// ResponseWindow says how many bytes of a response's body its client has taken. Version 8.
type ResponseWindow struct{ Consumed uint64 }

func (*ResponseWindow) fromGateway()      {}
func (*ResponseWindow) variant() uint8    { return 4 }
func (m *ResponseWindow) layout(c *coder) { c.u64(&m.Consumed) }

// SocketOpen asks an actor to take a WebSocket.
type SocketOpen struct {
	Actor      string
	Generation *uint32 // version 8
	Path       string
	Headers    []Header
}

func (*SocketOpen) fromGateway()   {}
func (*SocketOpen) variant() uint8 { return 5 }
func (m *SocketOpen) layout(c *coder) {
	c.str(&m.Actor)
	if c.version >= 8 {
		opt(c, &m.Generation, c.u32)
	}
	c.str(&m.Path)
	headers(c, &m.Headers)
}

// SocketMessage is a message of the client.
type SocketMessage struct {
	Data   []byte
	Binary bool
}

func (*SocketMessage) fromGateway()   {}
func (*SocketMessage) variant() uint8 { return 6 }
func (m *SocketMessage) layout(c *coder) {
	c.data(&m.Data)
	c.bool(&m.Binary)
}

// SocketClose says that the client's socket has ended.
type SocketClose struct {
	Code   *uint16
	Reason *string
}

func (*SocketClose) fromGateway()   {}
func (*SocketClose) variant() uint8 { return 7 }
func (m *SocketClose) layout(c *coder) {
	opt(c, &m.Code, c.u16)
	opt(c, &m.Reason, c.str)
}

// ResponseStart is a whole response, or with Stream the beginning of one.
type ResponseStart struct {
	Status  uint16
	Headers []Header
	Body    []byte
	Stream  bool
}

func (*ResponseStart) fromRunner()    {}
func (*ResponseStart) variant() uint8 { return 0 }
func (m *ResponseStart) layout(c *coder) {
	c.u16(&m.Status)
	headers(c, &m.Headers)
	c.optData(&m.Body)
	c.bool(&m.Stream)
}

// ResponseChunk is a part of a response's body.
type ResponseChunk struct {
	Body   []byte
	Finish bool
}

func (*ResponseChunk) fromRunner()    {}
func (*ResponseChunk) variant() uint8 { return 1 }
func (m *ResponseChunk) layout(c *coder) {
	c.data(&m.Body)
	c.bool(&m.Finish)
}

// ResponseAbort ends a response early. Before version 8 it says nothing more.
type ResponseAbort struct{ Reason Abort }

func (*ResponseAbort) fromRunner()    {}
func (*ResponseAbort) variant() uint8 { return 2 }
func (m *ResponseAbort) layout(c *coder) {
	if c.version >= 8 {
		m.Reason.layout(c)
	}
}

// RequestWindow says how many bytes of a request's body the actor has taken. Version 8.
type RequestWindow struct{ Consumed uint64 }

func (*RequestWindow) fromRunner()       {}
func (*RequestWindow) variant() uint8    { return 3 }
func (m *RequestWindow) layout(c *coder) { c.u64(&m.Consumed) }

// RequestBodyCancel says that the actor wants no more of a request's body. Version 8.
type RequestBodyCancel struct{}

func (*RequestBodyCancel) fromRunner()    {}
func (*RequestBodyCancel) variant() uint8 { return 4 }
func (*RequestBodyCancel) layout(*coder)  {}

// SocketOpened takes a WebSocket. One that can hibernate stays open while its actor sleeps.
type SocketOpened struct{ CanHibernate bool }

func (*SocketOpened) fromRunner()       {}
func (*SocketOpened) variant() uint8    { return 5 }
func (m *SocketOpened) layout(c *coder) { c.bool(&m.CanHibernate) }

// SocketSent is a message to the client.
type SocketSent struct {
	Data   []byte
	Binary bool
}

func (*SocketSent) fromRunner()    {}
func (*SocketSent) variant() uint8 { return 6 }
func (m *SocketSent) layout(c *coder) {
	c.data(&m.Data)
	c.bool(&m.Binary)
}

// SocketAck says up to which of its messages a client need not be heard again.
type SocketAck struct{ Index uint16 }

func (*SocketAck) fromRunner()       {}
func (*SocketAck) variant() uint8    { return 7 }
func (m *SocketAck) layout(c *coder) { c.u16(&m.Index) }

// SocketClosed ends a WebSocket, or leaves it to the gateway until the actor's next life.
type SocketClosed struct {
	Code      *uint16
	Reason    *string
	Hibernate bool
}

func (*SocketClosed) fromRunner()    {}
func (*SocketClosed) variant() uint8 { return 8 }
func (m *SocketClosed) layout(c *coder) {
	opt(c, &m.Code, c.u16)
	opt(c, &m.Reason, c.str)
	c.bool(&m.Hibernate)
}
