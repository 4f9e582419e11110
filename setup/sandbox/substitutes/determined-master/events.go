package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// after gives the events whose number is greater, and a channel that closes at the next one; nil when none will come.
func (t *Task) after(seq int) ([]event, chan struct{}) {
	t.Lock()
	defer t.Unlock()
	found := []event{}
	for _, e := range t.events {
		if e.Seq > seq {
			found = append(found, e)
		}
	}
	if t.exit != nil {
		return found, nil
	}
	return found, t.changed
}

// taskEvents: one list, or over a websocket each event as it comes.
func (s *Server) taskEvents(r *Request, kind string) (any, error) {
	t, err := s.find(r, kind)
	if err != nil {
		return nil, err
	}
	if websocket.IsWebSocketUpgrade(r.Request) {
		return s.followEvents(r, t)
	}
	greater, err := r.number("greater_than_id", -1)
	if err != nil {
		return nil, err
	}
	less, err := r.number("less_than_id", 1<<31)
	if err != nil {
		return nil, err
	}
	limit, err := r.number("tail", keptEvents)
	if err != nil {
		return nil, err
	}
	found := []event{}
	events, _ := t.after(greater)
	for _, e := range events {
		if e.Seq < less && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, nil
}

func (s *Server) followEvents(r *Request, t *Task) (any, error) {
	tail, err := r.number("tail", keptEvents)
	if err != nil {
		return nil, err
	}
	follow := !strings.EqualFold(r.query.Get("follow"), "false")
	socket, err := (&websocket.Upgrader{}).Upgrade(r.w, r.Request, nil)
	if err != nil {
		return answered{}, nil // the upgrader has answered
	}
	defer socket.Close()
	gone := make(chan struct{})
	go func() { // what the caller says is of no interest, that it leaves is
		defer close(gone)
		for {
			if _, _, err := socket.ReadMessage(); err != nil {
				return
			}
		}
	}()
	events, changed := t.after(-1)
	events = events[max(0, len(events)-max(0, tail)):]
	last := -1
	for {
		for _, e := range events {
			if err := socket.WriteJSON(e); err != nil {
				return answered{}, nil
			}
			last = e.Seq
		}
		if !follow || changed == nil {
			break
		}
		select {
		case <-gone:
			return answered{}, nil
		case <-changed:
		}
		events, changed = t.after(last)
	}
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if socket.WriteControl(websocket.CloseMessage, message, time.Now().Add(time.Second)) == nil {
		select {
		case <-gone:
		case <-time.After(time.Second):
		}
	}
	return answered{}, nil
}

// message is an event as a line of a notebook's log.
func (e event) message(description string) string {
	switch {
	case e.Scheduled != nil:
		return "Scheduling " + e.ParentID + " (id: " + description + ")"
	case e.ContainerStarted != nil:
		return "Container of " + description + " has started"
	case e.Exited != nil:
		return description + " was terminated: " + *e.Exited
	case e.Log != nil:
		return *e.Log
	}
	return ""
}

// taskLogs streams a notebook's log.
func (s *Server) taskLogs(r *Request) (any, error) {
	t := s.tasks.find("notebook", r.values[0])
	if t == nil {
		return r.streamProblem(internal, "actor was not created")
	}
	return r.streamLogs(func(after int) ([]streamed, bool) {
		events, changed := t.after(after)
		found := []streamed{}
		for _, e := range events {
			found = append(found, streamed{e.Seq, e.message(t.config.Description)})
		}
		return found, changed == nil
	})
}

// sorted is the value as JSON objects whose members are sorted, as /api/v1 shows a configuration.
func sorted(value any) any {
	var plain any
	if err := json.Unmarshal(compact(value), &plain); err != nil {
		panic(err) // it was JSON a moment ago
	}
	return plain
}
