package runnerproto

// Page is a page of an actor's database. Nil bytes: there is none with this number.
type Page struct {
	Number uint32
	Bytes  []byte
}

// Fence is what a request expects of the database: the generation of the actor, and the number of the last commit.
type Fence struct {
	Generation *uint64
	Head       *uint64
}

func (f *Fence) layout(c *coder) {
	opt(c, &f.Generation, c.u64)
	opt(c, &f.Head, c.u64)
}

func dirtyPages(c *coder, p *[]Page) {
	list(c, p, 5, func(p *Page) {
		c.u32(&p.Number)
		c.data(&p.Bytes)
	})
}

// GetPagesRequest reads pages.
type GetPagesRequest struct {
	ID    uint32
	Actor string
	Pages []uint32
	Fence Fence
}

func (*GetPagesRequest) toRivet()       {}
func (*GetPagesRequest) variant() uint8 { return 7 }
func (m *GetPagesRequest) layout(c *coder) {
	c.u32(&m.ID)
	c.str(&m.Actor)
	list(c, &m.Pages, 4, c.u32)
	m.Fence.layout(c)
}

// CommitRequest writes pages as one commit.
type CommitRequest struct {
	ID    uint32
	Actor string
	Pages []Page
	Size  uint32 // of the database after it, in pages
	NowMS int64
	Fence Fence
}

func (*CommitRequest) toRivet()       {}
func (*CommitRequest) variant() uint8 { return 8 }
func (m *CommitRequest) layout(c *coder) {
	c.u32(&m.ID)
	c.str(&m.Actor)
	dirtyPages(c, &m.Pages)
	c.u32(&m.Size)
	c.i64(&m.NowMS)
	m.Fence.layout(c)
}

// StageBeginRequest begins a commit of several requests.
type StageBeginRequest struct {
	ID    uint32
	Actor string
	Fence Fence
}

func (*StageBeginRequest) toRivet()       {}
func (*StageBeginRequest) variant() uint8 { return 9 }
func (m *StageBeginRequest) layout(c *coder) {
	c.u32(&m.ID)
	c.str(&m.Actor)
	m.Fence.layout(c)
}

// StageSegmentRequest brings pages of it.
type StageSegmentRequest struct {
	ID         uint32
	Actor      string
	Generation *uint64
	Txid       uint64
	First      uint32
	Pages      []Page
}

func (*StageSegmentRequest) toRivet()       {}
func (*StageSegmentRequest) variant() uint8 { return 10 }
func (m *StageSegmentRequest) layout(c *coder) {
	c.u32(&m.ID)
	c.str(&m.Actor)
	opt(c, &m.Generation, c.u64)
	c.u64(&m.Txid)
	c.u32(&m.First)
	dirtyPages(c, &m.Pages)
}

// StageFinalizeRequest makes it the last commit.
type StageFinalizeRequest struct {
	ID         uint32
	Actor      string
	Generation *uint64
	Txid       uint64
	Size       uint32
	NowMS      int64
	Segments   []uint32
}

func (*StageFinalizeRequest) toRivet()       {}
func (*StageFinalizeRequest) variant() uint8 { return 11 }
func (m *StageFinalizeRequest) layout(c *coder) {
	c.u32(&m.ID)
	c.str(&m.Actor)
	opt(c, &m.Generation, c.u64)
	c.u64(&m.Txid)
	c.u32(&m.Size)
	c.i64(&m.NowMS)
	list(c, &m.Segments, 4, c.u32)
}

// SQLiteError says why a request failed.
type SQLiteError struct{ Group, Code, Message string }

func (e *SQLiteError) Error() string { return e.Group + "." + e.Code + ": " + e.Message }

// answer is what the responses have in common: a request's id, then either what was asked for or an error.
func answer(c *coder, id *uint32, failure **SQLiteError, ok func()) {
	c.u32(id)
	if !c.present(*failure != nil) {
		if !c.failed() {
			ok()
		}
		return
	}
	if !c.writing {
		*failure = &SQLiteError{}
	}
	e := *failure
	c.str(&e.Group)
	c.str(&e.Code)
	c.str(&e.Message)
}

// GetPagesResponse answers a GetPagesRequest.
type GetPagesResponse struct {
	ID      uint32
	Pages   []Page
	Head    *uint64
	Failure *SQLiteError
}

func (*GetPagesResponse) toEnvoy()       {}
func (*GetPagesResponse) variant() uint8 { return 6 }
func (m *GetPagesResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() {
		list(c, &m.Pages, 5, func(p *Page) {
			c.u32(&p.Number)
			c.optData(&p.Bytes)
		})
		opt(c, &m.Head, c.u64)
	})
}

// CommitResponse answers a CommitRequest.
type CommitResponse struct {
	ID      uint32
	Head    *uint64
	Failure *SQLiteError
}

func (*CommitResponse) toEnvoy()       {}
func (*CommitResponse) variant() uint8 { return 7 }
func (m *CommitResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() { opt(c, &m.Head, c.u64) })
}

// StageBeginResponse answers a StageBeginRequest.
type StageBeginResponse struct {
	ID      uint32
	Txid    uint64
	Failure *SQLiteError
}

func (*StageBeginResponse) toEnvoy()       {}
func (*StageBeginResponse) variant() uint8 { return 8 }
func (m *StageBeginResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() { c.u64(&m.Txid) })
}

// StageSegmentResponse answers a StageSegmentRequest.
type StageSegmentResponse struct {
	ID          uint32
	StagedBytes uint64
	Failure     *SQLiteError
}

func (*StageSegmentResponse) toEnvoy()       {}
func (*StageSegmentResponse) variant() uint8 { return 9 }
func (m *StageSegmentResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() { c.u64(&m.StagedBytes) })
}

// StageFinalizeResponse answers a StageFinalizeRequest.
type StageFinalizeResponse struct {
	ID      uint32
	Head    *uint64
	Failure *SQLiteError
}

func (*StageFinalizeResponse) toEnvoy()       {}
func (*StageFinalizeResponse) variant() uint8 { return 10 }
func (m *StageFinalizeResponse) layout(c *coder) {
	answer(c, &m.ID, &m.Failure, func() { opt(c, &m.Head, c.u64) })
}
