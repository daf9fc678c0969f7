package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rivetgo/rivet/internal/store"
	"github.com/rivetgo/rivet/internal/wire/id"
	"github.com/rivetgo/rivet/internal/wire/record"
)

func alarmBatch(at time.Time) *record.Batch {
	b := &record.Batch{SetAlarm: true}
	if !at.IsZero() {
		b.Alarm = at.UnixMilli()
	}
	return b
}

func (e *env) setAlarm(t store.Tenure, at time.Time) {
	e.Helper()
	e.commit(t, alarmBatch(at))
}

func (e *env) alarms(q store.AlarmQuery) []store.Alarm {
	e.Helper()
	all, err := e.s.Alarms(e.ctx, q)
	e.ok(err)
	return some(all)
}

// allAlarms reads them in pages.
func (e *env) allAlarms() []store.Alarm {
	e.Helper()
	var all []store.Alarm
	for q := (store.AlarmQuery{Limit: 3}); ; q.After = all[len(all)-1] {
		page := e.alarms(q)
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
	}
}

// hasAlarm checks every place where the actor's alarm is seen; at is zero for none. No other actor has one.
func (e *env) hasAlarm(what string, actor id.ID, at time.Time) {
	e.Helper()
	var want []store.Alarm
	if !at.IsZero() {
		want = []store.Alarm{{At: at, Actor: actor}}
	}
	e.equal(what+": alarms", e.alarms(store.AlarmQuery{Limit: 10}), want)
	e.equal(what+": row", e.row(actor).Alarm, at)
}

func testAlarmBatch(e *env) {
	a := e.actor("a")
	e.hasAlarm("new", a, time.Time{})
	t := e.acquire(a)
	e.equal("at acquire", t.Alarm(), time.Time{})

	b := alarmBatch(epoch)
	b.Put(k(1), []byte("v"))
	e.commit(t, b)
	e.hasAlarm("set", a, epoch)
	e.equal("at acquire", t.Alarm(), time.Time{})
	e.equal("records", e.all(t), "4101=v")

	e.commit(t, &record.Batch{Alarm: 5}) // without SetAlarm it means nothing
	e.hasAlarm("left alone", a, epoch)
	wipe := &record.Batch{}
	wipe.DeleteSpan(record.Span{}) // the alarm is no record that a batch could delete
	e.commit(t, wipe)
	e.hasAlarm("left alone", a, epoch)
	for _, at := range []time.Time{epoch.Add(time.Hour), epoch.Add(time.Millisecond), epoch.Add(time.Millisecond), time.UnixMilli(-1).UTC(), epoch} {
		e.setAlarm(t, at)
		e.hasAlarm("moved", a, at)
	}
	b = &record.Batch{}
	b.Put([]byte{0, 2}, []byte("v"))
	b.SetAlarm = true
	if err := t.Commit(b, func(error) { e.Error("done of a refused commit") }); err == nil {
		e.Fatal("a batch with a bad key was taken")
	}
	e.hasAlarm("refused", a, epoch)

	t = e.acquire(a)
	e.equal("next owner", t.Alarm(), epoch)
	e.equal("next owner's actor", t.Actor(), e.row(a))
	e.setAlarm(t, time.Time{})
	e.hasAlarm("cleared", a, time.Time{})
	e.setAlarm(t, time.Time{})
	e.hasAlarm("cleared again", a, time.Time{})
	e.equal("next owner", e.acquire(a).Alarm(), time.Time{})
}

func testAlarmHandover(e *env) {
	a := e.actor("a")
	for i := range 50 {
		t := e.acquire(a)
		for j := range 4 {
			at := epoch.Add(time.Duration(10*i+j) * time.Minute)
			e.ok(t.Commit(alarmBatch(at), func(err error) {
				if err != nil {
					e.Errorf("commit: %v", err)
				}
			}))
			e.hasAlarm("not waited for", a, at)
		}
		if i%2 == 0 {
			e.ok(t.Release(epoch))
		}
		e.equal("next owner", e.acquire(a).Alarm(), epoch.Add(time.Duration(10*i+3)*time.Minute))
	}
}

func testAlarmFenced(e *env) {
	a := e.actor("a")
	old := e.acquire(a)
	e.setAlarm(old, epoch)
	t := e.acquire(a)
	for _, at := range []time.Time{{}, epoch.Add(time.Hour)} {
		e.is(old.Commit(alarmBatch(at), func(error) { e.Error("done of a fenced commit") }), store.ErrFenced)
		e.hasAlarm("fenced", a, epoch)
	}
	e.setAlarm(t, epoch.Add(time.Minute))
	e.hasAlarm("moved", a, epoch.Add(time.Minute))
	e.ok(t.Release(epoch))
	e.is(t.Commit(alarmBatch(time.Time{}), func(error) { e.Error("done after Release") }), store.ErrFenced)
	e.hasAlarm("released", a, epoch.Add(time.Minute))
}

func testAlarmOrder(e *env) {
	var want []store.Alarm
	for i, ms := range []int64{-1 << 63, -1 << 40, -256, -1, 1, 255, 256, 1 << 40, 1 << 40, 1 << 40, 1<<63 - 1} {
		a := e.actor(fmt.Sprint(i))
		e.setAlarm(e.acquire(a), time.UnixMilli(ms))
		want = append(want, store.Alarm{At: time.UnixMilli(ms).UTC(), Actor: a})
		e.setAlarm(e.acquire(e.actor(fmt.Sprint("none", i))), time.Time{})
	}
	sortAlarms(want[7:10]) // those of one instant: by id
	e.equal("alarms", e.allAlarms(), want)
}

func testAlarmQuery(e *env) {
	var all []store.Alarm
	at := func(i int) time.Time { return epoch.Add(time.Duration(i) * time.Millisecond) }
	for i := range 12 {
		a := e.actor(fmt.Sprint(i))
		e.setAlarm(e.acquire(a), at(i/2)) // two at each instant
		all = append(all, store.Alarm{At: at(i / 2), Actor: a})
	}
	sortAlarms(all)
	highest := id.ID([]byte(strings.Repeat("\xff", id.Size)))
	for _, tt := range []struct {
		name string
		q    store.AlarmQuery
		want []store.Alarm
	}{
		{"all", store.AlarmQuery{Limit: 100}, all},
		{"first", store.AlarmQuery{Limit: 1}, all[:1]},
		{"none", store.AlarmQuery{Limit: 0}, nil},
		{"less than none", store.AlarmQuery{Limit: -1}, nil},
		{"until is inclusive", store.AlarmQuery{Until: at(2), Limit: 100}, all[:6]},
		{"until within a millisecond", store.AlarmQuery{Until: at(2).Add(999_999), Limit: 100}, all[:6]},
		{"until before", store.AlarmQuery{Until: at(0).Add(-1), Limit: 100}, nil},
		{"until with limit", store.AlarmQuery{Until: at(2), Limit: 5}, all[:5]},
		{"after is exclusive", store.AlarmQuery{After: all[4], Limit: 100}, all[5:]},
		{"after and until", store.AlarmQuery{After: all[4], Until: at(3), Limit: 100}, all[5:8]},
		{"after until", store.AlarmQuery{After: all[4], Until: at(1), Limit: 100}, nil},
		{"after what does not exist", store.AlarmQuery{After: store.Alarm{At: at(1), Actor: highest}, Limit: 2}, all[4:6]},
		{"after the first id of an instant", store.AlarmQuery{After: store.Alarm{At: at(1)}, Limit: 2}, all[2:4]},
		{"after the last", store.AlarmQuery{After: all[11], Limit: 2}, nil},
	} {
		e.equal(tt.name, e.alarms(tt.q), some(tt.want))
	}
}

func sortAlarms(a []store.Alarm) { slices.SortFunc(a, store.Alarm.Compare) }

func testAlarmDestroy(e *env) {
	a, b := e.actor("a"), e.actor("b")
	t := e.acquire(a)
	e.setAlarm(t, epoch)
	e.setAlarm(e.acquire(b), epoch.Add(time.Hour))
	e.ok(t.Destroy(e.ctx, epoch))
	e.equal("row", e.row(a).Alarm, time.Time{})
	e.hasAlarm("of the other", b, epoch.Add(time.Hour))
	e.is(t.Commit(alarmBatch(epoch), func(error) { e.Error("done after Destroy") }), store.ErrFenced)
	// By an owner that did not set it.
	e.ok(e.acquire(b).Destroy(e.ctx, epoch))
	e.hasAlarm("of nobody", b, time.Time{})
	again, _ := e.reserve(e.newActor("thing", "b"))
	e.hasAlarm("of the key's next actor", again.ID, time.Time{})
}
