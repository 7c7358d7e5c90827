package fakecloud

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// routeProject serves the project itself, its policy and the services enabled.
func (c *Cloud) routeProject(mux *http.ServeMux) {
	c.handle(mux, "GET /cloudresourcemanager/v1/projects/{project}", func(r *http.Request) (any, *apiError) {
		if r.PathValue("project") != c.options.Project {
			return nil, &apiError{http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission"}
		}
		return object{"projectId": c.options.Project, "projectNumber": Number, "lifecycleState": "ACTIVE"}, nil
	})
	c.handle(mux, "POST /cloudresourcemanager/v1/projects/{project}", func(r *http.Request) (any, *apiError) {
		id, verb, _ := strings.Cut(r.PathValue("project"), ":")
		return c.policyVerb(verb, "projects/"+id, r)
	})
	c.handle(mux, "GET /serviceusage/v1/projects/{project}/services", func(*http.Request) (any, *apiError) {
		list := []object{}
		for _, name := range slices.Sorted(maps.Keys(c.services)) {
			list = append(list, c.serviceResource(name))
		}
		return object{"services": list}, nil
	})
	c.handle(mux, "GET /serviceusage/v1/projects/{project}/services/{service}", func(r *http.Request) (any, *apiError) {
		return c.serviceResource(r.PathValue("service")), nil
	})
	enable := func(names ...string) object {
		for _, name := range names {
			c.services[name] = true
		}
		return object{"name": "operations/enable", "done": true, "response": object{}}
	}
	c.handle(mux, "POST /serviceusage/v1/projects/{project}/services/{service}", func(r *http.Request) (any, *apiError) {
		name, _ := strings.CutSuffix(r.PathValue("service"), ":enable")
		return enable(name), nil
	})
	c.handle(mux, "POST /serviceusage/v1/projects/{project}/services:batchEnable", func(r *http.Request) (any, *apiError) {
		var in struct {
			ServiceIDs []string `json:"serviceIds"`
		}
		if err := read(r, &in); err != nil {
			return nil, err
		}
		if len(in.ServiceIDs) == 0 || len(in.ServiceIDs) > 20 {
			return nil, invalid("A batch has 1 to 20 services.")
		}
		return enable(in.ServiceIDs...), nil
	})
}

func (c *Cloud) serviceResource(name string) object {
	state := "DISABLED"
	if c.services[name] {
		state = "ENABLED"
	}
	return object{"name": "projects/" + Number + "/services/" + name, "config": object{"name": name}, "state": state}
}
