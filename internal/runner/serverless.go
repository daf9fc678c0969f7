package runner

import "github.com/rivetgo/rivet/internal/wire/runnerproto"

// Begin carries out a start command that came by itself, over HTTP, and connects if that was not done yet. The channel is closed
// when the life is over.
func (r *Runner) Begin(c *runnerproto.Command) (gone <-chan struct{}) {
	r.Start()
	r.command(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slots[c.At.Actor].gone
}
