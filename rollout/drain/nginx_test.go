package drain

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

var (
	nginxUp   = Status{Known: true, Up: true, Sessions: SessionsUnknown, State: "up"}
	nginxDown = Status{Known: true, Up: true, Drained: true, State: "down"}
)

// behindNginx is two instances behind a real nginx.
func behindNginx(t *testing.T) (w *web, one, two *instance) {
	t.Helper()
	one, two = startInstance(t, "web-1"), startInstance(t, "web-2")
	return startWeb(t, one, two), one, two
}

func TestNginxDrainsAndUndrains(t *testing.T) {
	w, one, _ := behindNginx(t)
	if err := os.Chown(w.file, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	before := w.read(w.file)
	hosts := shellHost()
	for _, host := range []string{"lb-1", ""} {
		t.Run("on "+host, func(t *testing.T) {
			d := w.drainer(w.spec(host, one.address()), hosts.deps())
			wantStatus(t, d, nginxUp)
			mustDrain(t, d, true)
			mustDrain(t, d, false) // repeated: its own work, found done
			want := strings.Replace(before, "weight=2;  # rack a", "weight=2 down; # drained by evenkeel  # rack a", 1)
			if got := w.read(w.file); got != want {
				t.Errorf("the file is\n%s\nwant\n%s", got, want)
			}
			wantStatus(t, d, nginxDown)
			if got := w.reached(); got != "web-2" {
				t.Errorf("with web-1 drained, requests reach %s", got)
			}
			mustUndrain(t, d)
			mustUndrain(t, d)
			wantStatus(t, d, nginxUp)
			if got := w.read(w.file); got != before {
				t.Errorf("the file is\n%s\nwant\n%s", got, before)
			}
			if got := w.reached(); got != "web-1 web-2" {
				t.Errorf("with web-1 undrained, requests reach %s", got)
			}
		})
	}
	info, err := os.Stat(w.file)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 1234 || st.Gid != 2345 || info.Mode() != 0o640 {
		t.Errorf("the file is of %d:%d now, with mode %s", st.Uid, st.Gid, info.Mode())
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("it left %s behind", left)
	}
	for i, run := range hosts.runs {
		counts, onlooker := strings.Contains(run.Line, "ss -Htn"), hosts.fences[i].Epoch == 5
		if counts != onlooker {
			t.Errorf("it ran with the fence %+v:\n%s", hosts.fences[i], run.Line)
		}
	}
	if len(hosts.runs) < 5 {
		t.Errorf("%d commands on the host", len(hosts.runs))
	}
}

func TestNginxCountsWebSockets(t *testing.T) {
	w, one, two := behindNginx(t)
	d1, d2 := w.drainer(w.spec("", one.address()), Deps{}), w.drainer(w.spec("", two.address()), Deps{})
	mustDrain(t, d2, true) // so that it is web-1 that gets it
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+w.frontend+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	mustUndrain(t, d2)
	mustDrain(t, d1, true)
	drained := nginxDown
	drained.Sessions = 1 // the worker from before the reload serves it
	wantStatus(t, d1, drained)
	if err := ws.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := ws.Read(ctx); err != nil || string(got) != "still here" {
		t.Fatalf("the drained WebSocket says %q, %v", got, err)
	}
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no session is left", func() bool { return statusOf(t, d1).Sessions == 0 })
}

// What a person did in the file stays as it is.
func TestNginxLeavesOtherHandsAlone(t *testing.T) {
	w, one, _ := behindNginx(t)
	d := w.drainer(w.spec("", one.address()), Deps{})
	before := w.read(w.file)

	byHand := strings.Replace(before, "weight=2;", "weight=2 down;", 1)
	w.write(w.file, byHand)
	mustDrain(t, d, false)
	mustUndrain(t, d)
	if got := w.read(w.file); got != byHand {
		t.Errorf("the file is\n%s", got)
	}
	if got := statusOf(t, d); !got.Known || !got.Drained || got.State != "down by hand" {
		t.Errorf("status %+v", got)
	}

	w.write(w.file, before)
	mustDrain(t, d, true)
	w.write(w.file, strings.Replace(w.read(w.file), " # drained by evenkeel", "", 1)) // a person takes it over
	mustUndrain(t, d)
	if got := w.read(w.file); got != byHand {
		t.Errorf("the file is\n%s", got)
	}
}

// Somebody else's rollout puts the file back as it has it.
func TestNginxForgets(t *testing.T) {
	w, one, _ := behindNginx(t)
	d := w.drainer(w.spec("", one.address()), Deps{})
	before := w.read(w.file)
	mustDrain(t, d, true)
	w.write(w.file, before)
	if s := statusOf(t, d); !s.Forgot() {
		t.Errorf("status %+v", s)
	}
	mustDrain(t, d, true)
	if s := statusOf(t, d); s.Forgot() {
		t.Errorf("status %+v", s)
	}
}

// Whoever marked the server was cut off before nginx was told; and so at the undrain.
func TestNginxFinishesWhatWasBegun(t *testing.T) {
	w, one, _ := behindNginx(t)
	d := w.drainer(w.spec("", one.address()), Deps{})
	before := w.read(w.file)
	w.write(w.file, strings.Replace(before, "weight=2;", "weight=2 down; # drained by evenkeel", 1))
	w.write(w.dir+"/upstreams/.evenkeel-nginx.x1y2z3", "upstream ")
	mustDrain(t, d, false)
	if got := w.reached(); got != "web-2" {
		t.Errorf("once drained, requests reach %s", got)
	}
	w.write(w.file, before)
	mustUndrain(t, d)
	if got := w.reached(); got != "web-1 web-2" {
		t.Errorf("once undrained, requests reach %s", got)
	}
	mustDrain(t, d, true) // it writes, and so finds what was left
	if left := w.left(); len(left) > 0 {
		t.Errorf("there still is %s", left)
	}
}

// Drains of several servers in one file, by rollouts that know nothing of each other.
func TestNginxDrainsSideBySide(t *testing.T) {
	w, _, _ := behindNginx(t)
	before := w.read(w.file)
	var more strings.Builder
	for i := range 6 {
		fmt.Fprintf(&more, "\tserver 127.0.0.1:%d;\n", 1+i)
	}
	before = strings.Replace(before, "\tkeepalive", more.String()+"\tkeepalive", 1)
	w.write(w.file, before)
	hosts := shellHost()
	all := func(do func(Drainer) error) {
		t.Helper()
		var working sync.WaitGroup
		for i := range 6 {
			spec := w.spec([]string{"", "lb-1"}[i%2], fmt.Sprintf("127.0.0.1:%d", 1+i))
			d := w.drainer(spec, hosts.deps())
			working.Go(func() {
				if err := do(d); err != nil {
					t.Errorf("%s: %v", spec.Nginx.Server, err)
				}
			})
		}
		working.Wait()
	}
	all(func(d Drainer) error {
		ours, err := d.Drain(t.Context())
		if !ours {
			t.Error("a drain was not ours")
		}
		return err
	})
	if got := strings.Count(w.read(w.file), " down; # drained by evenkeel\n"); got != 6 {
		t.Errorf("%d of 6 are drained:\n%s", got, w.read(w.file))
	}
	all(func(d Drainer) error { return d.Undrain(t.Context()) })
	if got := w.read(w.file); got != before {
		t.Errorf("the file is\n%s\nwant\n%s", got, before)
	}
}

// A change between the reading and the write begins anew.
func TestNginxComparesAndSwaps(t *testing.T) {
	w, one, _ := behindNginx(t)
	hosts := shellHost()
	d := w.drainer(w.spec("lb-1", one.address()), hosts.deps())
	edits := 0
	answer := hosts.answer
	hosts.answer = func(r hostdriver.Run) (hostdriver.Result, error) {
		if edits++; edits <= 3 { // a person saves the file just before we do
			w.write(w.file, fmt.Sprintf("# edit %d\n%s", edits, w.read(w.file)))
		}
		return answer(r)
	}
	mustDrain(t, d, true)
	if text := w.read(w.file); !strings.HasPrefix(text, "# edit 3\n# edit 2\n# edit 1\n#") || !strings.Contains(text, nginxMark) || edits != 4 {
		t.Errorf("after %d tries the file is\n%s", edits, text)
	}
	edits = -1000 // and from now on again and again
	hosts.answer = func(r hostdriver.Run) (hostdriver.Result, error) {
		w.write(w.file, "# more\n"+w.read(w.file))
		return answer(r)
	}
	if err := d.Undrain(t.Context()); err == nil || !strings.Contains(err.Error(), "changed again and again") {
		t.Errorf("got %v", err)
	}
}

// A reading while the file is replaced, as when another server in it is drained, is begun
// anew.
func TestNginxReadsAnew(t *testing.T) {
	w, one, _ := behindNginx(t)
	hosts := shellHost()
	d := w.drainer(w.spec("lb-1", one.address()), hosts.deps())
	hosts.torn = 3
	if s, err := d.Status(t.Context()); err != nil || s.State != "up" {
		t.Errorf("%+v %v", s, err)
	}
	hosts.torn = 1000
	if _, err := d.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "changed again and again") {
		t.Errorf("got %v", err)
	}
}

func TestNginxFailsAsItWas(t *testing.T) {
	w, one, _ := behindNginx(t)
	before := w.read(w.file)
	other := w.dir + "/upstreams/other.conf"
	taken := freeAddress(t)
	tests := []struct {
		name       string
		setup      func(*desired.NginxDrain)
		want, mend string
		left       bool // the file stays changed
	}{
		{"somebody else's mistake", func(*desired.NginxDrain) { w.write(other, "upstream other { sever 127.0.0.1:1; }\n") },
			`unknown directive "sever" in ` + other + ":1, so the file was left as it was", "mend that", false},
		{"nginx is told in vain", func(s *desired.NginxDrain) { s.Reload = "echo no such master; exit 7" },
			"echo fails with exit status 7: no such master, so the file was left as it was", "is nginx running", false},
		{"a reload that does nothing", func(s *desired.NginxDrain) { s.Reload = "true" },
			"1s later it has no new workers", "error log", true},
		{"a reload that nginx cannot do", func(*desired.NginxDrain) {
			// nginx -t lets an address pass that another program has.
			w.write(other, "server { listen "+taken+"; }\n")
		}, "1s later it has no new workers", "error log", true},
		{"a hand in the middle", func(s *desired.NginxDrain) { s.Check = "echo '# by hand' >>" + w.file + "; false" },
			"echo fails with exit status 1, and the file could not be put back: somebody has changed it since", "have nginx reload", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := w.spec("", one.address())
			tt.setup(spec.Nginx)
			if strings.Contains(tt.name, "cannot do") {
				holder := startHolder(t, taken)
				defer holder()
			}
			d := w.drainer(spec, Deps{})
			d.confirm = time.Second
			ours, err := d.Drain(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "cannot drain web-1: nginx "+w.file+": ") || !strings.Contains(MendOf(err), tt.mend) {
				t.Errorf("%v (%s)\nwant %s (%s)", err, MendOf(err), tt.want, tt.mend)
			}
			if got := w.read(w.file); ours != tt.left || (got == before) == tt.left {
				t.Errorf("ours %v, and the file is\n%s", ours, got)
			}
			os.Remove(other)
			if left := w.left(); len(left) > 0 {
				t.Errorf("it left %s behind", left)
			}
			d = w.drainer(w.spec("", one.address()), Deps{})
			mustUndrain(t, d)
			w.write(w.file, before)
			if got := w.reached(); got != "web-1 web-2" {
				t.Errorf("after it all, requests reach %s", got)
			}
		})
	}
}

func TestNginxFaultsSpeak(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	if err := os.Symlink("../elsewhere.conf", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, want, mend string }{
		{dir + "/nowhere", "the file is not there", "`file`"},
		{dir + "/link", "a symlink to ../elsewhere.conf", "name that as the drain's `file`"},
		{dir, "not a file", "`file`"},
		{file("long", strings.Repeat("# long\n", 40_000)), "more than 262144 bytes", "a file of its own"},
		{file("torn", "upstream a {\n server \"b"), "does not read as nginx's: line 2: a quote does not end", "nginx -t"},
		{file("other", "server 127.0.0.1:2;"), "it has no server 127.0.0.1:1; there are: 127.0.0.1:2", "`server`"},
		{file("crowded", "upstream a { server 127.0.0.1:1; }"), "other things follow the server 127.0.0.1:1", "a line of its own"},
	} {
		for _, host := range []string{"", "lb-1"} {
			hosts := shellHost()
			d, err := New(desired.DrainSpec{Nginx: &desired.NginxDrain{Host: host, File: tt.file, Server: "127.0.0.1:1"}}, web1, hosts.deps())
			if err != nil {
				t.Fatal(err)
			}
			ours, err := d.Drain(t.Context())
			if err == nil || ours || !strings.Contains(err.Error(), tt.want) || !strings.Contains(MendOf(err), tt.mend) {
				t.Errorf("on %q: ours %v, %v (%s); want %s (%s)", host, ours, err, MendOf(err), tt.want, tt.mend)
			}
			if _, err := d.Status(t.Context()); (err == nil) != strings.HasSuffix(tt.file, "crowded") {
				t.Errorf("on %q: status: %v", host, err)
			}
			if len(hosts.runs) > 0 {
				t.Errorf("it ran %q", hosts.runs[0].Line)
			}
		}
	}
}

// The host is away, or the answer lost: nobody knows what came of it.
func TestNginxOutcomeUnknown(t *testing.T) {
	file := t.TempDir() + "/up.conf"
	if err := os.WriteFile(file, []byte("server 127.0.0.1:1 down; # drained by evenkeel\nserver 127.0.0.1:2;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lost := &hostdriver.Error{Kind: hostdriver.Unknown, Host: "lb-1", Op: "run", Err: fmt.Errorf("the connection is gone"), Mend: "look at it"}
	hosts := &localHost{answer: func(hostdriver.Run) (hostdriver.Result, error) { return hostdriver.Result{}, lost }}
	of := func(server string) Drainer {
		d, err := New(desired.DrainSpec{Nginx: &desired.NginxDrain{Host: "lb-1", File: file, Server: server}}, web1, hosts.deps())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	ours, err := of("127.0.0.1:2").Drain(t.Context())
	if want := "cannot drain web-1: nginx lb-1:" + file + ": cannot run lb-1: the connection is gone"; !ours || err == nil || err.Error() != want || MendOf(err) != "look at it" {
		t.Errorf("ours %v, %v (%s)", ours, err, MendOf(err))
	}
	want := nginxDown
	want.Sessions = SessionsUnknown // who cannot count does not say 0
	wantStatus(t, of("127.0.0.1:1"), want)
	for _, said := range []string{"", "sessions many\n", "sessions -1", "ss: not found"} {
		hosts.answer = func(hostdriver.Run) (hostdriver.Result, error) { return hostdriver.Result{Output: []byte(said)}, nil }
		wantStatus(t, of("127.0.0.1:1"), want)
	}
	hosts.answer = func(hostdriver.Run) (hostdriver.Result, error) { return hostdriver.Result{Exit: 124}, nil }
	if ours, err := of("127.0.0.1:2").Drain(t.Context()); !ours || err == nil || !strings.Contains(err.Error(), "ran longer than 1m0s") {
		t.Errorf("ours %v, %v", ours, err)
	}
}

func TestNginxRefusesSettings(t *testing.T) {
	full := shellHost().deps()
	for want, spec := range map[string]desired.NginxDrain{
		"is not an absolute path":     {File: "etc/up.conf", Server: "a:1"},
		"in its plain form":           {File: "/etc/../up.conf", Server: "a:1"},
		"file \"/a b\" is not":        {File: "/a\nb", Server: "a:1"},
		"cannot be a server":          {File: "/etc/up.conf", Server: "a:1; include /etc/shadow"},
		`server ""`:                   {File: "/etc/up.conf"},
		`server "-x"`:                 {File: "/etc/up.conf", Server: "-x"},
		"cannot be a name in nginx":   {File: "/etc/up.conf", Server: "a:1", Upstream: "a\nb"},
		"check or reload is blank":    {File: "/etc/up.conf", Server: "a:1", Reload: " "},
		"zero byte":                   {File: "/etc/up.conf", Server: "a:1", Check: "a\x00"},
		`"lb-2" is not in the invent`: {File: "/etc/up.conf", Server: "a:1", Host: "lb-2"},
	} {
		if _, err := New(desired.DrainSpec{Nginx: &spec}, web1, full); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	spec := desired.NginxDrain{File: "/etc/up.conf", Server: "a:1", Host: "lb-1"}
	if _, err := New(desired.DrainSpec{Nginx: &spec}, web1, Deps{Host: func(string) (inventory.Host, bool) { return web1, true }}); err == nil || !strings.Contains(err.Error(), "no SSH connection") {
		t.Errorf("without SSH: %v", err)
	}
}
