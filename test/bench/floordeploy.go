package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// deployScript is the least that deploys what comes as a tar archive on standard input.
const deployScript = "tar -x -C / --no-same-owner --no-overwrite-dir && systemctl --quiet --no-reload enable " + unitName +
	" && systemctl daemon-reload && systemctl start " + unitName

// floorDeploy times the floor of a first deployment, dials included.
func (s *stage) floorDeploy(ctx context.Context, greeting string) error {
	archive, err := s.archive(greeting)
	if err != nil {
		return err
	}
	took, err := s.once(func() error {
		f, err := dialFloor(ctx, s.login(loginUser), s.addresses())
		if err != nil {
			return err
		}
		defer f.close()
		return f.deploy(ctx, archive)
	})
	if err != nil {
		return fmt.Errorf("the floor cannot deploy: %w", err)
	}
	if err := s.verify(ctx, greeting); err != nil {
		return err
	}
	s.note(deployFloor, took)
	return nil
}

// archive is all that a host needs.
func (s *stage) archive(greeting string) ([]byte, error) {
	binary, err := os.ReadFile(s.victim)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		path string
		mode int64
		data []byte
	}{{unitPath, 0o644, []byte(unitText)}, {envPath, 0o600, []byte(envText(greeting))}, {binaryPath, 0o755, binary}} {
		if err := w.WriteHeader(&tar.Header{Name: f.path[1:], Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

// deploy deploys to all hosts at once and returns when all are healthy.
func (f *floor) deploy(ctx context.Context, archive []byte) error {
	command := "/bin/sh -c '" + deployScript + "'"
	if f.sudo {
		command = "sudo -n " + command
	}
	var g errgroup.Group
	for _, c := range f.clients {
		g.Go(func() error {
			if err := sendTo(ctx, c, command, archive); err != nil {
				return err
			}
			return untilHealthy(ctx, c)
		})
	}
	return g.Wait()
}

// sendTo runs a command with an input.
func sendTo(ctx context.Context, c *ssh.Client, command string, input []byte) error {
	session, err := c.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	session.Stdin = bytes.NewReader(input)
	if out, err := session.CombinedOutput(command); err != nil {
		return fmt.Errorf("%s: %w: %.500s", c.RemoteAddr(), err, out)
	}
	return nil
}
