package fakecloud

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Binding gives a role to members, on condition of Condition unless nil.
type Binding struct {
	Role      string     `json:"role"`
	Members   []string   `json:"members"`
	Condition *Condition `json:"condition,omitempty"`
}

// A Condition is an expression in the Common Expression Language.
type Condition struct {
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	Expression  string `json:"expression"`
}

// policy is a resource's. A write has to bring the etag that was read.
type policy struct {
	Version  int       `json:"version"`
	Etag     string    `json:"etag,omitempty"`
	Bindings []Binding `json:"bindings,omitempty"`
}

// Bindings are those of a resource: projects/P, secrets/ID or services/NAME.
func (c *Cloud) Bindings(resource string) []Binding {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.policy(resource).Bindings)
}

// SetBindings replaces them, unchecked.
func (c *Cloud) SetBindings(resource string, bindings ...Binding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.policy(resource)
	p.Bindings = bindings
	p.Etag = c.etag()
}

// policy is that of a resource, made when it is first asked for.
func (c *Cloud) policy(resource string) *policy {
	if c.policies[resource] == nil {
		c.policies[resource] = &policy{Version: 1, Etag: c.etag()}
	}
	return c.policies[resource]
}

// etag is base64, which gcloud checks.
func (c *Cloud) etag() string { return fmt.Sprintf("BwX%05d", c.next()) }

// setPolicy answers setIamPolicy.
func (c *Cloud) setPolicy(resource string, r *http.Request) (any, *apiError) {
	var in struct {
		Policy     policy `json:"policy"`
		UpdateMask string `json:"updateMask"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	p := c.policy(resource)
	if in.Policy.Etag != p.Etag {
		return nil, &apiError{http.StatusConflict, "ABORTED", "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."}
	}
	for _, b := range in.Policy.Bindings {
		if err := c.checkBinding(b, in.Policy.Version); err != nil {
			return nil, err
		}
	}
	p.Version, p.Bindings, p.Etag = in.Policy.Version, in.Policy.Bindings, c.etag()
	return p, nil
}

func (c *Cloud) checkBinding(b Binding, version int) *apiError {
	if b.Condition != nil && version != 3 {
		return invalid("Conditions need a policy of version 3.")
	}
	if !strings.HasPrefix(b.Role, "roles/") {
		return invalid("Role %s is not supported for this resource.", b.Role)
	}
	for _, member := range b.Members {
		email, isAccount := strings.CutPrefix(member, "serviceAccount:")
		if _, exists := c.accounts[email]; isAccount && !exists {
			return invalid("Service account %s does not exist.", email)
		}
	}
	return nil
}

// policyVerb answers the part of a path after the colon.
func (c *Cloud) policyVerb(verb, resource string, r *http.Request) (any, *apiError) {
	switch verb {
	case "getIamPolicy":
		return c.policy(resource), nil
	case "setIamPolicy":
		return c.setPolicy(resource, r)
	}
	return nil, &apiError{http.StatusNotImplemented, "UNIMPLEMENTED", "fakecloud does not know the method " + verb}
}

// Accounts are the e-mail addresses of the service accounts that were made,
// sorted.
func (c *Cloud) Accounts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var made []string
	for email := range c.accounts {
		if email != DefaultBuilder {
			made = append(made, email)
		}
	}
	slices.Sort(made)
	return made
}

var accountID = regexp.MustCompile(`^[a-z]([-a-z0-9]{4,28}[a-z0-9])$`)

func (c *Cloud) routeAccounts(mux *http.ServeMux) {
	c.handle(mux, "GET /iam/v1/projects/{project}/serviceAccounts", func(*http.Request) (any, *apiError) {
		list := []object{}
		for email, name := range c.accounts {
			list = append(list, c.accountResource(email, name))
		}
		return object{"accounts": list}, nil
	})
	c.handle(mux, "POST /iam/v1/projects/{project}/serviceAccounts", func(r *http.Request) (any, *apiError) {
		var in struct {
			AccountID      string `json:"accountId"`
			ServiceAccount struct {
				DisplayName string `json:"displayName"`
				Description string `json:"description"`
			} `json:"serviceAccount"`
		}
		if err := read(r, &in); err != nil {
			return nil, err
		}
		if !accountID.MatchString(in.AccountID) {
			return nil, invalid("%q is not a service account ID.", in.AccountID)
		}
		email := in.AccountID + "@" + c.options.Project + ".iam.gserviceaccount.com"
		if _, exists := c.accounts[email]; exists {
			return nil, alreadyExists("Service account " + in.AccountID)
		}
		c.accounts[email] = in.ServiceAccount.DisplayName
		return c.accountResource(email, in.ServiceAccount.DisplayName), nil
	})
	c.handle(mux, "DELETE /iam/v1/projects/{project}/serviceAccounts/{email}", func(r *http.Request) (any, *apiError) {
		email := r.PathValue("email")
		if _, exists := c.accounts[email]; !exists {
			return nil, notFound("Service account " + email)
		}
		delete(c.accounts, email)
		c.buryAccount(email)
		return object{}, nil
	})
}

func (c *Cloud) accountResource(email, name string) object {
	return object{"name": "projects/" + c.options.Project + "/serviceAccounts/" + email, "email": email, "displayName": name}
}

// buryAccount renames a deleted account in all policies, as Google does: a new
// one of the same name gets none of its roles.
func (c *Cloud) buryAccount(email string) {
	uid := strconv.Itoa(c.next())
	for _, p := range c.policies {
		for _, b := range p.Bindings {
			for i, member := range b.Members {
				if member == "serviceAccount:"+email {
					b.Members[i] = "deleted:" + member + "?uid=" + uid
				}
			}
		}
	}
}
