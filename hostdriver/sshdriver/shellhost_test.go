package sshdriver

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// shellHost runs requests in a local shell, with evenkeel's records in a folder of the
// test's and a systemctl that knows unit files in that folder. It is what tests of the
// scripts need that no real host can give: every shell, and a death at any moment.
type shellHost struct {
	t     testing.TB
	dir   string
	shell []string
	env   []string
	*Driver

	stays   bool   // one shell for all requests, as on a connection that is kept
	kept    *shell // that one
	started int    // how many there were

	lacking []string // what was taken out of its PATH
}

var testShells = map[string][]string{"dash": {"dash"}, "bash": {"bash", "--posix"}, "busybox": {"busybox", "sh"}}

const realPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// newShellHost makes one for the shell of that name.
func newShellHost(t testing.TB, shell string) *shellHost {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the scripts change owners: run this test as root")
	}
	words := testShells[shell]
	if _, err := exec.LookPath(words[0]); err != nil {
		t.Fatalf("%s is missing: apt-get install dash bash busybox", words[0])
	}
	dir := t.TempDir()
	h := &shellHost{t: t, dir: dir, shell: words}
	for _, d := range []string{"bin", "units", "systemd/enabled", "systemd/running"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.write("bin/systemctl", fakeSystemctl, 0o755)
	h.write("bin/systemd-run", "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$EK_DIR/systemd/timers\"\n", 0o755)
	h.Driver = newDriver(h, places{state: dir + "/state", run: dir + "/run", path: dir + "/bin:" + realPath})
	h.lockWait = 5 * time.Second
	return h
}

// fakeSystemctl keeps what is enabled and running in files. A unit's InvocationID counts
// its starts.
const fakeSystemctl = `#!/bin/sh
S=$EK_DIR/systemd U=$EK_DIR/units
[ -e "$S/old" ] && case " $* " in *" --timestamp="*) echo "systemctl: unrecognized option '--timestamp=us+utc'" >&2; exit 1 ;; esac
verb= units= props=
while [ $# -gt 0 ]; do
	case $1 in
	-p) shift; props=$1 ;;
	--) ;;
	-*) ;;
	*) if [ "$verb" ]; then units="$units $1"; else verb=$1; fi ;;
	esac
	shift
done
printf '%s%s\n' "$verb" "$units" >>"$S/log"
file_state() {
	if [ ! -f "$U/$1" ]; then return; fi
	if [ -e "$S/masked.$1" ]; then echo masked; return; fi
	case $(cat "$U/$1") in
	*WantedBy*) if [ -e "$S/enabled/$1" ]; then echo enabled; else echo disabled; fi ;;
	*) echo static ;;
	esac
}
case $verb in
show)
	first=1
	for u in $units; do
		[ "$first" ] || echo
		first=
		n=0 active=inactive sub=dead pid=0 load=not-found
		[ -f "$U/$u" ] && load=loaded
		[ -e "$S/masked.$u" ] && load=masked
		[ -f "$S/starts.$u" ] && n=$(cat "$S/starts.$u")
		[ -f "$S/running/$u" ] && active=active sub=running pid=$(cat "$S/running/$u")
		id=
		[ $n = 0 ] || id=$(printf '%032x' $n)
		printf 'MainPID=%s\nId=%s\nLoadState=%s\nActiveState=%s\nSubState=%s\nUnitFileState=%s\nInvocationID=%s\nNeedDaemonReload=no\n' \
			$pid "$u" $load $active $sub "$(file_state "$u")" $id
		[ -e "$S/job.$u" ] && echo Job=7
	done
	;;
enable) for u in $units; do [ -f "$U/$u" ] || { echo "Unit file $u does not exist."; exit 1; }; : >"$S/enabled/$u"; done ;;
disable) for u in $units; do rm -f "$S/enabled/$u"; done ;;
is-enabled) for u in $units; do file_state "$u"; done ;;
start | restart)
	for u in $units; do
		[ "$verb" = start ] && [ -f "$S/running/$u" ] && continue
		n=0
		[ -f "$S/starts.$u" ] && n=$(cat "$S/starts.$u")
		echo $((n + 1)) >"$S/starts.$u"
		echo $$ >"$S/running/$u"
	done
	;;
stop) for u in $units; do rm -f "$S/running/$u"; done ;;
list-unit-files) for u in $units; do [ -f "$U/$u" ] && echo "$u $(file_state "$u") enabled"; done ;;
--version) echo "systemd 252 (252)" ;;
esac
exit 0
`

func (h *shellHost) write(name, text string, mode os.FileMode) {
	h.t.Helper()
	name = h.path(name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		h.t.Fatal(err)
	}
}

func (h *shellHost) path(name string) string { return filepath.Join(h.dir, name) }

func (h *shellHost) read(name string) (string, bool) {
	b, err := os.ReadFile(h.path(name))
	return string(b), err == nil
}

// command is the one that the login shell would be given.
func (h *shellHost) command(command []string) *exec.Cmd {
	words := append(append([]string{}, h.shell...), command[1:]...)
	cmd := exec.Command(words[0], words[1:]...) // #nosec G204
	cmd.Env = append([]string{"PATH=" + realPath, "EK_DIR=" + h.dir}, h.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// run implements line: in a shell of the request's own, or in one that stays.
func (h *shellHost) run(ctx context.Context, host inventory.Host, rq request) (Result, error) {
	var res Result
	var err error
	if h.stays {
		res, err = h.ask(ctx, rq)
	} else {
		res, err = h.runAlone(ctx, rq)
	}
	if err != nil && hostdriver.KindOf(err) == "" {
		err = &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: opRun, Err: err}
	}
	return res, err
}

func (h *shellHost) runAlone(ctx context.Context, rq request) (Result, error) {
	script := rq.script.text(rq.call)
	command := payloadWords(len(script))
	if rq.payload == nil {
		command = shellWords(len(script))
	}
	s := h.start(command)
	defer s.Close()
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	payload := rq.payload
	if payload == nil {
		payload = func([]byte) (io.Reader, error) { return strings.NewReader(""), nil }
	}
	out, err := converse(wholePipe{s}, script, payload)
	if err != nil {
		return Result{Stdout: out, Exit: -1}, err
	}
	res, err := s.Wait(ctx)
	res.Stdout = out
	return res, err
}

// ask asks the shell that stays, and starts one where the last was not fit any more.
func (h *shellHost) ask(ctx context.Context, rq request) (Result, error) {
	begin := ""
	if h.kept == nil {
		begin = shellText(h.places)
		h.kept = newShell(h.start(payloadWords(len(begin))), func() {})
		h.started++
	}
	res, fit, err := h.kept.ask(ctx, begin, rq)
	if !fit {
		h.kept = nil
	}
	return res, err
}

// start starts one command, in a process group of its own.
func (h *shellHost) start(command []string) *pipeSession {
	h.t.Helper()
	s := &pipeSession{cmd: h.command(command), stderr: &tail{limit: sessionStderr}, ended: make(chan struct{})}
	var out, stderr *os.File
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	if s.out, out, err = os.Pipe(); err != nil {
		h.t.Fatal(err)
	}
	errOut, stderr, err := os.Pipe()
	if err != nil {
		h.t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = out, stderr
	if err := s.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	_, _ = out.Close(), stderr.Close()
	go func() {
		if _, err := io.Copy(s.stderr, errOut); errors.Is(err, errTooLoud) {
			s.loud.Store(true)
			_ = s.Close()
		}
		_ = errOut.Close()
	}()
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	h.t.Cleanup(func() { _ = s.Close() })
	return s
}

// pipeSession is a Session with a local process.
type pipeSession struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *os.File
	stderr *tail
	ended  chan struct{}
	once   sync.Once
	loud   atomic.Bool
}

func (s *pipeSession) Read(p []byte) (int, error) {
	n, err := s.out.Read(p)
	if s.loud.Load() {
		err = errTooLoud
	}
	return n, err
}

func (s *pipeSession) Write(p []byte) (int, error) { return s.in.Write(p) }
func (s *pipeSession) CloseWrite() error           { return s.in.Close() }
func (s *pipeSession) Stderr() []byte              { return s.stderr.bytes() }
func (s *pipeSession) freshStderr(max int64)       { s.stderr.fresh(max) }

// Close is harsher than sshd, which closes pipes: nothing may be left of a test.
func (s *pipeSession) Close() error {
	s.once.Do(func() {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		_ = s.in.Close()
		_ = s.out.Close()
	})
	return nil
}

func (s *pipeSession) Wait(ctx context.Context) (Result, error) {
	select {
	case <-s.ended:
		return Result{Exit: s.cmd.ProcessState.ExitCode(), Stderr: s.Stderr()}, nil
	case <-ctx.Done():
		return Result{Exit: -1}, ctx.Err()
	}
}

// wholePipe is one that serves a single request.
type wholePipe struct{ *pipeSession }

func (s wholePipe) sent(error) { _ = s.CloseWrite() }

func (h *shellHost) dial(context.Context, inventory.Host, string, string) (net.Conn, error) {
	return nil, errors.New("a shell has no sockets")
}

func (h *shellHost) refusal(context.Context, inventory.Host, Result) error { return nil }

var shellInventory = inventory.Host{Name: "shell"}

func (h *shellHost) observe(q hostdriver.Query) hostdriver.Observation {
	h.t.Helper()
	o, err := h.Observe(context.Background(), shellInventory, q)
	if err != nil {
		h.t.Fatal(err)
	}
	return o
}

var shellFence = hostdriver.Fence{Epoch: 1, Holder: "test"}

func (h *shellHost) try(op hostdriver.Op) (hostdriver.Result, error) {
	return h.Apply(context.Background(), shellInventory, shellFence, op)
}

func (h *shellHost) apply(op hostdriver.Op) hostdriver.Result {
	h.t.Helper()
	r, err := h.try(op)
	if err != nil {
		h.t.Fatalf("%v (%s)", err, hostdriver.MendOf(err))
	}
	return r
}

// stageOf makes a generation of files, given by name below the folder and content. Unit
// files are those in units/: they are enabled.
func (h *shellHost) stageOf(generation uint64, files map[string]string, more ...hostdriver.Entry) hostdriver.Stage {
	s := hostdriver.Stage{Manifest: hostdriver.Manifest{Generation: generation, Revision: fmt.Sprint("r", generation), Entries: more},
		Blobs: map[string]hostdriver.Content{}}
	for name, text := range files {
		c := hostdriver.NewContent([]byte(text))
		s.Blobs[c.SHA256()] = c
		s.Manifest.Entries = append(s.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindFile, Service: "s", Name: h.path(name), SHA256: c.SHA256(),
			Owner: "root", Group: "root", Mode: 0o640})
		if filepath.Dir(name) == "units" {
			s.Manifest.Entries = append(s.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindUnit, Service: "s", Name: filepath.Base(name), Enabled: "yes"})
		}
	}
	return s
}

// eachShell runs fn with a host of each shell.
func eachShell(t *testing.T, fn func(t *testing.T, h *shellHost)) {
	for name := range testShells {
		t.Run(name, func(t *testing.T) { fn(t, newShellHost(t, name)) })
		t.Run(name+" that stays", func(t *testing.T) {
			h := newShellHost(t, name)
			h.stays = true
			fn(t, h)
		})
	}
}

// releaseOf makes a release of data.
func releaseOf(dir string, form hostdriver.ReleaseForm, data []byte) hostdriver.Release {
	sum := hostdriver.NewContent(data).SHA256()
	return hostdriver.Release{Path: dir + "/" + sum, SHA256: sum, Size: int64(len(data)), Form: form, Owner: "root", Group: "root",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

func tarOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
