package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

const (
	bold   = "\x1b[0;33m"
	plain  = "\x1b[0;m"
	green  = "\x1b[32;1m"
	cyan   = "\x1b[36;1m"
	red    = "\x1b[31;1m"
	erased = "\x1b[0K"
)

var (
	logLock sync.Mutex
	debugs  bool // log_level = "debug"
	colours = map[string]string{"WARNING": bold, "ERROR": red, "FATAL": red, "PANIC": red}
)

// line writes the runner's own log, as the format runner has it: message, then name=value in the order of the names.
func line(level, message string, fields ...any) {
	text := message
	if level != "" {
		text = level + ": " + message
	}
	pairs := []string{}
	for i := 0; i+1 < len(fields); i += 2 {
		pairs = append(pairs, fmt.Sprintf(" %v%s=%v", fields[i], plain, fields[i+1]))
	}
	slices.SortFunc(pairs, func(a, b string) int { return cmp.Compare(a, b) })
	logLock.Lock()
	defer logLock.Unlock()
	fmt.Fprintf(os.Stderr, "%s%-50s%s %s\n", colours[level], text, plain, strings.Join(pairs, ""))
}

func debug(message string, fields ...any) {
	if debugs {
		line("", message, fields...)
	}
}
