// Command usage stands in for Spartakus, which reports a cluster's usage to Seldon: it reports nothing.
package main

import (
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	log.Print("a stand-in for spartakus 1.1.0: nothing is reported to anybody")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
