package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

const (
	keyMinimum  = 16       // bytes of a signing key
	bodyLimit   = 16 << 10 // bytes of a request
	subjectMost = 200      // bytes of a subject
)

func main() { service.Main("auth", build) }

func build(p *service.Process) (*service.Server, error) {
	instance := p.Env.Instance()
	s := &signer{
		current:  p.Env.Credential("signing-key", "AUTH_SIGNING_KEY", keyMinimum),
		previous: p.Env.OptionalSecret("AUTH_SIGNING_KEY_PREVIOUS"),
		ttl:      p.Env.Duration("AUTH_TOKEN_TTL", 15*time.Minute),
		instance: instance,
		now:      time.Now,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.serveToken)
	mux.HandleFunc("POST /verify", s.serveVerify)
	server := &service.Server{
		Name:    "auth",
		Listen:  p.Env.Listen("AUTH_LISTEN", ":7103"),
		Grace:   p.Env.Duration("AUTH_GRACE", 10*time.Second),
		Handler: mux,
		Health:  &service.Health{Instance: instance},
	}
	return server, p.Env.Err()
}

// Issued is what /token answers to {"subject": "…"}.
type Issued struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expiresAt"`
	Instance  string    `json:"instance"`
}

func (s *signer) serveToken(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Subject string `json:"subject"`
	}
	if !readBody(w, r, &asked) {
		return
	}
	if asked.Subject == "" || len(asked.Subject) > subjectMost {
		service.WriteProblem(w, http.StatusBadRequest, "name a subject of 1 to 200 bytes")
		return
	}
	token, claims := s.issue(asked.Subject)
	service.WriteJSON(w, http.StatusOK, Issued{Token: token, ExpiresAt: claims.expires(), Instance: s.instance})
}

// Verified is what /verify answers to {"token": "…"} if the token is good.
type Verified struct {
	Subject   string    `json:"subject"`
	ExpiresAt time.Time `json:"expiresAt"`
	SignedBy  string    `json:"signedBy"` // current or previous
	Instance  string    `json:"instance"`
}

func (s *signer) serveVerify(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Token string `json:"token"`
	}
	if !readBody(w, r, &asked) {
		return
	}
	claims, by, err := s.verify(asked.Token)
	if err != nil {
		service.WriteProblem(w, http.StatusUnauthorized, err.Error())
		return
	}
	service.WriteJSON(w, http.StatusOK, Verified{
		Subject: claims.Subject, ExpiresAt: claims.expires(), SignedBy: by, Instance: s.instance,
	})
}

func readBody(w http.ResponseWriter, r *http.Request, value any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit)).Decode(value); err != nil {
		service.WriteProblem(w, http.StatusBadRequest, "send a small JSON object")
		return false
	}
	return true
}
