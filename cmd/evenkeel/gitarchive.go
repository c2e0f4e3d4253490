package main

import (
	"context"
	"net/url"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/gitssh"
	"github.com/evenkeel/evenkeel/desired/gitrepo"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
)

// gitArchives is how the repository of an artifact is reached: as the fleet repo is. The
// fleet repo's token goes to the fleet repo's server alone.
func (s Settings) gitArchives(repo string) gitrepo.Options {
	o := gitrepo.Options{SSH: &oneGitSSH{s}, Limits: s.Git.Limits, Timeout: s.Git.Timeout, HTTP: gitrepo.HTTP{CAFile: s.Git.CA}}
	here, err := url.Parse(repo)
	fleet, err2 := url.Parse(s.Git.URL)
	if err == nil && err2 == nil && here.Scheme == "https" && fleet.Scheme == "https" && here.Host == fleet.Host {
		o.HTTP.Username, o.HTTP.TokenFile = s.Git.Username, s.Git.TokenFile
	}
	return o
}

// oneGitSSH makes an SSH client for each program, which is few.
type oneGitSSH struct{ settings Settings }

var _ gitrepo.SSH = (*oneGitSSH)(nil)

// Start implements gitrepo.SSH.
func (g *oneGitSSH) Start(ctx context.Context, at gitrepo.Server, command string) (gitrepo.Program, error) {
	client, err := newGitSSH(g.settings.Git, g.settings.SSH)
	if err != nil {
		return nil, err
	}
	p, err := client.Start(ctx, at, command)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return &oneProgram{Program: p, client: client}, nil
}

type oneProgram struct {
	gitrepo.Program
	client *gitssh.Client
}

func (p *oneProgram) Close() error {
	err := p.Program.Close()
	_ = p.client.Close()
	return err
}

// newGitSSH reaches git servers. hosts are the settings for hosts, whose known keys serve
// for git's servers, too, where they have none of their own.
func newGitSSH(g GitSettings, hosts SSHSettings) (*gitssh.Client, error) {
	known := g.KnownHosts
	if len(known) == 0 {
		known = hosts.KnownHosts
	}
	return gitssh.New(sshdriver.Options{IdentityFiles: g.Identity, KnownHosts: known, ConnectTimeout: hosts.ConnectTimeout})
}
