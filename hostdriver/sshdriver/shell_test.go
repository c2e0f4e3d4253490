package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// newStayingHost is a shellHost whose shell stays.
func newStayingHost(t *testing.T, shell string) *shellHost {
	h := newShellHost(t, shell)
	h.stays = true
	return h
}

// send sends a request that does what text says.
func (h *shellHost) send(ctx context.Context, text string, payload payloadFunc) ([]record, error) {
	return exchange(ctx, h, shellInventory, request{op: "test", script: newScript(h.places), call: text, payload: payload})
}

func staying(t *testing.T, fn func(t *testing.T, h *shellHost)) {
	for name := range testShells {
		t.Run(name, func(t *testing.T) { fn(t, newStayingHost(t, name)) })
	}
}

// leavings are what a request may do to its own shell, and must not do to the next one's.
const leavings = `secret=hunter2; export secret; NL=x; IFS=x; cd /tmp; umask 000; set +f; trap 'echo trapped >&3' EXIT USR1
exec 5</etc/passwd 6>&1; rec() { :; }; die() { :; }; alias finish=true 2>/dev/null; unset -f try
printf '\n%s end 2\n' "$NONCE" >&3; exit 0`

const left = `rec left "${secret-unset}" "$(pwd)" "$(umask)" "$-" "$(command -v rec)" "$(command -v try)" "$([ -e /proc/self/fd/5 ] && echo open)" "$(trap)"
finish`

func TestNothingIsLeftOfARequest(t *testing.T) {
	staying(t, func(t *testing.T, h *shellHost) {
		before, err := h.send(t.Context(), left, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.send(t.Context(), leavings, nil); err != nil {
			t.Fatal(err)
		}
		after, err := h.send(t.Context(), left, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"unset", "/"}; fmt.Sprint(after[0].args) != fmt.Sprint(before[0].args) || fmt.Sprint(after[0].args[:2]) != fmt.Sprint(want) {
			t.Errorf("before %q, after %q", before, after)
		}
		if h.started != 1 {
			t.Errorf("%d shells were started: the test proves nothing", h.started)
		}
	})
}

// TestAShellThatIsNotFitIsClosed: whatever a request does to the shell, what is known of
// it is what would be known of a shell of its own, and the next one works.
func TestAShellThatIsNotFitIsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		kind    hostdriver.ErrorKind // "": it succeeds
		says    string
		stays   bool // the shell
		payload string
	}{
		"a good one":                    {"finish", "", "", true, ""},
		"one that fails":                {"die failed 'no luck' 'try again'", "failed", "no luck", true, ""},
		"killed":                        {`sh -c 'kill -9 $PPID'; :`, "unknown", "status 137", false, ""},
		"killed with its shell":         {`kill -9 $$`, "unknown", "cut", false, ""},
		"killed with all":               {`kill -9 0`, "unknown", "cut", false, ""},
		"a syntax error":                {`)`, "unknown", "no beginning", false, ""},
		"ends without a word":           {`exit 0`, "unknown", "cut", false, ""},
		"ends before its end":           {`rec units a; exit 3`, "unknown", "status 3", false, ""},
		"endless output":                {`yes >&3`, "unknown", "more than", false, ""},
		"endless stderr":                {`yes`, "unknown", "stderr", false, ""},
		"binary output":                 {`rec content; head -c 100000 /dev/urandom >&3; finish`, "", "", true, ""},
		"forged marks":                  {`rec content; printf '\n%s gone 0\n' 0123456789abcdef0123456789abcdef >&3; finish`, "", "", true, ""},
		"an end that is not the last":   {`rec end 2; printf '\n%s gone 0\nmore\n' "$NONCE" >&3; exit 0`, "", "", false, ""},
		"a status that is none":         {`rec end 2; printf '\n%s gone x\n' "$NONCE" >&3; exit 0`, "", "", false, ""},
		"reads its payload":             {`rec content; head -c 5 >&3; finish`, "", "", true, "hello"},
		"fails with its payload unread": {`die failed 'disk full' ''`, "failed", "disk full", false, "hello"},
		"reads what is not its own":     {`cat >/dev/null; finish`, "", "", true, ""},
		"something left running":        {`sleep 3 >/dev/null 2>&1 3>&- & finish`, "", "", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			staying(t, func(t *testing.T, h *shellHost) {
				if _, err := h.send(t.Context(), "finish", nil); err != nil {
					t.Fatal(err)
				}
				var payload payloadFunc
				if c.payload != "" {
					payload = func([]byte) (io.Reader, error) { return strings.NewReader(c.payload), nil }
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				_, err := h.send(ctx, c.text, payload)
				if hostdriver.KindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("kind %q, want %q: %v", hostdriver.KindOf(err), c.kind, err)
				}
				// What comes after a false end may not be there yet: then it is noise before
				// the next reply.
				if got := h.kept != nil; got != c.stays && name != "an end that is not the last" {
					t.Errorf("the shell stays: %v, want %v", got, c.stays)
				}
				if _, err := h.send(t.Context(), "finish", nil); err != nil {
					t.Errorf("the next one: %v", err)
				}
			})
		})
	}
}

// TestAShellThatHangs: no caller is held beyond its time, and the request is unknown.
func TestAShellThatHangs(t *testing.T) {
	for name, text := range map[string]string{
		"sleeps": "rec units a; sleep 60; finish", "stopped": "kill -STOP 0", "waits for more than there is": "head -c 6 >/dev/null; finish",
	} {
		t.Run(name, func(t *testing.T) {
			h := newStayingHost(t, "dash")
			if _, err := h.send(t.Context(), "finish", nil); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			payload := func([]byte) (io.Reader, error) { return strings.NewReader("hello"), nil }
			_, err := h.send(ctx, text, payload)
			if hostdriver.KindOf(err) != hostdriver.Unknown || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
			}
			if _, err := h.send(t.Context(), "finish", nil); err != nil {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

// TestAPayloadThatFailsHere: the host gets to know that no more will come, and the cause
// is told.
func TestAPayloadThatFailsHere(t *testing.T) {
	staying(t, func(t *testing.T, h *shellHost) {
		r := releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, []byte("program"))
		r.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("prog")), nil }
		s := h.stageOf(1, map[string]string{"etc/a": "1"}, hostdriver.Entry{Kind: hostdriver.KindRelease, Service: "s", Name: r.Path, SHA256: r.SHA256})
		s.Releases = []hostdriver.Release{r}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := h.Apply(ctx, shellInventory, shellFence, s)
		if hostdriver.KindOf(err) != hostdriver.Failed || !strings.Contains(err.Error(), "shorter than the 7 bytes") {
			t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
		}
		h.apply(h.stageOf(1, map[string]string{"etc/a": "1"}))
	})
}

// TestTurnFindsItsEnd, however the output is cut into pieces.
func TestTurnFindsItsEnd(t *testing.T) {
	const said = "\nab begin 1\n\nab gon\nab gone\nab end 2\n\nab gone 137\n"
	for size := 1; size <= len(said); size++ {
		u := turn{mark: []byte("\nab gone ")}
		for i := 0; i < len(said); i += size {
			if u.over {
				t.Fatalf("in pieces of %d: over after %d bytes", size, i)
			}
			u.look([]byte(said[i:min(i+size, len(said))]))
		}
		if !u.over || u.spoilt || u.status != 137 {
			t.Fatalf("in pieces of %d: over %t, spoilt %t, status %d", size, u.over, u.spoilt, u.status)
		}
	}
}

// keptSSHD is a driver that reaches this machine through a real sshd, with folders of the
// test's.
func keptSSHD(t *testing.T, settings ...string) (*Driver, inventory.Host, func() *Conn) {
	if os.Getuid() != 0 {
		t.Skip("evenkeel's records are root's: run this test as root")
	}
	s := startSSHD(t, nil, settings...)
	pool := s.pool(t)
	d := newDriver(poolLine{pool}, places{state: s.dir + "/state", run: s.dir + "/run", path: realPath})
	d.pool = pool
	host := inventory.Host{Name: "web-1", Address: "127.0.0.1", Port: s.port, User: s.user}
	return d, host, func() *Conn {
		c, err := pool.Conn(t.Context(), TargetFor(host))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func (k *keeper) now() (s *shell) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shell
}

func clearStep(ctx context.Context, d *Driver, host inventory.Host) error {
	_, err := d.Apply(ctx, host, shellFence, hostdriver.ClearStep{})
	return err
}

// TestAConnectionKeepsAShell from the second request on, as long as there are more.
func TestAConnectionKeepsAShell(t *testing.T) {
	d, host, conn := keptSSHD(t)
	c := conn()
	c.shells.patience = 5 * time.Minute
	for i := range 4 {
		if err := clearStep(t.Context(), d, host); err != nil {
			t.Fatal(err)
		}
		if got := c.shells.now() != nil; got != (i > 0) {
			t.Errorf("after %d requests a shell is kept: %v", i+1, got)
		}
	}
	s := c.shells.now()
	if err := clearStep(t.Context(), d, host); err != nil || c.shells.now() != s {
		t.Errorf("another shell was started (%v)", err)
	}
	c.shells.mu.Lock()
	c.shells.life, c.shells.patience = 0, 3*time.Second
	c.shells.mu.Unlock()
	if err := clearStep(t.Context(), d, host); err != nil || c.shells.now() == s {
		t.Errorf("it outlives its life (%v)", err)
	}
	awaitTrue(t, "it is closed when nobody asks", func() bool { return c.shells.now() == nil && len(c.slots) == 0 })
	if err := clearStep(t.Context(), d, host); err != nil || c.shells.now() != nil {
		t.Errorf("one was started for a request that stands alone (%v)", err)
	}
	if c.Err() != nil || len(d.pool.shells) != 0 {
		t.Errorf("connection: %v; %d shells are counted", c.Err(), len(d.pool.shells))
	}
}

func awaitTrue(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error(what + ": not so after 10 s")
}

// TestRequestsAtOnce: one that hangs keeps no other waiting.
func TestRequestsAtOnce(t *testing.T) {
	for _, sessions := range []string{"10", "2"} {
		t.Run("MaxSessions "+sessions, func(t *testing.T) {
			d, host, conn := keptSSHD(t, "MaxSessions "+sessions)
			c := conn()
			for range 2 {
				if err := clearStep(t.Context(), d, host); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			hung := make(chan error)
			go func() {
				_, err := exchange(ctx, d.line, host, request{op: "test", script: newScript(d.places), call: "sleep 60.0417; finish"})
				hung <- err
			}()
			awaitTrue(t, "the shell is busy", func() bool {
				c.shells.mu.Lock()
				defer c.shells.mu.Unlock()
				return c.shells.busy
			})
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					if _, err := d.Observe(t.Context(), host, hostdriver.Query{Light: true}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			cancel()
			if err := <-hung; hostdriver.KindOf(err) != hostdriver.Unknown {
				t.Errorf("the one that hung: %v", err)
			}
			if err := clearStep(t.Context(), d, host); err != nil {
				t.Error(err)
			}
			awaitTrue(t, "nothing is left of it", func() bool { return leftRunning(t, "sleep 60.0417") == "" })
		})
	}
}

// leftRunning kills what still runs with those words, which only a session that was cut
// leaves: sshd closes its pipes, and a program that writes nothing does not notice.
func leftRunning(t *testing.T, words string) string {
	t.Helper()
	out, _ := exec.Command("pgrep", "-x", "-f", words).Output()
	for pid := range strings.FieldsSeq(string(out)) {
		_ = exec.Command("kill", pid).Run()
	}
	return string(out)
}

// TestAShellYieldsItsPlace where a host allows but one session, and to who waits for a
// place here.
func TestAShellYieldsItsPlace(t *testing.T) {
	d, host, conn := keptSSHD(t, "MaxSessions 1")
	c := conn()
	for range 3 {
		if err := clearStep(t.Context(), d, host); err != nil {
			t.Fatal(err)
		}
	}
	if c.shells.now() == nil {
		t.Error("no shell is kept: nothing was tested")
	}
	if res, err := c.Exec(t.Context(), Command{Line: "echo hi"}); err != nil || string(res.Stdout) != "hi\n" {
		t.Errorf("%q, %v", res.Stdout, err)
	}
	if err := clearStep(t.Context(), d, host); err != nil {
		t.Fatal(err)
	}
	for range cap(c.slots) - 1 {
		c.slots <- struct{}{}
	}
	if _, err := c.Exec(t.Context(), Command{Line: "echo hi"}); err != nil {
		t.Errorf("with all places taken but the shell's: %v", err)
	}
	for range cap(c.slots) - 1 {
		<-c.slots
	}
}

// TestAShellEndsWithItsConnection: nothing is left on the host, nor of a connection that
// was given up for a new one.
func TestAShellEndsWithItsConnection(t *testing.T) {
	for name, end := range map[string]func(p *Pool, host inventory.Host) error{
		"closed": func(p *Pool, _ inventory.Host) error { return p.Close() },
		"reset":  func(p *Pool, host inventory.Host) error { p.Reset(host.Name); return nil },
		"renewed": func(p *Pool, host inventory.Host) error {
			_, err := p.Renew(context.Background(), TargetFor(host))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, host, conn := keptSSHD(t)
			c := conn()
			var pid string
			for range 2 {
				records, err := exchange(t.Context(), d.line, host, request{op: "test", script: newScript(d.places), call: `rec pid $$; finish`})
				if err != nil {
					t.Fatal(err)
				}
				pid = records[0].arg(0)
			}
			if _, err := os.Stat(filepath.Join("/proc", pid)); err != nil || c.shells.now() == nil {
				t.Fatalf("the shell %s is not there: %v", pid, err)
			}
			if err := end(d.pool, host); err != nil {
				t.Fatal(err)
			}
			awaitTrue(t, "the connection has ended", func() bool { return c.Err() != nil })
			awaitTrue(t, "the shell has ended", func() bool { _, err := os.Stat(filepath.Join("/proc", pid)); return err != nil })
		})
	}
}
