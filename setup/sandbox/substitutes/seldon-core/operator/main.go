// Command operator stands in for Seldon Core's operator 1.7.0: it makes of each SeldonDeployment what the real one makes
// (Deployment, Services, VirtualServices, DestinationRule), keeps its status, and refuses what the real webhook refuses.
// It does so for graphs of one MODEL with an image; anything else is Failed, in words that say so.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"runbook/incluster"
)

func say(level, message string, more ...any) {
	line := map[string]any{"level": level, "ts": float64(time.Now().UnixNano()) / 1e9, "logger": "setup", "msg": message}
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

// queue holds each name once, however often it was added.
type queue struct {
	lock    sync.Mutex
	waiting map[string]bool
	some    chan struct{}
}

func (q *queue) add(name string) {
	q.lock.Lock()
	q.waiting[name] = true
	q.lock.Unlock()
	select {
	case q.some <- struct{}{}:
	default:
	}
}

func (q *queue) take() map[string]bool {
	<-q.some
	q.lock.Lock()
	defer q.lock.Unlock()
	taken := q.waiting
	q.waiting = map[string]bool{}
	return taken
}

func main() {
	flag.Bool("enable-leader-election", false, "accepted; there is one of this stand-in only")
	port := flag.Int("webhook-port", 443, "port of the webhook")
	flag.Bool("create-resources", false, "accepted; the chart makes them")
	namespace := flag.String("namespace", "", "look at this namespace only")
	certificates := flag.String("certificates", "/tmp/k8s-webhook-server/serving-certs", "folder of tls.crt and tls.key")
	address := flag.String("api", "", "the cluster's API without a service account, for tests")
	metrics := flag.String("metrics-addr", ":8080", "address of the metrics")
	flag.Parse()

	api := API{incluster.At(*address)}
	if *address == "" {
		client, err := incluster.Open()
		if err != nil {
			fail("find the cluster's API", err)
		}
		api = API{client}
	}
	say("info", "a stand-in for Seldon's operator 1.7.0", "istio", os.Getenv("ISTIO_ENABLED"), "gateway", os.Getenv("ISTIO_GATEWAY"))
	operator := &Operator{api: api, namespace: os.Getenv("POD_NAMESPACE")}
	go webhook(operator, *port, *certificates)
	go func() {
		fail("serve metrics", http.ListenAndServe(*metrics, http.HandlerFunc(operator.metrics)))
	}()

	names := &queue{waiting: map[string]bool{}, some: make(chan struct{}, 1)}
	scope := ""
	if *namespace != "" {
		scope = "/namespaces/" + *namespace
	}
	go api.watch(group+scope+"/seldondeployments", "", func(o Object) {
		names.add(text(o, "metadata", "namespace") + "/" + text(o, "metadata", "name"))
	})
	owned := []string{"/apis/apps/v1" + scope + "/deployments", "/api/v1" + scope + "/services"}
	if os.Getenv("ISTIO_ENABLED") == "true" {
		owned = append(owned, istio+scope+"/virtualservices")
	}
	for _, path := range owned {
		go api.watch(path, "", func(o Object) {
			for _, owner := range list(o, "metadata", "ownerReferences") {
				if text(owner, "kind") == "SeldonDeployment" {
					names.add(text(o, "metadata", "namespace") + "/" + text(owner, "name"))
				}
			}
		})
	}
	for {
		for name := range names.take() {
			if err := operator.reconcile(name); err != nil {
				say("error", "Reconciler error", "name", name, "error", err)
				time.AfterFunc(patience(err), func() { names.add(name) })
			}
		}
	}
}

// patience is how long a failure waits for its next try.
func patience(err error) time.Duration {
	switch {
	case incluster.Refused(err, 409):
		return 100 * time.Millisecond
	case strings.HasSuffix(err.Error(), " not found"):
		return time.Second
	}
	return 5 * time.Second
}
