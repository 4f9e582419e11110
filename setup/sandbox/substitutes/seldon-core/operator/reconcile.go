package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"runbook/incluster"
)

const (
	group = "/apis/machinelearning.seldon.io/v1"
	istio = "/apis/networking.istio.io/v1alpha3"
)

// Operator holds no state that matters: all of it is in the cluster.
type Operator struct {
	api       API
	namespace string // its own

	lock       sync.Mutex
	reconciled int
	counts     map[string]int    // how often each event was told
	mine       map[string]string // what this process did with a Deployment of this path: "made", "deleted"
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
	if incluster.Refused(wrong, 409) { // somebody else wrote in between: told, but no failure, and looked at anew
		o.event(deployment, "Warning", "InternalError", wrong.Error())
		return wrong
	}
	if wrong != nil {
		status["state"], status["description"] = "Failed", wrong.Error()
	}
	if now := plain(status); !reflect.DeepEqual(now, deployment["status"]) {
		changed := copied(deployment)
		changed["status"] = now
		if _, err := o.api.do("PUT", path+"/status", changed); err != nil {
			o.event(deployment, "Warning", "UpdateFailed", fmt.Sprintf("Failed to update status for SeldonDeployment %q: %v", name, err))
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
		if _, err := o.ensure(deployment, istio, route); err != nil {
			return err
		}
	}
	return o.removeOthers(deployment, status, plan)
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
	for i, wanted := range plan.deployments {
		name, path := text(wanted, "metadata", "name"), where("/apis/apps/v1", wanted)
		owned(wanted, deployment)
		found, err := o.api.do("GET", path+"/"+name, nil)
		if incluster.Refused(err, 404) {
			if _, err := o.api.do("POST", path, wanted); err != nil {
				return false, err
			}
			o.event(deployment, "Normal", "CreateDeployment", fmt.Sprintf("Created Deployment %q", name))
			o.did(path+"/"+name, "made")
			all = false
			continue
		}
		if err != nil {
			return false, err
		}
		if err := o.late(path+"/"+name, found); err != nil {
			return false, err
		}
		// Its labels stay as somebody changed them. What would it be with the cluster's defaults? Only the cluster knows.
		update := copied(found)
		update["spec"] = plain(wanted["spec"])
		if replicas := at(found, "spec", "replicas"); at(wanted, "spec", "replicas") == nil && replicas != nil {
			update["spec"].(Object)["replicas"] = replicas
		}
		would, err := o.api.do("PUT", path+"/"+name+"?dryRun=All", update)
		if err != nil {
			return false, err
		}
		if !reflect.DeepEqual(would["spec"], found["spec"]) {
			if _, err := o.api.do("PUT", path+"/"+name, update); err != nil {
				return false, err
			}
		}
		if !reflect.DeepEqual(at(would, "spec", "template", "spec"), at(found, "spec", "template", "spec")) {
			o.event(deployment, "Normal", "UpdateDeployment", fmt.Sprintf("Updated Deployment %q", name))
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
			status["deploymentStatus"] = known
			if i == 0 {
				status["replicas"] = seen["replicas"]
			}
		}
		all = all && number(found, "status", "readyReplicas") > 0 && number(found, "status", "unavailableReplicas") == 0
	}
	return all, nil
}

// did remembers what was done with a Deployment; before is what it was before.
func (o *Operator) did(path, what string) (before string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.mine == nil {
		o.mine = map[string]string{}
	}
	before = o.mine[path]
	o.mine[path] = what
	return before
}

// late: the real operator's first update of a Deployment that it made comes after the cluster's own, and is refused.
// It reads what it made from a cache that is behind; this one does not, so it says so once.
func (o *Operator) late(path string, found Object) error {
	if text(found, "metadata", "annotations", "deployment.kubernetes.io/revision") == "" {
		return nil // the cluster has not written to it yet
	}
	if o.did(path, "seen") != "made" {
		return nil
	}
	return &incluster.Refusal{Code: 409, Message: fmt.Sprintf("Operation cannot be fulfilled on deployments.apps %q: the object has been modified; "+
		"please apply your changes to the latest version and try again", text(found, "metadata", "name"))}
}

// removeOthers deletes what the status knows from an earlier version of the SeldonDeployment, and this one has not: Deployments with an
// executor first, Services when no Deployment is left. DestinationRules stay, as with the real one.
func (o *Operator) removeOthers(deployment, status Object, plan *Plan) error {
	keep := map[string]bool{}
	for _, objects := range [][]Object{plan.deployments, plan.services, plan.routed} {
		for _, object := range objects {
			keep[text(object, "kind")+text(object, "metadata", "name")] = true
		}
	}
	namespace := text(deployment, "metadata", "namespace")
	left, err := o.removeDeployments(deployment, status, keep, "/apis/apps/v1/namespaces/"+namespace+"/deployments/")
	if err != nil || left {
		return err
	}
	known, _ := status["serviceStatus"].(Object)
	for name := range known {
		if keep["Service"+name] {
			continue
		}
		delete(known, name)
		if _, err := o.api.do("DELETE", "/api/v1/namespaces/"+namespace+"/services/"+name, nil); err != nil && !incluster.Refused(err, 404) {
			return err
		}
	}
	return nil
}

// removeDeployments tells whether there were any. One that has gone since it was deleted is an error once: the real operator
// deletes it again, by a cache that is behind.
func (o *Operator) removeDeployments(deployment, status Object, keep map[string]bool, path string) (bool, error) {
	known, _ := status["deploymentStatus"].(Object)
	others, holds := map[string]Object{}, false
	for name := range known {
		if keep["Deployment"+name] {
			continue
		}
		found, err := o.api.do("GET", path+name, nil)
		if err != nil && !incluster.Refused(err, 404) {
			return true, err
		}
		others[name] = found
		holds = holds || text(found, "metadata", "labels", "seldon-deployment-contains-svcorch") != ""
	}
	for name, found := range others {
		switch {
		case found == nil && o.did(path+name, "gone") == "deleted":
			return true, fmt.Errorf("deployments.apps %q not found", name)
		case found == nil:
			delete(known, name)
		case !holds || text(found, "metadata", "labels", "seldon-deployment-contains-svcorch") != "":
			if _, err := o.api.do("DELETE", path+name+"?propagationPolicy=Foreground", nil); err != nil {
				return true, err
			}
			o.did(path+name, "deleted")
			o.event(deployment, "Normal", "DeleteDeployment", fmt.Sprintf("Deleted Deployment %q", name))
		}
	}
	return len(others) > 0, nil
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
