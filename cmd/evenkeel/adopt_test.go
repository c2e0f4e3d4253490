package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired/adopt"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func TestAdoptedHost(t *testing.T) {
	for arg, want := range map[string]inventory.Host{
		"web-1":                        {Name: "web-1", Address: "web-1"},
		"192.0.2.11":                   {Name: "192.0.2.11", Address: "192.0.2.11"},
		"web-1=192.0.2.11":             {Name: "web-1", Address: "192.0.2.11"},
		"web-1=deploy@192.0.2.11:2222": {Name: "web-1", Address: "192.0.2.11", Port: 2222, User: "deploy"},
		"root@web-1.example.com:22":    {Name: "web-1.example.com", Address: "web-1.example.com", Port: 22, User: "root"},
		"web-1=[2001:db8::1]:22":       {Name: "web-1", Address: "2001:db8::1", Port: 22},
		"web-1=2001:db8::1":            {Name: "web-1", Address: "2001:db8::1"},
	} {
		got, err := adoptedHost(arg)
		if err != nil || got.Name != want.Name || got.Address != want.Address || got.Port != want.Port || got.User != want.User {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
	}
	for _, bad := range []string{"", "=x", "a b", "-oProxyCommand=x", "web-1=", "web-1:0", "web-1:99999", "../x", "a=b=c", "2001:db8::1", "-x@web-1"} {
		if h, err := adoptedHost(bad); err == nil {
			t.Errorf("%q is taken: %+v", bad, h)
		}
	}
}

// servesFile is a host that has one file.
type servesFile struct {
	data string
	err  error
}

func (servesFile) Survey(context.Context, inventory.Host) (hostdriver.Survey, error) {
	return hostdriver.Survey{}, errors.New("not asked")
}

func (s servesFile) Fetch(_ context.Context, _ inventory.Host, q hostdriver.FetchQuery, w io.Writer) error {
	if s.err != nil {
		return s.err
	}
	if int64(len(s.data)) > q.Max {
		return errors.New("too much")
	}
	_, err := io.WriteString(w, s.data)
	return err
}

func newAdoption(t *testing.T) *adoption {
	t.Helper()
	term, _, _ := streams()
	ad := &adoption{app: &app{terminal: term}, out: filepath.Join(t.TempDir(), "fleet"), files: map[string][]byte{"fleet.yaml": []byte("x")}, artifacts: true, maxArtifact: 1 << 20}
	ad.ageKey = filepath.Join(t.TempDir(), "keys", "age.key")
	return ad
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func written(t *testing.T, dir string) (names []string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			names = append(names, rel)
		}
		return nil
	})
	return names
}

func TestAdoptOverwritesNothing(t *testing.T) {
	ad := newAdoption(t)
	repo := &adopt.Repo{Files: map[string][]byte{"a": []byte("new"), "services/x/x.env": []byte("new")}, Services: []*adopt.Service{{Name: "x"}}}
	if err := writeNew(ad.at("services/x/x.env"), []byte("mine")); err != nil {
		t.Fatal(err)
	}
	err := ad.write(t.Context(), servesFile{}, repo)
	if err == nil || !strings.Contains(err.Error(), "services/x/x.env is there already") || mendOf(err) == "" {
		t.Errorf("%v", err)
	}
	if got := written(t, ad.out); len(got) != 1 {
		t.Errorf("it wrote %v", got)
	}
	for _, bad := range []string{"../out", "/etc/x", "a/../../b"} {
		repo = &adopt.Repo{Files: map[string][]byte{bad: nil}, Services: []*adopt.Service{{Name: "y"}}}
		if err := ad.write(t.Context(), servesFile{}, repo); err == nil || !strings.Contains(err.Error(), "outside") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestAdoptEncryptsToANewKey(t *testing.T) {
	ad := newAdoption(t)
	repo := &adopt.Repo{Files: map[string][]byte{}, Services: []*adopt.Service{{Name: "x"}}, Secrets: map[string]hostdriver.Content{
		"services/x/x.secrets.env": hostdriver.NewContent([]byte("TOKEN='hunter 2'\n")), "services/x/x.json.sops": hostdriver.NewContent([]byte("{\"pw\": \"hunter 2\"}"))}}
	if err := ad.write(t.Context(), servesFile{}, repo); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(ad.ageKey); err != nil || info.Mode().Perm() != 0o600 || ad.report.AgeKey != ad.ageKey || !ad.report.NewKey {
		t.Errorf("the key: %v, %v, %+v", info, err, ad.report)
	}
	for _, name := range written(t, ad.out) {
		data, err := os.ReadFile(filepath.Join(ad.out, name))
		if err != nil || strings.Contains(string(data), "hunter") {
			t.Errorf("%s: %v\n%s", name, err, data)
		}
	}
	for name, want := range map[string]string{"services/x/x.secrets.env": "TOKEN='hunter 2'\n", "services/x/x.json.sops": "{\"pw\": \"hunter 2\"}"} {
		data, err := os.ReadFile(ad.at(name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ad.decrypter().Decrypt(name, data); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if data, err := os.ReadFile(ad.at(".sops.yaml")); err != nil || !strings.Contains(string(data), "age1") {
		t.Errorf("%v, %s", err, data)
	}
	// The key is used again, and another's file is not taken for one.
	recipient, isNew, err := ageKey(ad.ageKey)
	if err != nil || isNew || !strings.HasPrefix(recipient, "age1") {
		t.Errorf("%s, %v, %v", recipient, isNew, err)
	}
	if _, _, err := ageKey(ad.at("fleet.yaml")); err == nil {
		t.Error("anything is taken for a key")
	}
}

func TestAdoptFetchesPrograms(t *testing.T) {
	fetch := adopt.Fetch{Host: "web-1", Path: "/usr/local/bin/x", Into: "services/x/x", SHA256: digestOf("program")}
	for name, tt := range map[string]struct {
		host servesFile
		want string
	}{
		"whole":         {servesFile{data: "program"}, ""},
		"another one":   {servesFile{data: "PROGRAM"}, "changed while it was read"},
		"not reachable": {servesFile{err: errors.New("gone")}, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			ad := newAdoption(t)
			err := ad.write(t.Context(), tt.host, &adopt.Repo{Files: map[string][]byte{}, Fetches: []adopt.Fetch{fetch}, Services: []*adopt.Service{{Name: "x"}}})
			if tt.want == "" {
				data, rerr := os.ReadFile(ad.at("services/x/x"))
				if err != nil || rerr != nil || string(data) != "program" {
					t.Errorf("%v, %v, %q", err, rerr, data)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(written(t, ad.out)) > 0 {
				t.Errorf("%v, wrote %v", err, written(t, ad.out))
			}
		})
	}
	secret := "#!/bin/sh\nPASSWORD=hunter2hunter\n"
	fetch.SHA256 = digestOf(secret)
	ad := newAdoption(t)
	err := ad.write(t.Context(), servesFile{data: secret}, &adopt.Repo{Files: map[string][]byte{}, Fetches: []adopt.Fetch{fetch}, Services: []*adopt.Service{{Name: "x"}}})
	if err == nil || !strings.Contains(err.Error(), "looks like a secret") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("%v", err)
	}
}

// A folder that is no tar an artifact may be is not kept, and the service stays.
func TestAdoptChecksWhatItFetches(t *testing.T) {
	ad := newAdoption(t)
	s := &adopt.Service{Name: "x", Trees: []adopt.Tree{{Host: "web-1", Link: "/opt/x/current", Target: "/opt/x/1", Folder: true, Source: "artifacts/x.tar.zst"}}}
	if err := ad.write(t.Context(), servesFile{data: "no tar at all"}, &adopt.Repo{Files: map[string][]byte{}, Services: []*adopt.Service{s}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(ad.at("artifacts/x.tar.zst")); err == nil || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "could not be fetched") {
		t.Errorf("%v, %q", err, s.Notes)
	}
}

// What lies in a fetched folder stands in the repo as it is: nothing that looks like a secret may.
func TestAdoptFetchesNoSecrets(t *testing.T) {
	for name, tt := range map[string]struct {
		file, text string
		taken      bool
	}{
		"a program":                    {"bin/x", "\x7fELF PASSWORD=hunter2hunter", true},
		"an env file":                  {".env.production", "DB_PASSWORD=hunter2hunter\n", false},
		"a configuration":              {"etc/app.yaml", "db:\n  password: hunter2hunter\n", false},
		"a key":                        {"tls/server.pem", "-----BEGIN PRIVATE KEY-----\n", false},
		"a configuration without one":  {"etc/app.yaml", "level: info\n", true},
		"a test of somebody's library": {"node_modules/tls/test/server.pem", "-----BEGIN PRIVATE KEY-----\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			if err := errors.Join(w.WriteHeader(&tar.Header{Name: "./" + tt.file, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(tt.text))}), second(io.WriteString(w, tt.text)), w.Close()); err != nil {
				t.Fatal(err)
			}
			ad := newAdoption(t)
			tree := adopt.Tree{Host: "web-1", Link: "/opt/x/current", Target: "/opt/x/1", Folder: true, Source: "artifacts/x.tar.zst"}
			err := ad.fetchTree(t.Context(), servesFile{data: b.String()}, tree)
			_, kept := os.Lstat(ad.at(tree.Source))
			if (err == nil) != tt.taken || (kept == nil) != tt.taken || err != nil && strings.Contains(err.Error(), "hunter") {
				t.Errorf("%v, %v", err, kept)
			}
		})
	}
}

func second(_ int, err error) error { return err }

func TestAdoptedIsShown(t *testing.T) {
	text := show.Plain(show.Adopted(show.Adoption{Out: "fleet", Hosts: []string{"web-1", "web-2"}, Warnings: 1, AgeKey: "/k", NewKey: true,
		Services: []*adopt.Service{{Name: "ledger", Hosts: []string{"web-1", "web-2"}, Units: []string{"ledger.service"}, Encrypted: []string{"/e: TOKEN"}, Open: []string{"/e: A", "/e: B", "/f: C"}, Notes: []string{"a note\x1b[2J"}}},
		Alone:    []adopt.Foreign{{Host: "web-1", What: "x.service", Reason: "not asked for", Mend: "evenkeel adopt --unit x.service web-1"}, {Host: "web-2", What: "x.service", Reason: "not asked for", Mend: "evenkeel adopt --unit x.service web-2"}}}))
	for _, want := range []string{"ledger  web-1, web-2", "encrypted  /e: TOKEN", "in plain   /e: A, B; /f: C", "! a note\\x1b[2J", "x.service  not asked for (web-1, web-2)", "evenkeel adopt --unit x.service HOST\n", "a new age key is in /k", "✔ validate: no error, 1 warning", "✔ plan: nothing to change on 2 hosts"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	text = show.Plain(show.Adopted(show.Adoption{Out: "fleet", Hosts: []string{"web-1"}, Exit: 1, PlanText: "the plan\n", Services: []*adopt.Service{{Name: "x"}}}))
	if !strings.Contains(text, "✘ plan: it is not empty\n\nthe plan") {
		t.Error(text)
	}
}

func TestAdoptTakesAnInventory(t *testing.T) {
	ini := filepath.Join(t.TempDir(), "hosts.ini")
	if err := os.WriteFile(ini, []byte("[web]\nweb-1 ansible_host=192.0.2.1\nweb-2 ansible_host=192.0.2.2\n[db]\ndb-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(inventory string, args ...string) (*adoption, error) {
		ad := newAdoption(t)
		ad.files, ad.inventory = map[string][]byte{}, inventory
		yes := true
		ad.settings.SSH.User, ad.settings.SSH.Become = "deploy", &yes
		return ad, ad.openRepo(t.Context(), args)
	}
	ad, err := open(ini, "web-*")
	if err != nil || len(ad.hosts) != 2 || ad.hosts[1].Address != "192.0.2.2" || ad.hosts[1].User != "deploy" || ad.hosts[1].Labels["ansible_group/web"] != "true" {
		t.Errorf("%+v, %v", ad.hosts, err)
	}
	if text := string(ad.files["fleet.yaml"]); ad.files["inventory/hosts.ini"] == nil || !strings.Contains(text, `ssh: {user: "deploy", become: true}`) {
		t.Errorf("%s", text)
	}
	if _, err := os.Lstat(ad.out); err == nil {
		t.Error("something was written before hosts were read")
	}
	if ad, err = open(ini); err != nil || len(ad.hosts) != 3 {
		t.Errorf("%+v, %v", ad.hosts, err)
	}
	if _, err = open(ini, "wbe-1"); err == nil || !strings.Contains(mendOf(err), "web-1") {
		t.Errorf("%v", err)
	}
	if _, err = open("", "web-1=192.0.2.1", "web-2=192.0.2.1"); err == nil {
		t.Error("two names of one machine are taken")
	}
	if _, err = open("", "web-1", "web-1=192.0.2.1"); err == nil {
		t.Error("one name of two machines is taken")
	}
	if _, err = open(""); err == nil {
		t.Error("no host at all is taken")
	}
	// Into a repo that is there.
	ad, err = open("", "web-9")
	if err != nil || ad.files["inventory/hosts.yaml"] == nil {
		t.Fatalf("%v, %v", err, sortedNames(ad.files))
	}
	for _, name := range sortedNames(ad.files) {
		if err := writeNew(ad.at(name), ad.files[name]); err != nil {
			t.Fatal(err)
		}
	}
	again := newAdoption(t)
	again.out, again.files = ad.out, map[string][]byte{}
	if err := again.openRepo(t.Context(), []string{"web-9", "web-10"}); err != nil || len(again.hosts) != 2 || again.files["inventory/hosts-web-10.yaml"] == nil || again.files["fleet.yaml"] != nil {
		t.Errorf("%v, %+v, %v", err, again.hosts, sortedNames(again.files))
	}
	again.inventory = ini
	if err := again.openRepo(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is a fleet repo already") {
		t.Errorf("%v", err)
	}
}
