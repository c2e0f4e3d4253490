package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed ansible/*.yml
var playbooks embed.FS

// peerConfig is ansible.cfg: all that makes it faster without changing what it does.
const peerConfig = `[defaults]
inventory = hosts.ini
forks = 50
remote_user = %s
private_key_file = %s
interpreter_python = /usr/bin/python3
gathering = explicit
retry_files_enabled = false
[privilege_escalation]
become = %t
[ssh_connection]
pipelining = True
ssh_args = -F /dev/null -o ControlMaster=auto -o ControlPersist=60s -o IdentitiesOnly=yes -o UserKnownHostsFile=%s
control_path_dir = %s
`

// writePeer makes the peer's folder, but for what changes: see want.
func (s *stage) writePeer() error {
	var hosts strings.Builder
	for _, h := range s.lab.Hosts() {
		fmt.Fprintf(&hosts, "%s ansible_host=%s\n", h.Name(), h.Address())
	}
	config := fmt.Sprintf(peerConfig, loginUser, s.lab.IdentityFile(), loginUser != "root", s.lab.KnownHostsFile(), s.controlDir())
	err := errors.Join(
		write(filepath.Join(s.peer, "ansible.cfg"), config),
		write(filepath.Join(s.peer, "hosts.ini"), hosts.String()),
		write(filepath.Join(s.peer, "files", unitName), unitText),
		copyFile(s.victim, filepath.Join(s.peer, "files", "victim")),
		os.MkdirAll(s.controlDir(), 0o700))
	entries, readErr := playbooks.ReadDir("ansible")
	err = errors.Join(err, readErr)
	for _, e := range entries {
		text, readErr := playbooks.ReadFile("ansible/" + e.Name())
		err = errors.Join(err, readErr, write(filepath.Join(s.peer, e.Name()), string(text)))
	}
	return err
}

// controlDir has ssh's control sockets, whose paths must be short.
func (s *stage) controlDir() string { return filepath.Join(s.dir, "cm") }

// hangUpPeer ends the connections that ControlPersist has left.
func (s *stage) hangUpPeer() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	sockets, _ := filepath.Glob(filepath.Join(s.controlDir(), "*"))
	for _, socket := range sockets {
		// One that has ended meanwhile is as well.
		_ = exec.CommandContext(ctx, "ssh", "-F", "/dev/null", "-o", "ControlPath="+socket, "-O", "exit", "peer").Run()
	}
}

// playbook runs one, and checks that it did what it was to do on every host.
func (s *stage) playbook(ctx context.Context, m measure, changes bool, args ...string) error {
	if s.balancer != nil {
		args = append(args, "-e", "balancer="+s.balancer.RuntimeAddr())
	}
	p := program{argv: append([]string{"ansible-playbook"}, args...), dir: s.peer,
		env: []string{"ANSIBLE_CONFIG=" + filepath.Join(s.peer, "ansible.cfg"), "ANSIBLE_HOME=" + filepath.Join(s.dir, "ansible"),
			"ANSIBLE_LOCAL_TEMP=" + filepath.Join(s.dir, "ansible", "tmp"), "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8"}}
	took, out, err := s.watched(ctx, p)
	if err != nil {
		return err
	}
	var names []string
	for _, h := range s.lab.Hosts() {
		names = append(names, h.Name())
	}
	if err := checkRecap(out.stdout, names, changes); err != nil {
		return fmt.Errorf("%w%s", err, tail(out))
	}
	s.note(m, took)
	return nil
}
