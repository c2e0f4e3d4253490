package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired/secrets"
	"github.com/evenkeel/evenkeel/test/lab/load"
)

// rotate shows the rotation of the token that the gateway asks for.
func (d *demo) rotate(ctx context.Context) error {
	old, err := d.token()
	if err != nil {
		return err
	}
	say("The gateways ask for a token, METRICS_AUTH_TOKEN. Clients come that have it, and it is rotated: one commit.")
	clients, err := d.clients(ctx, old)
	if err != nil {
		return err
	}
	defer clients.Stop()
	if err := d.evenkeel(ctx, 0, "secret", "rotate", "metrics-token"); err != nil {
		return err
	}
	now, err := d.token()
	if err != nil {
		return err
	}
	if now == old {
		return errors.New("the token was not rotated")
	}
	say("From that commit the fleet goes over to the new value: every gateway comes to accept both.")
	if err := d.evenkeel(ctx, 0, "apply", "--yes", "--diff", "none"); err != nil {
		return err
	}
	newcomers, err := d.clients(ctx, now)
	if err != nil {
		return err
	}
	defer newcomers.Stop()
	if err := d.evenkeel(ctx, 0, "secret", "status"); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	before := clients.Stop()
	say("Clients have changed over, and the time for which both are kept is over: the old value is revoked.")
	time.Sleep(2 * time.Second)
	if err := d.evenkeel(ctx, 0, "apply", "--yes", "--diff", "none"); err != nil {
		return err
	}
	after := newcomers.Stop()
	if err := d.evenkeel(ctx, 0, "secret", "status"); err != nil {
		return err
	}
	codes, err := d.answers(ctx, old)
	if err != nil {
		return err
	}
	say("What clients noticed of it:")
	fmt.Printf("  with the old token, until it was revoked: %s\n  with the new token: %s\n", before, after)
	fmt.Printf("\n  %d requests, %d failures; the old token is now answered %s\n\n", before.Requests+after.Requests, before.Failed()+after.Failed(), codes)
	if before.Failed()+after.Failed() > 0 || strings.Trim(codes, "401 ") != "" {
		return errors.New("there must be no failures, and the old token refused everywhere")
	}
	return nil
}

// token is the value in the fleet repo.
func (d *demo) token() (string, error) {
	file := filepath.Join(d.dir, "services/nullspace-gateway/gateway.secrets.env")
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	plain, err := secrets.NewDecrypter(secrets.Options{IdentityFile: "examples/nullspace/example.agekey"}).Decrypt(file, data)
	if err != nil {
		return "", err
	}
	for line := range bytes.SplitSeq(plain, []byte("\n")) {
		if value, ok := bytes.CutPrefix(line, []byte("METRICS_AUTH_TOKEN=")); ok {
			return strings.Trim(string(value), `"`), nil
		}
	}
	return "", errors.New("the gateway's secrets have no METRICS_AUTH_TOKEN")
}

// clients are a steady load of those who have a token.
func (d *demo) clients(ctx context.Context, token string) (*load.Generator, error) {
	return load.Start(ctx, load.Config{URL: "http://" + d.lb.FrontendAddr("gateway") + "/api/whoami", Rate: 50, Header: http.Header{"Authorization": {"Bearer " + token}}})
}

// answers is what every host's gateway says to a token.
func (d *demo) answers(ctx context.Context, token string) (string, error) {
	var codes []string
	for _, h := range d.lab.Hosts() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Address()+":8080/api/whoami", nil)
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		_ = resp.Body.Close()
		codes = append(codes, fmt.Sprint(resp.StatusCode))
	}
	return strings.Join(codes, " "), nil
}
