package main

import (
	"github.com/rivetgo/rivet"
	"github.com/rivetgo/rivet/actor"
)

// Order is what an order is created with: nothing. Its key is its number.
type Order struct{}

// Line is what is ordered.
type Line struct {
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

// Answer is what a warehouse says of an order.
type Answer struct {
	Reserved bool `json:"reserved"`
}

// The contract of an order.
var (
	Orders  = rivet.NewActor[Order]("order")
	Place   = rivet.NewAction[Line, rivet.None](Orders, "place")
	Status  = rivet.NewAction[rivet.None, string](Orders, "status")
	Answers = rivet.NewQueue[Answer, rivet.None](Orders, "answers")
)

// Warehouse is what a warehouse is created with: nothing.
type Warehouse struct{}

// Reservation asks a warehouse for a line of an order.
type Reservation struct {
	Order rivet.Key `json:"order"`
	Line  Line      `json:"line"`
}

// The contract of a warehouse.
var (
	Warehouses   = rivet.NewActor[Warehouse]("warehouse")
	Deliver      = rivet.NewAction[Line, rivet.None](Warehouses, "deliver")
	Stock        = rivet.NewAction[string, int](Warehouses, "stock")
	Reservations = rivet.NewQueue[Reservation, rivet.None](Warehouses, "reservations")
)

// order is one live order.
type order struct{ Status string }

// place asks the warehouse. The order's status and the message are one commit: both happen, or neither.
func (o *order) place(c *actor.Ctx, line Line) (rivet.None, error) {
	if o.Status != "" {
		return rivet.None{}, &rivet.Error{Code: "placed_already", Message: "an order is placed once"}
	}
	o.Status = "placed"
	main := Warehouses.GetOrCreate(c.Client(), rivet.Key{"main"}, Warehouse{})
	return rivet.None{}, actor.Post(c, main, Reservations, Reservation{Order: c.Key(), Line: line})
}

func (o *order) answered(_ *actor.Ctx, m *actor.Message[Answer, rivet.None]) (rivet.None, error) {
	o.Status = "sold out"
	if m.Body.Reserved {
		o.Status = "reserved"
	}
	return rivet.None{}, nil
}

func (o *order) status(*actor.Ctx, rivet.None) (string, error) { return o.Status, nil }

// warehouse is one live warehouse.
type warehouse struct{ Stock map[string]int }

// reserve handles one reservation. Taking it from the queue, the stock and the answer are one commit.
func (w *warehouse) reserve(c *actor.Ctx, m *actor.Message[Reservation, rivet.None]) (rivet.None, error) {
	line := m.Body.Line
	enough := line.Quantity > 0 && w.Stock[line.Item] >= line.Quantity
	if enough {
		w.Stock[line.Item] -= line.Quantity
	}
	to := Orders.Get(c.Client(), m.Body.Order)
	return rivet.None{}, actor.Post(c, to, Answers, Answer{Reserved: enough})
}

func (w *warehouse) deliver(_ *actor.Ctx, line Line) (rivet.None, error) {
	if w.Stock == nil {
		w.Stock = make(map[string]int)
	}
	w.Stock[line.Item] += line.Quantity
	return rivet.None{}, nil
}

func (w *warehouse) stock(_ *actor.Ctx, item string) (int, error) { return w.Stock[item], nil }

// fromActorsOnly keeps clients out of a queue: what other actors post is not asked.
func fromActorsOnly[S any](*S, *actor.Ctx) (bool, error) { return false, nil }

// OrderDefinition binds an order's contract.
func OrderDefinition() actor.Definition {
	d := actor.Define(Orders, actor.Zero[Order, order])
	actor.Handle(d, Place, (*order).place)
	actor.View(d, Status, (*order).status)
	actor.HandleQueue(d, Answers, (*order).answered)
	actor.CanPublish(d, Answers, fromActorsOnly[order])
	return d
}

// WarehouseDefinition binds a warehouse's contract.
func WarehouseDefinition() actor.Definition {
	d := actor.Define(Warehouses, actor.Zero[Warehouse, warehouse])
	actor.Handle(d, Deliver, (*warehouse).deliver)
	actor.View(d, Stock, (*warehouse).stock)
	actor.HandleQueue(d, Reservations, (*warehouse).reserve)
	actor.CanPublish(d, Reservations, fromActorsOnly[warehouse])
	return d
}
