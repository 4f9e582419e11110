// Command hostpath-provisioner makes a folder on the node for each claim of the class microk8s.io/hostpath, and
// removes it again when its volume is released: what MicroK8s' cdkbot/hostpath-provisioner 1.0.0 does.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/reference"
	"k8s.io/client-go/util/workqueue"
)

const (
	provisioner   = "microk8s.io/hostpath"
	byAnnotation  = "pv.kubernetes.io/provisioned-by"
	forAnnotation = "volume.beta.kubernetes.io/storage-provisioner"
)

type controller struct {
	client  kubernetes.Interface
	folder  string // on the node and, mounted at the same path, here
	reclaim v1.PersistentVolumeReclaimPolicy
	claims  cache.Store
	volumes cache.Store
	queue   workqueue.RateLimitingInterface
}

func main() {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	c := &controller{
		client: kubernetes.NewForConfigOrDie(config), folder: os.Getenv("PV_DIR"), reclaim: v1.PersistentVolumeReclaimDelete,
		queue: workqueue.NewRateLimitingQueue(workqueue.NewItemExponentialFailureRateLimiter(200*time.Millisecond, 30*time.Second)),
	}
	if c.folder == "" {
		log.Fatal("PV_DIR is not set: the folder for volumes")
	}
	if policy := os.Getenv("PV_RECLAIM_POLICY"); policy != "" {
		c.reclaim = v1.PersistentVolumeReclaimPolicy(policy)
	}
	factory := informers.NewSharedInformerFactory(c.client, 10*time.Minute)
	claims, volumes := factory.Core().V1().PersistentVolumeClaims().Informer(), factory.Core().V1().PersistentVolumes().Informer()
	c.claims, c.volumes = claims.GetStore(), volumes.GetStore()
	watch := func(kind string) cache.ResourceEventHandlerFuncs {
		add := func(object interface{}) {
			if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
				c.queue.Add([2]string{kind, key})
			}
		}
		return cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, now interface{}) { add(now) }}
	}
	claims.AddEventHandler(watch("claim"))
	volumes.AddEventHandler(watch("volume"))
	factory.Start(nil)
	factory.WaitForCacheSync(nil)
	log.Printf("%s: volumes in %s", provisioner, c.folder)
	for {
		item, _ := c.queue.Get()
		if err := c.handle(item.([2]string)); err != nil {
			log.Printf("%v: %v", item, err)
			c.queue.AddRateLimited(item)
		} else {
			c.queue.Forget(item)
		}
		c.queue.Done(item)
	}
}

func (c *controller) handle(item [2]string) error {
	if item[0] == "claim" {
		if object, found, _ := c.claims.GetByKey(item[1]); found {
			return c.provision(object.(*v1.PersistentVolumeClaim))
		}
	} else if object, found, _ := c.volumes.GetByKey(item[1]); found {
		return c.delete(object.(*v1.PersistentVolume))
	}
	return nil
}

// provision makes folder and volume for a claim that waits for one of ours.
func (c *controller) provision(claim *v1.PersistentVolumeClaim) error {
	// The control plane writes the annotation once the claim waits for this provisioner, its binding mode heeded.
	if claim.Status.Phase != v1.ClaimPending || claim.Spec.VolumeName != "" || claim.Annotations[forAnnotation] != provisioner || claim.DeletionTimestamp != nil {
		return nil
	}
	if claim.Spec.Selector != nil {
		return fmt.Errorf("claim Selector is not supported")
	}
	ctx := context.Background()
	name := "pvc-" + string(claim.UID)
	folder := filepath.Join(c.folder, claim.Namespace+"-"+claim.Name+"-"+name)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o777); err != nil { // a pod's user may be any
		return err
	}
	ref, err := reference.GetReference(scheme.Scheme, claim)
	if err != nil {
		return err
	}
	class := claim.Annotations[v1.BetaStorageClassAnnotation] // Pachyderm 1.13 still names it there
	if class == "" && claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	reclaim := c.reclaim
	if found, err := c.class(ctx, class); err != nil {
		return err
	} else if found.ReclaimPolicy != nil && os.Getenv("PV_RECLAIM_POLICY") == "" {
		reclaim = *found.ReclaimPolicy
	}
	_, err = c.client.CoreV1().PersistentVolumes().Create(ctx, &v1.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{byAnnotation: provisioner, "hostPathProvisionerIdentity": os.Getenv("NODE_NAME")}},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource:        v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: folder}},
			ClaimRef:                      ref,
			StorageClassName:              class,
		},
	}, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		log.Printf("made %s", folder)
	}
	return err
}

func (c *controller) class(ctx context.Context, name string) (*storage.StorageClass, error) {
	list, err := c.client.StorageV1().StorageClasses().List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Name == name {
			return &list.Items[i], nil
		}
	}
	return nil, fmt.Errorf("no StorageClass %q", name)
}

// delete removes a released volume of ours with its folder, unless it is to be retained.
func (c *controller) delete(volume *v1.PersistentVolume) error {
	if volume.Status.Phase != v1.VolumeReleased && volume.Status.Phase != v1.VolumeFailed ||
		volume.Annotations[byAnnotation] != provisioner || volume.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete ||
		volume.DeletionTimestamp != nil || volume.Spec.HostPath == nil {
		return nil
	}
	folder := filepath.Clean(volume.Spec.HostPath.Path)
	if filepath.Dir(folder) != filepath.Clean(c.folder) {
		return fmt.Errorf("%s is not in %s: left alone", folder, c.folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	log.Printf("removed %s", folder)
	err := c.client.CoreV1().PersistentVolumes().Delete(context.Background(), volume.Name, meta.DeleteOptions{})
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
