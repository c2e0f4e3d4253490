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

// run implements line.
func (h *shellHost) run(ctx context.Context, host inventory.Host, script string, payload payloadFunc) (Result, error) {
	command := payloadWords(len(script))
	if payload == nil {
		command = shellWords(len(script))
	}
	cmd := h.command(command)
	in, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return Result{}, err
	}
	defer context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })()
	if payload == nil {
		payload = func([]byte) (io.Reader, error) { return strings.NewReader(""), nil }
	}
	d := &pipeDuplex{Reader: out, WriteCloser: in}
	stdout, err := converse(d, script, payload)
	_ = d.CloseWrite()
	werr := cmd.Wait()
	res := Result{Stdout: stdout, Stderr: stderr.Bytes(), Exit: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err == nil && werr != nil && !errors.As(werr, &exit) {
		err = werr
	}
	if err != nil {
		return res, &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: opRun, Err: err}
	}
	return res, nil
}

type pipeDuplex struct {
	io.Reader
	io.WriteCloser
	once sync.Once
}

func (d *pipeDuplex) CloseWrite() error {
	var err error
	d.once.Do(func() { err = d.WriteCloser.Close() })
	return err
}

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
