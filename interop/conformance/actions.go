package main

import (
	"errors"
	"math"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Actions and state.
func actionActors() []actor.Definition {
	return []actor.Definition{
		warmup(), stateless(), counter(), syncAction(), asyncAction(), promise(), concurrentAction(), nestedAction(), input(),
		onStateChange(), stateChangeRecursion(), stateChangeReentrant(), stateCoercion(), saveObserver(), saveState(),
	}
}

// 1
func warmup() actor.Definition {
	d := define[struct{}]("warmupActor", actor.Options{})
	get(d, "ping", func(*struct{}) bool { return true })
	return d
}

// attempt is how an actor reports what it tried.
type attempt struct {
	Success bool   `json:"success"`
	Error   string `json:"error,omitempty"`
}

// 2: a Go actor always has a state and never a database it did not ask for; what is missing is told in upstream's words.
func stateless() actor.Definition {
	d := define[struct{}]("statelessActor", actor.Options{})
	get(d, "ping", func(*struct{}) string { return "pong" })
	on(d, "echo", func(_ *struct{}, _ *actor.Ctx, x raw) (raw, error) { return x, nil })
	on(d, "getActorId", func(_ *struct{}, c *actor.Ctx, _ none) (string, error) { return c.ActorID(), nil })
	get(d, "tryGetState", func(*struct{}) attempt {
		return attempt{Error: "State not enabled. Must implement `createState` or `state` to use state."}
	})
	get(d, "tryGetDb", func(*struct{}) attempt {
		return attempt{Error: "database is not configured for this actor"}
	})
	return d
}

// 3
func counter() actor.Definition {
	type state struct{ Count float64 }
	d := define[state]("counter", actor.Options{})
	newCount := rivet.NewEvent[float64](d.of, "newCount")
	on(d, "increment", func(s *state, c *actor.Ctx, x float64) (float64, error) {
		s.Count += x
		actor.Broadcast(c, newCount, s.Count)
		return s.Count, nil
	})
	on(d, "setCount", func(s *state, c *actor.Ctx, x float64) (float64, error) {
		s.Count = x
		actor.Broadcast(c, newCount, x)
		return s.Count, nil
	})
	get(d, "getCount", func(s *state) float64 { return s.Count })
	on(d, "getKey", func(_ *state, c *actor.Ctx, _ none) ([]string, error) { return list(c.Key()), nil })
	return d
}

// 4
func syncAction() actor.Definition {
	type state struct{ Value float64 }
	type info struct {
		CurrentValue float64 `json:"currentValue"`
		Timestamp    float64 `json:"timestamp"`
	}
	d := define[state]("syncActionActor", actor.Options{})
	on(d, "increment", func(s *state, _ *actor.Ctx, amount *float64) (float64, error) {
		s.Value += or(amount, 1)
		return s.Value, nil
	})
	get(d, "getInfo", func(s *state) info { return info{s.Value, now()} })
	do(d, "reset", func(s *state, _ *actor.Ctx) { s.Value = 0 })
	return d
}

// 5
func asyncAction() actor.Definition {
	type data struct {
		ID        string  `json:"id"`
		Timestamp float64 `json:"timestamp"`
	}
	type state struct {
		Value float64
		Data  *data
	}
	d := define[state]("asyncActionActor", actor.Options{})
	on(d, "delayedIncrement", func(s *state, _ *actor.Ctx, amount *float64) (float64, error) {
		s.Value += or(amount, 1)
		return s.Value, nil
	})
	on(d, "fetchData", func(s *state, _ *actor.Ctx, id string) (data, error) {
		s.Data = &data{id, now()}
		return *s.Data, nil
	})
	on(d, "asyncWithError", func(_ *state, _ *actor.Ctx, fail *bool) (string, error) {
		if or(fail, false) {
			return "", &rivet.Error{Message: "Intentional error"}
		}
		return "Success", nil
	})
	return d
}

// 6
func promise() actor.Definition {
	type state struct{ Results []string }
	d := define[state]("promiseActor", actor.Options{})
	get(d, "resolvedPromise", func(*state) string { return "resolved value" })
	on(d, "delayedPromise", func(s *state, _ *actor.Ctx, _ none) (string, error) {
		s.Results = append(s.Results, "delayed")
		return "delayed value", nil
	})
	on(d, "rejectedPromise", func(*state, *actor.Ctx, none) (none, error) {
		return none{}, &rivet.Error{Message: "promised rejection"}
	})
	get(d, "getResults", func(s *state) []string { return list(s.Results) })
	return d
}

// 7
func concurrentAction() actor.Definition {
	type state struct{ Events []string }
	d := define[state]("concurrentActionActor", actor.Options{})
	waits(d, "runWithDelay", func(c *actor.Ctx, self actor.Self[state], a rivet.Args2[string, float64]) (string, error) {
		note := func(text string) error { return self.Do(func(s *state) { s.Events = append(s.Events, text+a.A) }) }
		if err := note("start:"); err != nil {
			return "", err
		}
		if err := pause(c, millis(a.B)); err != nil {
			return "", err
		}
		return a.A, note("finish:")
	})
	get(d, "getEvents", func(s *state) []string { return list(s.Events) })
	return d
}

// 8: arguments are checked strictly here.
func nestedAction() actor.Definition {
	type state struct{ Total float64 }
	d := define[state]("nestedActionActor", actor.Options{})
	d.Options.IgnoreSurplusArguments = false
	on(d, "calculator.add", func(s *state, _ *actor.Ctx, amount float64) (float64, error) {
		if math.IsNaN(amount) {
			return 0, &rivet.Error{Group: "actor", Code: "validation_error", Message: "the amount is not a number"}
		}
		s.Total += amount
		return s.Total, nil
	})
	get(d, "calculator.read", func(s *state) float64 { return s.Total })
	return d
}

// 9: an empty raw is undefined, also in what is stored.
func input() actor.Definition {
	type state struct {
		Initial  raw `json:"initialInput,omitempty"`
		OnCreate raw `json:"onCreateInput,omitempty"`
	}
	d := defineFrom("inputActor", actor.Options{}, func(_ *actor.Ctx, in raw) (*state, error) {
		return &state{Initial: in}, nil
	})
	d.OnCreate = func(s *state, _ *actor.Ctx, in raw) error {
		s.OnCreate = in
		return nil
	}
	get(d, "getInputs", func(s *state) state { return *s })
	return d
}

// 10
func onStateChange() actor.Definition {
	type state struct {
		Value   float64
		Blob    []int
		changes int
	}
	d := define[state]("onStateChangeActor", actor.Options{})
	d.OnStateChange = func(s *state, _ *actor.Ctx) error {
		s.changes++
		return nil
	}
	on(d, "setValue", func(s *state, _ *actor.Ctx, n float64) (float64, error) {
		s.Value = n
		return n, nil
	})
	increment := func(s *state, times float64) {
		for range int(times) {
			s.Value++
		}
	}
	on(d, "incrementMultiple", func(s *state, _ *actor.Ctx, times float64) (float64, error) {
		increment(s, times)
		return s.Value, nil
	})
	get(d, "getValue", func(s *state) float64 { return s.Value })
	get(d, "getDoubled", func(s *state) float64 { return 2 * s.Value })
	get(d, "getChangeCount", func(s *state) int { return s.changes })
	do(d, "resetChangeCount", func(s *state, _ *actor.Ctx) { s.changes = 0 })
	on(d, "seedLarge", func(s *state, _ *actor.Ctx, size float64) (int, error) {
		s.Blob = make([]int, int(size))
		for i := range s.Blob {
			s.Blob[i] = i
		}
		return len(s.Blob), nil
	})
	on(d, "churn", func(s *state, _ *actor.Ctx, times float64) (float64, error) {
		began := time.Now()
		increment(s, times)
		return float64(time.Since(began)) / float64(time.Millisecond), nil
	})
	get(d, "stateIdentityStable", func(*state) bool { return true })
	return d
}

// 11
func stateChangeRecursion() actor.Definition {
	type state struct {
		Value        float64
		DerivedValue float64 // never changed

		calls   int
		derived float64
	}
	type all struct {
		Value        float64 `json:"value"`
		DerivedValue float64 `json:"derivedValue"`
		CallCount    int     `json:"callCount"`
	}
	d := define[state]("stateChangeRecursionActor", actor.Options{})
	d.OnStateChange = func(s *state, _ *actor.Ctx) error {
		s.derived = 2 * s.Value
		s.calls++
		return nil
	}
	on(d, "setValue", func(s *state, _ *actor.Ctx, n float64) (float64, error) {
		s.Value = n
		return n, nil
	})
	get(d, "getDerivedValue", func(s *state) float64 { return s.derived })
	get(d, "getOnStateChangeCallCount", func(s *state) int { return s.calls })
	get(d, "getAll", func(s *state) all { return all{s.Value, s.derived, s.calls} })
	return d
}

// 12: in Go nothing can refuse an assignment; the turn that the hook asks for is refused.
func stateChangeReentrant() actor.Definition {
	type state struct {
		Value        float64
		DerivedValue float64

		calls   int
		refusal named
	}
	type result struct {
		Value        float64 `json:"value"`
		DerivedValue float64 `json:"derivedValue"`
		CallCount    int     `json:"callCount"`
		ErrorGroup   string  `json:"errorGroup"`
		ErrorCode    string  `json:"errorCode"`
	}
	d := define[state]("stateChangeReentrantMutationActor", actor.Options{})
	d.OnStateChange = func(s *state, c *actor.Ctx) error {
		s.calls++
		err := actor.SelfOf(c, s).Do(func(s *state) { s.DerivedValue = 2 * s.Value })
		if err != nil {
			s.refusal = nameOf(err)
		}
		return nil
	}
	on(d, "setValue", func(s *state, _ *actor.Ctx, n float64) (float64, error) {
		s.Value = n
		return n, nil
	})
	get(d, "getResult", func(s *state) result {
		return result{s.Value, s.DerivedValue, s.calls, s.refusal.Group, s.refusal.Code}
	})
	return d
}

// 13: what does not fit the state's type fails the start by itself.
func stateCoercion() actor.Definition {
	type state struct {
		Count float64 `json:"count"`
		Label *string `json:"label"`
	}
	d := define[state]("stateZodCoercionActor", actor.Options{SleepAfter: 100 * time.Millisecond})
	d.OnWake = func(s *state, _ *actor.Ctx) error {
		if s.Label == nil {
			label := "default"
			s.Label = &label
		}
		return nil
	}
	get(d, "getState", func(s *state) state { return *s })
	on(d, "setCount", func(s *state, _ *actor.Ctx, n float64) (none, error) {
		s.Count = n
		return none{}, nil
	})
	on(d, "setLabel", func(s *state, _ *actor.Ctx, label string) (none, error) {
		s.Label = &label
		return none{}, nil
	})
	sleepAction(d)
	return d
}

var (
	saveObservers = rivet.NewActor[raw]("saveStateObserver")
	recordPhase   = rivet.NewAction[rivet.Args2[string, string], none](saveObservers, "recordPhase")
)

// 14
func saveObserver() actor.Definition {
	type state struct{ Phases map[string]string }
	d := defineOf(saveObservers, actor.Options{}, actor.Zero[raw, state])
	actor.Handle(d.Spec, recordPhase, func(s *state, _ *actor.Ctx, a rivet.Args2[string, string]) (none, error) {
		if s.Phases == nil {
			s.Phases = make(map[string]string)
		}
		s.Phases[a.A] = a.B
		return none{}, nil
	})
	on(d, "getPhase", func(s *state, _ *actor.Ctx, key string) (*string, error) {
		phase, ok := s.Phases[key]
		if !ok {
			return nil, nil
		}
		return &phase, nil
	})
	on(d, "reset", func(s *state, _ *actor.Ctx, key string) (none, error) {
		delete(s.Phases, key)
		return none{}, nil
	})
	return d
}

// 15: every turn is stored at once here, so that there is no save to put off.
func saveState() actor.Definition {
	type state struct{ Value float64 }
	d := define[state]("saveStateActor", actor.Options{})
	get(d, "getValue", func(s *state) float64 { return s.Value })
	block := func(c *actor.Ctx, self actor.Self[state], v float64, phase string) (none, error) {
		err := errors.Join(self.Do(func(s *state) { s.Value = v }), c.Save(c))
		if err != nil {
			return none{}, err
		}
		observer := saveObservers.GetOrCreate(c.Client(), rivet.Key{"observer"}, nil)
		if _, err := recordPhase.Call(c, observer, rivet.Args2[string, string]{A: keyPath(c), B: phase}); err != nil {
			return none{}, err
		}
		<-c.Done()
		return none{}, c.Err()
	}
	waits(d, "saveImmediateAndBlock", func(c *actor.Ctx, self actor.Self[state], v float64) (none, error) {
		return block(c, self, v, "immediate")
	})
	waits(d, "saveDeferredAndBlock", func(c *actor.Ctx, self actor.Self[state], a rivet.Args2[float64, float64]) (none, error) {
		return block(c, self, a.A, "deferred")
	})
	return d
}
