package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"runbook/incluster"
)

const group = "/apis/machinelearning.seldon.io/v1"

// Operator holds no state that matters: all of it is in the cluster.
type Operator struct {
	api       API
	namespace string // its own

	lock       sync.Mutex
	reconciled int
	counts     map[string]int // how often each event was told
}

var started = time.Now()

// reconcile makes what one SeldonDeployment, namespace/name, asks for, and writes its status.
func (o *Operator) reconcile(key string) error {
	namespace, name, _ := strings.Cut(key, "/")
	path := group + "/namespaces/" + namespace + "/seldondeployments/" + name
	deployment, err := o.api.do("GET", path, nil)
	if incluster.Refused(err, 404) {
		return nil // gone; what it owned goes by itself
	}
	if err != nil {
		return err
	}
	mine := text(deployment, "metadata", "labels", "seldon.io/controller-id") == os.Getenv("CONTROLLER_ID")
	if !mine || at(deployment, "metadata", "deletionTimestamp") != nil {
		return nil
	}
	status, _ := plain(at(deployment, "status")).(Object)
	if status == nil {
		status = Object{}
	}
	delete(status, "description")
	wrong := o.build(deployment, status)
	if incluster.Refused(wrong, 409) {
		return wrong // somebody else wrote in between: to be looked at anew, no failure
	}
	if wrong != nil {
		status["state"], status["description"] = "Failed", wrong.Error()
	}
	if now := plain(status); !reflect.DeepEqual(now, deployment["status"]) {
		changed := copied(deployment)
		changed["status"] = now
		if _, err := o.api.do("PUT", path+"/status", changed); err != nil {
			return err
		}
	}
	o.lock.Lock()
	o.reconciled++
	o.lock.Unlock()
	if wrong != nil {
		o.event(deployment, "Warning", "InternalError", wrong.Error())
		return wrong
	}
	o.event(deployment, "Normal", "Updated", fmt.Sprintf("Updated SeldonDeployment %q", name))
	return nil
}

// build makes the objects and fills in the status. Routes come last: only a model that is ready gets traffic.
func (o *Operator) build(deployment, status Object) error {
	plan, err := o.plan(deployment)
	if err != nil {
		return err
	}
	ambassador := os.Getenv("AMBASSADOR_ENABLED") == "true"
	services, later := plan.services, plan.routed
	if !ambassador { // with it, a Service is itself a route
		services, later = append(services, later...), nil
	}
	same, err := o.ensureServices(deployment, status, services)
	if err != nil {
		return err
	}
	if same {
		status["address"] = Object{"url": plan.address}
	}
	ready, err := o.ensureDeployments(deployment, status, plan)
	if err != nil {
		return err
	}
	status["state"] = "Creating"
	if !ready {
		return nil
	}
	if same {
		status["state"] = "Available"
	}
	if _, err := o.ensureServices(deployment, status, later); err != nil {
		return err
	}
	for _, route := range plan.routes {
		if _, err := o.ensure(deployment, "/apis/networking.istio.io/v1alpha3", route); err != nil {
			return err
		}
	}
	return o.removeOthers(deployment, plan)
}

func (o *Operator) ensureServices(deployment, status Object, services []Object) (bool, error) {
	all := true
	for _, service := range services {
		same, err := o.ensure(deployment, "/api/v1", service)
		if err != nil {
			return false, err
		}
		all = all && same
		if same {
			name, host := text(service, "metadata", "name"), text(service, "metadata", "name")+"."+text(service, "metadata", "namespace")
			ports := list(plain(service), "spec", "ports")
			known, _ := status["serviceStatus"].(Object)
			if known == nil {
				known = Object{}
			}
			known[name] = Object{"svcName": name, "httpEndpoint": fmt.Sprintf("%s:%d", host, number(ports[0], "port")),
				"grpcEndpoint": fmt.Sprintf("%s:%d", host, number(ports[1], "port"))}
			status["serviceStatus"] = known
		}
	}
	return all, nil
}

var plural = map[string]string{"Service": "services", "Deployment": "deployments", "VirtualService": "virtualservices", "DestinationRule": "destinationrules"}

func where(api string, object Object) string {
	return api + "/namespaces/" + text(object, "metadata", "namespace") + "/" + plural[text(object, "kind")]
}

// ensure makes an object that the cluster gives no defaults that matter; true when it was there, unchanged.
func (o *Operator) ensure(deployment Object, api string, wanted Object) (bool, error) {
	kind, name, path := text(wanted, "kind"), text(wanted, "metadata", "name"), where(api, wanted)
	wanted["apiVersion"] = strings.TrimPrefix(strings.TrimPrefix(api, "/apis/"), "/api/")
	owned(wanted, deployment)
	found, err := o.api.do("GET", path+"/"+name, nil)
	if incluster.Refused(err, 404) {
		if _, err = o.api.do("POST", path, wanted); err == nil {
			o.event(deployment, "Normal", "Create"+kind, fmt.Sprintf("Created %s %q", kind, name))
		}
		return false, err
	}
	if err != nil {
		return false, err
	}
	if within(plain(wanted["spec"]), found["spec"]) && within(plain(at(wanted, "metadata", "labels")), at(found, "metadata", "labels")) &&
		within(plain(at(wanted, "metadata", "annotations")), at(found, "metadata", "annotations")) {
		return true, nil
	}
	// Its address stays.
	for _, key := range []string{"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} {
		if value := at(found, "spec", key); value != nil {
			wanted["spec"].(Object)[key] = value
		}
	}
	return false, o.put(deployment, path, wanted, found)
}

func (o *Operator) put(deployment Object, path string, wanted, found Object) error {
	kind, name := text(wanted, "kind"), text(wanted, "metadata", "name")
	_, err := o.api.do("PUT", path+"/"+name, on(wanted, found))
	if err == nil {
		o.event(deployment, "Normal", "Update"+kind, fmt.Sprintf("Updated %s %q", kind, name))
	}
	return err
}

// on is the wanted object as an update of the found one: what others wrote beside it stays.
func on(wanted, found Object) Object {
	wanted = copied(wanted)
	metadata := wanted["metadata"].(Object)
	metadata["resourceVersion"] = at(found, "metadata", "resourceVersion")
	notes := Object{}
	for _, from := range []any{at(found, "metadata", "annotations"), metadata["annotations"]} {
		if some, _ := from.(Object); some != nil {
			for key, value := range some {
				notes[key] = value
			}
		}
	}
	if len(notes) > 0 {
		metadata["annotations"] = notes
	}
	return wanted
}

// within: has the found value all that is wanted? Lists have to be of one length.
func within(wanted, found any) bool {
	switch wanted := wanted.(type) {
	case Object:
		there, _ := found.(Object)
		for key, value := range wanted {
			if !within(value, there[key]) {
				return false
			}
		}
		return true
	case []any:
		there, _ := found.([]any)
		if len(wanted) != len(there) {
			return false
		}
		for i := range wanted {
			if !within(wanted[i], there[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(wanted, found)
}

// ensureDeployments makes them; true when all were there, unchanged and ready.
func (o *Operator) ensureDeployments(deployment, status Object, plan *Plan) (bool, error) {
	all := true
	for _, wanted := range plan.deployments {
		name, path := text(wanted, "metadata", "name"), where("/apis/apps/v1", wanted)
		owned(wanted, deployment)
		found, err := o.api.do("GET", path+"/"+name, nil)
		if incluster.Refused(err, 404) {
			if _, err := o.api.do("POST", path, wanted); err != nil {
				return false, err
			}
			o.event(deployment, "Normal", "CreateDeployment", fmt.Sprintf("Created Deployment %q", name))
			all = false
			continue
		}
		if err != nil {
			return false, err
		}
		// What would it be with the cluster's defaults? Only the cluster knows.
		would, err := o.api.do("PUT", path+"/"+name+"?dryRun=All", on(wanted, found))
		if err != nil {
			return false, err
		}
		if !reflect.DeepEqual(would["spec"], found["spec"]) || !reflect.DeepEqual(at(would, "metadata", "labels"), at(found, "metadata", "labels")) {
			if err := o.put(deployment, path, wanted, found); err != nil {
				return false, err
			}
			all = false
			continue
		}
		if number(found, "status", "replicas") > 0 {
			known, _ := status["deploymentStatus"].(Object)
			if known == nil {
				known = Object{}
			}
			seen := Object{"replicas": number(found, "status", "replicas")}
			if available := number(found, "status", "availableReplicas"); available > 0 {
				seen["availableReplicas"] = available
			}
			known[name] = seen
			status["deploymentStatus"], status["replicas"] = known, number(found, "status", "replicas")
		}
		all = all && number(found, "status", "readyReplicas") > 0 && number(found, "status", "unavailableReplicas") == 0
	}
	return all, nil
}

// removeOthers deletes what an earlier version of the SeldonDeployment had and this one has not.
func (o *Operator) removeOthers(deployment Object, plan *Plan) error {
	namespace, keep := text(deployment, "metadata", "namespace"), map[string]bool{}
	for _, objects := range [][]Object{plan.deployments, plan.services, plan.routed} {
		for _, object := range objects {
			keep[text(object, "kind")+text(object, "metadata", "name")] = true
		}
	}
	for kind, api := range map[string]string{"Deployment": "/apis/apps/v1", "Service": "/api/v1"} {
		path := api + "/namespaces/" + namespace + "/" + plural[kind]
		found, err := o.api.do("GET", path+"?labelSelector="+url.QueryEscape("app.kubernetes.io/managed-by=seldon-core,seldon-deployment-id="+text(deployment, "metadata", "name")), nil)
		if err != nil {
			return err
		}
		for _, one := range list(found, "items") {
			name := text(one, "metadata", "name")
			if keep[kind+name] {
				continue
			}
			if _, err := o.api.do("DELETE", path+"/"+name, nil); err != nil && !incluster.Refused(err, 404) {
				return err
			}
			o.event(deployment, "Normal", "Delete"+kind, fmt.Sprintf("Deleted %s %q", kind, name))
		}
	}
	return nil
}

// owned marks an object as the SeldonDeployment's, and goes with it.
func owned(object, deployment Object) {
	object["metadata"].(Object)["ownerReferences"] = []any{Object{"apiVersion": "machinelearning.seldon.io/v1", "kind": "SeldonDeployment",
		"name": at(deployment, "metadata", "name"), "uid": at(deployment, "metadata", "uid"), "controller": true, "blockOwnerDeletion": true}}
}

// event tells what happened; the same again counts up.
func (o *Operator) event(deployment Object, kind, reason, message string) {
	namespace, now := text(deployment, "metadata", "namespace"), time.Now().UTC().Format(time.RFC3339)
	mark := sha256.Sum256(fmt.Append(nil, started, text(deployment, "metadata", "uid"), reason, message))
	name := fmt.Sprintf("%s.%x", text(deployment, "metadata", "name"), mark[:8])
	o.lock.Lock()
	if o.counts == nil {
		o.counts = map[string]int{}
	}
	o.counts[name]++
	count := o.counts[name]
	o.lock.Unlock()
	path := "/api/v1/namespaces/" + namespace + "/events"
	if count > 1 {
		if _, err := o.api.do("PATCH", path+"/"+name, Object{"count": count, "lastTimestamp": now}); err == nil {
			return
		}
	}
	_, err := o.api.do("POST", path, Object{"kind": "Event", "apiVersion": "v1", "metadata": Object{"name": name, "namespace": namespace},
		"involvedObject": Object{"kind": "SeldonDeployment", "apiVersion": "machinelearning.seldon.io/v1", "namespace": namespace,
			"name": at(deployment, "metadata", "name"), "uid": at(deployment, "metadata", "uid")},
		"type": kind, "reason": reason, "message": message, "count": count, "firstTimestamp": now, "lastTimestamp": now,
		"source": Object{"component": "seldon-controller-manager"}})
	if err != nil {
		say("error", "tell an event", "error", err)
	}
}

// hasServer: does seldon-config name this prepackaged server?
func (o *Operator) hasServer(name string) bool {
	found, err := o.api.do("GET", "/api/v1/namespaces/"+o.namespace+"/configmaps/seldon-config", nil)
	if err != nil {
		return false
	}
	var servers map[string]any
	json.Unmarshal([]byte(text(found, "data", "predictor_servers")), &servers)
	return servers[name] != nil
}

func (o *Operator) metrics(w http.ResponseWriter, _ *http.Request) {
	o.lock.Lock()
	defer o.lock.Unlock()
	fmt.Fprintf(w, "# TYPE controller_runtime_reconcile_total counter\ncontroller_runtime_reconcile_total{controller=\"seldon-controller-manager\"} %d\n", o.reconciled)
}
