package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/api/cloudfunctions/v2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"example.com/gmailgrant/internal/site"
)

const (
	cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
	// apiTimeout bounds a call to one of Google's APIs.
	apiTimeout = 20 * time.Second
)

// api are the options of a client of one of Google's APIs over HTTP.
func (d *doctor) api() []option.ClientOption {
	if d.google != nil {
		return d.google
	}
	return []option.ClientOption{option.WithScopes(cloudPlatform)}
}

// readFunctions reads what is deployed, and takes the settings from there.
func (d *doctor) readFunctions(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	service, err := cloudfunctions.NewService(ctx, d.api()...)
	if err != nil {
		d.fail("functions", "no client of the Cloud Functions API: %v", err)
		return false
	}
	deployed := make(map[string]*cloudfunctions.Function)
	for _, name := range site.Functions {
		path := fmt.Sprintf("projects/%s/locations/%s/functions/%s", d.project, d.region, name)
		f, err := service.Projects.Locations.Functions.Get(path).Context(ctx).Do()
		if err != nil {
			d.fail("function "+name, "can't be read in %s of %s: %s", d.region, d.project, cause(err, "deploy it with deploy/deploy.sh, or correct -project and -region"))
			continue
		}
		deployed[name] = f
		d.group("function "+name, "is deployed and active", func() { d.checkFunction(name, f) })
	}
	if len(deployed) < len(site.Functions) {
		return false
	}
	d.variables = variablesOf(deployed[site.Functions[0]])
	d.timeout = time.Duration(deployed["listmessages"].ServiceConfig.TimeoutSeconds) * time.Second
	return d.checkSame(deployed)
}

// cause says why a call of an API failed, and what to do about it. missing is
// what to do if there is nothing of that name.
func cause(err error, missing string) string {
	ge, ok := errors.AsType[*googleapi.Error](err)
	switch {
	case !ok:
		return err.Error()
	case strings.Contains(ge.Message, "quota project"):
		return fmt.Sprintf("%d %s: gcloud auth application-default set-quota-project names one", ge.Code, ge.Message)
	case ge.Code == http.StatusNotFound:
		return "not found: " + missing
	case ge.Code == http.StatusForbidden || ge.Code == http.StatusUnauthorized:
		return fmt.Sprintf("%d %s: the account of your credentials needs the role viewer, and the API has to be enabled", ge.Code, ge.Message)
	}
	return fmt.Sprintf("%d %s", ge.Code, ge.Message)
}

// checkFunction looks at how a function is deployed, settings aside.
func (d *doctor) checkFunction(name string, f *cloudfunctions.Function) {
	if f.BuildConfig == nil {
		f.BuildConfig = &cloudfunctions.BuildConfig{}
	}
	if f.ServiceConfig == nil {
		f.ServiceConfig = &cloudfunctions.ServiceConfig{}
	}
	check := "function " + name
	if f.State != "ACTIVE" {
		d.fail(check, "is %s%s: deploy it again", f.State, messages(f))
	}
	if entry := f.BuildConfig.EntryPoint; entry != name {
		d.fail(check, "its entry point is %q: deploy it with --entry-point=%s", entry, name)
	}
	if ingress := f.ServiceConfig.IngressSettings; ingress != "" && ingress != "ALLOW_ALL" {
		d.warn(check, "takes calls by %s only: browsers reach it if BASE_URL is that of a load balancer in front of it", ingress)
	}
	if account := f.ServiceConfig.ServiceAccountEmail; strings.HasSuffix(account, "-compute@developer.gserviceaccount.com") {
		d.warn(check, "runs as the project's default account, which may do much more than it needs: deploy/deploy.sh makes an account for each function")
	}
}

func messages(f *cloudfunctions.Function) string {
	var text strings.Builder
	for _, m := range f.StateMessages {
		text.WriteString(" (" + m.Message + ")")
	}
	return text.String()
}

func variablesOf(f *cloudfunctions.Function) map[string]string {
	return f.ServiceConfig.EnvironmentVariables
}

// checkSame: the functions open what the others sealed, and send browsers to one
// another.
func (d *doctor) checkSame(deployed map[string]*cloudfunctions.Function) bool {
	same := true
	first, others := site.Functions[0], site.Functions[1:]
	for _, name := range settings {
		var different []string
		for _, other := range others {
			if variablesOf(deployed[other])[name] != variablesOf(deployed[first])[name] {
				different = append(different, other)
			}
		}
		if len(different) > 0 {
			d.fail(name, "is not the same in %s as in %s: deploy them with the same settings", strings.Join(different, " and "), first)
			same = false
		}
	}
	return same
}
