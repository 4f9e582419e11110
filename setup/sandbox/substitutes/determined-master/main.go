// A double of determined-master 0.15.3: the sandbox has no source for the real one. It answers as recordings of the real server do,
// keeps users and sessions in PostgreSQL and runs commands and notebooks as pods. It runs no experiments.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	version = "0.15.3"
	tries   = 15 // as the real one: then it exits, and Kubernetes starts it again
	pause   = 4 * time.Second
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		master.Line("ERRO", err.Error())
		os.Exit(1)
	}
}

func configFile(arguments []string) (string, error) {
	path := "/etc/determined/master.yaml"
	for i := 0; i < len(arguments); i++ {
		name, value, given := strings.Cut(arguments[i], "=")
		if name != "--config-file" {
			return "", fmt.Errorf("unknown flag or command: %s (this double knows --config-file and version)", arguments[i])
		}
		if !given {
			if i++; i >= len(arguments) {
				return "", errors.New("flag needs an argument: --config-file")
			}
			value = arguments[i]
		}
		path = value
	}
	return path, nil
}

func run(arguments []string) error {
	if len(arguments) == 1 && (arguments[0] == "version" || arguments[0] == "--version") {
		fmt.Println(version + " (a double of determined-master for the sandbox)")
		return nil
	}
	path, err := configFile(arguments)
	if err != nil {
		return err
	}
	config, err := readConfig(path)
	if err != nil {
		return err
	}
	master.Line("INFO", "master configuration: "+string(compact(config.printable())))
	master.Line("INFO", "Determined master "+version+" (this is the sandbox's double of it)")
	address := net.JoinHostPort(config.DB.Host, config.DB.Port)
	master.Line("INFO", "connecting to database "+address)
	store, err := openStore(config.DB)
	if err != nil {
		return fmt.Errorf("%w\ncould not connect to database after %d tries\nerror connecting to database: %s", err, tries, address)
	}
	server := &Server{config: config, store: store, masterID: uuid.NewString(), started: time.Now()}
	if server.clusterID, err = store.clusterID(); err != nil {
		return err
	}
	server.tasks = newTasks(server)
	if config.kubernetes() {
		if server.cluster, err = openCluster(config); err != nil {
			master.Line("ERRO", "error while actor was running  error=\"error building kubernetes config: "+err.Error()+"\"")
		} else if err := server.cluster.clean(); err != nil { // pods of a master before this one
			master.Line("WARN", "cannot delete the pods of an earlier master: "+err.Error())
		}
		if server.cluster != nil {
			server.cluster.listen()
		}
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", config.Port))
	if err != nil {
		return err
	}
	master.Line("INFO", fmt.Sprintf("accepting incoming connections on port %d", config.Port))
	return (&http.Server{Handler: server.handler(), ReadHeaderTimeout: 30 * time.Second}).Serve(listener)
}
