package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/ssh"
)

const (
	keptEvents = 200 // of each task, as in the real master
	keptTask   = 24 * time.Hour
	never      = "task is aborted without being scheduled"
	done       = "command exited successfully"
)

// Tasks are in memory only: 0.15.3 forgets them when it starts again.
type Tasks struct {
	sync.Mutex
	server *Server
	all    map[string]*Task
}

func newTasks(s *Server) *Tasks { return &Tasks{server: s, all: map[string]*Task{}} }

// Task is a command, notebook, shell or TensorBoard.
type Task struct {
	sync.Mutex
	id, kind    string
	owner       *User
	config      *TaskConfig
	began       time.Time
	state       string // PENDING, STARTING, RUNNING, TERMINATED: others are not seen from outside
	containerID string // empty until the task is assigned
	node        string
	exit        *string
	address     string // where the proxy finds it
	ready       bool
	misc        map[string]any
	files       []Item
	events      []event
	next        int
	changed     chan struct{} // closed at each new event
	killed      chan struct{}
	once        sync.Once
}

// event is one line of a task's history; all but one of the last seven are null.
type event struct {
	Snapshot         any       `json:"snapshot"`
	ParentID         string    `json:"parent_id"`
	ID               string    `json:"id"`
	Seq              int       `json:"seq"`
	Time             time.Time `json:"time"`
	Scheduled        *string   `json:"scheduled_event"`
	Assigned         any       `json:"assigned_event"`
	ContainerStarted any       `json:"container_started_event"`
	ServiceReady     any       `json:"service_ready_event"`
	TerminateRequest any       `json:"terminate_request_event"`
	Exited           *string   `json:"exited_event"`
	Log              *string   `json:"log_event"`
}

// tell adds an event; the task's lock is held.
func (t *Task) tell(e event) {
	e.Snapshot, e.ParentID, e.ID, e.Seq, e.Time = t.summary(), t.id, uuid.NewString(), t.next, time.Now().UTC()
	t.next++
	t.events = append(t.events, e)
	if len(t.events) > keptEvents {
		t.events = t.events[1:]
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// log adds what the pod or its container said. The first line of a command, or a notebook's line of its address, makes it ready.
func (t *Task) log(at time.Time, text string) {
	t.Lock()
	defer t.Unlock()
	if t.exit != nil {
		return // nobody reads on
	}
	text = strings.ToValidUTF8(text, "?")
	line := fmt.Sprintf("[%s] %s || %s", at.UTC().Format(time.RFC3339), t.containerID[:8], text)
	if !t.ready && (t.kind != "notebook" || jupyterReady.MatchString(text)) {
		t.ready = true
		t.tell(event{ServiceReady: map[string]any{"Container": t.container(), "Timestamp": at.UTC(), "AuxMessage": text}})
	}
	t.tell(event{Log: &line})
}

var jupyterReady = regexp.MustCompile("Jupyter Notebook .*is running at")

// podSaid: only what is said before the container runs is heard.
func (t *Task) podSaid(e *Event) {
	t.Lock()
	deaf := t.state == "RUNNING"
	name := e.InvolvedObject.Name
	t.Unlock()
	if !deaf {
		t.log(e.Metadata.CreationTimestamp, "Pod "+name+": "+e.text(t.config.Resources.Slots))
	}
}

// assign gives the task its container. From outside it waits until the pod has a node.
func (t *Task) assign() {
	t.Lock()
	defer t.Unlock()
	t.containerID = uuid.NewString()
	t.tell(event{Assigned: map[string]any{"ID": t.id, "ResourcePool": "", "Allocations": []any{struct{}{}}}})
}

func (t *Task) move(state string) {
	t.Lock()
	defer t.Unlock()
	if t.exit != nil {
		return
	}
	t.state = state
	if state == "RUNNING" {
		t.tell(event{ContainerStarted: map[string]any{"Addresses": t.addresses()}})
	}
}

// container is what is shown of the task's; the task's lock is held.
func (t *Task) container() any {
	return ordered{{"parent", "/" + t.kind + "s/" + t.id}, {"id", t.containerID}, {"state", t.state}, {"devices", []any{}}}
}

// end is said once; what comes after it is not heard.
func (t *Task) end(how string) {
	t.Lock()
	defer t.Unlock()
	if t.exit != nil {
		return
	}
	t.state, t.exit, t.address = "TERMINATED", &how, ""
	t.tell(event{Exited: t.exit})
}

// kill ends a task that waits; one with a pod is ended by whoever watches the pod.
func (t *Task) kill() {
	t.once.Do(func() { close(t.killed) })
	t.Lock()
	waiting := t.containerID == ""
	t.Unlock()
	if waiting {
		t.end(never)
	}
}

func (t *Task) addresses() any {
	if t.address == "" {
		return nil
	}
	host, port, _ := strings.Cut(t.address, ":")
	return []any{map[string]any{"container_ip": host, "container_port": port, "host_ip": host, "host_port": port}}
}

func (t *Task) serviceAddress() string {
	if t.kind == "notebook" {
		return "/proxy/" + t.id + "/lab/tree/Notebook.ipynb?reset"
	}
	return "/proxy/" + t.id
}

// summary is what the older routes show; the task's lock is held.
func (t *Task) summary() any {
	var address *string
	if t.kind == "notebook" {
		text := t.serviceAddress()
		address = &text
	}
	return struct {
		Registered time.Time      `json:"registered_time"`
		Owner      any            `json:"owner"`
		ID         string         `json:"id"`
		Config     TaskConfig     `json:"config"`
		State      string         `json:"state"`
		Service    *string        `json:"service_address"`
		Addresses  any            `json:"addresses"`
		Exit       *string        `json:"exit_status"`
		Misc       map[string]any `json:"misc"`
		Ready      bool           `json:"is_ready"`
		Group      any            `json:"agent_user_group"`
		Pool       string         `json:"resource_pool"`
	}{t.began, ordered{{"id", t.owner.ID}, {"username", t.owner.Username}}, t.id, *t.config, t.state, address, t.addresses(), t.exit, t.misc, t.ready, nil, t.config.Resources.ResourcePool}
}

// shown is what /api/v1 shows.
func (t *Task) shown() any {
	t.Lock()
	defer t.Unlock()
	var container any
	if t.containerID != "" && t.state != "PENDING" {
		container = ordered{{"parent", "/" + t.kind + "s/" + t.id}, {"id", t.containerID}, {"state", "STATE_" + t.state}, {"devices", []any{}}}
	}
	o := ordered{{"id", t.id}, {"description", t.config.Description}, {"state", "STATE_" + t.state}, {"startTime", t.began}, {"container", container}}
	add := func(name string, value any) {
		o = append(o, struct {
			name  string
			value any
		}{name, value})
	}
	if t.kind == "shell" {
		add("privateKey", t.misc["privateKey"])
		add("publicKey", t.misc["publicKey"])
	}
	add("username", t.owner.Username)
	if t.kind == "notebook" {
		add("serviceAddress", t.serviceAddress())
	}
	add("resourcePool", t.config.Resources.ResourcePool)
	return o
}

// --- the set of tasks ---

func (all *Tasks) of(kind string) []*Task {
	all.Lock()
	defer all.Unlock()
	found := []*Task{}
	for _, t := range all.all {
		if kind == "" || t.kind == kind {
			found = append(found, t)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].id < found[j].id })
	return found
}

func (all *Tasks) find(kind, id string) *Task {
	all.Lock()
	defer all.Unlock()
	if t := all.all[id]; t != nil && (kind == "" || t.kind == kind) {
		return t
	}
	return nil
}

func (all *Tasks) slotsUsed() (used int) {
	for _, t := range all.of("") {
		t.Lock()
		if t.containerID != "" && t.exit == nil {
			used += t.config.Resources.Slots
		}
		t.Unlock()
	}
	return
}

// start makes a task of the request and, where there is a cluster, its pod. Errors are for the caller, in the real master's words.
func (s *Server) start(kind string, owner *User, given launchRequest) (*Task, error) {
	what := map[string]string{"command": "command", "notebook": "shell", "shell": "shell", "tensorboard": "Tensorboard"}[kind] // a notebook is called a shell there
	refuse := func(err error) error { return fmt.Errorf("failed to launch %s: %w", what, err) }
	if kind == "tensorboard" {
		return nil, refuse(errors.New("must set experiment or trial ids"))
	}
	config, err := s.taskConfig(kind, given)
	if err != nil {
		return nil, refuse(err)
	}
	t := &Task{id: uuid.NewString(), kind: kind, owner: owner, config: config, began: time.Now().UTC(), state: "PENDING",
		changed: make(chan struct{}), killed: make(chan struct{})}
	if t.files, err = items(append(given.Files, given.UserFiles...)); err != nil {
		return nil, refuse(err)
	}
	if kind == "shell" {
		if t.misc, err = keys(); err != nil {
			return nil, refuse(err)
		}
	}
	if given.Preview {
		return t, nil
	}
	s.tasks.Lock()
	s.tasks.all[t.id] = t
	s.tasks.Unlock()
	time.AfterFunc(keptTask, func() { s.tasks.forget(t) })
	t.Lock()
	t.tell(event{Scheduled: &t.id})
	t.Unlock()
	master.Line("INFO", fmt.Sprintf("%s %s of user %s, %d slots", kind, t.id, owner.Username, config.Resources.Slots))
	switch {
	case s.cluster == nil: // no agent ever comes
	case config.Resources.Slots > 1 && s.config.maxSlots() == 0: // one slot is tried without
		master.Line("ERRO", "set max_slots_per_pod > 0 to schedule tasks with slots  task-id="+t.id)
	case config.Resources.Slots > max(1, s.config.maxSlots()): // the real master has more to say, and runs no command either
		master.Line("ERRO", fmt.Sprintf("task number of slots (%d) is not schedulable on the configured max_slots_per_pod (%d)  task-id=%s",
			config.Resources.Slots, s.config.maxSlots(), t.id))
	default:
		go s.cluster.run(t, s)
	}
	return t, nil
}

// forget drops a task that has ended; one that still runs stays.
func (all *Tasks) forget(t *Task) {
	t.Lock()
	ended := t.exit != nil
	t.Unlock()
	if !ended {
		time.AfterFunc(keptTask, func() { all.forget(t) })
		return
	}
	all.Lock()
	delete(all.all, t.id)
	all.Unlock()
}

// keys are a shell's: its owner logs in with them.
func keys() (map[string]any, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return map[string]any{"privateKey": string(private), "publicKey": string(ssh.MarshalAuthorizedKey(public))}, nil
}

// --- routes ---

// find is the task of a route; without one the error is in the words of the route's age.
func (s *Server) find(r *Request, kind string) (*Task, error) {
	t := s.tasks.find(kind, r.values[0])
	switch {
	case t != nil:
		return t, nil
	case r.api:
		return nil, problem(missing, "actor not found")
	}
	return nil, errNotThere
}

// launched starts the task that a request describes.
func (s *Server) launched(r *Request, kind string) (*Task, error) {
	var given launchRequest
	if err := r.read(&given); err != nil {
		return nil, err
	}
	if size := given.size(); r.api && size > mostOfACall {
		return nil, problem(exhausted, "grpc: received message larger than max (%d vs. %d)", size, mostOfACall)
	}
	if s.config.kubernetes() && !s.cluster.holds() {
		if r.api {
			return nil, problem(missing, "%s not found", r.URL.Path)
		}
		return nil, errNotThere
	}
	if s.cluster != nil && kind == "shell" {
		return nil, problem(unimplemented, "this determined-master is the sandbox's double of it: it runs commands and notebooks, but no shells")
	}
	t, err := s.start(kind, r.user, given)
	if err != nil && r.api {
		err = fmt.Errorf("code=400, message=%w", err)
	}
	if err != nil {
		return nil, problem(invalid, "%s", err)
	}
	return t, nil
}

func (s *Server) launch(r *Request, kind string) (any, error) {
	t, err := s.launched(r, kind)
	if err != nil {
		return nil, err
	}
	return map[string]any{kind: t.shown()}, nil
}

func (s *Server) listKind(r *Request, kind, name string) (any, error) {
	items := []any{}
	for _, t := range s.tasks.of(kind) {
		items = append(items, t.shown())
	}
	return paged(r, name, items)
}

func (s *Server) getTask(r *Request, kind string) (any, error) {
	t, err := s.find(r, kind)
	if err != nil {
		return nil, err
	}
	return ordered{{kind, t.shown()}, {"config", sorted(t.config)}}, nil
}

func (s *Server) killTask(r *Request, kind string) (any, error) {
	t, err := s.find(r, kind)
	if err != nil {
		return nil, err
	}
	before := t.shown()
	t.kill()
	if kind != "notebook" { // a notebook is shown as it was
		before = t.shown()
	}
	return map[string]any{kind: before}, nil
}

func (s *Server) listTasks(r *Request) (any, error) {
	found := map[string]any{}
	scheduler := "fair_share"
	if s.config.kubernetes() {
		scheduler = "kubernetes"
	}
	for _, t := range s.tasks.of("") {
		t.Lock()
		containers := []any{}
		if t.containerID != "" {
			containers = append(containers, map[string]string{"task_id": t.id, "id": t.containerID, "agent": t.node})
		}
		if t.exit == nil {
			found[t.id] = ordered{{"id", t.id}, {"name", t.config.Description}, {"registered_time", t.began},
				{"resource_pool", t.config.Resources.ResourcePool}, {"slots_needed", t.config.Resources.Slots}, {"containers", containers},
				{"scheduler_type", scheduler}, {"priority", t.config.Resources.Priority}}
		}
		t.Unlock()
	}
	return found, nil
}

func (s *Server) legacyList(r *Request, kind, at string) (any, error) {
	found := map[string]any{}
	for _, t := range s.tasks.of(kind) {
		if user := r.query.Get("user"); user != "" && user != t.owner.Username {
			continue
		}
		t.Lock()
		found[at+"/"+t.id] = t.summary()
		t.Unlock()
	}
	return found, nil
}

func (s *Server) legacyLaunch(r *Request, kind string) (any, error) {
	return told(s.launched(r, kind))
}

func (s *Server) legacyGet(r *Request, kind string) (any, error) {
	return told(s.find(r, kind))
}

func told(t *Task, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	t.Lock()
	defer t.Unlock()
	return t.summary(), nil
}

func (s *Server) legacyKill(r *Request, kind string) (any, error) {
	t, err := s.find(r, kind)
	if err != nil {
		return nil, err
	}
	t.kill()
	return status(http.StatusAccepted), nil
}
