package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// logEntry is a line of the master's log as GET /logs shows it.
type logEntry struct {
	ID      int       `json:"id"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
}

// logBook prints the master's log and keeps the last lines for the API.
type logBook struct {
	sync.Mutex
	next    int
	entries []logEntry
}

const logKept = 25000

var master logBook

var levels = map[string]string{"INFO": "info", "WARN": "warning", "ERRO": "error"}

func (l *logBook) Line(level, message string) {
	l.Lock()
	defer l.Unlock()
	now := time.Now().UTC()
	fmt.Fprintf(os.Stderr, "%s[%s] %s\n", level, now.Format(time.RFC3339), message)
	l.entries = append(l.entries, logEntry{l.next, strings.ToValidUTF8(message, "?"), now, levels[level]})
	l.next++
	if len(l.entries) > logKept {
		l.entries = l.entries[1:]
	}
}

// after gives the entries whose id is greater.
func (l *logBook) after(id int) []logEntry {
	l.Lock()
	defer l.Unlock()
	found := []logEntry{}
	for _, entry := range l.entries {
		if entry.ID > id {
			found = append(found, entry)
		}
	}
	return found
}
