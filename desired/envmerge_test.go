package desired

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// secretsOf decrypts by a table: what stands behind "sops_mac=" is the name of the text.
type secretsOf map[string]string

func (s secretsOf) Decrypt(name string, _ []byte) ([]byte, error) { return []byte(s[name]), nil }

func mergedEnv(t *testing.T, entry string, files, plain map[string]string) (string, File, Faults) {
	t.Helper()
	repo := fstest.MapFS{
		"fleet.yaml":              {Data: []byte("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: f}\n")},
		"inventory/i.yaml":        {Data: []byte("apiVersion: evenkeel/v1\nkind: Inventory\nspec:\n  groups: {x: {hosts: [web-1], labels: {role: x}}}\n  hosts: [{name: web-1}]\n")},
		"services/x/service.yaml": {Data: []byte("apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: x}\nspec:\n  selector: {matchLabels: {role: x}}\n  env:\n    - " + entry + "\n")},
	}
	for name, text := range files {
		repo["services/x/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	rev, err := Load(t.Context(), repo, LoadOptions{Decrypter: secretsOf(plain)})
	if err != nil {
		t.Fatal(err)
	}
	if len(rev.Quarantined) > 0 {
		return "", File{}, rev.Quarantined
	}
	st, err := rev.Resolve(t.Context(), rev.Inventory.Hosts[0])
	if err != nil {
		return "", File{}, st.Faults
	}
	f := st.Instances[0].Files[0]
	return string(f.Content.Bytes()), f, nil
}

const (
	sealedDotenv = "TOKEN=ENC[x]\nsops_mac=ENC[x]\n"
	sealedBinary = `{"data": "ENC[x]", "sops": {"mac": "ENC[x]"}}`
)

func TestEnvMergesInPlace(t *testing.T) {
	entry := `{path: /etc/x.env, source: [x.env, x.secrets.env], merge: in-place}`
	base := "# the ledger\nPORT=8080\n\nTOKEN=\nNAME=\"a b\"   \n# TOKEN=\n"
	for name, tt := range map[string]struct{ base, secrets, want string }{
		"the text stays, the value as it is written": {base, "TOKEN='a  b'\n", strings.Replace(base, "\nTOKEN=\n", "\nTOKEN='a  b'\n", 1)},
		"what has no place stands behind":            {"PORT=1", "TOKEN=x\n", "PORT=1\nTOKEN=x\n"},
		"no newline at the end":                      {"PORT=1\nTOKEN=", "TOKEN=x\n", "PORT=1\nTOKEN=x"},
		"a value like a template's":                  {"TOKEN=\n", "TOKEN=$1${2}\n", "TOKEN=$1${2}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, f, faults := mergedEnv(t, entry, map[string]string{"x.env": tt.base, "x.secrets.env": sealedDotenv}, map[string]string{"services/x/x.secrets.env": tt.secrets})
			if got != tt.want || len(faults) > 0 {
				t.Errorf("%q, want %q; %v", got, tt.want, faults)
			}
			secret := slices.ContainsFunc(f.Vars, func(v EnvVar) bool { return v.Key == "TOKEN" && v.Secret })
			if !f.Secret || !secret {
				t.Errorf("it is not known as a secret: %+v", f)
			}
		})
	}
}

func TestEnvThatCannotBeMergedInPlace(t *testing.T) {
	entry := `{path: /etc/x.env, source: [x.env, x.secrets.env], merge: in-place}`
	for _, base := range []string{"TOKEN=old\n", "NOTE=\"a\nTOKEN=\nb\"\n", "TOKEN=\nTOKEN=later\n"} {
		_, _, faults := mergedEnv(t, entry, map[string]string{"x.env": base, "x.secrets.env": sealedDotenv}, map[string]string{"services/x/x.secrets.env": "TOKEN=hunter2\n"})
		if len(faults) == 0 || !strings.Contains(faults[0].Message, "in place") || strings.Contains(faults.Error(), "hunter2") {
			t.Errorf("%q: %v", base, faults)
		}
	}
	if _, _, faults := mergedEnv(t, `{path: /etc/x.env, source: x.env, merge: over}`, map[string]string{"x.env": ""}, nil); len(faults) == 0 {
		t.Error("merge: over is taken")
	}
}

// A SOPS file of a single value is the env file itself.
func TestEnvEncryptedWhole(t *testing.T) {
	text := "#TOKEN=old\nTOKEN=\"two\nlines\"\n\nPORT=1"
	got, f, faults := mergedEnv(t, `{path: /etc/x.env, source: x.env.sops}`, map[string]string{"x.env.sops": sealedBinary}, map[string]string{"services/x/x.env.sops": text})
	if got != text || len(faults) > 0 || len(f.Vars) != 2 || !f.Vars[0].Secret || string(f.Vars[0].Value.Bytes()) != "two\nlines" {
		t.Errorf("%q, %v, %+v", got, faults, f.Vars)
	}
}
