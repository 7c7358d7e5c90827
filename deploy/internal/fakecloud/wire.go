package fakecloud

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// object is a JSON object.
type object = map[string]any

// apiError is a failure as Google's APIs tell it.
type apiError struct {
	code    int
	status  string // of google.rpc.Code
	message string
}

func (e *apiError) Error() string { return e.status + ": " + e.message }

func invalid(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "INVALID_ARGUMENT", fmt.Sprintf(format, args...)}
}

func notFound(what string) *apiError {
	return &apiError{http.StatusNotFound, "NOT_FOUND", what + " not found."}
}

func alreadyExists(what string) *apiError {
	return &apiError{http.StatusConflict, "ALREADY_EXISTS", what + " already exists."}
}

// handle serves what answers with JSON. The lock is held until that is made, since
// an answer may be a part of the state.
func (c *Cloud) handle(mux *http.ServeMux, pattern string, answer func(r *http.Request) (any, *apiError)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		v, err := answer(r)
		body := marshal(v)
		c.mu.Unlock()
		if err != nil {
			writeError(w, err)
			return
		}
		write(w, http.StatusOK, body)
	})
}

func writeError(w http.ResponseWriter, err *apiError) {
	write(w, err.code, marshal(object{"error": object{"code": err.code, "status": err.status, "message": err.message}}))
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // all answers are made of strings, numbers and lists of them
	}
	return b
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // gcloud may have left
}

// read decodes the body of a request, and refuses members it does not know.
func read(r *http.Request, v any) *apiError {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return invalid("%v", err)
	}
	return nil
}
