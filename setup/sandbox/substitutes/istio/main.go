// Command istio stands in for the programs of Istio 1.5's demo profile, told apart by the name that it is called by.
// As `pilot-agent proxy router` it is a gateway that routes what Gateways and VirtualServices say (Envoy's place);
// as istio_ca it makes the Secrets of service accounts, as galley and sidecar-injector it answers their webhooks;
// as any of the others it opens that program's ports, is ready, and does nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"runbook/incluster"
)

// What these do beside being ready; the others nothing.
var does = map[string]string{
	"galley":           "its webhook allows everything",
	"sidecar-injector": "it adds a container that does nothing",
	"istio_ca":         "it makes the service accounts' Secrets",
}

// The other programs: their TCP ports, and the paths that probes ask for.
var programs = map[string]struct {
	ports []int
	paths []string
}{
	"galley":           {[]int{15014, 9901}, []string{"/version"}},
	"mixs":             {[]int{15014, 42422}, []string{"/version"}},
	"pilot-discovery":  {[]int{8080, 15010, 15014}, []string{"/ready", "/version"}},
	"istio_ca":         {[]int{8060, 15014}, []string{"/version"}},
	"sidecar-injector": {[]int{15014}, []string{"/version"}},
	"grafana":          {[]int{3000}, []string{"/", "/api/health"}},
	"kiali":            {[]int{20001}, []string{"/", "/kiali", "/kiali/healthz"}},
	"prometheus":       {[]int{9090}, []string{"/", "/-/ready", "/-/healthy"}},
	"all-in-one":       {[]int{16686, 14267, 14268, 14269, 9411}, []string{"/"}},
}

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	name := filepath.Base(os.Args[0])
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	switch {
	case slices.Contains(os.Args, "probe"): // a readiness command inside the pod: does the program answer?
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/version", 15014))
		if err != nil || response.StatusCode != 200 {
			os.Exit(1)
		}
	case name == "pilot-agent" && slices.Contains(os.Args, "router"):
		gateway(stop)
	case name == "pilot-agent":
		log.Print("a stand-in for a sidecar of Istio 1.5: it does nothing")
		<-stop.Done()
	default:
		if hook, known := webhooks[name]; known {
			go hook.serve(stop)
		} else if name == "istio_ca" {
			go citadel(stop)
		}
		idle(stop, name)
	}
}

// idle opens the ports of the program that it stands in for.
func idle(stop context.Context, name string) {
	program, known := programs[name]
	if !known {
		log.Fatalf("this stand-in does not know %q", name)
	}
	about := does[name]
	if about == "" {
		about = "it does nothing"
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(program.paths, r.URL.Path) {
			http.Error(w, "a stand-in for "+name+" answers nothing here", http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, "a stand-in for %s: %s\n", name, about)
	})
	for _, port := range program.ports {
		go func() { log.Fatal(http.ListenAndServe(fmt.Sprintf(":%d", port), answer)) }()
	}
	log.Printf("a stand-in for %s: %s; ports %v", name, about, program.ports)
	<-stop.Done()
}

// gateway serves until it is stopped; then it goes on for a while, so that whoever still has its address loses nothing.
func gateway(stop context.Context) {
	// Flags of the real one that mean nothing here are accepted: it is called as the real one is.
	flags := flag.NewFlagSet("proxy router", flag.ExitOnError)
	status := flags.Int("statusPort", 15020, "port of /healthz/ready")
	api := flags.String("api", "", "the Kubernetes API's address; empty: as a pod finds it")
	bind := flags.String("bind", "", "address to listen on; empty: all")
	drain := flags.Duration("terminationDrainDuration", 5*time.Second, "how long to go on after SIGTERM")
	for _, name := range []string{"domain", "log_output_level", "drainDuration", "parentShutdownDuration", "connectTimeout", "serviceCluster",
		"zipkinAddress", "proxyAdminPort", "controlPlaneAuthPolicy", "discoveryAddress", "proxyLogLevel", "proxyComponentLogLevel", "trust-domain"} {
		flags.String(name, "", "accepted, ignored")
	}
	words := os.Args[1:]
	flags.Parse(words[slices.Index(words, "router")+1:])

	labels, err := ownLabels()
	if err != nil {
		log.Fatalf("ISTIO_METAJSON_LABELS: %v", err)
	}
	client := incluster.At(*api)
	if *api == "" {
		if client, err = incluster.Open(); err != nil {
			log.Fatal(err)
		}
	}
	log.Printf("a stand-in for Istio 1.5's gateway, labels %v", labels)
	namespace := os.Getenv("POD_NAMESPACE")
	if namespace == "" {
		namespace = "istio-system"
	}
	cluster := newCluster(client)
	server := newServer(*bind)
	changed := cluster.watch(stop)
	go func() {
		for range settled(changed, debounceAfter, debounceMax) {
			if cluster.synced() {
				server.use(compile(cluster.snapshot(), labels, namespace))
			}
		}
	}()
	health := http.NewServeMux()
	health.HandleFunc("/healthz/ready", func(w http.ResponseWriter, r *http.Request) {
		if !server.ready() || stop.Err() != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	go func() { log.Fatal(http.ListenAndServe(fmt.Sprintf("%s:%d", *bind, *status), health)) }()
	<-stop.Done()
	log.Printf("stopping: no new connections are kept, the end in %v", *drain)
	server.stop(*drain)
}
