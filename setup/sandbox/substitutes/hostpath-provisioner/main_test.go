package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"runbook/incluster"
)

// cluster plays the API: it answers from what it holds, and keeps what it is told.
type cluster struct {
	sync.Mutex
	t       *testing.T
	held    map[string]string // path of a list or an object: JSON
	said    []string          // POSTs and DELETEs
	made    map[string]string // by a volume's name: what was posted
	refusal int               // of the next POST
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.Lock()
	defer c.Unlock()
	body, _ := io.ReadAll(r.Body)
	var one struct{ Metadata meta }
	json.Unmarshal(body, &one)
	switch text, found := c.held[r.URL.Path]; {
	case r.URL.Query().Get("watch") != "":
		c.Unlock()
		<-r.Context().Done()
		c.Lock()
	case r.Method != "GET":
		c.said = append(c.said, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+one.Metadata.Name))
		if r.Method == "POST" && c.refusal != 0 {
			w.WriteHeader(c.refusal)
			c.refusal = 0
			return
		}
		if r.Method == "POST" {
			c.made[one.Metadata.Name] = string(body)
		}
		io.WriteString(w, "{}")
	case found:
		io.WriteString(w, text)
	default:
		w.WriteHeader(404)
	}
}

// put adds an object to its list, and below its own path.
func (c *cluster) put(kind, text string) {
	c.Lock()
	defer c.Unlock()
	var one struct{ Metadata meta }
	if err := json.Unmarshal([]byte(text), &one); err != nil {
		c.t.Fatal(text, err)
	}
	items := []json.RawMessage{json.RawMessage(text)}
	var list struct{ Items []json.RawMessage }
	json.Unmarshal([]byte(c.held[kind]), &list)
	all, _ := json.Marshal(map[string]any{"metadata": map[string]string{"resourceVersion": "10"}, "items": append(list.Items, items...)})
	c.held[kind], c.held[path(kind, one.Metadata)] = string(all), text
}

// running is the provisioner on a cluster of the test's own, with its folder.
func running(t *testing.T, reclaim string) (c *cluster, folder string, start func()) {
	c = &cluster{t: t, made: map[string]string{}, held: map[string]string{claims: "{}", volumes: "{}",
		classes: `{"items": [{"metadata": {"name": "other"}, "reclaimPolicy": "Retain"}, {"metadata": {"name": "ours"}}]}`}}
	server := httptest.NewServer(c)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
	})
	folder = t.TempDir()
	return c, folder, func() { go newController(incluster.At(server.URL), folder, reclaim, "a-node").run(ctx) }
}

// until waits for this many words, then a moment for one too many.
func (c *cluster) until(count int) []string {
	c.t.Helper()
	read := func() []string {
		c.Lock()
		defer c.Unlock()
		return slices.Sorted(slices.Values(c.said))
	}
	for limit := time.Now().Add(10 * time.Second); len(read()) < count; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			c.t.Fatalf("%d words, wanted %d: %v", len(read()), count, read())
		}
	}
	time.Sleep(50 * time.Millisecond)
	return read()
}

func (c *cluster) claim(name, spec string) {
	c.put(claims, fmt.Sprintf(`{"metadata": {"name": %q, "namespace": "default", "uid": "u-%[1]s", "resourceVersion": "7", "annotations": {%q: %q}},
		"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1536Mi"}}, "storageClassName": "ours"%s`, name, forAnnotation, provisioner, spec))
}

func TestAClaimGetsAFolderAndAVolume(t *testing.T) {
	c, folder, start := running(t, "")
	c.claim("plain", `}, "status": {"phase": "Pending"}}`)
	c.claim("bound", `}, "status": {"phase": "Bound"}}`)
	c.claim("named", `, "volumeName": "x"}, "status": {"phase": "Pending"}}`)
	c.claim("selects", `, "selector": {}}, "status": {"phase": "Pending"}}`)
	c.claim("classless", `, "storageClassName": "unknown"}, "status": {"phase": "Pending"}}`)
	c.put(claims, `{"metadata": {"name": "others", "namespace": "default", "annotations": {}}, "spec": {}, "status": {"phase": "Pending"}}`)
	c.put(claims, fmt.Sprintf(`{"metadata": {"name": "old", "namespace": "a", "uid": "u", "annotations": {%q: %q, %q: "other"}}, "spec": {}, "status": {"phase": "Pending"}}`,
		forAnnotation, provisioner, classAnnotation))
	start()
	if said := c.until(2); strings.Join(said, ", ") != "POST "+volumes+" pvc-u, POST "+volumes+" pvc-u-plain" {
		t.Error(said)
	}
	mine := filepath.Join(folder, "default-plain-pvc-u-plain")
	if info, err := os.Stat(mine); err != nil || info.Mode() != os.ModeDir|0o777 {
		t.Error(info, err)
	}
	wanted := fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"annotations":{"hostPathProvisionerIdentity":"a-node",%q:%q},"name":"pvc-u-plain"},`+
		`"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1536Mi"},"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"plain",`+
		`"namespace":"default","resourceVersion":"7","uid":"u-plain"},"hostPath":{"path":%q},"persistentVolumeReclaimPolicy":"Delete","storageClassName":"ours"}}`,
		byAnnotation, provisioner, mine)
	if c.made["pvc-u-plain"] != wanted {
		t.Errorf("%s\nwanted %s", c.made["pvc-u-plain"], wanted)
	}
	if !strings.Contains(c.made["pvc-u"], `"persistentVolumeReclaimPolicy":"Retain","storageClassName":"other"`) {
		t.Error(c.made["pvc-u"])
	}
}

func TestAFixedPolicyAndWhatFailsIsTriedAgain(t *testing.T) {
	for code, count := range map[int]int{500: 2, 409: 1} { // 409: the volume is there already
		c, _, start := running(t, "Recycle")
		c.refusal = code
		c.claim("plain", `}, "status": {"phase": "Pending"}}`)
		start()
		c.until(count)
		time.Sleep(2 * firstPause)
		if said := c.until(count); len(said) != count {
			t.Error(code, said)
		}
		if code == 500 && !strings.Contains(c.made["pvc-u-plain"], `"persistentVolumeReclaimPolicy":"Recycle"`) {
			t.Error(c.made)
		}
	}
}

func TestAReleasedVolumeGoesWithItsFolder(t *testing.T) {
	c, folder, start := running(t, "")
	put := func(name, below, policy, phase, by string) {
		if err := os.MkdirAll(filepath.Join(folder, below, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		c.put(volumes, fmt.Sprintf(`{"metadata": {"name": %q, "annotations": {%q: %q}}, "spec": {"persistentVolumeReclaimPolicy": %q, "hostPath": {"path": %q}}, "status": {"phase": %q}}`,
			name, byAnnotation, by, policy, folder+"/"+below, phase))
	}
	put("released", "a", "Delete", "Released", provisioner)
	put("failed", "b", "Delete", "Failed", provisioner)
	put("used", "c", "Delete", "Bound", provisioner)
	put("kept", "d", "Retain", "Released", provisioner)
	put("others", "e", "Delete", "Released", "else")
	put("deep", "f/g", "Delete", "Released", provisioner)
	put("whole", ".", "Delete", "Released", provisioner)
	put("outside", "h/../..", "Delete", "Released", provisioner)
	start()
	if said := c.until(2); strings.Join(said, ", ") != "DELETE "+volumes+"/failed, DELETE "+volumes+"/released" {
		t.Error(said)
	}
	left, _ := filepath.Glob(filepath.Join(folder, "*"))
	if text := strings.ReplaceAll(strings.Join(left, ""), folder, ""); text != "/c/d/data/e/f" {
		t.Error(text)
	}
}
