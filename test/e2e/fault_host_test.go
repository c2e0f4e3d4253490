package e2e

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// Faults of a host and its systemd.
func TestFaultsHost(t *testing.T) {
	t.Parallel()
	play(t, 2, []act{
		{name: "24 disk or inodes full", play: full},
		{name: "25 read-only filesystem", play: readOnly},
		{name: "26 reboot in mid-restart", play: rebootInMidRestart},
		{name: "27 power cut right after the switch", play: powerCutAfterSwitch, cut: true},
		{name: "28 daemon-reload hangs for a while", play: slowReload},
		{name: "35 unit removed by hand in mid-rollout", play: removedMeanwhile},
		{name: "35 unit masked on the next host", play: nextMasked},
		{name: "36 file edited on the next host", play: nextEdited},
	})
}

// Fault 37: what another agent does to a peer.
func TestFaultsPeer(t *testing.T) {
	t.Parallel()
	play(t, 3, []act{
		{name: "37 another agent restarts a peer", play: peerRestarts},
		{name: "37 another agent stops a peer", play: peerStops},
	})
}

// Faults of a unit under systemd.
func TestFaultsUnit(t *testing.T) {
	t.Parallel()
	play(t, 2, []act{
		{name: "29 crash loop", play: crashLoop},
		{name: "30 start limit hit", play: startLimit},
		{name: "30 start limit and many changes", play: manyChanges},
		{name: "31 stuck activating until its timeout", play: neverReady},
		{name: "33 missing binary", play: missingBinary},
		{name: "34 an admin's job", play: adminsJob},
		{name: "34 an admin's job in mid-rollout", play: adminsJobMeanwhile},
	})
}

// crammed puts a small filesystem of its own under a directory of the host, and fills it
// up; the function returned makes room, and puts the directory back.
func (s *stage) crammed(h *lab.Host, dir, options, fill string) (restore func()) {
	s.t.Helper()
	s.on(h, `set -e; d=`+dir+`; mkdir -p /root/cram; cp -a $d/. /root/cram/
mount -t tmpfs -o mode=0755,`+options+` cram $d; cp -a /root/cram/. $d/; rm -r /root/cram; cd $d; `+fill)
	return func() {
		s.t.Helper()
		s.on(h, `set -e; d=`+dir+`; rm -f $d/fill*; mkdir -p /root/cram; cp -a $d/. /root/cram/; umount $d; rm -rf $d/*; cp -a /root/cram/. $d/; rm -r /root/cram`)
	}
}

const (
	fillInodes = `i=0; while true >fill.$i; do i=$((i+1)); done 2>/dev/null; true`
	fillBytes  = `dd if=/dev/zero of=fill.a bs=4k status=none 2>/dev/null || dd if=/dev/zero of=fill.b bs=1 status=none 2>/dev/null || true`
)

// inTheWay is an apply that finds something in the way on h1: nothing of it is touched,
// it is not left drained, and the reason is named. Where that is known before anything
// begins, the other host goes on.
func (s *stage) inTheWay(exit int, words ...string) string {
	s.t.Helper()
	s.change()
	untouched := s.untouched(s.hosts[0])
	files := s.files(s.hosts[0])
	out := s.begin().ends(exit)
	contains(s.t, out, append(words, "not done: h1")...)
	untouched()
	if now := s.files(s.hosts[0]); now != files {
		s.t.Errorf("h1's files are not as they were:\n%s\n%s", files, now)
	}
	s.serving(len(s.hosts))
	return out
}

// files are the digests of what is managed on a host.
func (s *stage) files(h *lab.Host) string {
	s.t.Helper()
	return s.on(h, "sha256sum /etc/ledger/ledger.env /etc/systemd/system/ledger.service")
}

// Fault 24: no room or no inodes, where the files go or where generations are kept.
func full(s *stage) {
	h := s.hosts[0]
	for _, f := range []struct{ dir, options, fill, word string }{
		{"/etc/ledger", "size=1m,nr_inodes=8", fillInodes, "inodes"},
		{"/etc/ledger", "size=64k", fillBytes, "bytes free"},
		{"/var/lib/evenkeel", "size=64m,nr_inodes=600", fillInodes, "/var/lib/evenkeel/epoch: No space left"},
		{"/var/lib/evenkeel", "size=4m", fillBytes, "is full or read-only: df /var/lib/evenkeel"},
	} {
		restore := s.crammed(h, f.dir, f.options, f.fill)
		s.inTheWay(2, f.word)
		restore()
	}
}

// Fault 25: a filesystem that the kernel has made read-only.
func readOnly(s *stage) {
	for _, dir := range []string{"/etc/ledger", "/var/lib/evenkeel"} {
		s.on(s.hosts[0], "mount --bind "+dir+" "+dir+" && mount -o remount,bind,ro "+dir)
		out := s.inTheWay(2, dir)
		if !strings.Contains(strings.ToLower(out), "read-only") {
			s.t.Errorf("it does not say that %s is read-only:\n%s", dir, out)
		}
		s.on(s.hosts[0], "umount "+dir)
	}
}

// Fault 26: the host reboots in the middle of a restart. Its slot stays taken until it is
// back and was looked at.
func rebootInMidRestart(s *stage) {
	ctx := context.Background()
	s.change()
	boot, err := s.hosts[0].BootID(ctx)
	must(s, err)
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	must(s, s.hosts[0].Reboot(ctx))
	out := r.ends(0)
	if now, err := s.hosts[0].BootID(ctx); err != nil || now == boot {
		s.t.Errorf("it has not rebooted: %v", err)
	}
	if back := strings.Index(out, "h1 ledger: undrain → clear"); back < 0 || back > strings.Index(out, "h2 ledger: precheck") {
		s.t.Errorf("h2 was begun before h1 was back:\n%s", out)
	}
}

// Fault 27: the power fails when every file is in its place, and nothing else is done yet.
func powerCutAfterSwitch(s *stage) {
	ctx, h := context.Background(), s.hosts[0]
	defer s.unit(strings.Replace(ledgerUnit, "Ledger\n", "Ledger of accounts\n", 1))()
	s.change()
	s.wrap(h, "systemctl", `case "$*" in daemon-reload) if [ ! -e /root/cut ]; then touch /root/cut; sync; sleep 20; fi ;; esac
exec /usr/bin/systemctl.real "$@"`)
	r := s.begin()
	s.eventually(20*time.Second, "systemd is to be reloaded", func() bool { return s.on(h, "ls /root/cut 2>/dev/null || true") != "" })
	must(s, h.Kill(ctx))
	time.Sleep(2 * time.Second)
	if out := r.output(); strings.Contains(out, "h2 ledger: precheck") {
		s.t.Errorf("the next host was begun:\n%s", out)
	}
	must(s, h.Boot(ctx))
	if got := s.on(h, "grep -c accounts /etc/systemd/system/ledger.service; grep -c change"+strconv.Itoa(s.changes)+" /etc/ledger/ledger.env; true"); got != "1\n1" && got != "0\n0" {
		s.t.Errorf("mixed files after the power cut: %s", got)
	}
	r.ends(0, 2, 4)
	s.unwrap(h, "systemctl")
	s.on(h, "rm /root/cut")
	s.converges()
	for _, h := range s.hosts {
		s.on(h, "systemctl show -p Description ledger | grep -q accounts")
	}
}

// Fault 28: systemd takes its time to read its files again.
func slowReload(s *stage) {
	h := s.hosts[0]
	s.wrap(h, "systemctl", `case "$*" in daemon-reload) sleep 3 ;; esac
exec /usr/bin/systemctl.real "$@"`)
	defer s.unit(strings.Replace(ledgerUnit, "Ledger\n", "Ledger with a name\n", 1))()
	s.onlyOnce(nil)
	s.unwrap(h, "systemctl")
}

// Fault 35: somebody removes the unit while its host is drained for it.
func removedMeanwhile(s *stage) {
	s.change()
	r := s.begin()
	r.reaches("h1 ledger: drain → wait")
	s.on(s.hosts[0], "rm /etc/systemd/system/ledger.service && systemctl daemon-reload")
	out := r.ends(0)
	contains(s.t, out, "/etc/systemd/system/ledger.service was changed there since it was looked at")
	if got := s.on(s.hosts[0], "systemctl is-active ledger; systemctl is-enabled ledger"); got != "active\nenabled" {
		s.t.Errorf("h1's ledger is %s", got)
	}
}

// Fault 35: the next host's unit is masked while the first is in hand: it is named, and
// keeps its traffic and its process.
func nextMasked(s *stage) {
	s.change()
	untouched := s.untouched(s.hosts[1])
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	s.on(s.hosts[1], "mv /etc/systemd/system/ledger.service /root/; systemctl mask -q ledger")
	out := r.ends(2)
	contains(s.t, out, "h1 ledger: done", "masked", "not done: h2")
	untouched()
	s.serving(2)
	s.on(s.hosts[1], "systemctl unmask -q ledger; mv /root/ledger.service /etc/systemd/system/; systemctl daemon-reload")
}

// Fault 36: a file of the next host is edited after the plan was made: it is not written
// over unseen, but planned again.
func nextEdited(s *stage) {
	s.change()
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	s.on(s.hosts[1], "echo Y=1 >>/etc/ledger/ledger.env")
	out := r.ends(0)
	contains(s.t, out, "/etc/ledger/ledger.env was changed there since it was looked at")
}

// goesBack is an apply of a bad unit: h1 goes back to what it ran, is proven healthy and
// undrained, no other host is touched, and the next apply does not try it again.
func (s *stage) goesBack(unit string, words ...string) {
	s.t.Helper()
	defer s.unit(unit)()
	s.change()
	untouched := s.untouched(s.hosts[1:]...)
	files := s.files(s.hosts[0])
	out := s.begin().ends(6)
	contains(s.t, out, append(words, "not done: h1")...)
	untouched()
	if now := s.files(s.hosts[0]); now != files {
		s.t.Errorf("h1's files are not as they were:\n%s\n%s", files, now)
	}
	s.serving(len(s.hosts))
	untouched = s.untouched(s.hosts...)
	contains(s.t, s.begin().ends(6), "not tried again")
	untouched()
	s.change() // what was refused stays so
}

func unitWith(service ...string) string {
	return strings.Replace(ledgerUnit, "RestartSec=1\n", strings.Join(append(service, "RestartSec=100ms", ""), "\n"), 1)
}

func unitThatRuns(command string, service ...string) string {
	return strings.Replace(unitWith(service...), "ExecStart=/usr/local/bin/ledger", "ExecStart="+command, 1)
}

// Fault 29: it starts, and dies, and starts.
func crashLoop(s *stage) {
	s.goesBack(unitThatRuns(`/bin/sh -c 'sleep 0.3; exit 3'`), "h1", "status 3")
}

// Fault 30: systemd has given up on it. The way back must not be refused for that.
func startLimit(s *stage) {
	limited := strings.Replace(unitThatRuns(`/bin/sh -c 'exit 3'`), "After=", "StartLimitIntervalSec=1h\nStartLimitBurst=2\nAfter=", 1)
	s.goesBack(limited, "h1", "status 3")
}

// Fault 30, of a good unit: what is changed more often than it may be started is still
// started.
func manyChanges(s *stage) {
	defer s.unit(strings.Replace(ledgerUnit, "After=", "StartLimitIntervalSec=1h\nStartLimitBurst=1\nAfter=", 1))()
	for range 3 {
		s.onlyOnce(nil)
	}
}

// Fault 31: it never says that it is ready.
func neverReady(s *stage) {
	s.goesBack(unitThatRuns("/bin/sleep infinity", "Type=notify", "TimeoutStartSec=2s", "Restart=no"), "h1", "in time")
}

// Fault 33: for Type=simple, systemd reports success all the same. The plan names it, or the
// precheck, which looks into what is to be run; what neither can see is taken back.
func missingBinary(s *stage) {
	restore := s.unit(unitThatRuns("/usr/local/bin/not-there"))
	contains(s.t, s.inTheWay(2, "there is no such program on the host", "203/EXEC"), "held back")
	restore()
	for _, h := range s.hosts {
		must(s, h.WriteFile("/usr/local/bin/orphan", []byte("#!/usr/bin/no-such-interpreter\n"), 0o755))
	}
	restore = s.unit(unitThatRuns("/usr/local/bin/orphan"))
	s.inTheWay(2, "/usr/bin/no-such-interpreter")
	restore()
	s.goesBack(unitWith("InaccessiblePaths=/usr/local/bin/ledger"), "h1", "203/EXEC")
}

// Fault 34: an admin has a job on the unit: it is not replaced and not joined, and nothing
// is drained for it.
func adminsJob(s *stage) {
	restore := s.unit(unitWith("ExecReload=/bin/sleep 30"))
	s.converges()
	s.on(s.hosts[0], "systemctl --no-block reload ledger")
	s.inTheWay(7, "has a job queued")
	s.on(s.hosts[0], "systemctl list-jobs | grep -q ledger")
	s.on(s.hosts[0], "pkill -f '[s]leep 30'; true")
	s.on(s.hosts[0], "systemctl is-active ledger")
	restore()
}

// Fault 34, when the host is drained already: a short job is waited for; for a long one
// the host is put back as it was.
func adminsJobMeanwhile(s *stage) {
	restore := s.unit(unitWith("ExecReload=/bin/sh -c 'exec sleep $$(cat /run/reload-takes)'"))
	s.converges()
	h := s.hosts[0]
	s.on(h, "echo 5 >/run/reload-takes")
	s.onlyOnce(func(r *running) {
		r.reaches("h1 ledger: drain → wait")
		s.on(h, "systemctl --no-block reload ledger")
	})
	s.on(h, "echo 40 >/run/reload-takes")
	s.change()
	untouched, files := s.untouched(s.hosts...), s.files(h)
	r := s.begin()
	r.reaches("h1 ledger: drain → wait")
	s.on(h, "systemctl --no-block reload ledger")
	out := r.ends(7)
	contains(s.t, out, "has a job queued", "not done: h1")
	if strings.Contains(out, "LEFT DRAINED") {
		s.t.Errorf("h1 is left drained:\n%s", out)
	}
	untouched()
	if now := s.files(h); now != files {
		s.t.Errorf("h1's files are not as they were:\n%s\n%s", files, now)
	}
	s.serving(2)
	s.on(h, "pkill -f '[s]leep 40'; true")
	restore()
}

// Fault 24, brought about by the change itself: the way back has room all the same.
func fillsDisk(s *stage) {
	greedy := unitWith("ExecStartPre=+/bin/sh -c 'dd if=/dev/zero of=/var/greedy bs=64k; dd if=/dev/zero of=/var/greedy2 bs=1; exit 0'", "ExecStartPost=/bin/sleep 1", "ExecStartPost=/bin/false")
	defer s.unit(greedy)()
	s.change()
	untouched := s.untouched(s.hosts[1])
	files := s.files(s.hosts[0])
	out := s.begin().ends(6)
	contains(s.t, out, "not done: h1")
	untouched()
	if now := s.files(s.hosts[0]); now != files {
		s.t.Errorf("h1's files are not as they were:\n%s\n%s", files, now)
	}
	if room := s.on(s.hosts[0], "df --output=avail -B1 / | tail -n 1"); len(room) > 7 {
		s.t.Errorf("the disk was not full: %s bytes are free", room)
	}
	s.serving(2)
	s.on(s.hosts[0], "rm /var/greedy*")
	s.change()
}

// Fault 28: systemd does not read its files again. The host keeps its process, its files
// go back, and it is undrained; later it is put in order.
func hungReload(s *stage) {
	h := s.hosts[0]
	s.wrap(h, "systemctl", `case "$*" in daemon-reload) exec sleep 600 ;; esac
exec /usr/bin/systemctl.real "$@"`)
	restore := s.unit(strings.Replace(ledgerUnit, "Ledger\n", "Ledger of all accounts\n", 1))
	s.change()
	untouched, files := s.untouched(s.hosts...), s.files(h)
	out := s.begin().ends(2)
	contains(s.t, out, "systemctl daemon-reload: it has not ended within 45 s", "not done: h1")
	untouched()
	if now := s.files(h); now != files {
		s.t.Errorf("h1's files are not as they were:\n%s\n%s", files, now)
	}
	s.serving(2)
	s.unwrap(h, "systemctl")
	s.converges()
	restore()
}

// Fault 31, with no timeout of the unit's own: the start is called off, and the host goes
// back.
func stuckActivating(s *stage) {
	s.goesBack(unitWith("ExecStartPre=/bin/sleep infinity", "TimeoutStartSec=infinity"), "h1", "activating")
}

// Fault 32: the old process does not go. It is not asked a second time, no other host is
// begun, and whoever reads the last line knows where the traffic is missing.
func stuckDeactivating(s *stage) {
	h := s.hosts[0]
	must(s, h.WriteFile("/run/systemd/system/ledger.service.d/stays.conf", []byte("[Service]\nKillSignal=SIGCONT\nTimeoutStopSec=infinity\nSendSIGKILL=no\n"), 0o644))
	s.on(h, "systemctl daemon-reload")
	starts, pid := s.starts(h), s.pid(h)
	untouched := s.untouched(s.hosts[1])
	s.change()
	out := s.begin().ends(2)
	contains(s.t, out, "not done: h1", "has not stopped yet", "LEFT DRAINED: h1 ledger")
	untouched()
	if n := s.starts(h) - starts; n != 0 || s.pid(h) != pid {
		s.t.Errorf("h1's ledger was started %d times", n)
	}
	if got := s.on(h, "systemctl is-active ledger; true"); got != "deactivating" {
		s.t.Errorf("h1's ledger is %s", got)
	}
	s.on(h, "kill -KILL "+pid+" && rm -r /run/systemd/system/ledger.service.d && systemctl daemon-reload") // which may find the usual timeout over, and kill it itself
	s.eventually(10*time.Second, "the job that waited goes on", func() bool { return s.on(h, "systemctl is-active ledger; true") == "active" })
	if n := s.starts(h) - starts; n != 1 {
		s.t.Errorf("h1's ledger was started %d times, want once", n)
	}
	s.change()
}

// agent does something to the ledger of a host, as somebody else's deployment tool does who
// is polite to users.
func (s *stage) agent(h *lab.Host, command string) (ready func()) {
	s.t.Helper()
	ctx := context.Background()
	_, err := s.lb.Runtime(ctx, "set server ledger/"+h.Name()+" state drain")
	must(s, err)
	s.on(h, command)
	return func() {
		s.t.Helper()
		_, err := s.lb.Runtime(ctx, "set server ledger/"+h.Name()+" state ready")
		must(s, err)
	}
}

// Fault 37: while h1 is in hand another agent restarts the ledger of h3, on which nothing is
// to be done. h2 waits until that is back.
func peerRestarts(s *stage) {
	h := s.hosts[2]
	s.change()
	s.run(0, "apply", "--yes", "--host", "h3")
	s.serving(3)
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	ready := s.agent(h, "systemctl stop ledger")
	r.reaches("→ waits")
	time.Sleep(1500 * time.Millisecond)
	if strings.Contains(r.output(), "h2 ledger: precheck") {
		s.t.Errorf("h2 was begun although h3 is down:\n%s", r.output())
	}
	s.on(h, "systemctl start ledger")
	s.eventually(10*time.Second, "h3 answers again", func() bool { return answers(h) })
	ready()
	out := r.ends(0)
	contains(s.t, out, "1 down (h3")
}

// Fault 37, where the peer stays down: h2 is not begun.
func peerStops(s *stage) {
	h := s.hosts[2]
	s.change()
	s.run(0, "apply", "--yes", "--host", "h3")
	s.serving(3)
	untouched := s.untouched(s.hosts[1])
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	ready := s.agent(h, "systemctl stop ledger")
	out := r.ends(5)
	contains(s.t, out, "1 down (h3", "halted by the budget")
	untouched()
	s.on(h, "systemctl start ledger")
	s.eventually(10*time.Second, "h3 answers again", func() bool { return answers(h) })
	ready()
	s.serving(3)
}
