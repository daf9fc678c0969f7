package main

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/rivettest"
)

// shop is a warehouse with ten chairs.
func shop(t *testing.T) (*rivettest.App, rivet.Handle[Warehouse]) {
	t.Helper()
	app := rivettest.Start(t, OrderDefinition(), WarehouseDefinition())
	main := Warehouses.GetOrCreate(app.Client(), rivet.Key{"main"}, Warehouse{})
	if _, err := Deliver.Call(t.Context(), main, Line{"chair", 10}); err != nil {
		t.Fatal(err)
	}
	return app, main
}

func place(t *testing.T, app *rivettest.App, number, chairs int) rivet.Handle[Order] {
	t.Helper()
	o := Orders.GetOrCreate(app.Client(), rivet.Key{strconv.Itoa(number)}, Order{})
	if _, err := Place.Call(t.Context(), o, Line{"chair", chairs}); err != nil {
		t.Fatal(err)
	}
	return o
}

func status(t *testing.T, o rivet.Handle[Order], want string) {
	t.Helper()
	if s, err := Status.Call(t.Context(), o, rivet.None{}); err != nil || s != want {
		t.Errorf("the order is %q, %v; want %q", s, err, want)
	}
}

func chairs(t *testing.T, w rivet.Handle[Warehouse], want int) {
	t.Helper()
	if n, err := Stock.Call(t.Context(), w, "chair"); err != nil || n != want {
		t.Errorf("%d chairs, %v; want %d", n, err, want)
	}
}

func TestOrdersAreReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, main := shop(t)
		small := place(t, app, 1, 3)
		app.Advance(0) // what different orders post comes in no order
		large := place(t, app, 2, 8)
		app.Advance(0)
		status(t, small, "reserved")
		status(t, large, "sold out")
		chairs(t, main, 7)
	})
}

// However often the process dies while messages are under way, each is counted once.
func TestG5_OrdersAreReservedOnceAcrossCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, main := shop(t)
		var all []rivet.Handle[Order]
		for n := range 10 {
			app.Faults().DelayCommits(time.Second)
			all = append(all, place(t, app, n, 1))
			app.Advance(time.Duration(n) * 500 * time.Millisecond) // die early, late, and in between
			app.Crash()
		}
		app.Advance(2 * time.Minute)
		for _, o := range all {
			status(t, o, "reserved")
		}
		chairs(t, main, 0)
	})
}

func TestClientsCannotReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, main := shop(t)
		err := Reservations.Send(t.Context(), main, Reservation{Line: Line{"chair", 1}})
		if !rivet.Is(err, "auth", "forbidden") {
			t.Errorf("Send: %v", err)
		}
	})
}
