package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// tcpCheck connects and hangs up: something listens there.
type tcpCheck struct {
	host    inventory.Host
	dialer  hostdriver.Dialer
	address string
	timeout time.Duration
}

func newTCP(spec desired.TCPHealth, host inventory.Host, deps Deps) (*tcpCheck, error) {
	limit, err := timeout(spec.Timeout)
	if err == nil {
		err = checkAddress(spec.Host, spec.Port)
	}
	if err == nil && deps.Dialer == nil {
		err = errors.New("there is no SSH connection to hosts here")
	}
	if err != nil {
		return nil, fmt.Errorf("tcp: %w", err)
	}
	return &tcpCheck{host: host, dialer: deps.Dialer, address: address(spec.Host, spec.Port), timeout: limit}, nil
}

func (c *tcpCheck) Check(ctx context.Context) Result {
	return look(ctx, c.timeout, func(ctx context.Context) Result {
		conn, err := c.dialer.DialHost(ctx, c.host, "tcp", c.address)
		if err != nil {
			return notReached(ctx, c.address, c.timeout, err)
		}
		_ = conn.Close()
		return Result{OK: true, Reason: "connected to " + c.address}
	})
}
