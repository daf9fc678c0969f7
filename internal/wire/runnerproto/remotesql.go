package runnerproto

// Value is a value of SQLite.
type Value interface {
	layouter
	value()
}

type (
	// Null is NULL.
	Null struct{}
	// Integer is an INTEGER.
	Integer struct{ V int64 }
	// Float is a REAL: the bits of its IEEE 754 form, big-endian.
	Float struct{ High, Low [4]byte }
	// Text is a TEXT.
	Text struct{ V string }
	// Blob is a BLOB.
	Blob struct{ V []byte }
)

func (*Null) value()    {}
func (*Integer) value() {}
func (*Float) value()   {}
func (*Text) value()    {}
func (*Blob) value()    {}

func (*Null) variant() uint8    { return 0 }
func (*Integer) variant() uint8 { return 1 }
func (*Float) variant() uint8   { return 2 }
func (*Text) variant() uint8    { return 3 }
func (*Blob) variant() uint8    { return 4 }

func (*Null) layout(*coder)        {}
func (v *Integer) layout(c *coder) { c.i64(&v.V) }
func (v *Float) layout(c *coder)   { c.fixed4(&v.High); c.fixed4(&v.Low) }
func (v *Text) layout(c *coder)    { c.str(&v.V) }
func (v *Blob) layout(c *coder)    { c.data(&v.V) }

var values = &union[Value]{
	name: "SqliteValue",
	make: []func() Value{variantOf[Value, Null](), variantOf[Value, Integer](), variantOf[Value, Float](), variantOf[Value, Text](), variantOf[Value, Blob]()},
}

func valueList(c *coder, p *[]Value) { list(c, p, 1, func(v *Value) { values.code(c, v) }) }

// Statement is SQL with what is bound to it.
type Statement struct {
	SQL       string
	Params    []Value
	HasParams bool
}

func (s *Statement) layout(c *coder) {
	c.str(&s.SQL)
	if s.HasParams = c.present(s.HasParams); s.HasParams {
		valueList(c, &s.Params)
	}
}

// SQLTarget is the database of a request that the engine runs.
type SQLTarget struct {
	Namespace  string // its name
	Actor      string
	Generation uint64
}

func (t *SQLTarget) layout(c *coder) {
	c.str(&t.Namespace)
	c.str(&t.Actor)
	c.u64(&t.Generation)
}

// ExecRequest has the engine run a script.
type ExecRequest struct {
	ID     uint32
	Target SQLTarget
	SQL    string
}

func (*ExecRequest) toRivet()       {}
func (*ExecRequest) variant() uint8 { return 12 }
func (m *ExecRequest) layout(c *coder) {
	c.u32(&m.ID)
	m.Target.layout(c)
	c.str(&m.SQL)
}

// ExecuteRequest has the engine run a statement.
type ExecuteRequest struct {
	ID        uint32
	Target    SQLTarget
	Statement Statement
}

func (*ExecuteRequest) toRivet()       {}
func (*ExecuteRequest) variant() uint8 { return 13 }
func (m *ExecuteRequest) layout(c *coder) {
	c.u32(&m.ID)
	m.Target.layout(c)
	m.Statement.layout(c)
}

// ExecuteBatchRequest has the engine run statements in one transaction.
type ExecuteBatchRequest struct {
	ID         uint32
	Target     SQLTarget
	Statements []Statement
}

func (*ExecuteBatchRequest) toRivet()       {}
func (*ExecuteBatchRequest) variant() uint8 { return 14 }
func (m *ExecuteBatchRequest) layout(c *coder) {
	c.u32(&m.ID)
	m.Target.layout(c)
	list(c, &m.Statements, 2, func(s *Statement) { s.layout(c) })
}

// Rows are what a statement returned.
type Rows struct {
	Columns []string
	Rows    [][]Value
}

func (r *Rows) layout(c *coder) {
	list(c, &r.Columns, 1, c.str)
	list(c, &r.Rows, 1, func(row *[]Value) { valueList(c, row) })
}

// Executed is what a statement did.
type Executed struct {
	Rows         Rows
	Changes      int64
	LastInsertID *int64
}

func (e *Executed) layout(c *coder) {
	e.Rows.layout(c)
	c.i64(&e.Changes)
	opt(c, &e.LastInsertID, c.i64)
}

// ExecResponse answers an ExecRequest.
type ExecResponse struct {
	ID      uint32
	Rows    Rows
	Failure *SQLiteError
}

func (*ExecResponse) toEnvoy()       {}
func (*ExecResponse) variant() uint8 { return 11 }
func (m *ExecResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() { m.Rows.layout(c) })
}

// ExecuteResponse answers an ExecuteRequest.
type ExecuteResponse struct {
	ID      uint32
	Result  Executed
	Failure *SQLiteError
}

func (*ExecuteResponse) toEnvoy()       {}
func (*ExecuteResponse) variant() uint8 { return 12 }
func (m *ExecuteResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() { m.Result.layout(c) })
}

// ExecuteBatchResponse answers an ExecuteBatchRequest.
type ExecuteBatchResponse struct {
	ID      uint32
	Results []Executed
	Failure *SQLiteError
}

func (*ExecuteBatchResponse) toEnvoy()       {}
func (*ExecuteBatchResponse) variant() uint8 { return 13 }
func (m *ExecuteBatchResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() {
		list(c, &m.Results, 11, func(e *Executed) { e.layout(c) })
	})
}
