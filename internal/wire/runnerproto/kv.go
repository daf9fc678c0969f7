package runnerproto

// KVRequest is a request to the engine's key-value storage of one actor.
type KVRequest struct {
	Actor string
	ID    uint32
	Op    KVOp
}

// KVOp is what a KVRequest asks for.
type KVOp interface {
	layouter
	kvOp()
}

func (*KVRequest) toRivet()       {}
func (*KVRequest) variant() uint8 { return 5 }
func (m *KVRequest) layout(c *coder) {
	c.str(&m.Actor)
	c.u32(&m.ID)
	kvOps.code(c, &m.Op)
}

var kvOps = &union[KVOp]{
	name: "KvRequestData",
	make: []func() KVOp{
		variantOf[KVOp, KVGet](), variantOf[KVOp, KVList](), variantOf[KVOp, KVPut](), variantOf[KVOp, KVDelete](),
		variantOf[KVOp, KVDeleteRange](), variantOf[KVOp, KVDrop](),
	},
}

// KVGet reads keys.
type KVGet struct{ Keys [][]byte }

// KVDelete deletes keys.
type KVDelete struct{ Keys [][]byte }

// KVPut writes values under keys, which are as many.
type KVPut struct{ Keys, Values [][]byte }

// KVDeleteRange deletes the keys from Start to, but not including, End.
type KVDeleteRange struct{ Start, End []byte }

// KVDrop deletes everything.
type KVDrop struct{}

// KVList reads a range of keys.
type KVList struct {
	Query   KVQuery
	Reverse *bool
	Limit   *uint64
}

// KVQuery is the keys of a KVList: all of them, those from Start to End, or those with a prefix.
type KVQuery struct {
	Kind       KVQueryKind
	Start, End []byte // of KVRange
	Exclusive  bool   // of KVRange: without End
	Prefix     []byte // of KVPrefix
}

// KVQueryKind is the form of a KVQuery.
type KVQueryKind uint8

const (
	KVAll KVQueryKind = iota
	KVRange
	KVPrefix
)

func (*KVGet) kvOp()         {}
func (*KVList) kvOp()        {}
func (*KVPut) kvOp()         {}
func (*KVDelete) kvOp()      {}
func (*KVDeleteRange) kvOp() {}
func (*KVDrop) kvOp()        {}

func (*KVGet) variant() uint8         { return 0 }
func (*KVList) variant() uint8        { return 1 }
func (*KVPut) variant() uint8         { return 2 }
func (*KVDelete) variant() uint8      { return 3 }
func (*KVDeleteRange) variant() uint8 { return 4 }
func (*KVDrop) variant() uint8        { return 5 }

func (m *KVGet) layout(c *coder)    { list(c, &m.Keys, 1, c.data) }
func (m *KVDelete) layout(c *coder) { list(c, &m.Keys, 1, c.data) }
func (*KVDrop) layout(*coder)       {}

func (m *KVPut) layout(c *coder) {
	list(c, &m.Keys, 1, c.data)
	list(c, &m.Values, 1, c.data)
	if len(m.Keys) != len(m.Values) {
		c.fail("keys and values differ in number")
	}
}

func (m *KVDeleteRange) layout(c *coder) {
	c.data(&m.Start)
	c.data(&m.End)
}

func (m *KVList) layout(c *coder) {
	q := &m.Query
	c.enum((*uint8)(&q.Kind), 3, "list query")
	switch q.Kind {
	case KVRange:
		c.data(&q.Start)
		c.data(&q.End)
		c.bool(&q.Exclusive)
	case KVPrefix:
		c.data(&q.Prefix)
	}
	opt(c, &m.Reverse, c.bool)
	opt(c, &m.Limit, c.u64)
}

// KVResponse answers a KVRequest.
type KVResponse struct {
	ID     uint32
	Result KVResult
}

// KVResult is what a KVResponse says.
type KVResult interface {
	layouter
	kvResult()
}

func (*KVResponse) toEnvoy()       {}
func (*KVResponse) variant() uint8 { return 3 }
func (m *KVResponse) layout(c *coder) {
	c.u32(&m.ID)
	kvResults.code(c, &m.Result)
}

var kvResults = &union[KVResult]{
	name: "KvResponseData",
	make: []func() KVResult{
		variantOf[KVResult, KVError](), variantOf[KVResult, KVGot](), variantOf[KVResult, KVListed](), variantOf[KVResult, KVPutDone](),
		variantOf[KVResult, KVDeleteDone](), variantOf[KVResult, KVDropDone](),
	},
}

// KVMetadata says which engine wrote a value, and when.
type KVMetadata struct {
	Version  []byte
	UpdateTS int64
}

func (m *KVMetadata) layout(c *coder) {
	c.data(&m.Version)
	c.i64(&m.UpdateTS)
}

// KVEntries are keys with their values, as many of each.
type KVEntries struct {
	Keys, Values [][]byte
	Metadata     []KVMetadata
}

func (m *KVEntries) layout(c *coder) {
	list(c, &m.Keys, 1, c.data)
	list(c, &m.Values, 1, c.data)
	list(c, &m.Metadata, 9, func(d *KVMetadata) { d.layout(c) })
	if len(m.Keys) != len(m.Values) || len(m.Keys) != len(m.Metadata) {
		c.fail("keys, values and metadata differ in number")
	}
}

type (
	// KVError says why a request failed.
	KVError struct{ Message string }
	// KVGot are the keys that exist.
	KVGot struct{ KVEntries }
	// KVListed are the keys of the range.
	KVListed struct{ KVEntries }
	// KVPutDone says that a put is durable.
	KVPutDone struct{}
	// KVDeleteDone says that a delete, of keys or of a range, is durable.
	KVDeleteDone struct{}
	// KVDropDone says that a drop is durable.
	KVDropDone struct{}
)

func (*KVError) kvResult()      {}
func (*KVGot) kvResult()        {}
func (*KVListed) kvResult()     {}
func (*KVPutDone) kvResult()    {}
func (*KVDeleteDone) kvResult() {}
func (*KVDropDone) kvResult()   {}

func (*KVError) variant() uint8      { return 0 }
func (*KVGot) variant() uint8        { return 1 }
func (*KVListed) variant() uint8     { return 2 }
func (*KVPutDone) variant() uint8    { return 3 }
func (*KVDeleteDone) variant() uint8 { return 4 }
func (*KVDropDone) variant() uint8   { return 5 }

func (m *KVError) layout(c *coder)  { c.str(&m.Message) }
func (*KVPutDone) layout(*coder)    {}
func (*KVDeleteDone) layout(*coder) {}
func (*KVDropDone) layout(*coder)   {}
