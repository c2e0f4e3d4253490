package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

// mostVersions bounds how far back a secret's file is looked at.
const mostVersions = 100

// forgotten warns of who was removed from a SOPS file and still knows its values, as far
// as git's history here tells. Without git, or in a shallow clone, less is known.
func (c *checkout) forgotten(ctx context.Context, s Settings, rev *desired.Revision) []desired.Fault {
	if !c.git {
		return nil
	}
	d := secrets.NewDecrypter(secrets.Options{IdentityFile: s.Secrets.AgeIdentity, KeyServices: s.Secrets.KeyServices})
	var faults []desired.Fault
	for _, name := range rev.SOPSFiles() {
		now, err := fs.ReadFile(c.root.FS(), name)
		if err != nil {
			continue
		}
		versions, err := c.versions(ctx, name)
		if err != nil || ctx.Err() != nil {
			continue // git is not needed to validate
		}
		faults = append(faults, d.Forgotten(name, now, versions)...)
	}
	return faults
}

// versions are those of a file in git, newest first.
func (c *checkout) versions(ctx context.Context, name string) ([]secrets.Version, error) {
	log, err := c.runGit(ctx, "log", "--format=%H %h %as", "-n", strconv.Itoa(mostVersions), "--", name)
	if err != nil {
		return nil, err
	}
	var versions []secrets.Version
	var asked strings.Builder
	for line := range strings.Lines(log) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		versions = append(versions, secrets.Version{Commit: f[1], Date: f[2]})
		asked.WriteString(f[0] + ":" + name + "\n")
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-C", c.top, "-c", "core.fsmonitor=false", "cat-file", "--batch")
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	cmd.Stdin = strings.NewReader(asked.String())
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	return fillVersions(versions, out)
}

// fillVersions reads what git cat-file --batch printed: for each version "ID blob SIZE",
// the bytes and a newline, or "NAME missing".
func fillVersions(versions []secrets.Version, out []byte) ([]secrets.Version, error) {
	r := bufio.NewReader(bytes.NewReader(out))
	var found []secrets.Version
	for _, v := range versions {
		head, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		f := strings.Fields(head)
		if len(f) != 3 || f[1] != "blob" {
			continue // it was removed there
		}
		size, err := strconv.Atoi(f[2])
		if err != nil || size < 0 || size > len(out) {
			return nil, fmt.Errorf("git cat-file tells of a size %s", f[2])
		}
		v.Data = make([]byte, size)
		if _, err := io.ReadFull(r, v.Data); err != nil {
			return nil, err
		}
		if _, err := r.Discard(1); err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	return found, nil
}
