package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
)

const trouble = "You may be having network problems."

func panics(format string, values ...any) error {
	return &refusal{level: "PANIC", text: fmt.Sprintf(format, values...)}
}

// register makes a runner of the server's, or takes one whose token is there, and writes it down.
func register(arguments []string) error {
	g, err := parse(arguments)
	if err != nil {
		return err
	}
	config, err := loadConfig(g.config())
	if err != nil {
		return err
	}
	if err := g.complete(); err != nil {
		return err
	}
	server, err := open(g.text("url"), certificateOf(config, g))
	if err != nil {
		return panics("%s", err)
	}
	own := g.text("token") == ""
	if own {
		err = g.register(server)
	} else {
		err = g.check(server)
	}
	if err != nil {
		return err
	}
	if err := g.fill(); err != nil {
		if own && !g.yes("leave-runner", false) {
			server.unregister(g.text("token"))
		}
		return err
	}
	if err := config.save(append(config.tables(), g.table)); err != nil {
		return err
	}
	line("", "Runner registered successfully. Feel free to start it, but if it's running already the config should be automatically reloaded!")
	return nil
}

// complete takes what is not said from where the real one takes it; it never asks.
func (g *given) complete() error {
	if g.text("url") == "" {
		return panics("The url needs to be entered")
	}
	if g.text("token") == "" && g.words["registration-token"] == "" {
		return panics("The registration-token needs to be entered")
	}
	if g.text("name") == "" {
		g.table["name"], _ = os.Hostname()
	}
	return nil
}

// certificateOf is the CA's file, as the runner will have it once it is written down.
func certificateOf(config *Config, g *given) string {
	r := &Runner{URL: g.text("url"), CAFile: g.text("tls-ca-file")}
	r.complete(certificates(config), table{})
	return r.CAFile
}

// register asks for a runner with the registration token.
func (g *given) register(server *Server) error {
	token := g.words["registration-token"]
	tags := []string{}
	for _, tag := range strings.Split(g.words["tag-list"], ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	body := table{"token": token, "description": g.text("name"), "tag_list": strings.Join(tags, ","),
		"run_untagged": g.yes("run-untagged", false) || len(tags) == 0, "locked": g.yes("locked", true), "active": !g.yes("paused", false), "info": info(false)}
	if level := g.words["access-level"]; level != "" {
		body["access_level"] = level
	}
	if most, _ := strconv.Atoi(g.words["maximum-timeout"]); most > 0 {
		body["maximum_timeout"] = most
	}
	said := server.ask(context.Background(), http.MethodPost, "runners", body, nil)
	var made struct{ Token string }
	about := []any{"runner", short(token)}
	switch {
	case said.status == http.StatusCreated && said.json() && json.Unmarshal(said.body, &made) == nil && made.Token != "":
		line("", "Registering runner... succeeded", about...)
		g.table["token"] = made.Token
		return nil
	case said.status == http.StatusCreated:
		line("ERROR", "Registering runner... failed", append(about, "status", "server should return application/json. Got: "+said.headers.Get("Content-Type"))...)
	case said.status == http.StatusForbidden:
		line("ERROR", "Registering runner... forbidden (check registration token)", about...)
	default:
		line("ERROR", "Registering runner... failed", said.fields(about...)...)
	}
	return panics("Failed to register the runner. %s", trouble)
}

// check asks whether the server knows the token that was given.
func (g *given) check(server *Server) error {
	line("", "Token specified trying to verify runner...")
	line("WARNING", "If you want to register use the '-r' instead of '-t'.")
	if !server.verify(g.text("token")) {
		return panics("Failed to verify the runner. %s", trouble)
	}
	return nil
}

// fill looks at the executor and takes the rest from the template.
func (g *given) fill() error {
	switch executor := g.text("executor"); executor {
	case "kubernetes":
	case "":
		return panics("The executor needs to be entered")
	default: // this stand-in has the one
		return panics("Invalid executor specified")
	}
	path := g.words["template-config"]
	if path == "" {
		return nil
	}
	line("", fmt.Sprintf("Merging configuration from template file %q", path))
	template, err := readTemplate(path)
	if err == nil {
		merge(g.table, template)
	}
	return err
}

// verify tells whether the server knows a runner: only its "forbidden" says no.
func (s *Server) verify(token string) bool {
	said := s.ask(context.Background(), http.MethodPost, "runners/verify", table{"token": token}, nil)
	about := []any{"runner", short(token)}
	switch said.status {
	case http.StatusOK:
		line("", "Verifying runner... is alive", about...)
	case http.StatusForbidden:
		line("ERROR", "Verifying runner... is removed", about...)
	case 0:
		line("ERROR", "Verifying runner... error", said.fields(about...)...)
	default:
		line("WARNING", "Verifying runner... failed", said.fields(about...)...)
	}
	return said.status != http.StatusForbidden
}

func (s *Server) unregister(token string) bool {
	said := s.ask(context.Background(), http.MethodDelete, "runners", table{"token": token}, nil)
	about := []any{"runner", short(token)}
	switch said.status {
	case http.StatusNoContent:
		line("", "Unregistering runner from GitLab succeeded", about...)
	case http.StatusForbidden:
		line("ERROR", "Unregistering runner from GitLab forbidden", about...)
	default:
		line("ERROR", "Unregistering runner from GitLab failed", said.fields(about...)...)
	}
	return said.status == http.StatusNoContent
}

// --- the runners that are written down ---

// written reads the flags and the file: the runners that are meant, by name or by address and token, or all of them.
func written(arguments []string) (g *given, config *Config, meant []bool, err error) {
	if g, err = parse(translated(arguments)); err != nil {
		return
	}
	if config, err = loadConfig(g.config()); err != nil {
		return
	}
	name, address, token := flagged(arguments, "name"), flagged(arguments, "url"), flagged(arguments, "token")
	for _, r := range config.Runners {
		meant = append(meant, (name == "" || r.Name == name) && (address == "" || r.URL == address) && (token == "" || r.Token == token))
	}
	return
}

// translated: -n is the name here.
func translated(arguments []string) []string {
	out := []string{}
	for _, word := range arguments {
		if word == "-n" {
			word = "--name"
		}
		out = append(out, word)
	}
	return out
}

// flagged is a flag's value, without what the environment says: that is for register.
func flagged(arguments []string, name string) string {
	words := translated(arguments)
	for i, word := range words {
		o, _ := find(strings.TrimLeft(strings.SplitN(word, "=", 2)[0], "-"))
		if o.flag != name {
			continue
		}
		if _, value, has := strings.Cut(word, "="); has {
			return value
		}
		if i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

func list(arguments []string) error {
	_, config, _, err := written(arguments)
	if err != nil {
		return err
	}
	line("", "Listing configured runners", "ConfigFile", config.path)
	for _, r := range config.Runners {
		line("", r.Name, "Executor", r.Executor, "Token", r.Token, "URL", r.URL)
	}
	return nil
}

func verify(arguments []string) error {
	g, config, meant, err := written(arguments)
	if err != nil {
		return err
	}
	kept, asked := []table{}, 0
	for i, r := range config.Runners {
		alive := true
		if meant[i] {
			asked++
			server, err := open(r.URL, r.CAFile)
			alive = err != nil || server.verify(r.Token)
		}
		if alive {
			kept = append(kept, config.tables()[i])
		}
	}
	switch {
	case asked == 0:
		return fmt.Errorf("no runner matches the filtering parameters")
	case len(kept) == len(config.Runners):
		return nil
	case !g.yes("delete", false):
		return fmt.Errorf("Failed to verify runners")
	}
	return config.update(kept)
}

func unregister(arguments []string) error {
	g, config, meant, err := written(arguments)
	if err != nil {
		return err
	}
	all := g.yes("all-runners", false)
	if all {
		line("WARNING", "Unregistering all runners")
	} else if flagged(arguments, "name") == "" && flagged(arguments, "token") == "" {
		return fmt.Errorf("at least one runner must be specified")
	}
	kept, gone := []table{}, 0
	for i, r := range config.Runners {
		if all || meant[i] {
			server, err := open(r.URL, r.CAFile)
			if err == nil && server.unregister(r.Token) {
				gone++
				continue
			}
			line("ERROR", "Failed to unregister runner "+r.Name)
			if !all {
				return fmt.Errorf("Failed to unregister runner %s", r.Name)
			}
		}
		kept = append(kept, config.tables()[i])
	}
	if gone == 0 && !all {
		return fmt.Errorf("no runner matches the filtering parameters")
	}
	return config.update(kept)
}

// update writes what is left.
func (c *Config) update(kept []table) error {
	err := c.save(kept)
	if err == nil {
		line("", "Updated "+c.path)
	}
	return err
}
