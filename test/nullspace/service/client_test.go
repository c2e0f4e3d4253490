package service

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGetSendsTheTokenAndNamesWhatFailed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			WriteJSON(w, http.StatusOK, r.Header.Get("Authorization"))
		case "/large":
			_, _ = w.Write([]byte(strings.Repeat("x", answerLimit+1)))
		case "/nonsense":
			_, _ = w.Write([]byte("{"))
		default:
			WriteProblem(w, http.StatusTeapot, "no")
		}
	}))
	defer server.Close()
	if body, err := Get(t.Context(), server.URL+"/token", NewSecret("abc")); err != nil || string(body) != "\"Bearer abc\"\n" {
		t.Errorf("with a token: %s, %v", body, err)
	}
	if body, err := Get(t.Context(), server.URL+"/token", Secret{}); err != nil || string(body) != "\"\"\n" {
		t.Errorf("without a token: %s, %v", body, err)
	}
	if body, err := Get(t.Context(), server.URL+"/large", Secret{}); err != nil || len(body) != answerLimit {
		t.Errorf("of a large answer %d bytes were read: %v", len(body), err)
	}
	var status *StatusError
	if _, err := Get(t.Context(), server.URL+"/other", Secret{}); !errors.As(err, &status) || status.Code != http.StatusTeapot {
		t.Errorf("another status gives %v", err)
	}
	var value any
	if err := GetJSON(t.Context(), server.URL+"/nonsense", &value); err == nil || !strings.Contains(err.Error(), "cannot decode the answer of "+server.URL) {
		t.Errorf("nonsense gives %v", err)
	}
}
