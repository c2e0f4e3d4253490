package controller

import (
	"context"
	"errors"
	"net"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// fakeHosts says what it was told to say, and lets nothing be done.
type fakeHosts struct {
	observations map[string]hostdriver.Observation
	errors       map[string]error
}

func (f fakeHosts) Observe(_ context.Context, h inventory.Host, _ hostdriver.Query) (hostdriver.Observation, error) {
	return f.observations[h.Name], f.errors[h.Name]
}

func (f fakeHosts) Apply(_ context.Context, h inventory.Host, _ hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	return hostdriver.Result{}, &hostdriver.Error{Kind: hostdriver.Refused, Host: h.Name, Op: hostdriver.OpName(op), Err: errors.New("nothing may be done here")}
}

func (f fakeHosts) DialHost(_ context.Context, h inventory.Host, _, _ string) (net.Conn, error) {
	return nil, errors.New("connection refused")
}
