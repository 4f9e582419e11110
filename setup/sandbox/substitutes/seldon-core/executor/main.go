// Command executor stands in for Seldon Core's executor 1.7.0: the container beside a model that answers Seldon's API
// over REST and gRPC. It serves graphs of one MODEL; its answers are those of the real one.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Node is the part of a predictor's graph that this stand-in uses.
type Node struct {
	Name     string
	Type     string
	Children []json.RawMessage
	Endpoint struct {
		Host     string `json:"service_host"`
		Port     int    `json:"service_port"`
		HTTPPort int    `json:"httpPort"`
		GRPCPort int    `json:"grpcPort"`
	}
}

func (n *Node) rest() string {
	return net.JoinHostPort(n.Endpoint.Host, fmt.Sprint(n.Endpoint.HTTPPort))
}
func (n *Node) grpc() string {
	return net.JoinHostPort(n.Endpoint.Host, fmt.Sprint(n.Endpoint.GRPCPort))
}

func say(level, message string, more ...any) {
	line := map[string]any{"level": level, "ts": float64(time.Now().UnixNano()) / 1e9, "logger": "entrypoint", "msg": message}
	for i := 0; i+1 < len(more); i += 2 {
		line[fmt.Sprint(more[i])] = fmt.Sprint(more[i+1])
	}
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func fail(message string, err error) {
	say("error", message, "error", err)
	os.Exit(1)
}

// predictor reads the graph from the variable that the operator sets, or from a file.
func predictor(file string) (name string, node *Node, err error) {
	text, err := base64.StdEncoding.DecodeString(os.Getenv("ENGINE_PREDICTOR"))
	if file != "" {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return "", nil, err
	}
	var said struct {
		Name  string
		Graph Node
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return "", nil, fmt.Errorf("the predictor, in ENGINE_PREDICTOR or --file: %w", err)
	}
	node = &said.Graph
	if node.Type != "MODEL" || len(node.Children) > 0 {
		return "", nil, fmt.Errorf("this stand-in serves graphs of one MODEL only, not a %q with %d children", node.Type, len(node.Children))
	}
	if node.Endpoint.Host == "" {
		node.Endpoint.Host = "localhost"
	}
	if node.Endpoint.HTTPPort == 0 {
		node.Endpoint.HTTPPort = node.Endpoint.Port
	}
	return said.Name, node, nil
}

func main() {
	deployment := flag.String("sdep", "", "SeldonDeployment's name")
	namespace := flag.String("namespace", "", "its namespace")
	flag.String("predictor", "", "the predictor's name")
	httpPort := flag.Int("http_port", 8080, "port of the REST API")
	grpcPort := flag.Int("grpc_port", 8000, "port of the gRPC API")
	protocol := flag.String("protocol", "seldon", "only seldon here")
	metrics := flag.String("prometheus_path", "/metrics", "path of the metrics")
	server := flag.String("server_type", "rpc", "only rpc here")
	file := flag.String("file", "", "read the predictor from this file")
	flag.Parse()
	if *protocol != "seldon" || *server != "rpc" {
		fail("not in this stand-in", fmt.Errorf("protocol %q, server type %q", *protocol, *server))
	}
	name, node, err := predictor(*file)
	if err != nil {
		fail("read the predictor", err)
	}
	say("info", "a stand-in for Seldon's executor 1.7.0", "model", node.Name, "rest", node.rest(), "grpc", node.grpc())

	var plain http.Protocols
	plain.SetUnencryptedHTTP2(true)
	servers := []*http.Server{
		{Addr: fmt.Sprintf(":%d", *httpPort), Handler: rest(*deployment, *namespace, name, *metrics, node)},
		{Addr: fmt.Sprintf(":%d", *grpcPort), Handler: grpc(node), Protocols: &plain},
	}
	for _, server := range servers {
		go func() {
			if err := server.ListenAndServe(); err != http.ErrServerClosed {
				fail("serve", err)
			}
		}()
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	// As the real one: what REST was asked before is answered, and then gRPC's calls are cut off.
	patience, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	servers[0].Shutdown(patience)
	say("info", "shutting down")
	os.Exit(0)
}
