package main

import (
	"bytes"
	"image"
	"image/png"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/rivettest"
)

func picture(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func finished(t *testing.T, h rivet.Handle[Studio], want int) {
	t.Helper()
	if n, err := Finished.Call(t.Context(), h, rivet.None{}); err != nil || n != want {
		t.Errorf("%d jobs are finished, %v; want %d", n, err, want)
	}
}

func TestAJobIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, StudioDefinition())
		h := Studios.GetOrCreate(app.Client(), rivet.Key{"a"}, Studio{})
		p, err := Resize.Request(t.Context(), h, Job{PNG: picture(t, 200, 100), Width: 20})
		if err != nil || p.Width != 20 || p.Height != 10 {
			t.Fatalf("Request = %d × %d, %v", p.Width, p.Height, err)
		}
		// A repeated send with the same key is the same job.
		for range 2 {
			if err := Resize.Send(t.Context(), h, Job{PNG: picture(t, 8, 8), Width: 4}, rivet.IdempotencyKey("upload-7")); err != nil {
				t.Fatal(err)
			}
		}
		app.Advance(0)
		finished(t, h, 2)
	})
}

func TestG5_JobsWaitAcrossSleepAndCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, StudioDefinition())
		h := Studios.GetOrCreate(app.Client(), rivet.Key{"a"}, Studio{})
		send := func() {
			t.Helper()
			if err := Resize.Send(t.Context(), h, Job{PNG: picture(t, 8, 8), Width: 4}, rivet.Delay(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		send()
		app.Advance(time.Minute)
		if app.Awake(h) {
			t.Error("awake with nothing to do")
		}
		app.Advance(time.Hour)
		finished(t, h, 1)
		send()
		app.CrashFor(2 * time.Hour)
		app.Advance(time.Minute)
		finished(t, h, 2)
	})
}

func TestG5_AJobThatFailsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := rivettest.Start(t, StudioDefinition())
		h := Studios.GetOrCreate(app.Client(), rivet.Key{"a"}, Studio{})
		_, err := Resize.Request(t.Context(), h, Job{PNG: []byte("not a picture"), Width: 4})
		if !rivet.Is(err, "user", "not_a_picture") {
			t.Fatalf("Request: %v", err)
		}
		list, err := Refused.Call(t.Context(), h, rivet.None{})
		if err != nil || len(list) != 1 {
			t.Fatalf("refused %v, %v", list, err)
		}
		if _, err := Retry.Call(t.Context(), h, list[0].ID); err != nil {
			t.Fatal(err)
		}
		app.Advance(time.Minute) // three attempts, and it is there again under a new number
		again, err := Refused.Call(t.Context(), h, rivet.None{})
		if err != nil || len(again) != 1 || again[0].ID == list[0].ID {
			t.Errorf("refused %v, %v", again, err)
		}
	})
}
