package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Host is one machine of a lab. Its methods may be used by several goroutines, though what two of them do to it at once,
// such as a Kill during a Boot, is as undefined as on real hardware.
type Host struct {
	lab   *Lab
	index int
	root  string
	dial  dialer

	mu      sync.Mutex
	clients map[string]*client // kept-open SSH connections, by user
	reaping chan struct{}      // closed when the process we started has been waited for; nil before the first
}

// Name is h1, h2, …; the host's own hostname too.
func (h *Host) Name() string { return hostName(h.index) }

// Address is the host's IPv4 address, reachable from this machine and from the lab's other hosts.
func (h *Host) Address() string { return h.lab.record.address(h.index) }

// Root is the directory of the host's root filesystem on this machine, also while the host is off. What the running host
// mounts itself (/run, /tmp, /dev, /proc, /sys) isn't in it; WriteFile and ReadFile see that too.
func (h *Host) Root() string { return h.root }

// ConsoleFile is what the host wrote on its console since its disk was made.
func (h *Host) ConsoleFile() string {
	return filepath.Join(h.lab.record.hostDir(h.index), "console.log")
}

// keeper is the process beside a host that starts it again when it reboots itself, which systemd-nspawn reports with exit
// code 133 (EXIT_FORCE_RESTART), and not when it powers itself off. systemd-nspawn runs in a group of its own, in which it
// makes one for itself and one for the host.
const keeper = `
while :; do
	/bin/sh -c 'for dir in $GROUPS_OF_MACHINE; do echo $$ >"$dir/cgroup.procs" || exit 1; done; exec "$@"' machine "$@"
	code=$?
	[ "$code" -eq 133 ] || exit "$code"
done
`

func (h *Host) group() string        { return h.lab.record.hostGroup(h.index) }
func (h *Host) machineGroup() string { return filepath.Join(h.group(), "machine") }

// start puts the power on. It returns at once; the processes are in the host's control group from their first moment.
func (h *Host) start() error {
	roots, r := h.lab.roots, h.lab.record
	for _, g := range []string{filepath.Join(h.group(), "keeper"), h.machineGroup()} {
		if err := roots.make(g); err != nil {
			return err
		}
	}
	group, err := roots.open(filepath.Join(h.group(), "keeper"))
	if err != nil {
		return err
	}
	defer group.Close()
	console, err := os.OpenFile(h.ConsoleFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()

	args := []string{"-c", keeper, "keeper", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit",
		"--directory=" + h.root, "--machine=" + r.machine(h.index), "--hostname=" + h.Name(),
		"--network-namespace-path=/run/netns/" + r.link(h.index),
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe", "--boot"}
	var machineDirs []string
	for _, root := range roots.all() {
		machineDirs = append(machineDirs, filepath.Join(root, h.machineGroup()))
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_LOCK=0", "GROUPS_OF_MACHINE=" + strings.Join(machineDirs, " ")}
	if r.Network {
		args = append(args, "--capability=CAP_NET_ADMIN")
	}
	if r.Containers {
		args, env = append(args, "--capability=all"), append(env, "SYSTEMD_SECCOMP=0")
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", h.Name(), err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is on its console
	}()
	h.mu.Lock()
	h.reaping = done
	h.mu.Unlock()
	return nil
}

// reap waits until this process's child, if any, is not even a zombie any more. The child must have been killed.
func (h *Host) reap() {
	h.mu.Lock()
	done := h.reaping
	h.mu.Unlock()
	if done != nil {
		<-done
	}
}

// Boot puts the power on and returns when the host is up: every boot job is done, root and deploy can log in over SSH. A
// host that is on already is only waited for, one that is just going off is put on after that. What was on its disk is still
// there.
func (h *Host) Boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	pids, err := h.lab.roots.pids(h.group())
	if err != nil {
		return err
	}
	if len(pids) != 0 {
		if err := h.waitUp(ctx, ""); !errors.Is(err, errOff) {
			return err
		}
	}
	h.hangUp()
	if err := h.start(); err != nil {
		return err
	}
	return h.waitUp(ctx, "")
}

// waitUp returns when the host has booted, and into another boot than the one named, if one is.
func (h *Host) waitUp(ctx context.Context, not string) error {
	var last error
	for {
		if up, err := h.probe(ctx, not); up {
			return nil
		} else if err != nil && ctx.Err() == nil {
			last = err
		}
		if pids, err := h.lab.roots.pids(h.group()); err == nil && len(pids) == 0 {
			return fmt.Errorf("cannot boot %s: %w again; its console%s", h.Name(), errOff, h.consoleTail())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot boot %s: %w; last: %w", h.Name(), context.Cause(ctx), last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// probe asks the host, over real SSH, whether it is up. Unprivileged logins are refused until late in the boot, so root is
// asked first, and deploy only then.
func (h *Host) probe(ctx context.Context, not string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if not != "" {
		h.hangUp()
	}
	out, err := h.Exec(ctx, "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait")
	boot, state, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if boot == not && not != "" {
		return false, errors.New("it has not gone down yet")
	}
	if state != "running" && state != "degraded" {
		return false, errors.Join(err, fmt.Errorf("systemd says %q", state))
	}
	if _, err := h.ExecAs(ctx, "deploy", "true"); err != nil {
		return false, err
	}
	return true, nil
}

func (h *Host) consoleTail() string {
	text, err := os.ReadFile(h.ConsoleFile())
	if err != nil {
		return ": " + err.Error()
	}
	return said(string(text))
}

// Kill is a power cut: every process of the host ends at once, none is told. Written files stay, as the kernel had them: a
// lab's disk loses no write that the host made, synced or not. Killing a host that is off does nothing.
func (h *Host) Kill(ctx context.Context) error {
	if err := h.lab.roots.kill(ctx, h.group()); err != nil {
		return err
	}
	h.reap()
	h.hangUp()
	return h.lab.roots.remove(ctx, h.group())
}

// Reboot has the host reboot itself in order, stopping its services, and returns when it is up again.
func (h *Host) Reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	boot, err := h.BootID(ctx)
	if err != nil {
		return err
	}
	if _, err := h.Enter(ctx, "systemctl --no-block reboot"); err != nil {
		return fmt.Errorf("cannot reboot %s: %w", h.Name(), err)
	}
	return h.waitUp(ctx, boot)
}

// BootID is the id of the host's present boot.
func (h *Host) BootID(ctx context.Context) (string, error) {
	out, err := h.Enter(ctx, "cat /proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(out), err
}

// Running says whether the host is on. It may still be booting, cut off, or frozen.
func (h *Host) Running() bool {
	_, err := h.leader()
	return err == nil
}

// Cut parts the host from the network: packets vanish, in both directions, and no connection is told. The host runs on.
func (h *Host) Cut(ctx context.Context) error { return h.lab.record.setLink(ctx, h.index, "down") }

// Heal ends a Cut. Connections that are still open at both ends go on once TCP tries again.
func (h *Host) Heal(ctx context.Context) error { return h.lab.record.setLink(ctx, h.index, "up") }

// Freeze stops every process of the host where it is. The kernel still acknowledges packets and accepts connections, so it
// is the host that takes a connection and never says a word.
func (h *Host) Freeze(ctx context.Context) error { return h.lab.roots.freeze(ctx, h.group(), true) }

// Thaw ends a Freeze.
func (h *Host) Thaw(ctx context.Context) error { return h.lab.roots.freeze(ctx, h.group(), false) }

var errOff = errors.New("it is off")

// leader is the host's PID 1 as this machine numbers it: the one process of the group that is 1 in a namespace of its own
// (NSpid of proc(5)).
func (h *Host) leader() (int, error) {
	pids, err := h.lab.roots.pids(h.machineGroup())
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil {
			continue // it has just ended
		}
		_, after, _ := strings.Cut(string(status), "\nNSpid:")
		line, _, _ := strings.Cut(after, "\n")
		if ids := strings.Fields(line); len(ids) >= 2 && ids[1] == "1" {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%s: %w", h.Name(), errOff)
}
