package desired

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// sealedFiles is a Decrypter of files that only look encrypted.
type sealedFiles struct {
	plain map[string]string
	asked atomic.Int32
}

func (s *sealedFiles) Decrypt(name string, _ []byte) ([]byte, error) {
	s.asked.Add(1)
	text, ok := s.plain[name]
	if !ok {
		return nil, errors.New("cannot decrypt " + name + ": no key")
	}
	return []byte(text), nil
}

const sealedEnv = "TOKEN=ENC[AES256_GCM,data:x]\nsops_mac=ENC[AES256_GCM,data:y]\n"

// withSecrets has a service with secrets on the web hosts and one without on h3.
var withSecrets = plain.with(files{
	"services/a/service.yaml": service("a", `
  units: [{source: a.service, state: started}]
  env: [{path: /etc/a.env, source: [a.env, a.secrets.env, b.secrets.yaml, c.secrets.json]}]
  files: [{path: /etc/key.pem, source: key.pem, mode: "0600"}]
  health: [{unit: {}}]
`),
	"services/a/a.env":          "A=1\nTOKEN=default\n",
	"services/a/a.service":      "[Service]\nExecStart=/x\nEnvironmentFile=/etc/a.env\n",
	"services/a/a.secrets.env":  sealedEnv,
	"services/a/b.secrets.yaml": "B: ENC[x]\nsops:\n    mac: ENC[y]\n",
	"services/a/c.secrets.json": `{"C": "ENC[x]", "sops": {"mac": "ENC[y]"}}`,
	"services/a/key.pem":        `{"data": "ENC[x]", "sops": {"mac": "ENC[y]"}}`,
	"services/b/service.yaml":   strings.Replace(service("b", "  files: [{path: /etc/b, source: b}]\n"), "role: web", "role: db", 1),
	"services/b/b":              "b",
})

func TestSecretsAreMerged(t *testing.T) {
	d := &sealedFiles{plain: map[string]string{
		"services/a/a.secrets.env":  "# a comment\nTOKEN=hunter2 $x\n",
		"services/a/b.secrets.yaml": "B: |\n  line 1\n  line 2\nN: 7\nT: true\n",
		"services/a/c.secrets.json": `{"C": "\ud83d\ude00\t\"", "F": 1.50}`,
		"services/a/key.pem":        "-----BEGIN-----\n",
	}}
	rev, err := load(t, withSecrets, LoadOptions{Decrypter: d})
	if err != nil || d.asked.Load() != 0 {
		t.Fatalf("%v, asked %d times", err, d.asked.Load())
	}
	for _, host := range []string{"h3", "h1", "h2", "h1"} {
		h, _ := rev.Inventory.Find(host)
		st, err := rev.Resolve(context.Background(), h)
		if err != nil {
			t.Fatal(err)
		}
		if host == "h3" {
			if d.asked.Load() != 0 {
				t.Error("a host without secrets needed a key")
			}
			continue
		}
		in := st.Instances[0]
		equal(t, string(in.Files[0].Content.Bytes()), "# Written by evenkeel from a.env, a.secrets.env, b.secrets.yaml, c.secrets.json. Edit it there.\n"+
			"A=1\nTOKEN=\"hunter2 \\$x\"\nB=\"line 1\nline 2\n\"\nN=7\nT=true\nC=\"😀\t\\\"\"\nF=1.50\n")
		if v := in.Files[0].Vars; v[0].Secret || !v[1].Secret || v[1].Source != "services/a/a.secrets.env" || !in.Files[0].Secret {
			t.Errorf("vars %v", v)
		}
		if in.Files[2].Path != "/etc/systemd/system/a.service" || string(in.Files[1].Content.Bytes()) != "-----BEGIN-----\n" || !in.Files[1].Secret {
			t.Errorf("files %v", in.Files)
		}
		for _, shown := range []string{fmt.Sprintf("%+v", st), fmt.Sprintf("%#v", st), fmt.Sprint(st.Instances)} {
			if strings.Contains(shown, "hunter2") {
				t.Error("a secret is shown")
			}
		}
	}
	if n := d.asked.Load(); n != 4 {
		t.Errorf("4 files were opened %d times", n)
	}
}

// Without a key the service is held and says why; whatever needs none goes on.
func TestSecretsWithoutKey(t *testing.T) {
	rev, err := load(t, withSecrets, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err == nil || strings.Join(st.Held, " ") != "a" || st.Faults[0].Service != "a" {
		t.Errorf("%+v, %v", st, err)
	}
	st, err = rev.Resolve(context.Background(), rev.Inventory.Hosts[2])
	if err != nil || len(st.Instances) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	const no = "skipped: the file is encrypted with SOPS, and no key is configured: set secrets.ageIdentity (EVENKEEL_SECRETS_AGEIDENTITY), or SOPS_AGE_KEY_FILE"
	equal(t, findings(t, withSecrets, LoadOptions{}), "services/a/a.secrets.env: warning: "+no+"\nservices/a/key.pem: warning: "+no)
}

// A file with a secret that everybody on the host may read is warned of. One that a unit
// loads as a credential is read by that unit.
func TestSecretFiles(t *testing.T) {
	d := &sealedFiles{plain: map[string]string{"services/a/key.pem": "-----BEGIN-----\n"}}
	repo := plain.with(files{
		"services/a/service.yaml": service("a", `
  units: [{source: a.service, state: started}]
  files: [{path: /etc/credstore/key.pem, source: key.pem}]
  health: [{unit: {}}]
`),
		"services/a/a.service": "[Service]\nExecStart=/x\nLoadCredential=key:/etc/credstore/key.pem\n",
		"services/a/key.pem":   `{"data": "ENC[x]", "sops": {"mac": "ENC[y]"}}`,
	})
	if got := findings(t, repo, LoadOptions{Decrypter: d}); !strings.Contains(got, `warning: /etc/credstore/key.pem holds a secret, and its mode 0644 lets every user of the host read it: give it mode: "0600"`) {
		t.Errorf("got %s", got)
	}
	rev, err := load(t, repo, LoadOptions{Decrypter: d})
	if err != nil {
		t.Fatal(err)
	}
	st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err != nil || len(st.Instances) != 1 || !slices.Equal(st.Instances[0].Units[0].Reads, []string{"/etc/credstore/key.pem"}) || !slices.Equal(rev.SOPSFiles(), []string{"services/a/key.pem"}) {
		t.Errorf("%+v, %v, %v", st.Instances, rev.SOPSFiles(), err)
	}
}

// A credential that is not to be encrypted is a file of root's and a drop-in that loads it;
// the units that load it are restarted when it changes.
func TestCredentials(t *testing.T) {
	d := &sealedFiles{plain: map[string]string{"services/a/token": "hunter2"}}
	repo := plain.with(files{
		"services/a/service.yaml": service("a", `
  units: [{source: a.service, state: started}, {source: b.service, state: started}, {source: a.timer}]
  credentials: [{name: token, source: token, units: [a.service], encrypted: off}, {name: both.pem, source: both.pem, changeMode: none, encrypted: off}]
  health: [{unit: {name: a.service}}]
`),
		"services/a/a.service": "[Service]\nExecStart=/x\n",
		"services/a/b.service": "[Service]\nExecStart=/x\n",
		"services/a/a.timer":   "[Timer]\nOnCalendar=daily\n",
		"services/a/token":     `{"data": "ENC[x]", "sops": {"mac": "ENC[y]"}}`,
		"services/a/both.pem":  "plain\n",
	})
	if got := findings(t, repo, LoadOptions{Decrypter: d}); got != "" {
		t.Errorf("got %s", got)
	}
	rev, err := load(t, repo, LoadOptions{Decrypter: d})
	if err != nil {
		t.Fatal(err)
	}
	st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err != nil || len(st.Instances) != 1 {
		t.Fatalf("%+v, %v", st, err)
	}
	in := st.Instances[0]
	want := map[string]string{
		"/etc/credstore/a.token":                                       "hunter2",
		"/etc/credstore/a.both.pem":                                    "plain\n",
		"/etc/systemd/system/a.service.d/50-evenkeel-credentials.conf": "# Written by evenkeel, from credentials of service a.\n[Service]\nLoadCredential=token:/etc/credstore/a.token\nLoadCredential=both.pem:/etc/credstore/a.both.pem\n",
		"/etc/systemd/system/b.service.d/50-evenkeel-credentials.conf": "# Written by evenkeel, from credentials of service a.\n[Service]\nLoadCredential=both.pem:/etc/credstore/a.both.pem\n",
	}
	for _, f := range in.Files {
		text, ok := want[f.Path]
		if !ok {
			continue
		}
		delete(want, f.Path)
		if string(f.Content.Bytes()) != text || f.SHA256 != f.Content.SHA256() || f.Owner != "root" {
			t.Errorf("%s: %q", f.Path, f.Content.Bytes())
		}
		if (f.Kind == FilePlain) != (f.Mode == 0o600) || f.Secret != (f.Path == "/etc/credstore/a.token") {
			t.Errorf("%s: mode %o, secret %t", f.Path, f.Mode, f.Secret)
		}
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
	reads := map[string]string{"a.service": "/etc/credstore/a.both.pem /etc/credstore/a.token", "b.service": "/etc/credstore/a.both.pem", "a.timer": ""}
	for _, u := range in.Units {
		if got := strings.Join(u.Reads, " "); got != reads[u.Name] {
			t.Errorf("%s reads %s", u.Name, got)
		}
	}
	for spec, want := range map[string]string{
		"units: [{source: a.service}]\n  credentials: [{name: a/b, source: token}]":                                                                         "is no name of a credential",
		"units: [{source: a.service}]\n  credentials: [{name: x, source: token, units: [a.servic]}]":                                                        `is no .service unit of this service: did you mean "a.service"?`,
		"units: [{source: a.timer}]\n  credentials: [{name: x, source: token}]":                                                                             "has no .service unit that could load it",
		"units: [{source: a.service}]\n  credentials: [{name: x, source: token}, {name: x, source: both.pem}]":                                              "is here twice",
		"units: [{source: a.service}]\n  credentials: [{name: x, source: token, encrypted: yes}]":                                                           `encrypted`,
		"units: [{source: a.service}]\n  credentials: [{name: x, source: token, changeMode: reload}]":                                                       "reload",
		"units: [{source: a.service}, {source: a.timer, dropIn: a.service, name: 50-evenkeel-credentials.conf}]\n  credentials: [{name: x, source: token}]": "is here twice",
	} {
		bad := repo.with(files{"services/a/service.yaml": service("a", "\n  "+spec+"\n  health: [{unit: {name: a.service}}]\n")})
		if got := findings(t, bad, LoadOptions{Decrypter: d}); !strings.Contains(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", spec, got, want)
		}
	}
}

func TestSecretsThatAreNoEnv(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"nested":        {"B: {hunter2: hunter3}\n", "services/a/b.secrets.yaml: B is not text, a number or a truth value: only a flat map becomes an env file"},
		"no name":       {"hunter2=: x\n", "services/a/b.secrets.yaml: line 1: a key is not a variable's name"},
		"twice":         {"B: hunter2\nB: hunter3\n", "services/a/b.secrets.yaml: B is there twice"},
		"a list":        {"- hunter2\n", "services/a/b.secrets.yaml: what it decrypts to is not a map"},
		"not YAML":      {"hunter2: [\n", "services/a/b.secrets.yaml: what it decrypts to is not YAML"},
		"nothing there": {"B:\n", "services/a/b.secrets.yaml: B is not text, a number or a truth value: only a flat map becomes an env file"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &sealedFiles{plain: map[string]string{"services/a/a.secrets.env": "", "services/a/b.secrets.yaml": c.yaml, "services/a/c.secrets.json": "{}", "services/a/key.pem": ""}}
			equal(t, findings(t, withSecrets, LoadOptions{Decrypter: d}), c.want)
		})
	}
}

func TestIsSOPS(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"a.env":          {sealedEnv, true},
		"b.env":          {"A=sops_mac=\n", false},
		"a.yaml":         {"a: x\nsops:\n    mac: ENC[x]\n", true},
		"b.yaml":         {"sops: the tool\n", false},
		"a.json":         {`{"sops": {"mac": "ENC[x]"}}`, true},
		"b.json":         {`{"sops": true}`, false},
		"a.ini":          {"[x]\na=b\n[sops]\nmac=x\n", true},
		"a.pem":          {`{"data": "ENC[x]", "sops": {"mac": "ENC[x]"}}`, true},
		"b.pem":          {"-----BEGIN", false},
		"plain.json.env": {`{"sops": {"mac": "ENC[x]"}}`, false},
	} {
		if got := IsSOPS(name, []byte(c.text)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
