package simhost

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startFleet serves simulated hosts, and gives a fleet of them with the real driver.
func startFleet(t *testing.T, hosts, services int) (*Hosts, *controller.Fleet, *sshdriver.Driver) {
	t.Helper()
	l, err := Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	port := Port(l)
	rev, err := desired.Load(t.Context(), FleetRepo(hosts, services, port), desired.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rev.Quarantined) > 0 {
		t.Fatalf("the repo has faults: %v", rev.Quarantined)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(t.Context(), &rev, Options{Authorized: public, Port: port, Claim: "keel-1"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var known strings.Builder
	if err := h.WriteKnownHosts(&known); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"id": string(pem.EncodeToMemory(block)), "known": known.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	d, err := sshdriver.New(sshdriver.Options{User: "deploy", Become: true, IdentityFiles: []string{filepath.Join(dir, "id")},
		KnownHosts: []string{filepath.Join(dir, "known")}, ConfigFile: "none", Agent: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Close()
		_ = l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return h, &controller.Fleet{Revision: rev, Driver: d, Log: zerolog.Nop(), Holder: "test"}, d
}

// Hosts are as the revision wants them, until somebody edits a file on one; then the next
// look finds that, and nothing else. The third look asks shells that stay.
func TestLooksSeeWhatIsThere(t *testing.T) {
	hosts, fleet, _ := startFleet(t, 3, 2)
	for range 3 {
		v, err := fleet.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range v.Errors {
			t.Fatalf("%s: %v", name, err)
		}
		for _, h := range v.Plan.Hosts {
			if len(h.Changes) > 0 || len(h.Problems) > 0 || !h.Reachable {
				t.Fatalf("%+v", h)
			}
		}
		for _, in := range v.Input.Hosts {
			if n := len(in.Observation.Started); n != 2 {
				t.Fatalf("%d units were started by evenkeel, not 2", n)
			}
			if env := in.Observation.Processes["app1.service"].Env; env != hostdriver.EnvSame {
				t.Fatalf("the process has another environment than desired: %s", env)
			}
		}
	}
	if err := hosts.Disturb("sim-00001"); err != nil {
		t.Fatal(err)
	}
	v, err := fleet.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range v.Plan.Hosts {
		switch {
		case h.Host != "sim-00001" && len(h.Changes) == 0:
		case h.Host == "sim-00001" && len(h.Changes) == 1 && strings.Contains(h.Changes[0].Diff, "# edited"):
		default:
			t.Errorf("%+v", h)
		}
	}
}

func TestNothingIsCarriedOut(t *testing.T) {
	_, fleet, d := startFleet(t, 1, 1)
	_, err := d.Apply(t.Context(), fleet.Revision.Inventory.Hosts[0], hostdriver.Fence{Holder: "test", Epoch: 2}, hostdriver.Claim{})
	if err == nil {
		t.Fatal("a simulated host has done something")
	}
}

func TestWatching(t *testing.T) {
	_, fleet, d := startFleet(t, 1, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	signals, err := d.Watch(ctx, fleet.Revision.Inventory.Hosts[0], hostdriver.WatchQuery{Owner: "test", Paths: []string{"/etc/app0/app0.env"}, Units: []string{"app0.service"}})
	if err != nil {
		t.Fatal(err)
	}
	if s := <-signals; s.Kind != hostdriver.Watching || len(s.Unwatched) > 0 {
		t.Fatalf("%+v", s)
	}
	cancel()
	for range signals {
	}
}

func TestUnquote(t *testing.T) {
	for text, want := range map[string]string{`'a b'` + "\nrest": "a b", `'it'\''s'` + "\nrest": "it's", "''\nrest": ""} {
		if got, rest, err := unquote(text); err != nil || got != want || rest != "\nrest" {
			t.Errorf("%s: %q, %q, %v", text, got, rest, err)
		}
	}
	for _, text := range []string{"a", "'a", `'a'\'`} {
		if _, _, err := unquote(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestAddressesAreApart(t *testing.T) {
	seen := map[string]bool{}
	for n := range 70000 {
		a := Address(n)
		if seen[a.String()] || !a.IsLoopback() {
			t.Fatalf("host %d has the address %s", n, a)
		}
		seen[a.String()] = true
	}
}
