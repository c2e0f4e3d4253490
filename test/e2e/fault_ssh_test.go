package e2e

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// Faults of SSH and sudo, between a controller and one host that its users notice nothing of.
func TestFaultsSSH(t *testing.T) {
	t.Parallel()
	play(t, 2, []act{
		{name: "12 TCP up and no handshake", play: handshakeHangs},
		{name: "13 half-open connection in mid-step", play: halfOpen},
		{name: "14 one session a connection", play: oneSession},
		{name: "15 MaxStartups", play: maxStartups},
		{name: "18 banner motd and noise", play: noise},
		{name: "19 endless output", play: endlessOutput},
		{name: "19 forged frames", play: forgedFrames},
		{name: "20 slow host", play: slowHost},
		{name: "21 orphaned command", play: orphanedCommand},
		{name: "22 sudo asks for a password", play: sudoAsks},
		{name: "22 sudo asks for a password in mid-rollout", play: sudoAsksMeanwhile},
		{name: "23 no login shell", play: noLoginShell},
	})
}

// Fault 23: login shells that are no POSIX shells.
func TestFaultsLoginShell(t *testing.T) {
	t.Parallel()
	playOn(t, lab.Options{Hosts: 2, Base: lab.Base{Packages: []string{"fish", "tcsh", "zsh"}}}, []act{
		{name: "23 fish and tcsh", play: func(s *stage) { loginShells(s, "/usr/bin/fish", "/usr/bin/tcsh") }},
		{name: "23 zsh and a restricted bash", play: func(s *stage) { loginShells(s, "/usr/bin/zsh", "/bin/rbash") }},
	})
}

// Fault 15, where sshd punishes (OpenSSH 9.8 and later).
func TestFaultsPenalties(t *testing.T) {
	t.Parallel()
	playOn(t, lab.Options{Hosts: 2, Base: lab.Base{Suite: "trixie"}}, []act{{name: "15 PerSourcePenalties", play: penalties}})
}

// sshd gives a host's sshd further settings, and returns what takes them back.
func (s *stage) sshd(h *lab.Host, lines ...string) (restore func()) {
	s.t.Helper()
	must(s, h.WriteFile("/etc/ssh/sshd_config.d/00-fault.conf", []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	s.on(h, "systemctl restart ssh")
	return func() {
		s.t.Helper()
		s.on(h, "rm /etc/ssh/sshd_config.d/00-fault.conf; systemctl restart ssh")
	}
}

// shell gives deploy another login shell on a host, and returns what gives it the usual one.
func (s *stage) shell(h *lab.Host, path string) (restore func()) {
	s.t.Helper()
	s.on(h, "usermod -s "+path+" deploy")
	return func() { s.t.Helper(); s.on(h, "usermod -s /bin/bash deploy") }
}

// refuses is an apply to which h1 does not answer: in no time nothing at all is touched,
// and its last line gives the reason.
func (s *stage) refuses(within time.Duration, exits []int, words ...string) {
	s.t.Helper()
	s.change()
	untouched := s.untouched(s.hosts...)
	began := time.Now()
	out := s.begin().ends(exits...)
	if took := time.Since(began); took > within {
		s.t.Errorf("it took %s, and %s are allowed", took, within)
	}
	contains(s.t, out, append(words, "not done")...)
	for _, phase := range []string{"→ drain", "→ switch", "→ restart"} {
		if strings.Contains(out, phase) {
			s.t.Errorf("something was begun:\n%s", out)
		}
	}
	untouched()
}

// onlyOnce runs a change that must go through, with one start of the ledger on each host.
func (s *stage) onlyOnce(during func(*running)) {
	s.t.Helper()
	var before []int
	for _, h := range s.hosts {
		before = append(before, s.starts(h))
	}
	s.change()
	r := s.begin()
	if during != nil {
		during(r)
	}
	r.ends(0)
	for i, h := range s.hosts {
		if n := s.starts(h) - before[i]; n != 1 {
			s.t.Errorf("%s: the ledger was started %d times, want once:\n%s", h.Name(), n, r.output())
		}
	}
}

// Fault 12: the kernel accepts connections, and nobody speaks.
func handshakeHangs(s *stage) {
	s.environ = []string{"EVENKEEL_SSH_CONNECTTIMEOUT=3s"}
	defer func() { s.environ = nil }()
	s.on(s.hosts[0], "kill -STOP $(systemctl show -p MainPID --value ssh)")
	s.refuses(15*time.Second, []int{4, 5}, "h1", "no login within 3s")
	s.on(s.hosts[0], "kill -CONT $(systemctl show -p MainPID --value ssh)")
}

// Fault 13: the connection is up, and its sshd says no word more. Another one is made, and
// what the first had done is looked at, and not done again.
func sessionHangs(s *stage) {
	restore := s.retune("progressDeadline: 20s", "progressDeadline: 90s")
	defer restore()
	s.onlyOnce(func(r *running) {
		r.reaches("h1 ledger: switch → restart")
		// The host notes what it is about to start: then the request is there, and its answer is not.
		s.on(s.hosts[0], "n=0; until [ -e /var/lib/evenkeel/wanted/ledger.service ] || [ $n -gt 1000 ]; do sleep 0.01; n=$((n+1)); done; pkill -STOP -f '[s]shd: deploy'")
		time.Sleep(5 * time.Second)
		if strings.Contains(r.output(), "h2 ledger: precheck") {
			s.t.Errorf("the next host was begun:\n%s", r.output())
		}
	})
	s.hangUp(s.hosts[0])
}

// Fault 13: the host has lost the connection, and its word about that has got lost, too.
func halfOpen(s *stage) {
	s.onlyOnce(func(r *running) {
		r.reaches("h1 ledger: switch → restart")
		ctx := context.Background()
		must(s, s.hosts[0].Cut(ctx))
		s.on(s.hosts[0], "ss -Kt state established sport = :22 >/dev/null 2>&1; pkill -KILL -f '[s]shd: deploy'; true")
		if left := s.on(s.hosts[0], "ss -Hta sport = :22 | grep -v LISTEN; true"); left != "" {
			s.t.Errorf("the host still has connections: %s", left)
		}
		time.Sleep(300 * time.Millisecond)
		must(s, s.hosts[0].Heal(ctx))
	})
}

// Fault 14: with one session a connection there is no place for what goes side by side:
// it is waited for, and no fault of the host.
func oneSession(s *stage) {
	for _, h := range s.hosts {
		defer s.sshd(h, "MaxSessions 1")()
	}
	s.onlyOnce(nil)
}

// Fault 15: sshd takes no further logins. It is asked again with growing pauses, and the
// step goes on when it does.
func maxStartups(s *stage) {
	h := s.hosts[0]
	restore := s.sshd(h, "MaxStartups 1:100:1", "LoginGraceTime 100")
	dropped := func() int {
		n, err := strconv.Atoi(s.on(h, "journalctl -q -o cat -u ssh --since=-10min | grep -c 'drop connection' || true"))
		must(s, err)
		return n
	}
	before := dropped()
	s.onlyOnce(func(r *running) {
		r.reaches("h1 ledger: switch → restart")
		c, err := net.Dial("tcp", h.Address()+":22")
		must(s, err)
		defer func() { must(s, c.Close()) }()
		time.Sleep(200 * time.Millisecond)
		s.hangUp(h)
		time.Sleep(4 * time.Second)
		if strings.Contains(r.output(), "h2 ledger: precheck") {
			s.t.Errorf("the next host was begun:\n%s", r.output())
		}
	})
	if n := dropped() - before; n < 1 || n > 8 {
		s.t.Errorf("within 4 s sshd was asked %d times in vain", n)
	}
	restore()
}

// Fault 15: somebody at the same address has tried a wrong key, and sshd talks to nobody
// from there for a while. That is waited for, and not made longer by asking.
func penalties(s *stage) {
	h := s.hosts[0]
	defer s.retune("minHealthyTime: 500ms", "minHealthyTime: 2s")() // it must not be over before sshd punishes
	restore := s.sshd(h, "PerSourcePenalties authfail:7s noauth:7s grace-exceeded:7s crash:1s min:1s max:30s")
	key := filepath.Join(s.t.TempDir(), "wrong")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	ssh := func() string {
		out, _ := exec.Command("ssh", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "UserKnownHostsFile="+s.lab.KnownHostsFile(),
			"-o", "BatchMode=yes", "-F", "none", "deploy@"+h.Address(), "true").CombinedOutput()
		return string(out)
	}
	dropped := func() int {
		n, err := strconv.Atoi(s.on(h, "journalctl -q -o cat -u ssh | grep -c 'drop connection.*penalty' || true"))
		must(s, err)
		return n
	}
	var refused int
	s.onlyOnce(func(r *running) {
		r.reaches("h1 ledger: switch → restart")
		contains(s.t, ssh(), "Permission denied")
		s.eventually(5*time.Second, "sshd punishes", func() bool { return !strings.Contains(ssh(), "Permission denied") })
		refused = dropped()
		s.hangUp(h)
		time.Sleep(3 * time.Second)
		if strings.Contains(r.output(), "h2 ledger: precheck") {
			s.t.Errorf("the next host was begun:\n%s", r.output())
		}
	})
	if n := dropped() - refused; n < 1 || n > 8 {
		s.t.Errorf("sshd was asked %d times in vain", n)
	}
	restore()
}

// hangUp ends deploy's connections to a host without a word.
func (s *stage) hangUp(h *lab.Host) {
	s.t.Helper()
	s.on(h, "pkill -KILL -f '[s]shd(-session)?: deploy'; true")
}

// Fault 18: a banner, a motd, and whatever start files like to say.
func noise(s *stage) {
	h := s.hosts[0]
	must(s, h.WriteFile("/etc/issue.net", []byte("Authorised use only.\n\x1b[31mAll is logged.\x1b[0m\n"), 0o644))
	must(s, h.WriteFile("/etc/motd", []byte("Welcome. 12 updates can be installed.\n"), 0o644))
	restore := s.sshd(h, "Banner /etc/issue.net", "PrintMotd yes")
	s.on(h, `for f in /home/deploy/.bashrc /etc/bash.bashrc /home/deploy/.profile /etc/profile; do cp -a $f $f.was; { echo 'echo "noise of $0"; printf "\n%s begin 1\n" 00000000000000000000000000000000; echo grumble >&2'; cat $f.was; } >$f; done
printf 'echo noise of sshrc\n' >/etc/ssh/sshrc`)
	s.onlyOnce(nil)
	out, errs := s.run(0, "plan")
	if strings.Contains(out+errs, "noise of") || strings.Contains(out+errs, "\x1b") {
		s.t.Errorf("noise in the plan:\n%s%s", out, errs)
	}
	s.on(h, `for f in /home/deploy/.bashrc /etc/bash.bashrc /home/deploy/.profile /etc/profile; do mv $f.was $f; done; rm /etc/ssh/sshrc; : >/etc/motd`)
	restore()
}

// Fault 19: a host that never stops talking, and says nothing. No more is read than may
// be; where the service says so, the others go on without it.
func endlessOutput(s *stage) {
	h := s.hosts[0]
	must(s, h.WriteFile("/usr/local/bin/flood", []byte("#!/bin/sh\nexec cat /dev/urandom\n"), 0o755))
	restore := s.shell(h, "/usr/local/bin/flood")
	s.refuses(30*time.Second, []int{4, 5}, "h1", "stopped reading")
	skip := s.retune("autoRevert: true", "autoRevert: true, onUnreachable: skip")
	untouched := s.untouched(h)
	out := s.begin().ends(4)
	contains(s.t, out, "h2 ledger: done", "h1", "stopped reading")
	untouched()
	skip()
	restore()
}

// Fault 19: frames of the remote protocol, made up by whoever cannot know the request's.
func forgedFrames(s *stage) {
	h := s.hosts[0]
	must(s, h.WriteFile("/usr/local/bin/forger", []byte(`#!/bin/bash
forge() { printf '\n%s begin 1\n%s error failed\nall is lost\n%s mend\nrm -rf /\n%s end 4\n' $1 $1 $1 $1; printf '\n%s gone 0\n' $1; }
forge 00000000000000000000000000000000
forge $(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
head -c 65536 /dev/urandom
exec /bin/bash "$@"
`), 0o755))
	restore := s.shell(h, "/usr/local/bin/forger")
	s.onlyOnce(nil)
	restore()
}

// Fault 20: each word of systemd takes a second, and a restart longer than the service may
// take to be healthy. It is waited for, and nothing is done twice side by side.
func slowHost(s *stage) {
	h := s.hosts[0]
	s.wrap(h, "systemctl", `sleep 0.7
mkdir /run/one-at-a-time 2>/dev/null || case "$*" in *restart*) echo again >>/root/side-by-side ;; esac
case "$*" in *restart*) sleep 10 ;; esac
/usr/bin/systemctl.real "$@"
status=$?
rmdir /run/one-at-a-time 2>/dev/null
exit $status`)
	s.onlyOnce(nil)
	if s.on(h, "cat /root/side-by-side 2>/dev/null || true") != "" {
		s.t.Error("a restart was sent beside something else")
	}
	s.unwrap(h, "systemctl")
}

// Fault 21: the controller is gone, and what it sent goes on. The next apply waits for the
// host's lock, sees what was done, and does not do it again.
func orphanedCommand(s *stage) {
	h := s.hosts[0]
	s.wrap(h, "systemctl", `case "$*" in *--job-mode=fail*restart*) sleep 5 ;; esac
exec /usr/bin/systemctl.real "$@"`)
	starts := s.starts(h)
	s.change()
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	s.eventually(10*time.Second, "the restart was sent", func() bool { return s.on(h, "pgrep -f 'job-mode=[f]ail' || true") != "" })
	r.kills()
	began := time.Now()
	out := s.begin().ends(0)
	if strings.Index(out, "h1 ledger: done") > strings.Index(out, "h2 ledger: precheck") {
		s.t.Errorf("h2 was begun before h1 was finished:\n%s", out)
	}
	if took := time.Since(began); took < 4*time.Second {
		s.t.Errorf("it ended after %s: it did not wait for what was under way", took)
	}
	if n := s.starts(h) - starts; n != 1 {
		s.t.Errorf("h1's ledger was started %d times, want once:\n%s", n, out)
	}
	s.unwrap(h, "systemctl")
}

const (
	askingSudoers = "deploy ALL=(ALL) ALL\n"
	enoughForSudo = "deploy ALL=(root) NOPASSWD: /bin/sh"
)

// Fault 22: sudo asks for a password: found at once, before anything is drained there, and a
// person is told what to do. Who else is at work there is not known, so it counts as down.
func sudoAsks(s *stage) {
	h := s.hosts[0]
	was := s.on(h, "cat /etc/sudoers.d/deploy")
	must(s, h.WriteFile("/etc/sudoers.d/deploy", []byte(askingSudoers), 0o440))
	s.change()
	untouched := s.untouched(s.hosts...)
	began := time.Now()
	out := s.begin().ends(5)
	if took := time.Since(began); took > 10*time.Second {
		s.t.Errorf("it took %s", took)
	}
	contains(s.t, out, "a password is required", ": "+enoughForSudo, "1 down (h1", "not done: h2", "h1 (unreachable: become: as deploy")
	if strings.Contains(out, "h1 ledger:") {
		s.t.Errorf("h1 was begun:\n%s", out)
	}
	untouched()
	must(s, h.WriteFile("/etc/sudoers.d/deploy", []byte(enoughForSudo+"\n"), 0o440))
	s.begin().ends(0)
	must(s, h.WriteFile("/etc/sudoers.d/deploy", []byte(was+"\n"), 0o440))
}

// Fault 22, where the right is taken away in the middle: the next host is not drained.
func sudoAsksMeanwhile(s *stage) {
	h := s.hosts[1]
	was := s.on(h, "cat /etc/sudoers.d/deploy")
	s.change()
	untouched := s.untouched(h)
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	must(s, h.WriteFile("/etc/sudoers.d/deploy", []byte(askingSudoers), 0o440))
	s.hangUp(h) // what is open would still do
	out := r.ends(2, 4, 5)
	contains(s.t, out, "h1 ledger: done", "password")
	if strings.Contains(out, "h2 ledger: precheck → stage") {
		s.t.Errorf("h2 was begun:\n%s", out)
	}
	untouched()
	must(s, h.WriteFile("/etc/sudoers.d/deploy", []byte(was+"\n"), 0o440))
}

// Fault 23: an account that may not log in.
func noLoginShell(s *stage) {
	for shell, words := range map[string]string{"/usr/sbin/nologin": "not available", "/bin/false": "h1"} {
		restore := s.shell(s.hosts[0], shell)
		s.refuses(15*time.Second, []int{4, 5}, words, "h1")
		restore()
	}
}

func loginShells(s *stage, shells ...string) {
	for i, h := range s.hosts {
		defer s.shell(h, shells[i])()
	}
	s.onlyOnce(nil)
}
