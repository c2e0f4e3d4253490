package sshdriver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/drivertest"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// TestContractOnRealHost holds the driver to the contract on a real host, as root and
// through sudo.
func TestContractOnRealHost(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 2, fetchTools...)
	for i, user := range []string{"root", "deploy"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			host := l.Hosts()[i]
			drivertest.Contract(t, func(t *testing.T) drivertest.Harness { return labHarness(t, l, host, user) })
		})
	}
}

// newLab makes hosts of Debian 12, or of what EVENKEEL_LAB_SUITE says, such as trixie.
func newLab(t testing.TB, hosts int, packages ...string) *lab.Lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: hosts, Base: lab.Base{Suite: os.Getenv("EVENKEEL_LAB_SUITE"), Packages: packages}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func labOptions(l *lab.Lab, user string) Options {
	return Options{User: user, Become: user != "root", IdentityFiles: []string{l.IdentityFile()}, KnownHosts: []string{l.KnownHostsFile()},
		ConfigFile: "none", Agent: "none", KeepaliveInterval: time.Second}
}

func labHost(h *lab.Host) inventory.Host { return inventory.Host{Name: h.Name(), Address: h.Address()} }

func newLabDriver(t testing.TB, l *lab.Lab, user string) *Driver {
	t.Helper()
	d, err := New(labOptions(l, user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func labHarness(t *testing.T, l *lab.Lab, host *lab.Host, user string) drivertest.Harness {
	m := &labMachine{t: t, host: host, gateway: l.Gateway()}
	m.wipe()
	d, stale := newLabDriver(t, l, user), newLabDriver(t, l, user)
	d.lockWait, stale.lockWait = 30*time.Second, 30*time.Second
	m.line = &cutLine{line: d.line}
	d.line = m.line
	return drivertest.Harness{Driver: d, Watcher: d, Stale: stale, Host: labHost(host), Machine: m, Listening: "127.0.0.1:22",
		NoCreds: m.do("command -v systemd-creds; :") == ""}
}

// labMachine is a real host, from its console.
type labMachine struct {
	t    *testing.T
	host *lab.Host
	line *cutLine

	gateway string  // the tester's address, as the host sees it
	web     *origin // made when it is first needed
}

func (m *labMachine) do(format string, a ...any) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := m.host.Enter(ctx, fmt.Sprintf(format, a...))
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// wipe takes away what the case before has left.
func (m *labMachine) wipe() {
	m.do(`cd /
systemctl stop evenkeel-deadman.timer evenkeel-deadman.service 2>/dev/null
for u in $(systemctl list-units --all --plain --no-legend 'contract*' | while read -r u rest; do echo "$u"; done); do
	systemctl kill -s KILL "$u" 2>/dev/null
	systemctl stop "$u" 2>/dev/null
	systemctl disable "$u" 2>/dev/null
done
if id contract >/dev/null 2>&1; then
	loginctl disable-linger contract 2>/dev/null
	systemctl stop "user@$(id -u contract).service" 2>/dev/null
fi
# The hosts have no libpam-systemd, of which the systemd of a user needs this one variable.
mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%%%i\n' >/etc/systemd/system/user@.service.d/pam.conf
for d in /var/lib/evenkeel /etc/contract; do while umount "$d" 2>/dev/null; do :; done; done
rm -rf /var/lib/evenkeel /run/evenkeel /etc/contract /var/lib/contract /opt/contract /etc/systemd/system/contract* /run/systemd/system/contract* \
	/lib/systemd/system/contract* /etc/tmpfiles.d/contract.conf /etc/systemd/system/*.wants/contract* /etc/systemd/system/*.requires/contract* \
	/etc/systemd/user/contract* /usr/local/bin/docker /usr/local/bin/podman
userdel contract 2>/dev/null
for f in curl wget busybox; do [ ! -e /usr/bin/$f.hidden ] || mv /usr/bin/$f.hidden /usr/bin/$f; done
[ ! -e /usr/bin/systemd-stdio-bridge.hidden ] || mv /usr/bin/systemd-stdio-bridge.hidden /usr/bin/systemd-stdio-bridge
systemctl unmask contract-m.service 2>/dev/null
systemctl daemon-reload
systemctl reset-failed
:`)
}

func (m *labMachine) WriteFile(path, data string, mode uint32) {
	m.do("mkdir -p \"$(dirname %[1]s)\" && printf %%s %[2]s >%[1]s && chmod %[3]o %[1]s", quote(path), quote(data), mode)
}

func (m *labMachine) ReadFile(path string) (string, bool) {
	out := m.do("[ -f %[1]s ] || exit 0; printf x; cat %[1]s", quote(path))
	return strings.CutPrefix(out, "x")
}

func (m *labMachine) Remove(path string) { m.do("rm -rf %s", quote(path)) }

func (m *labMachine) Symlink(target, path string) {
	m.do("mkdir -p \"$(dirname %[2]s)\" && ln -sfn %[1]s %[2]s", quote(target), quote(path))
}

func (m *labMachine) Systemctl(words ...string) { m.do("systemctl %s 2>&1", strings.Join(words, " ")) }

// QueueJob has the unit reload for as long as it takes.
func (m *labMachine) QueueJob(unit string) {
	m.WriteFile("/run/systemd/system/"+unit+".d/job.conf", "[Service]\nExecReload=/bin/sleep 1000\n", 0o644)
	m.do("systemctl daemon-reload && systemctl --no-block reload %s", unit)
}

func (m *labMachine) EndJob(unit string) {
	m.do("systemctl kill --kill-who=control -s KILL %[1]s; rm -r /run/systemd/system/%[1]s.d; systemctl daemon-reload", unit)
}

func (m *labMachine) Crash(unit string) { m.do("systemctl kill --kill-who=main -s KILL %s", unit) }

func (m *labMachine) Pass(d time.Duration) { time.Sleep(d) }

func (m *labMachine) Reboot() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.host.Reboot(ctx); err != nil {
		m.t.Fatal(err)
	}
}

func (m *labMachine) Cut()  { m.link(m.host.Cut) }
func (m *labMachine) Heal() { m.link(m.host.Heal) }

func (m *labMachine) link(change func(context.Context) error) {
	if err := change(context.Background()); err != nil {
		m.t.Fatal(err)
	}
}

// HideBus leaves the bridges that run.
func (m *labMachine) HideBus() {
	m.do("mv /usr/bin/systemd-stdio-bridge /usr/bin/systemd-stdio-bridge.hidden")
}

func (m *labMachine) ShowBus() {
	m.do("mv /usr/bin/systemd-stdio-bridge.hidden /usr/bin/systemd-stdio-bridge")
}

// FillDisk puts small filesystems in the place of those two folders, and fills them.
func (m *labMachine) FillDisk() {
	m.do(`for d in /var/lib/evenkeel /etc/contract; do
	mkdir -p "$d" && cp -a "$d" /tmp/kept && mount -t tmpfs -o size=1536k,mode=0700 tmpfs "$d" && cp -a /tmp/kept/. "$d" && rm -r /tmp/kept
	dd if=/dev/zero of="$d/fill" bs=4k 2>/dev/null
done; :`)
}

func (m *labMachine) FreeDisk() {
	m.do(`for d in /var/lib/evenkeel /etc/contract; do
	rm "$d/fill" && cp -a "$d" /tmp/kept && umount "$d" && cp -a /tmp/kept/. "$d" && rm -r /tmp/kept
done`)
}

// Images writes a tool that does as docker and podman do, as far as a driver asks them.
func (m *labMachine) Images(tool string, has, registry []string) {
	m.WriteFile("/var/lib/contract/images", strings.Join(has, "\n")+"\n", 0o644)
	m.WriteFile("/var/lib/contract/registry", strings.Join(registry, "\n")+"\n", 0o644)
	m.WriteFile("/usr/local/bin/"+tool, `#!/bin/sh
for name; do :; done
cd /var/lib/contract || exit
case "$1 $2" in
"image inspect") grep -qxF -e "$name" images || { echo "no such image: $name" >&2; exit 1; } ;;
"pull -q") grep -xF -e "$name" registry >>images || { echo "$name: not found" >&2; exit 125; } ;;
*) echo "unknown: $*" >&2; exit 125 ;;
esac
`, 0o755)
}

func (m *labMachine) CutNext(moment drivertest.Moment) { m.line.cutNext(moment) }

// cutLine cuts one request off. In the middle of it means that the remote shell kills
// itself there: after the third rename of a switch, or when a start is to be noted.
type cutLine struct {
	line
	mu   sync.Mutex
	next drivertest.Moment
}

func (c *cutLine) cutNext(m drivertest.Moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = m
}

// All that is left of the request is killed, with the shell that it was sent to.
const killers = `
mv() {
	command mv "$@" || return
	case "$*" in *.evenkeel-new.*) ;; *) return 0 ;; esac
	printf x >>"$R/cuts"
	read -r cuts <"$R/cuts"
	[ "$cuts" != xxx ] || { rm -f "$R/cuts"; kill -9 0; }
}
outcome() { kill -9 0; }
`

func (c *cutLine) run(ctx context.Context, host inventory.Host, rq request) (Result, error) {
	c.mu.Lock()
	m := c.next
	changes := rq.call != "op_observe"
	if changes {
		c.next = ""
	}
	c.mu.Unlock()
	lost := &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: opRun, Err: errors.New("cut by the test")}
	switch {
	case m == "" || !changes:
		return c.line.run(ctx, host, rq)
	case m == drivertest.CutBefore:
		return Result{}, lost
	case m == drivertest.CutDuring:
		rq.script.vars.WriteString(killers)
		return c.line.run(ctx, host, rq)
	}
	_, err := c.line.run(ctx, host, rq)
	return Result{}, errors.Join(lost, err)
}

// TestNoiseBeforeTheReply: a login shell that talks does not spoil a reading.
func TestNoiseBeforeTheReply(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	h := l.Hosts()[0]
	m := &labMachine{t: t, host: h}
	m.do(`printf 'echo noise; printf "no newline"; head -c 3000 /dev/zero\n' | cat - /home/deploy/.bashrc >/tmp/rc; cp /tmp/rc /home/deploy/.bashrc; cp /tmp/rc /root/.bashrc`)
	for _, user := range []string{"root", "deploy"} {
		d := newLabDriver(t, l, user)
		o, err := d.Observe(context.Background(), labHost(h), hostdriver.Query{Units: []string{"ssh.service"}})
		if err != nil || o.Units["ssh.service"].Active != "active" {
			t.Errorf("%s: %v", user, err)
		}
		c, err := d.Pool().Conn(context.Background(), TargetFor(labHost(h)))
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Exec(context.Background(), Command{Line: "true"})
		if err != nil || !bytes.Contains(res.Stdout, []byte("noise")) {
			t.Errorf("%s: the shell makes no noise (%q, %v): the test proves nothing", user, res.Stdout, err)
		}
	}
}
