// Command hostpath-provisioner makes a folder on the node for each claim of the class microk8s.io/hostpath, and
// removes it again when its volume is released: what MicroK8s' cdkbot/hostpath-provisioner 1.0.0 does.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"runbook/incluster"
)

const (
	provisioner     = "microk8s.io/hostpath"
	byAnnotation    = "pv.kubernetes.io/provisioned-by"
	forAnnotation   = "volume.beta.kubernetes.io/storage-provisioner"
	classAnnotation = "volume.beta.kubernetes.io/storage-class" // Pachyderm 1.13 still names it there
	claims          = "/api/v1/persistentvolumeclaims"
	volumes         = "/api/v1/persistentvolumes"
	classes         = "/apis/storage.k8s.io/v1/storageclasses"
	firstPause      = 200 * time.Millisecond // before what failed is tried again; then twice as long each time
	longestPause    = 30 * time.Second
)

type object = map[string]any

type meta struct {
	Name, Namespace, UID, ResourceVersion string
	Annotations                           map[string]string
	DeletionTimestamp                     *string
}

type claim struct {
	Metadata meta
	Spec     struct {
		AccessModes                  []string
		Resources                    struct{ Requests map[string]string }
		Selector                     *struct{}
		StorageClassName, VolumeName string
	}
	Status struct{ Phase string }
}

type volume struct {
	Metadata meta
	Spec     struct {
		PersistentVolumeReclaimPolicy string
		HostPath                      *struct{ Path string }
	}
	Status struct{ Phase string }
}

// item is a claim or a volume that is to be looked at.
type item struct{ kind, path string }

type controller struct {
	api     *incluster.Client
	folder  string // on the node and, mounted at the same path, here
	reclaim string // for all volumes; empty: as the class says
	node    string
	work    chan item
	tries   map[item]int
	again   map[item]*time.Timer
}

func main() {
	api, err := incluster.Open()
	if err != nil {
		log.Fatal(err)
	}
	c := newController(api, os.Getenv("PV_DIR"), os.Getenv("PV_RECLAIM_POLICY"), os.Getenv("NODE_NAME"))
	if c.folder == "" {
		log.Fatal("PV_DIR is not set: the folder for volumes")
	}
	log.Printf("%s: volumes in %s", provisioner, c.folder)
	c.run(context.Background())
}

func newController(api *incluster.Client, folder, reclaim, node string) *controller {
	return &controller{api: api, folder: folder, reclaim: reclaim, node: node,
		work: make(chan item), tries: map[item]int{}, again: map[item]*time.Timer{}}
}

// run looks at each claim and volume whenever it changes, one at a time.
func (c *controller) run(ctx context.Context) {
	for _, kind := range []string{claims, volumes} {
		go c.api.Follow(ctx, kind, func(event incluster.Event) {
			var one struct{ Metadata meta }
			if err := json.Unmarshal(event.Object, &one); err != nil {
				log.Printf("%s: %v", kind, err)
			} else if event.Type != "DELETED" {
				c.add(ctx, item{kind, path(kind, one.Metadata)})
			}
		}, func(err error) { log.Printf("following %s: %v", kind, err) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case one := <-c.work:
			c.look(ctx, one)
		}
	}
}

func path(kind string, of meta) string {
	if kind == claims {
		return "/api/v1/namespaces/" + of.Namespace + "/persistentvolumeclaims/" + of.Name
	}
	return kind + "/" + of.Name
}

func (c *controller) add(ctx context.Context, one item) {
	select {
	case c.work <- one:
	case <-ctx.Done():
	}
}

func (c *controller) look(ctx context.Context, one item) {
	if timer := c.again[one]; timer != nil {
		timer.Stop() // one at most waits for each
	}
	err := c.handle(ctx, one)
	if err == nil {
		delete(c.tries, one)
		delete(c.again, one)
		return
	}
	log.Printf("%s: %v", one.path, err)
	wait := min(firstPause<<min(c.tries[one], 10), longestPause)
	c.tries[one]++
	c.again[one] = time.AfterFunc(wait, func() { c.add(ctx, one) })
}

// handle asks for the object as it is now; one that is gone wants nothing.
func (c *controller) handle(ctx context.Context, one item) error {
	var err error
	if one.kind == claims {
		var found claim
		if err = c.api.Do(ctx, http.MethodGet, one.path, nil, &found); err == nil {
			return c.provision(ctx, &found)
		}
	} else {
		var found volume
		if err = c.api.Do(ctx, http.MethodGet, one.path, nil, &found); err == nil {
			return c.delete(ctx, &found)
		}
	}
	return except(err, http.StatusNotFound)
}

// except leaves out the refusal that is no failure.
func except(err error, code int) error {
	if incluster.Refused(err, code) {
		return nil
	}
	return err
}

// provision makes folder and volume for a claim that waits for one of ours.
func (c *controller) provision(ctx context.Context, claim *claim) error {
	of, spec := claim.Metadata, claim.Spec
	// The control plane writes the annotation once the claim waits for this provisioner, its binding mode heeded.
	if claim.Status.Phase != "Pending" || spec.VolumeName != "" || of.Annotations[forAnnotation] != provisioner || of.DeletionTimestamp != nil {
		return nil
	}
	if spec.Selector != nil {
		return fmt.Errorf("claim Selector is not supported")
	}
	name := "pvc-" + of.UID
	folder := filepath.Join(c.folder, of.Namespace+"-"+of.Name+"-"+name)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o777); err != nil { // a pod's user may be any
		return err
	}
	class := of.Annotations[classAnnotation]
	if class == "" {
		class = spec.StorageClassName
	}
	reclaim, err := c.policy(ctx, class)
	if err != nil {
		return err
	}
	err = c.api.Do(ctx, http.MethodPost, volumes, object{"apiVersion": "v1", "kind": "PersistentVolume",
		"metadata": object{"name": name, "annotations": object{byAnnotation: provisioner, "hostPathProvisionerIdentity": c.node}},
		"spec": object{
			"persistentVolumeReclaimPolicy": reclaim,
			"accessModes":                   spec.AccessModes,
			"capacity":                      object{"storage": spec.Resources.Requests["storage"]},
			"hostPath":                      object{"path": folder},
			"storageClassName":              class,
			"claimRef": object{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": of.Namespace, "name": of.Name,
				"uid": of.UID, "resourceVersion": of.ResourceVersion},
		}}, nil)
	if err == nil {
		log.Printf("made %s", folder)
	}
	return except(err, http.StatusConflict) // it was made before
}

// policy is what becomes of the class's volumes when they are released. A class may be listed, not asked for by its name.
func (c *controller) policy(ctx context.Context, class string) (string, error) {
	var list struct {
		Items []struct {
			Metadata      meta
			ReclaimPolicy string
		}
	}
	if err := c.api.Do(ctx, http.MethodGet, classes, nil, &list); err != nil {
		return "", err
	}
	for _, one := range list.Items {
		if one.Metadata.Name == class {
			return cmp.Or(c.reclaim, one.ReclaimPolicy, "Delete"), nil
		}
	}
	return "", fmt.Errorf("no StorageClass %q", class)
}

// delete removes a released volume of ours with its folder, unless it is to be retained.
func (c *controller) delete(ctx context.Context, volume *volume) error {
	of, spec := volume.Metadata, volume.Spec
	if volume.Status.Phase != "Released" && volume.Status.Phase != "Failed" || of.Annotations[byAnnotation] != provisioner ||
		spec.PersistentVolumeReclaimPolicy != "Delete" || of.DeletionTimestamp != nil || spec.HostPath == nil {
		return nil
	}
	folder := filepath.Clean(spec.HostPath.Path)
	if filepath.Dir(folder) != filepath.Clean(c.folder) {
		return fmt.Errorf("%s is not in %s: left alone", folder, c.folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	log.Printf("removed %s", folder)
	return except(c.api.Do(ctx, http.MethodDelete, path(volumes, of), nil, nil), http.StatusNotFound)
}
