package fakecloud

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// version is one of a secret.
type version struct {
	payload []byte
	state   string
}

// SecretVersions are the payloads of a secret, oldest first; nil if there is no
// such secret.
func (c *Cloud) SecretVersions(name string) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var payloads [][]byte
	for _, v := range c.secrets[name] {
		payloads = append(payloads, v.payload)
	}
	return payloads
}

// HasSecret reports whether there is a secret, versions or not.
func (c *Cloud) HasSecret(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, exists := c.secrets[name]
	return exists
}

// AddSecret makes one that deploying has not made, with these versions.
func (c *Cloud) AddSecret(name string, payloads ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets[name] = nil
	for _, payload := range payloads {
		c.secrets[name] = append(c.secrets[name], &version{payload, "ENABLED"})
	}
}

// DisableSecret disables the newest version of a secret.
func (c *Cloud) DisableSecret(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	versions := c.secrets[name]
	versions[len(versions)-1].state = "DISABLED"
}

func (c *Cloud) secretResource(name string) string {
	return "projects/" + Number + "/secrets/" + name
}

func (c *Cloud) versionResource(secret string, number int) object {
	return object{
		"name":       fmt.Sprintf("%s/versions/%d", c.secretResource(secret), number),
		"state":      c.secrets[secret][number-1].state,
		"createTime": fmt.Sprintf("2026-11-21T09:%02d:00Z", number%60),
	}
}

func (c *Cloud) routeSecrets(mux *http.ServeMux) {
	const secrets = "/secretmanager/v1/projects/{project}/secrets"
	c.handle(mux, "GET "+secrets, func(*http.Request) (any, *apiError) {
		list := []object{}
		for name := range c.secrets {
			list = append(list, object{"name": c.secretResource(name)})
		}
		return object{"secrets": list, "totalSize": len(list)}, nil
	})
	c.handle(mux, "POST "+secrets, func(r *http.Request) (any, *apiError) {
		name := r.URL.Query().Get("secretId")
		if _, exists := c.secrets[name]; exists {
			return nil, alreadyExists("Secret [" + c.secretResource(name) + "]")
		}
		c.secrets[name] = nil
		return object{"name": c.secretResource(name)}, nil
	})
	c.handle(mux, "GET "+secrets+"/{secret}", func(r *http.Request) (any, *apiError) { return c.secretVerb(r) })
	c.handle(mux, "POST "+secrets+"/{secret}", func(r *http.Request) (any, *apiError) { return c.secretVerb(r) })
	c.handle(mux, "DELETE "+secrets+"/{secret}", func(r *http.Request) (any, *apiError) {
		name := r.PathValue("secret")
		if _, exists := c.secrets[name]; !exists {
			return nil, notFound("Secret [" + c.secretResource(name) + "]")
		}
		delete(c.secrets, name)
		delete(c.policies, "secrets/"+name)
		return object{}, nil
	})
	c.handle(mux, "GET "+secrets+"/{secret}/versions", func(r *http.Request) (any, *apiError) {
		name := r.PathValue("secret")
		if _, exists := c.secrets[name]; !exists {
			return nil, notFound("Secret [" + c.secretResource(name) + "]")
		}
		list := []object{}
		for i := range c.secrets[name] {
			list = append(list, c.versionResource(name, i+1))
		}
		slices.Reverse(list)
		return object{"versions": list, "totalSize": len(list)}, nil
	})
	c.handle(mux, "GET "+secrets+"/{secret}/versions/{version}", func(r *http.Request) (any, *apiError) {
		number, _ := strings.CutSuffix(r.PathValue("version"), ":access")
		return c.accessSecret(r.PathValue("secret"), number)
	})
}

func (c *Cloud) secretVerb(r *http.Request) (any, *apiError) {
	name, verb, _ := strings.Cut(r.PathValue("secret"), ":")
	if _, exists := c.secrets[name]; !exists {
		return nil, notFound("Secret [" + c.secretResource(name) + "]")
	}
	if verb == "addVersion" {
		return c.addVersion(name, r)
	}
	return c.policyVerb(verb, "secrets/"+name, r)
}

func (c *Cloud) addVersion(name string, r *http.Request) (any, *apiError) {
	var in struct {
		Payload struct {
			Data       string      `json:"data"`
			DataCRC32C json.Number `json:"dataCrc32c"`
		} `json:"payload"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	payload, err := decodeBytes(in.Payload.Data)
	if err != nil {
		return nil, invalid("payload: %v", err)
	}
	if sum, _ := in.Payload.DataCRC32C.Int64(); sum != checksum(payload) {
		return nil, invalid("The checksum does not match.")
	}
	c.secrets[name] = append(c.secrets[name], &version{payload, "ENABLED"})
	if c.options.Secret != nil {
		c.options.Secret(name, payload)
	}
	made := c.versionResource(name, len(c.secrets[name]))
	made["clientSpecifiedPayloadChecksum"] = true
	return made, nil
}

func (c *Cloud) accessSecret(name, number string) (any, *apiError) {
	versions := c.secrets[name]
	n := len(versions)
	if number != "latest" {
		n, _ = strconv.Atoi(number)
	}
	if n < 1 || n > len(versions) {
		return nil, &apiError{http.StatusNotFound, "NOT_FOUND", "Secret Version [" + c.secretResource(name) + "/versions/" + number + "] not found."}
	}
	v := versions[n-1]
	if v.state != "ENABLED" {
		return nil, &apiError{http.StatusBadRequest, "FAILED_PRECONDITION", "Secret Version [" + c.secretResource(name) + "/versions/" + number + "] is in " + v.state + " state."}
	}
	return object{
		"name":    fmt.Sprintf("%s/versions/%d", c.secretResource(name), n),
		"payload": object{"data": base64.StdEncoding.EncodeToString(v.payload), "dataCrc32c": strconv.FormatInt(checksum(v.payload), 10)},
	}, nil
}

func checksum(payload []byte) int64 {
	return int64(crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
}

// decodeBytes reads either alphabet of base64: gcloud sends the one for URLs.
func decodeBytes(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(s))
}
