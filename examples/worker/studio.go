package main

import (
	"bytes"
	"image"
	"image/png"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Studio is what a studio is created with: nothing.
type Studio struct{}

// Job asks for a picture at another width.
type Job struct {
	PNG   []byte `json:"png"`
	Width int    `json:"width"`
}

// Picture is what a job's sender gets.
type Picture struct {
	PNG    []byte `json:"png"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

// Refusal is a job that failed for good.
type Refusal struct {
	ID     uint64 `json:"id"`
	Reason string `json:"reason"`
}

// The contract of a studio.
var (
	Studios  = rivet.NewActor[Studio]("studio")
	Resize   = rivet.NewQueue[Job, Picture](Studios, "resize")
	Finished = rivet.NewAction[rivet.None, int](Studios, "finished")
	Refused  = rivet.NewAction[rivet.None, []Refusal](Studios, "refused")
	Retry    = rivet.NewAction[uint64, rivet.None](Studios, "retry")
)

// studio is one live studio.
type studio struct{ Finished int }

// work is the studio's own loop. The slow part runs outside the turn: actions are answered meanwhile.
func work(c *actor.Ctx, self actor.Self[studio]) error {
	for job, err := range actor.Receive(c, Resize) {
		if err != nil {
			return err
		}
		picture, err := resize(job.Body)
		if err != nil {
			if err := job.Fail(c, err); err != nil { // tried again later, in the end a dead letter
				return err
			}
			continue
		}
		err = self.Turn(func(s *studio, c *actor.Ctx) error {
			s.Finished++
			return job.Complete(c, picture) // the count, the reply and the job's end are one commit
		})
		if err != nil {
			return err
		}
	}
	return nil // the studio goes to sleep
}

func (s *studio) finished(*actor.Ctx, rivet.None) (int, error) { return s.Finished, nil }

func (s *studio) refused(c *actor.Ctx, _ rivet.None) ([]Refusal, error) {
	letters, err := actor.DeadLetters(c, 100)
	out := make([]Refusal, 0, len(letters))
	for _, l := range letters {
		out = append(out, Refusal{ID: l.ID, Reason: l.Err.Message})
	}
	return out, err
}

func (s *studio) retry(c *actor.Ctx, id uint64) (rivet.None, error) {
	return rivet.None{}, actor.Replay(c, id)
}

// StudioDefinition binds the studio's contract.
func StudioDefinition() actor.Definition {
	d := actor.Define(Studios, actor.Zero[Studio, studio])
	d.Options = actor.Options{MaxQueueMessageBytes: 1 << 20, MaxIncomingBytes: 1 << 20, QueueMaxAttempts: 3}
	d.Run = work
	actor.View(d, Finished, (*studio).finished)
	actor.View(d, Refused, (*studio).refused)
	actor.Handle(d, Retry, (*studio).retry)
	return d
}

const maxWidth = 1024

// resize takes the nearest pixel, which is quick and not pretty.
func resize(job Job) (Picture, error) {
	from, err := png.Decode(bytes.NewReader(job.PNG))
	if err != nil {
		return Picture{}, &rivet.Error{Code: "not_a_picture", Message: err.Error()}
	}
	size := from.Bounds()
	if job.Width < 1 || job.Width > maxWidth || size.Empty() {
		return Picture{}, &rivet.Error{Code: "bad_width", Message: "a width is 1 to 1024"}
	}
	height := max(1, min(maxWidth, size.Dy()*job.Width/size.Dx()))
	to := image.NewRGBA(image.Rect(0, 0, job.Width, height))
	for y := range height {
		for x := range job.Width {
			to.Set(x, y, from.At(size.Min.X+x*size.Dx()/job.Width, size.Min.Y+y*size.Dy()/height))
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, to); err != nil {
		return Picture{}, err
	}
	return Picture{PNG: out.Bytes(), Width: job.Width, Height: height}, nil
}
