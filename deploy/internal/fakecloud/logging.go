package fakecloud

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
)

// errorsOf is the one filter that is understood. gcloud adds how old an entry may
// be.
var errorsOf = regexp.MustCompile(`^(?:timestamp>="[^"]+" AND )?\(?resource\.type="cloud_run_revision" resource\.labels\.service_name="([a-z]+)" severity>=ERROR\)?(?: AND timestamp>="[^"]+")?$`)

func (c *Cloud) routeLogging(mux *http.ServeMux) {
	c.handle(mux, "POST /logging/v2/entries:list", func(r *http.Request) (any, *apiError) {
		var in struct {
			Filter        string   `json:"filter"`
			OrderBy       string   `json:"orderBy"`
			PageSize      int      `json:"pageSize"`
			ResourceNames []string `json:"resourceNames"`
		}
		if err := read(r, &in); err != nil {
			return nil, err
		}
		match := errorsOf.FindStringSubmatch(in.Filter)
		if match == nil {
			return nil, invalid("fakecloud does not know the filter %s", in.Filter)
		}
		if !slices.Equal(in.ResourceNames, []string{"projects/" + c.options.Project}) {
			return nil, invalid("resourceNames: %v", in.ResourceNames)
		}
		entries := []object{}
		if c.options.Log != nil {
			for _, line := range c.options.Log(match[1]) {
				if e := logEntry(line); e["severity"] == "ERROR" {
					entries = append(entries, e)
				}
			}
		}
		slices.Reverse(entries)
		return object{"entries": entries}, nil
	})
}

// logEntry makes of a line what Cloud Logging does: severity and time become
// fields of the entry, and are taken out of the payload.
func logEntry(line []byte) object {
	payload := object{}
	if err := json.Unmarshal(line, &payload); err != nil {
		return object{"textPayload": string(line)}
	}
	entry := object{"severity": payload["severity"], "timestamp": payload["time"], "jsonPayload": payload}
	delete(payload, "severity")
	delete(payload, "time")
	return entry
}
