package main

import (
	"context"
	"encoding/json"
	"net/url"

	"runbook/incluster"
)

// Object is anything of Kubernetes'.
type Object = map[string]any

// API is the cluster's, asked as the pod's service account.
type API struct{ *incluster.Client }

// do asks and decodes the answer.
func (a API) do(method, path string, body any) (Object, error) {
	var found Object
	err := a.Do(context.Background(), method, path, body, &found)
	return found, err
}

// watch calls changed with each object that there is, and again whenever one changes; it does not return.
func (a API) watch(path, selector string, changed func(Object)) {
	if selector != "" {
		path += "?labelSelector=" + url.QueryEscape(selector)
	}
	a.Follow(context.Background(), path, func(event incluster.Event) {
		var object Object
		if err := json.Unmarshal(event.Object, &object); err != nil {
			say("error", "read "+path, "error", err)
			return
		}
		changed(object)
	}, func(err error) { say("error", "watch "+path, "error", err) })
}

// at is the value below these keys, nil where there is none.
func at(object any, keys ...string) any {
	for _, key := range keys {
		inner, _ := object.(Object)
		object = inner[key]
	}
	return object
}

func text(object any, keys ...string) string {
	found, _ := at(object, keys...).(string)
	return found
}

func number(object any, keys ...string) int {
	switch found := at(object, keys...).(type) {
	case float64:
		return int(found)
	case int:
		return found
	}
	return 0
}

func list(object any, keys ...string) []any {
	found, _ := at(object, keys...).([]any)
	return found
}

// plain is a value as JSON has it: what is built here and what was read compare alike.
func plain(value any) any {
	raw, _ := json.Marshal(value)
	var found any
	json.Unmarshal(raw, &found)
	return found
}

func copied(object Object) Object { return plain(object).(Object) }
