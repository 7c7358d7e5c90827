package fakecloud

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Function is a deployed one, as the API has it.
type Function struct {
	Name          string            `json:"name"` // projects/P/locations/REGION/functions/ID
	Labels        map[string]string `json:"labels"`
	BuildConfig   BuildConfig       `json:"buildConfig"`
	ServiceConfig ServiceConfig     `json:"serviceConfig"`

	// Archive is the source that was uploaded, a ZIP file.
	Archive []byte `json:"-"`
}

// BuildConfig says how a function is built.
type BuildConfig struct {
	EntryPoint           string            `json:"entryPoint"`
	Runtime              string            `json:"runtime"`
	ServiceAccount       string            `json:"serviceAccount"`
	EnvironmentVariables map[string]string `json:"environmentVariables"`
	Source               struct {
		StorageSource storageSource `json:"storageSource"`
	} `json:"source"`
}

// ServiceConfig says how a function runs.
type ServiceConfig struct {
	AvailableCPU         string            `json:"availableCpu"`
	AvailableMemory      string            `json:"availableMemory"`
	Concurrency          int               `json:"maxInstanceRequestConcurrency"`
	MaxInstanceCount     int               `json:"maxInstanceCount"`
	TimeoutSeconds       int               `json:"timeoutSeconds"`
	ServiceAccountEmail  string            `json:"serviceAccountEmail"`
	AllTrafficOnLatest   bool              `json:"allTrafficOnLatestRevision"`
	EnvironmentVariables map[string]string `json:"environmentVariables"`
	Service              string            `json:"service"`
}

type storageSource struct {
	Bucket string `json:"bucket"`
	Object string `json:"object"`
}

// ID is the last part of the name.
func (f *Function) ID() string { return f.Name[strings.LastIndex(f.Name, "/")+1:] }

// Region is where the function runs.
func (f *Function) Region() string { return strings.Split(f.Name, "/")[3] }

// operation is one of the functions API. It is asked for until done is closed.
type operation struct {
	name string
	done chan struct{}
	err  error
}

// Functions are all there are, sorted by name.
func (c *Cloud) Functions() []*Function {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*Function
	for _, name := range slices.Sorted(maps.Keys(c.functions)) {
		list = append(list, c.functions[name])
	}
	return list
}

// AddFunction makes one that deploying has not made.
func (c *Cloud) AddFunction(region, id string, labels map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &Function{Name: "projects/" + c.options.Project + "/locations/" + region + "/functions/" + id, Labels: labels}
	c.functions[f.Name] = f
}

// Public reports whether anybody may call a function.
func (c *Cloud) Public(id string) bool {
	return slices.ContainsFunc(c.Bindings("services/"+id), func(b Binding) bool {
		return b.Role == "roles/run.invoker" && slices.Contains(b.Members, "allUsers")
	})
}

func (c *Cloud) routeFunctions(mux *http.ServeMux) {
	const location = "/cloudfunctions/v2/projects/{project}/locations/{region}"
	c.handle(mux, "GET "+location+"/runtimes", func(*http.Request) (any, *apiError) {
		return object{"runtimes": []object{{"name": "go126", "environment": "GEN_2", "stage": "GA"}}}, nil
	})
	c.handle(mux, "GET "+location+"/functions", func(r *http.Request) (any, *apiError) {
		list := []object{}
		for _, name := range slices.Sorted(maps.Keys(c.functions)) {
			if region := r.PathValue("region"); region == "-" || region == c.functions[name].Region() {
				list = append(list, c.functionResource(c.functions[name]))
			}
		}
		return object{"functions": list}, nil
	})
	c.handle(mux, "GET "+location+"/functions/{function}", func(r *http.Request) (any, *apiError) {
		f := c.functions[functionName(r)]
		if f == nil {
			return nil, notFound("Resource '" + functionName(r) + "'")
		}
		return c.functionResource(f), nil
	})
	c.handle(mux, "POST "+location+"/functions:generateUploadUrl", func(r *http.Request) (any, *apiError) {
		source := storageSource{"gcf-v2-uploads-" + Number + "-" + r.PathValue("region"), strconv.Itoa(c.next()) + ".zip"}
		return object{"uploadUrl": "http://" + c.Addr() + "/upload/" + source.Object, "storageSource": source}, nil
	})
	c.handle(mux, "PUT /upload/{object}", func(r *http.Request) (any, *apiError) {
		c.uploads[r.PathValue("object")], _ = io.ReadAll(r.Body) // it is in memory
		return object{}, nil
	})
	c.handle(mux, "POST "+location+"/functions", func(r *http.Request) (any, *apiError) {
		name := functionName(r) + r.URL.Query().Get("functionId")
		if c.functions[name] != nil {
			return nil, alreadyExists("Resource '" + name + "'")
		}
		return c.deployFunction(name, &Function{}, nil, r)
	})
	c.handle(mux, "PATCH "+location+"/functions/{function}", func(r *http.Request) (any, *apiError) {
		f := c.functions[functionName(r)]
		if f == nil {
			return nil, notFound("Resource '" + functionName(r) + "'")
		}
		return c.deployFunction(f.Name, f, strings.Split(r.URL.Query().Get("updateMask"), ","), r)
	})
	c.handle(mux, "DELETE "+location+"/functions/{function}", func(r *http.Request) (any, *apiError) {
		f := c.functions[functionName(r)]
		if f == nil {
			return nil, notFound("Resource '" + functionName(r) + "'")
		}
		delete(c.functions, f.Name)
		delete(c.policies, "services/"+f.ID())
		return c.begin(r, func() error {
			if c.options.Remove != nil {
				c.options.Remove(f)
			}
			return nil
		}), nil
	})
	mux.HandleFunc("GET "+location+"/operations/{operation}", c.waitForOperation)
	c.handle(mux, "GET /cloudbuild/v1/projects/{project}/locations/{region}/defaultServiceAccount", func(*http.Request) (any, *apiError) {
		return object{"serviceAccountEmail": "projects/" + c.options.Project + "/serviceAccounts/" + DefaultBuilder}, nil
	})
	const service = "/run/v1/projects/{project}/locations/{region}/services/{service}"
	servicePolicy := func(r *http.Request) (any, *apiError) {
		id, verb, _ := strings.Cut(r.PathValue("service"), ":")
		return c.policyVerb(verb, "services/"+id, r)
	}
	c.handle(mux, "GET "+service, servicePolicy)
	c.handle(mux, "POST "+service, servicePolicy)
}

func functionName(r *http.Request) string {
	return "projects/" + r.PathValue("project") + "/locations/" + r.PathValue("region") + "/functions/" + r.PathValue("function")
}

// deployFunction makes or changes a function: all of it without a mask.
func (c *Cloud) deployFunction(name string, old *Function, mask []string, r *http.Request) (any, *apiError) {
	var sent object
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		return nil, invalid("%v", err)
	}
	f, err := merge(old, sent, mask)
	if err != nil {
		return nil, invalid("%v", err)
	}
	f.Name = name
	f.ServiceConfig.Service = strings.Replace(name, "/functions/", "/services/", 1)
	if err := c.checkFunction(f); err != nil {
		return nil, err
	}
	f.Archive = c.uploads[f.BuildConfig.Source.StorageSource.Object]
	c.functions[name] = f
	return c.begin(r, func() error {
		if c.options.Deploy == nil {
			return nil
		}
		return c.options.Deploy(f)
	}), nil
}

// merge returns what was sent, or with a mask the old function with the fields
// replaced that it names.
func merge(old *Function, sent object, mask []string) (*Function, error) {
	merged := sent
	if mask != nil {
		merged = object{}
		if err := convert(old, &merged); err != nil {
			return nil, err
		}
		for _, path := range mask {
			replace(merged, sent, strings.Split(camelCase(path), "."))
		}
	}
	f := new(Function)
	return f, convert(merged, f)
}

func convert(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func replace(into, from object, path []string) {
	name := path[0]
	if len(path) == 1 {
		into[name] = from[name]
		return
	}
	inner, _ := from[name].(object)
	target, ok := into[name].(object)
	if !ok {
		target = object{}
		into[name] = target
	}
	replace(target, inner, path[1:])
}

var underscored = regexp.MustCompile(`_[a-z]`)

func camelCase(path string) string {
	return underscored.ReplaceAllStringFunc(path, func(s string) string { return strings.ToUpper(s[1:]) })
}

func (c *Cloud) checkFunction(f *Function) *apiError {
	cpu, _ := strconv.ParseFloat(f.ServiceConfig.AvailableCPU, 64)
	_, uploaded := c.uploads[f.BuildConfig.Source.StorageSource.Object]
	_, account := c.accounts[f.ServiceConfig.ServiceAccountEmail]
	switch {
	case f.BuildConfig.Runtime != "go126" || f.BuildConfig.EntryPoint == "":
		return invalid("Runtime and entry point are needed.")
	case !uploaded:
		return invalid("The source is not there.")
	case !account:
		return invalid("Service account %s does not exist.", f.ServiceConfig.ServiceAccountEmail)
	case f.ServiceConfig.Concurrency > 1 && cpu < 1:
		return invalid("Concurrency greater than 1 needs at least 1 CPU.")
	}
	return nil
}

func (c *Cloud) functionResource(f *Function) object {
	resource := object{}
	if err := convert(f, &resource); err != nil {
		panic(err) // strings, numbers and maps of strings always convert
	}
	resource["environment"], resource["state"] = "GEN_2", "ACTIVE"
	resource["url"] = fmt.Sprintf("https://%s-%s.cloudfunctions.net/%s", f.Region(), c.options.Project, f.ID())
	return resource
}

// begin runs what an operation does. c.mu is held, but not while it runs.
func (c *Cloud) begin(r *http.Request, do func() error) object {
	id := "operation-" + strconv.Itoa(c.next())
	op := &operation{
		name: "projects/" + r.PathValue("project") + "/locations/" + r.PathValue("region") + "/operations/" + id,
		done: make(chan struct{}),
	}
	c.operations[id] = op
	go func() {
		defer close(op.done)
		op.err = do()
	}()
	return object{"name": op.name, "done": false}
}

// waitForOperation answers once the operation has ended, so that gcloud need not
// ask again.
func (c *Cloud) waitForOperation(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	op := c.operations[r.PathValue("operation")]
	c.mu.Unlock()
	if op == nil {
		writeError(w, notFound("operation"))
		return
	}
	select {
	case <-op.done:
	case <-r.Context().Done():
		return
	}
	stage := object{"name": "SERVICE", "state": "COMPLETE"}
	answer := object{"name": op.name, "done": true, "metadata": object{"stages": []object{stage}}}
	if op.err != nil {
		answer["error"] = object{"code": 3, "message": op.err.Error()}
	}
	write(w, http.StatusOK, marshal(answer))
}
