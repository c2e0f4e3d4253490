package main

import (
	"context"
	"io/fs"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/gitssh"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/desired/gitrepo"
)

// gitSource is a gitrepo as the controller wants it.
type gitSource struct {
	*gitrepo.Repo
	ssh     *gitssh.Client
	signers string
}

var _ controller.Git = (*gitSource)(nil)

// openGit opens the bare repository. Nothing is fetched yet.
func openGit(g GitSettings, hosts SSHSettings, dir string) (*gitSource, error) {
	if g.Dir != "" {
		dir = g.Dir
	}
	client, err := newGitSSH(g, hosts)
	if err != nil {
		return nil, err
	}
	repo, err := gitrepo.Open(gitrepo.Options{URL: g.URL, Branch: g.Branch, Dir: dir, SSH: client, Limits: g.Limits, Timeout: g.Timeout,
		HTTP: gitrepo.HTTP{Username: g.Username, TokenFile: g.TokenFile, CAFile: g.CA}})
	if err != nil {
		_ = client.Close()
		return nil, mendable(gitrepo.MendOf(err), "%w", err)
	}
	return &gitSource{Repo: repo, ssh: client, signers: g.Signers}, nil
}

func (g *gitSource) close() {
	_ = g.Repo.Close()
	_ = g.ssh.Close()
}

// Fetch implements controller.Git.
func (g *gitSource) Fetch(ctx context.Context) (string, error) {
	c, err := g.Repo.Fetch(ctx)
	return c.ID, err
}

// Describe implements controller.Git.
func (g *gitSource) Describe(_ context.Context, id string) (controller.CommitInfo, error) {
	c, err := g.Repo.Commit(id)
	return controller.CommitInfo{Subject: c.Subject, Author: c.Author.String(), Committed: c.Committer.When}, err
}

// Files implements controller.Git.
func (g *gitSource) Files(_ context.Context, id string) (fs.FS, error) { return g.Repo.FS(id) }

// Verify implements controller.Git. Without signers, all is well.
func (g *gitSource) Verify(ctx context.Context, id string) (string, error) {
	if g.signers == "" {
		return "", nil
	}
	return g.Repo.Verify(ctx, id, g.signers)
}
