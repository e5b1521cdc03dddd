// The client-go contestant: an informer, a workqueue and 16 workers that answer each change of a machine's spec with one
// status patch. What tunes it: no limit of queries, HTTP/2 as client-go has it, managedFields dropped before an object is
// kept. It is dynamic, as a controller of kinds without generated clients is.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
)

const workers = 16

var machines = schema.GroupVersionResource{Group: "kubenode.dev", Version: "v1alpha1", Resource: "machines"}

type controller struct {
	client   dynamic.NamespaceableResourceInterface
	informer cache.SharedIndexInformer
	queue    workqueue.TypedRateLimitingInterface[string]
}

// answer patches the status of one machine when it does not speak of the spec as it is.
func (c *controller) answer(ctx context.Context, name string) error {
	held, exists, err := c.informer.GetStore().GetByKey(name)
	if err != nil || !exists {
		return err
	}
	machine := held.(*unstructured.Unstructured)
	seen, _, err := unstructured.NestedInt64(machine.Object, "status", "observedGeneration")
	if err != nil || seen == machine.GetGeneration() {
		return err
	}
	body, err := json.Marshal(map[string]any{"status": map[string]any{"observedGeneration": machine.GetGeneration()}})
	if err != nil {
		return err
	}
	_, err = c.client.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	return err
}

func (c *controller) work(ctx context.Context) {
	for {
		name, over := c.queue.Get()
		if over {
			return
		}
		if err := c.answer(ctx, name); err != nil {
			log.Printf("%s: %v", name, err)
			c.queue.AddRateLimited(name)
		} else {
			c.queue.Forget(name)
		}
		c.queue.Done(name)
	}
}

func (c *controller) add(obj any) {
	if name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
		c.queue.Add(name)
	}
}

func slim(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil {
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	informer := dynamicinformer.NewDynamicSharedInformerFactory(client, 0).ForResource(machines).Informer()
	c := &controller{
		client:   client.Resource(machines),
		informer: informer,
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	if err := informer.SetTransform(slim); err != nil {
		log.Fatal(err)
	}
	handlers := cache.ResourceEventHandlerFuncs{
		AddFunc:    c.add,
		UpdateFunc: func(_, obj any) { c.add(obj) },
		DeleteFunc: c.add,
	}
	registered, err := informer.AddEventHandler(handlers)
	if err != nil {
		log.Fatal(err)
	}
	go informer.Run(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), registered.HasSynced) {
		return
	}
	var working sync.WaitGroup
	for range workers {
		working.Go(func() { c.work(ctx) })
	}
	for c.queue.Len() > 0 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("ready")
	<-ctx.Done()
	c.queue.ShutDown()
	working.Wait()
}
