package main

// From Gateways, VirtualServices and DestinationRules to a table of routes, by the rules of Istio 1.5's Pilot
// (pilot/pkg/networking/core/v1alpha3: gateway.go, route/route.go).

import (
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	word, err := strconv.Unquote(string(text))
	if err != nil {
		return fmt.Errorf("a duration is a text such as \"5s\", not %s", text)
	}
	got, err := time.ParseDuration(word)
	*d = duration(got)
	return err
}

type gatewaySpec struct {
	Selector map[string]string
	Servers  []struct {
		Port struct {
			Number         int
			Protocol, Name string
		}
		Hosts []string
		TLS   *struct{ HTTPSRedirect bool }
	}
}

type virtualService struct {
	Hosts, Gateways []string
	HTTP            []httpRoute
}

type httpRoute struct {
	Name     string
	Match    []httpMatch
	Route    []destinationWeight
	Redirect *struct {
		URI, Authority string
		RedirectCode   int
	}
	Rewrite *struct{ URI, Authority string }
	Timeout duration
	Retries *struct {
		Attempts      int
		PerTryTimeout duration
		RetryOn       string
	}
	Mirror  *destination
	Headers headers
}

type httpMatch struct {
	URI, Scheme, Method, Authority *stringMatch
	Headers, QueryParams           map[string]*stringMatch
	Port                           int
	SourceLabels                   map[string]string
	Gateways                       []string
	IgnoreURICase                  bool
}

type destination struct {
	Host, Subset string
	Port         struct{ Number int }
}

type destinationWeight struct {
	Destination destination
	Weight      int
	Headers     headers
}

type headers struct {
	Request, Response struct {
		Set, Add map[string]string
		Remove   []string
	}
}

type destinationRule struct {
	Host          string
	TrafficPolicy trafficPolicy
	Subsets       []struct {
		Name   string
		Labels map[string]string
	}
}

type trafficPolicy struct {
	ConnectionPool struct {
		HTTP struct{ H2UpgradePolicy string }
	}
}

type stringMatch struct {
	Exact, Prefix, Regex string
	pattern              *regexp.Regexp
}

func (m *stringMatch) matches(text string) bool {
	switch {
	case m == nil:
		return true
	case m.Regex != "":
		return m.pattern != nil && m.pattern.MatchString(text) // of the whole text, as Envoy does it
	case m.Prefix != "":
		return strings.HasPrefix(text, m.Prefix)
	}
	return text == m.Exact
}

// UnmarshalJSON reads the expression at once; one that cannot be read matches nothing.
func (m *stringMatch) UnmarshalJSON(text []byte) error {
	type plain stringMatch
	if err := json.Unmarshal(text, (*plain)(m)); err != nil || m.Regex == "" {
		return err
	}
	pattern, err := regexp.Compile("^(?:" + m.Regex + ")$")
	if err != nil {
		log.Printf("a VirtualService's expression: %v", err)
		return nil
	}
	m.pattern = pattern
	return nil
}

// byAge sorts as Pilot does: the older first.
func byAge[S any](all map[string]object[S]) []object[S] {
	out := slices.Collect(maps.Values(all))
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if !a.Metadata.CreationTimestamp.Equal(b.Metadata.CreationTimestamp) {
			return a.Metadata.CreationTimestamp.Before(b.Metadata.CreationTimestamp)
		}
		return a.Metadata.Name+"."+a.Metadata.Namespace < b.Metadata.Name+"."+b.Metadata.Namespace
	})
	return out
}

// table is what one state of the cluster means: for each port its virtual hosts, and Envoy's clusters by their names.
type table struct {
	ports    map[int]map[string]*virtualHost
	clusters map[string]*upstream
}

type virtualHost struct {
	routes      []*route
	redirectTLS bool
}

type route struct {
	match    *httpMatch // nil: everything
	spec     *httpRoute
	targets  []target
	mirror   *target
	retries  retryPolicy
	catchAll bool
}

type target struct {
	weight  int
	headers headers
	name    string // Envoy's name of the cluster
	service string
	hosts   *upstream // nil: no such cluster
}

type upstream struct {
	addresses []string
	h2        bool // the port's name says so
	follow    bool // the port's name says nothing: as the request came
}

type retryPolicy struct {
	attempts int
	perTry   time.Duration
	on       map[string]bool
	codes    []int
}

const defaultRetries = "connect-failure,refused-stream,unavailable,cancelled,resource-exhausted,retriable-status-codes"

func compile(s snapshot, labels map[string]string, namespace string) table {
	out := table{map[int]map[string]*virtualHost{}, map[string]*upstream{}}
	c := compiler{s, labels, namespace, out.clusters}
	for _, gateway := range s.gateways {
		if !subset(gateway.Spec.Selector, labels) {
			continue
		}
		name := gateway.Metadata.Namespace + "/" + gateway.Metadata.Name
		for _, server := range gateway.Spec.Servers {
			protocol := strings.ToUpper(server.Port.Protocol)
			if protocol != "HTTP" && protocol != "HTTP2" && protocol != "GRPC" {
				continue // this stand-in terminates no TLS and forwards no plain TCP
			}
			port := server.Port.Number
			if out.ports[port] == nil {
				out.ports[port] = map[string]*virtualHost{}
			}
			for i := range s.virtualServices {
				service := &s.virtualServices[i]
				hosts := intersection(server.Hosts, gateway.Metadata.Namespace, service)
				if len(hosts) == 0 || !slices.ContainsFunc(service.Spec.Gateways, func(g string) bool { return qualified(g, service.Metadata.Namespace) == name }) {
					continue
				}
				routes := c.routes(service, port, name)
				for _, host := range hosts {
					known := out.ports[port][host]
					if known == nil {
						known = &virtualHost{redirectTLS: server.TLS != nil && server.TLS.HTTPSRedirect}
						out.ports[port][host] = known
					}
					known.routes = combine(known.routes, routes)
				}
			}
		}
	}
	return out
}

func subset(some, all map[string]string) bool {
	for key, value := range some {
		if got, found := all[key]; !found || got != value {
			return false
		}
	}
	return true
}

// qualified is a gateway's name as namespace/name; older texts say name.namespace.svc.cluster.local.
func qualified(name, namespace string) string {
	if name == "mesh" || strings.Contains(name, "/") {
		return name
	}
	if parts := strings.Split(name, "."); len(parts) > 1 {
		return parts[1] + "/" + parts[0]
	}
	return namespace + "/" + name
}

// intersection is the hosts that both the gateway's server and the VirtualService name, the narrower of each two.
func intersection(server []string, namespace string, service *object[virtualService]) []string {
	found := []string{}
	for _, ours := range server {
		if from, host, cut := strings.Cut(ours, "/"); cut {
			if from == "." {
				from = namespace
			}
			if from != "*" && from != service.Metadata.Namespace {
				continue
			}
			ours = host
		}
		ours = strings.ToLower(ours)
		for _, theirs := range service.Spec.Hosts {
			theirs = strings.ToLower(fqdn(theirs, service.Metadata.Namespace))
			narrow := ""
			if within(theirs, ours) {
				narrow = theirs
			} else if within(ours, theirs) {
				narrow = ours
			}
			if narrow != "" && !slices.Contains(found, narrow) {
				found = append(found, narrow)
			}
		}
	}
	return found
}

// within: is every name that one stands for also one that all stands for?
func within(one, all string) bool {
	return one == all || strings.HasPrefix(all, "*") && strings.HasSuffix(strings.TrimPrefix(one, "*"), all[1:])
}

func fqdn(host, namespace string) string {
	if host == "" || strings.ContainsAny(host, ".*") {
		return host
	}
	return host + "." + namespace + ".svc.cluster.local"
}

// combine puts routes that match everything behind all others, whichever VirtualService they come from.
func combine(first, second []*route) []*route {
	out, last := []*route{}, []*route{}
	for _, one := range slices.Concat(first, second) {
		if one.catchAll {
			last = append(last, one)
		} else {
			out = append(out, one)
		}
	}
	return append(out, last...)
}

type compiler struct {
	snapshot
	labels    map[string]string
	namespace string
	clusters  map[string]*upstream
}

func (c *compiler) routes(service *object[virtualService], port int, gateway string) []*route {
	out := []*route{}
	for i := range service.Spec.HTTP {
		spec := &service.Spec.HTTP[i]
		applies := func(m *httpMatch) bool {
			if m.Port != 0 && m.Port != port {
				return false
			}
			if len(m.Gateways) > 0 {
				return slices.ContainsFunc(m.Gateways, func(g string) bool { return qualified(g, service.Metadata.Namespace) == gateway })
			}
			return subset(m.SourceLabels, c.labels)
		}
		everything := len(spec.Match) == 0
		for j := range spec.Match {
			everything = everything || spec.Match[j].catchAll() && applies(&spec.Match[j])
		}
		if everything {
			return append(out, c.route(service, spec, nil, port)) // what follows in this VirtualService is never reached
		}
		for j := range spec.Match {
			if m := &spec.Match[j]; applies(m) {
				out = append(out, c.route(service, spec, m, port))
			}
		}
	}
	return out
}

func (m *httpMatch) catchAll() bool {
	whole := m.URI == nil || m.URI.Prefix == "/" || m.URI.Regex == "*"
	return whole && len(m.Headers)+len(m.QueryParams) == 0 && m.Method == nil && m.Authority == nil && m.Scheme == nil
}

func (c *compiler) route(service *object[virtualService], spec *httpRoute, match *httpMatch, port int) *route {
	out := &route{match: match, spec: spec, catchAll: match == nil, retries: retries(spec)}
	for _, weighted := range spec.Route {
		one := c.target(weighted.Destination, service.Metadata.Namespace, port)
		one.weight, one.headers = weighted.Weight, weighted.Headers
		out.targets = append(out.targets, one)
	}
	if len(out.targets) == 1 {
		out.targets[0].weight = 100
	}
	if spec.Mirror != nil {
		one := c.target(*spec.Mirror, service.Metadata.Namespace, port)
		out.mirror = &one
	}
	return out
}

func retries(spec *httpRoute) retryPolicy {
	out := retryPolicy{attempts: 2, on: map[string]bool{}, codes: []int{http.StatusServiceUnavailable}}
	conditions := defaultRetries
	if said := spec.Retries; said != nil {
		out.attempts, out.perTry = said.Attempts, time.Duration(said.PerTryTimeout)
		if said.RetryOn != "" {
			conditions, out.codes = said.RetryOn, nil
		}
	}
	for word := range strings.SplitSeq(conditions, ",") {
		word = strings.TrimSpace(word)
		if code, err := strconv.Atoi(word); err == nil && http.StatusText(code) != "" {
			out.codes = append(out.codes, code)
			out.on["retriable-status-codes"] = true
		} else if word != "" {
			out.on[word] = true
		}
	}
	return out
}

func (c *compiler) target(to destination, namespace string, port int) target {
	host := fqdn(to.Host, namespace)
	out := target{service: host}
	name, rest, _ := strings.Cut(host, ".")
	within, isService := strings.CutSuffix(rest, ".svc.cluster.local")
	key := within + "/" + name
	service, found := c.services[key]
	if to.Port.Number != 0 {
		port = to.Port.Number
	} else if found && len(service.Spec.Ports) == 1 {
		port = service.Spec.Ports[0].Port
	}
	out.name = fmt.Sprintf("outbound|%d|%s|%s", port, to.Subset, host)
	if !isService || !found {
		return out
	}
	at := slices.IndexFunc(service.Spec.Ports, func(p servicePort) bool { return p.Port == port })
	wanted, upgrade, known := c.rule(host, within, to.Subset)
	if at < 0 || !known {
		return out
	}
	named := service.Spec.Ports[at]
	protocol, _, _ := strings.Cut(strings.ToLower(named.Name), "-")
	if out.hosts = c.clusters[out.name]; out.hosts != nil {
		return out
	}
	out.hosts = &upstream{h2: protocol == "http2" || protocol == "grpc" || upgrade, follow: protocol != "http"}
	c.clusters[out.name] = out.hosts
	if service.Spec.Type == "ExternalName" {
		out.hosts.addresses = []string{net.JoinHostPort(service.Spec.ExternalName, strconv.Itoa(port))}
		return out
	}
	for _, group := range c.endpoints[key].Subsets {
		for _, open := range group.Ports {
			if open.Name != named.Name {
				continue
			}
			for _, address := range group.Addresses {
				if len(wanted) > 0 {
					of := c.pods[address.TargetRef.Namespace+"/"+address.TargetRef.Name]
					if !subset(wanted, of.Metadata.Labels) {
						continue
					}
				}
				out.hosts.addresses = append(out.hosts.addresses, net.JoinHostPort(address.IP, strconv.Itoa(open.Port)))
			}
		}
	}
	sort.Strings(out.hosts.addresses)
	return out
}

// rule looks for the labels of a service's subset, in the namespaces where a gateway looks.
func (c *compiler) rule(host, namespace, name string) (labels map[string]string, upgrade, known bool) {
	for _, where := range []string{c.namespace, namespace, "istio-system"} {
		for _, rule := range c.rules {
			if rule.Metadata.Namespace != where || !within(host, fqdn(rule.Spec.Host, where)) {
				continue
			}
			upgrade = upgrade || rule.Spec.TrafficPolicy.ConnectionPool.HTTP.H2UpgradePolicy == "UPGRADE"
			for _, one := range rule.Spec.Subsets {
				if one.Name == name {
					return one.Labels, upgrade, true
				}
			}
		}
	}
	return nil, upgrade, name == ""
}

// find is the route for a request on a port; nil when there is none.
func (t table) find(port int, r *http.Request) (*virtualHost, *route) {
	host := t.host(port, strings.ToLower(r.Host))
	if host == nil {
		return nil, nil
	}
	for _, one := range host.routes {
		if one.match.matches(r) {
			return host, one
		}
	}
	return host, nil
}

// host is the virtual host with the longest name that fits: as it is, then *.suffix, then *.
func (t table) host(port int, authority string) *virtualHost {
	hosts := t.ports[port]
	for _, name := range []string{authority, strings.TrimSuffix(authority, fmt.Sprintf(":%d", port))} {
		if found := hosts[name]; found != nil {
			return found
		}
		for at := 1; at < len(name); at++ {
			if found := hosts["*"+name[at:]]; found != nil {
				return found
			}
		}
	}
	return hosts["*"]
}

func (m *httpMatch) matches(r *http.Request) bool {
	if m == nil {
		return true
	}
	path := rawPath(r)
	if m.URI != nil {
		uri := *m.URI
		if m.IgnoreURICase && uri.Regex == "" {
			path, uri.Exact, uri.Prefix = strings.ToLower(path), strings.ToLower(uri.Exact), strings.ToLower(uri.Prefix)
		}
		if !uri.matches(path) {
			return false
		}
	}
	if !m.Scheme.matches("http") || !m.Method.matches(r.Method) || !m.Authority.matches(r.Host) {
		return false
	}
	for name, want := range m.Headers {
		got, found := headerOf(r, name)
		if !found || want != nil && *want != (stringMatch{}) && !want.matches(got) { // {} asks for no more than that it is there
			return false
		}
	}
	if len(m.QueryParams) > 0 {
		query, _ := url.ParseQuery(r.URL.RawQuery)
		for name, want := range m.QueryParams {
			if !query.Has(name) || !want.matches(query.Get(name)) {
				return false
			}
		}
	}
	return true
}

func headerOf(r *http.Request, name string) (string, bool) {
	switch strings.ToLower(name) {
	case ":authority", "host":
		return r.Host, true
	case ":method":
		return r.Method, true
	case ":path":
		return r.URL.RequestURI(), true
	case ":scheme":
		return "http", true
	}
	values := r.Header.Values(name)
	return strings.Join(values, ","), len(values) > 0
}

// rawPath is the path as it was sent, without the query.
func rawPath(r *http.Request) string { return r.URL.EscapedPath() }
