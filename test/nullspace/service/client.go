package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// answerLimit caps what is read of another program's answer.
const answerLimit = 1 << 20

// Client asks other nullspace programs: each request bounded in time, each
// answer in size.
var Client = &http.Client{Timeout: 5 * time.Second}

// Get returns the body of an answer with status 200, at most 1 MiB of it. The
// token, if set, is sent as a bearer token.
func Get(ctx context.Context, url string, token Secret) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask %s: %w", url, err)
	}
	if token.Set() {
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	answer, err := Client.Do(request)
	if err != nil {
		return nil, err // net/http names the method and the address
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of %s: %w", url, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, &StatusError{URL: url, Code: answer.StatusCode}
	}
	return body, nil
}

// GetJSON decodes the answer of Get into value.
func GetJSON(ctx context.Context, url string, value any) error {
	body, err := Get(ctx, url, Secret{})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("cannot decode the answer of %s: %w", url, err)
	}
	return nil
}

// StatusError is an answer with a status other than 200.
type StatusError struct {
	URL  string
	Code int
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.URL, e.Code, http.StatusText(e.Code))
}

// WriteJSON answers with a status and one JSON value.
func WriteJSON(w http.ResponseWriter, code int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}

// Problem is the body of an answer that is not a success.
type Problem struct {
	Error string `json:"error"`
}

// WriteProblem answers with a status and a reason.
func WriteProblem(w http.ResponseWriter, code int, reason string) {
	WriteJSON(w, code, Problem{Error: reason})
}
