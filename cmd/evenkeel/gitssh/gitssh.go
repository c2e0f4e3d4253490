package gitssh

import (
	"context"

	"github.com/evenkeel/evenkeel/desired/gitrepo"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
)

// Client is a gitrepo.SSH.
type Client struct{ pool *sshdriver.Pool }

var _ gitrepo.SSH = (*Client)(nil)

// New returns a Client that reaches servers as o says. o is of git alone: what is meant
// for hosts (a user, say) would be used for the server, too.
func New(o sshdriver.Options) (*Client, error) {
	pool, err := sshdriver.NewPool(o)
	if err != nil {
		return nil, err
	}
	return &Client{pool}, nil
}

// Start implements gitrepo.SSH. The connection lasts as long as the program: git servers
// hang up on who stays, and a fetch needs no second one.
func (c *Client) Start(ctx context.Context, at gitrepo.Server, command string) (gitrepo.Program, error) {
	conn, err := c.pool.Conn(ctx, sshdriver.Target{Name: at.Host, Port: at.Port, User: at.User})
	if err != nil {
		return nil, err
	}
	session, err := conn.Start(ctx, command)
	if err != nil {
		return nil, err
	}
	return &program{Session: session, pool: c.pool, name: at.Host}, nil
}

// Close ends what is under way.
func (c *Client) Close() error { return c.pool.Close() }

type program struct {
	*sshdriver.Session
	pool *sshdriver.Pool
	name string
}

func (p *program) Close() error {
	err := p.Session.Close()
	p.pool.Reset(p.name)
	return err
}
