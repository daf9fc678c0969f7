package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet/internal/wire/fault"
)

// raw is one raw request of a test.
type raw struct {
	*httptest.ResponseRecorder
	failed *fault.Error
	err    error
	done   chan struct{}
}

// request sends a raw request on a goroutine of its own.
func (l *life) request(ctx context.Context) *raw {
	l.t.Helper()
	q := &raw{ResponseRecorder: httptest.NewRecorder(), done: make(chan struct{})}
	if err := l.Enter(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(q.done)
		defer l.Leave()
		q.err = l.ServeRequest(&RawRequest{
			W: q, R: httptest.NewRequest(http.MethodGet, "/x", nil).WithContext(ctx), Request: &Request{Path: "/x"},
			Fail: func(f *fault.Error) { q.failed = f; q.WriteHeader(f.StatusOnActor()) },
		})
	}()
	return q
}

func withRequests(handle func(c *Call, w http.ResponseWriter, r *http.Request)) *Spec {
	s := spec()
	s.OnRequest = handle
	return s
}

func bump(c *Call) error {
	return c.Do(func(_ *Call, s State) error { s.(*tally).N++; return nil })
}

func TestG2_a_raw_answer_waits_for_the_commits_before_each_part(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		d := newDisk()
		l := start(t, withRequests(func(c *Call, w http.ResponseWriter, _ *http.Request) {
			for i := range 3 {
				if err := bump(c); err != nil {
					t.Error(err)
				}
				fmt.Fprint(w, i)
				<-step
			}
		}), d)
		synctest.Wait() // the creation is durable
		d.set(func() { d.hold = true })
		q := l.request(t.Context())
		for i, want := range []string{"", "0", "01"} {
			synctest.Wait()
			if got := q.Body.String(); got != want {
				t.Errorf("before commit %d is durable %q has left, want %q", i, got, want)
			}
			d.flushOne()
			synctest.Wait()
			step <- struct{}{}
		}
		<-q.done
		if got := q.Body.String(); got != "012" || q.err != nil {
			t.Errorf("answer %q, %v", got, q.err)
		}
		d.set(func() { d.hold = false })
		l.end(false)
	})
}

func TestG2_a_raw_answer_does_not_leave_when_its_commit_fails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := start(t, withRequests(func(c *Call, w http.ResponseWriter, _ *http.Request) {
			if err := bump(c); err != nil {
				t.Error(err)
			}
			if _, err := io.WriteString(w, "done"); err == nil { // the commit's error, or that the answer was replaced
				t.Error("the write succeeded")
			}
		}), d)
		synctest.Wait() // the creation is durable
		d.set(func() { d.lose = errors.New("disk is on fire") })
		q := l.request(t.Context())
		<-q.done
		if q.failed == nil || q.failed.Code != "commit_failed" || q.Body.Len() > 0 {
			t.Errorf("the client got %v and %q", q.failed, q.Body)
		}
		<-l.owner.stopped
	})
}

func TestUndurableAnswersDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withRequests(func(c *Call, w http.ResponseWriter, _ *http.Request) {
			if err := bump(c); err != nil {
				t.Error(err)
			}
			io.WriteString(w, "done")
		})
		s.Options.Undurable = true
		d := newDisk()
		l := start(t, s, d)
		synctest.Wait() // the creation is durable
		d.set(func() { d.hold = true })
		q := l.request(t.Context())
		<-q.done
		if q.Body.String() != "done" {
			t.Errorf("answer %q", q.Body)
		}
		d.flush()
		d.set(func() { d.hold = false })
		l.end(false)
	})
}

func TestG6_a_raw_request_has_a_deadline_until_its_answer_begins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := make(chan error, 1)
		s := withRequests(func(c *Call, w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			_, err := io.WriteString(w, "too late")
			late <- err
		})
		s.Options.RequestTimeout = 3 * time.Second
		l := start(t, s, newDisk())
		began := time.Now()
		q := l.request(t.Context())
		<-q.done
		if q.failed == nil || q.Code != http.StatusRequestTimeout || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v, status %d", q.failed, time.Since(began), q.Code)
		}
		if err := <-late; !errors.Is(err, http.ErrHandlerTimeout) || q.Body.Len() > 0 {
			t.Errorf("a write after the deadline: %v, the client got %q", err, q.Body)
		}
		l.end(false)
	})
	synctest.Test(t, func(t *testing.T) {
		s := withRequests(func(c *Call, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			time.Sleep(time.Hour)
			io.WriteString(w, "in the end")
		})
		s.Options.RequestTimeout = time.Second
		l := start(t, s, newDisk())
		q := l.request(t.Context())
		<-q.done
		if q.Code != http.StatusAccepted || q.Body.String() != "in the end" || q.err != nil {
			t.Errorf("%d %q, %v", q.Code, q.Body, q.err)
		}
		l.end(false)
	})
}

func TestTheEndOfTheGraceCutsARawRequest(t *testing.T) {
	for name, begun := range map[string]bool{"before its answer": false, "in the middle": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := make(chan time.Time, 1)
				s := withRequests(func(c *Call, w http.ResponseWriter, _ *http.Request) {
					if begun {
						io.WriteString(w, "begun")
					}
					<-c.Stopping()
					told <- time.Now()
					<-c.Done()
				})
				s.Options.GracePeriod = 4 * time.Second
				l := start(t, s, newDisk())
				q := l.request(t.Context())
				synctest.Wait()
				began := time.Now()
				l.Stop(false)
				<-q.done
				if d := time.Since(began); d != 4*time.Second || !(<-told).Equal(began) {
					t.Errorf("cut after %v", d)
				}
				if begun && !errors.Is(q.err, ErrCutOff) {
					t.Errorf("an answer that was cut off ends with %v", q.err)
				}
				if !begun && (q.failed == nil || q.failed.Code != "stopping" || q.Code != 503) {
					t.Errorf("answered %v", q.failed)
				}
				<-l.owner.stopped
			})
		})
	}
}

func TestRawRequestThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, withRequests(func(_ *Call, w http.ResponseWriter, r *http.Request) {
			panic("secret")
		}), newDisk())
		q := l.request(t.Context())
		<-q.done
		if q.failed == nil || q.failed.Code != "internal_error" || strings.Contains(q.failed.Message, "secret") {
			t.Errorf("answered %v", q.failed)
		}
		l.must("add")
		l.end(false)
	})
	synctest.Test(t, func(t *testing.T) {
		l := start(t, withRequests(func(_ *Call, w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			panic("secret")
		}), newDisk())
		q := l.request(t.Context())
		<-q.done
		if !errors.Is(q.err, ErrCutOff) || q.failed != nil {
			t.Errorf("%v, %v", q.err, q.failed)
		}
		l.end(false)
	})
}

func TestRawRequestEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, withRequests(func(c *Call, w http.ResponseWriter, r *http.Request) {
			<-c.Done()
			if r.Context().Err() == nil {
				t.Error("the request goes on without its call")
			}
		}), newDisk())
		ctx, cancel := context.WithCancel(t.Context())
		q := l.request(ctx)
		synctest.Wait()
		cancel()
		<-q.done
		l.end(false)
	})
}
