package main

import (
	"bytes"
	_ "embed"
	"net/http"
	"strconv"
	"time"
)

//go:embed page.html
var page []byte

//go:embed swagger.json
var swagger []byte

// kinds of tasks: as /api/v1 names one and many, and the older routes.
var kinds = []struct{ one, many, legacy string }{
	{"command", "commands", "commands"}, {"notebook", "notebooks", "notebooks"},
	{"shell", "shells", "shells"}, {"tensorboard", "tensorboards", "tensorboard"},
}

func (s *Server) allRoutes() []route {
	list := func(name string) handler {
		return func(r *Request) (any, error) { return paged(r, name, nil) }
	}
	routes := []route{
		{"GET", "/", true, redirect("/det")},
		{"GET", "/det", true, redirect("/det/")},
		{"GET", "/det/", true, s.page},
		{"GET", "/info", true, s.info},
		{"GET", "/config", true, s.legacyConfig},
		{"GET", "/logs", false, s.legacyLogs},
		{"POST", "/login", true, s.legacyLogin},
		{"POST", "/logout", false, s.logout},
		{"GET", "/agents", true, s.legacyAgents},
		{"GET", "/tasks", false, s.listTasks},
		{"GET", "/users", false, s.listUsers},
		{"POST", "/users", false, s.legacyCreateUser},
		{"GET", "/users/me", false, s.me},
		{"PATCH", "/users/*", false, s.patchUser},
		{"PATCH", "/users/*/username", false, s.renameUser},
		{"GET", "/templates", false, empty([]any{})},
		{"GET", "/experiments", false, empty([]any{})},
		{"GET", "/experiment-list", false, empty([]any{})},
		{"GET", "/experiments/*", false, nothing},
		{"GET", "/experiments/*/*", false, nothing},
		{"GET", "/experiments/*/metrics/summary", false, nothing},
		{"GET", "/resources/allocation/raw", false, s.allocation},

		{"GET", "/api/v1/master", true, s.masterInfo},
		{"GET", "/api/v1/master/telemetry", true, s.telemetry},
		{"GET", "/api/v1/master/config", false, s.masterConfig},
		{"GET", "/api/v1/master/logs", false, s.masterLogs},
		{"GET", "/api/v1/api.swagger.json", true, s.swagger},
		{"POST", "/api/v1/auth/login", true, s.login},
		{"POST", "/api/v1/auth/logout", false, s.logout},
		{"GET", "/api/v1/auth/user", false, s.me},
		{"GET", "/api/v1/users", false, s.listUsers},
		{"POST", "/api/v1/users", false, s.createUser},
		{"GET", "/api/v1/users/*", false, s.getUser},
		{"POST", "/api/v1/users/*/password", true, s.setPassword},
		{"GET", "/api/v1/agents", false, s.agents},
		{"GET", "/api/v1/agents/*", false, s.agent},
		{"POST", "/api/v1/agents/*/enable", false, s.agent},
		{"POST", "/api/v1/agents/*/disable", false, s.agent},
		{"GET", "/api/v1/resource-pools", false, s.resourcePools},
		{"GET", "/api/v1/templates", false, list("templates")},
		{"GET", "/api/v1/models", false, list("models")},
		{"GET", "/api/v1/experiments", false, list("experiments")},
		{"POST", "/api/v1/experiments", false, s.createExperiment},
		{"GET", "/api/v1/experiments/*", false, s.getExperiment},
		{"GET", "/api/v1/trials/*", false, s.getTrial},
		{"GET", "/api/v1/notebooks/*/logs", false, s.taskLogs},
	}
	for _, kind := range kinds {
		one, many := kind.one, kind.many
		api, legacy := "/api/v1/"+many, "/"+kind.legacy
		routes = append(routes,
			route{"GET", api, false, func(r *Request) (any, error) { return s.listKind(r, one, many) }},
			route{"POST", api, false, func(r *Request) (any, error) { return s.launch(r, one) }},
			route{"GET", api + "/*", false, func(r *Request) (any, error) { return s.getTask(r, one) }},
			route{"POST", api + "/*/kill", false, func(r *Request) (any, error) { return s.killTask(r, one) }},
			route{"GET", legacy, false, func(r *Request) (any, error) { return s.legacyList(r, one, legacy) }},
			route{"POST", legacy, false, func(r *Request) (any, error) { return s.legacyLaunch(r, one) }},
			route{"GET", legacy + "/*", false, func(r *Request) (any, error) { return s.legacyGet(r, one) }},
			route{"DELETE", legacy + "/*", false, func(r *Request) (any, error) { return s.legacyKill(r, one) }},
			route{"GET", legacy + "/*/events", false, func(r *Request) (any, error) { return s.taskEvents(r, one) }},
		)
	}
	return routes
}

func empty(value any) handler { return func(*Request) (any, error) { return value, nil } }

func nothing(*Request) (any, error) { return nil, errNotThere }

func redirect(to string) handler {
	return func(r *Request) (any, error) {
		r.w.Header().Set("Location", to)
		return status(http.StatusMovedPermanently), nil
	}
}

// limits are what a list or stream is asked to begin with, and to end after; 0 for no limit.
func limits(r *Request) (offset, limit int, err error) {
	if offset, err = r.number("offset", 0); err == nil {
		limit, err = r.number("limit", 0)
	}
	return offset, limit, err
}

// paged is a list with what /api/v1 says of its pages. The key comes first, as everywhere in /api/v1.
func paged(r *Request, name string, items []any) (any, error) {
	offset, limit, err := limits(r)
	if err != nil {
		return nil, err
	}
	start := min(max(offset, 0), len(items))
	end := len(items)
	if limit > 0 {
		end = min(start+limit, end)
	}
	list := append([]any{}, items[start:end]...)
	return ordered{{name, list}, {"pagination", struct {
		Offset int `json:"offset"`
		Limit  int `json:"limit"`
		Start  int `json:"startIndex"`
		End    int `json:"endIndex"`
		Total  int `json:"total"`
	}{offset, limit, start, end, len(items)}}}, nil
}

// ordered is a JSON object whose members keep their order.
type ordered []struct {
	name  string
	value any
}

func (o ordered) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("{")
	for i, member := range o {
		if i > 0 {
			out.WriteString(",")
		}
		out.Write(compact(member.name))
		out.WriteString(":")
		out.Write(compact(member.value))
	}
	out.WriteString("}")
	return out.Bytes(), nil
}

func (s *Server) page(r *Request) (any, error) {
	r.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	r.w.Write(page)
	return answered{}, nil
}

func (s *Server) swagger(r *Request) (any, error) {
	http.ServeContent(r.w, r.Request, "api.swagger.json", s.started, bytes.NewReader(swagger))
	return answered{}, nil
}

func (s *Server) info(*Request) (any, error) {
	return struct {
		Version   string         `json:"version"`
		Master    string         `json:"master_id"`
		Cluster   string         `json:"cluster_id"`
		Name      string         `json:"cluster_name"`
		Telemetry map[string]any `json:"telemetry"`
	}{version, s.masterID, s.clusterID, s.config.ClusterName, map[string]any{"enabled": false}}, nil
}

func (s *Server) masterInfo(*Request) (any, error) {
	return struct {
		Version   string `json:"version"`
		Master    string `json:"masterId"`
		Cluster   string `json:"clusterId"`
		Name      string `json:"clusterName"`
		Telemetry bool   `json:"telemetryEnabled"`
	}{version, s.masterID, s.clusterID, s.config.ClusterName, false}, nil
}

// telemetry: the double has none, whatever the configuration says.
func (s *Server) telemetry(*Request) (any, error) {
	return struct {
		Enabled bool   `json:"enabled"`
		Key     string `json:"segmentKey"`
	}{}, nil
}

func (s *Server) legacyConfig(*Request) (any, error) { return s.config.printable(), nil }

func (s *Server) masterConfig(*Request) (any, error) {
	return map[string]any{"config": sorted(s.config.printable())}, nil
}

func (s *Server) legacyLogs(r *Request) (any, error) {
	after, err := r.number("greater_than_id", -1)
	if err != nil {
		return nil, err
	}
	tail, err := r.number("tail", 0)
	if err != nil {
		return nil, err
	}
	entries := master.after(after)
	if tail > 0 && len(entries) > tail {
		entries = entries[len(entries)-tail:]
	}
	return entries, nil
}

type streamed struct {
	ID      int    `json:"id"`
	Message string `json:"message"`
}

// masterLogs streams; follow=true goes on until the caller leaves or the limit is met.
func (s *Server) masterLogs(r *Request) (any, error) {
	return r.streamLogs(func(after int) ([]streamed, bool) {
		found := []streamed{}
		for _, entry := range master.after(after) {
			found = append(found, streamed{entry.ID, entry.Message})
		}
		return found, false
	})
}

// streamLogs sends what read gives for ids after the last one sent, until read says that no more will come.
func (r *Request) streamLogs(read func(after int) (entries []streamed, ended bool)) (any, error) {
	offset, limit, err := limits(r)
	if err != nil {
		return nil, err
	}
	follow := r.query.Get("follow") == "true"
	header := r.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Grpc-Metadata-Content-Type", "application/grpc")
	last, sent := offset-1, 0
	for {
		entries, ended := read(last)
		for _, entry := range entries {
			if err := r.stream(map[string]any{"logEntry": entry}); err != nil {
				return answered{}, nil
			}
			last = entry.ID
			if sent++; limit > 0 && sent == limit {
				return answered{}, nil
			}
		}
		if !follow || ended {
			return answered{}, nil
		}
		select {
		case <-r.Context().Done():
			return answered{}, nil
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// allocation: this double allocates no agents, so the table is empty.
func (s *Server) allocation(r *Request) (any, error) {
	for _, edge := range []struct{ name, key string }{{"start", "timestamp_after"}, {"end", "timestamp_before"}} {
		if _, err := time.Parse("2006-01-02T15:04:05Z", r.query.Get(edge.key)); err != nil {
			return nil, problem(invalid, "invalid %s time: %s", edge.name, err)
		}
	}
	r.w.Header().Set("Content-Type", "text/csv")
	r.w.Write([]byte("experiment_id,kind,username,labels,slots,start_time,end_time,seconds\n"))
	return answered{}, nil
}

// --- agents and pools ---

func (s *Server) withCluster() error {
	if s.config.kubernetes() && !s.cluster.holds() {
		return problem(missing, "cannot find agents or pods actor")
	}
	return nil
}

// gpuAgents: with Kubernetes, each node that has GPUs is an agent.
func (s *Server) gpuAgents() ([]gpuNode, error) {
	if err := s.withCluster(); err != nil || s.cluster == nil {
		return nil, err
	}
	return s.cluster.gpuNodes(), nil
}

func (s *Server) agents(r *Request) (any, error) {
	nodes, err := s.gpuAgents()
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, node := range nodes {
		items = append(items, node.agent())
	}
	return paged(r, "agents", items)
}

func (s *Server) agent(r *Request) (any, error) {
	nodes, err := s.gpuAgents()
	if err != nil {
		return nil, err
	}
	for _, node := range nodes {
		if node.name == r.values[0] && r.Method == http.MethodGet {
			return map[string]any{"agent": node.agent()}, nil
		}
	}
	return nil, problem(missing, "actor not found")
}

func (s *Server) legacyAgents(*Request) (any, error) {
	nodes, err := s.gpuAgents()
	if err != nil {
		return nil, errNotThere
	}
	found := map[string]any{}
	for _, node := range nodes {
		found[node.name] = node.legacy()
	}
	return found, nil
}

type pool struct {
	Name             string `json:"name"`
	Description      string `json:"description"`
	Type             string `json:"type"`
	Agents           int    `json:"numAgents"`
	Slots            int    `json:"slotsAvailable"`
	Used             int    `json:"slotsUsed"`
	CPUCapacity      int    `json:"cpuContainerCapacity"`
	CPURunning       int    `json:"cpuContainersRunning"`
	DefaultGPU       bool   `json:"defaultGpuPool"`
	DefaultCPU       bool   `json:"defaultCpuPool"`
	Preemptible      bool   `json:"preemptible"`
	Min              int    `json:"minAgents"`
	Max              int    `json:"maxAgents"`
	CapacityPerAgent int    `json:"cpuContainerCapacityPerAgent"`
	Scheduler        string `json:"schedulerType"`
	Fitting          string `json:"schedulerFittingPolicy"`
	Location         string `json:"location"`
	Image            string `json:"imageId"`
	Instance         string `json:"instanceType"`
	MasterURL        string `json:"masterUrl"`
	MasterCert       string `json:"masterCertName"`
	StartupScript    string `json:"startupScript"`
	ContainerScript  string `json:"containerStartupScript"`
	AgentNetwork     string `json:"agentDockerNetwork"`
	AgentRuntime     string `json:"agentDockerRuntime"`
	AgentImage       string `json:"agentDockerImage"`
	AgentFluent      string `json:"agentFluentImage"`
	MaxIdle          int    `json:"maxIdleAgentPeriod"`
	MaxStarting      int    `json:"maxAgentStartingPeriod"`
	Details          any    `json:"details"`
}

func (s *Server) resourcePools(r *Request) (any, error) {
	if s.config.kubernetes() && !s.cluster.holds() {
		return nil, problem(missing, "cannot find appropriate resource manager")
	}
	one := pool{Name: "default", Type: "RESOURCE_POOL_TYPE_STATIC", DefaultGPU: true, DefaultCPU: true, CapacityPerAgent: 100,
		Scheduler: "SCHEDULER_TYPE_FAIR_SHARE", Fitting: "FITTING_POLICY_BEST", Location: "on-prem"}
	if s.cluster != nil {
		nodes := s.cluster.gpuNodes()
		one.Name, one.Description, one.Type = s.config.pool(), "Kubernetes-managed pool of resources", "RESOURCE_POOL_TYPE_K8S"
		one.Scheduler, one.Fitting, one.Location, one.Instance = "SCHEDULER_TYPE_KUBERNETES", "FITTING_POLICY_KUBERNETES", "kubernetes", "kubernetes"
		one.CapacityPerAgent, one.Agents = 0, len(nodes)
		for _, node := range nodes {
			one.Slots += node.gpus
		}
		one.Used = s.tasks.slotsUsed()
	}
	return paged(r, "resourcePools", []any{one})
}

// --- experiments: none here ---

func (s *Server) createExperiment(r *Request) (any, error) {
	var given struct{ Config string }
	if err := r.read(&given); err != nil {
		return nil, err
	}
	return nil, experimentProblem(given.Config)
}

func id32(name, text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, problem(invalid, "type mismatch, parameter: %s, error: %s", name, err)
	}
	return number, nil
}

func (s *Server) getExperiment(r *Request) (any, error) {
	id, err := id32("experiment_id", r.values[0])
	if err != nil {
		return nil, err
	}
	return nil, problem(internal, "error fetching experiment from database: %d: error running query: get_experiment: not found", id)
}

func (s *Server) getTrial(r *Request) (any, error) {
	id, err := id32("trial_id", r.values[0])
	if err != nil {
		return nil, err
	}
	return nil, problem(internal, "failed to get trial %d: error running query: proto_get_trials_plus: not found", id)
}
