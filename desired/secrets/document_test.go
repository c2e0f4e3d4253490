package secrets

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/hcvault"
	"pgregory.net/rapid"

	"github.com/evenkeel/evenkeel/desired"
)

// bySOPS opens a file as the sops command does, with the key that SOPS itself finds.
func bySOPS(t *testing.T, name string, sealed []byte, identity string) string {
	t.Helper()
	t.Setenv("SOPS_AGE_KEY_FILE", identity)
	store := storeFor(name)
	tree, err := store.LoadEncryptedFile(sealed)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tree.Metadata.GetDataKey()
	if err != nil {
		t.Fatalf("sops cannot open %s: %v", name, err)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Decrypt(key, cipher)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339)); err != nil || want != mac {
		t.Errorf("the MAC of %s does not match: %v", name, err)
	}
	plain, err := store.EmitPlainFile(tree.Branches)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func sealed(t *testing.T, d *Document) []byte {
	t.Helper()
	out, err := d.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func rulesTo(t *testing.T, recipients ...string) Rules {
	t.Helper()
	r, err := RulesFor(filepath.Join(t.TempDir(), "x"), recipients, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is encrypted here is opened by SOPS' own function, with comments and order; what
// is set afterwards changes that key's line alone.
func TestWhatIsWrittenIsSOPS(t *testing.T) {
	identity, _, recipient := newKey(t)
	d := NewDecrypter(Options{IdentityFile: identity, Getenv: noEnv})
	for name, c := range map[string]struct{ plain, path, value, want string }{
		"a.env": {"# of the gateway\nB=1\nTOKEN=hunter2\n# the last\nA=2\n", "TOKEN", "hun ter$3\"\\n'",
			"# of the gateway\nB=1\nTOKEN=\"hun ter\\$3\\\"\\\\n'\"\n# the last\nA=2\n"},
		"a.yaml": {"# of the gateway\nb: 1\ndb:\n    # nested\n    users:\n        - a\n        - hunter2\na: two\n", `["db"]["users"][1]`, "hunter3\nand more",
			"# of the gateway\nb: 1\ndb:\n    # nested\n    users:\n        - a\n        - |-\n          hunter3\n          and more\na: two\n"},
		"a.json": {"{\n\t\"b\": 1,\n\t\"TOKEN\": \"hunter2\",\n\t\"a\": null\n}\n", "TOKEN", "hunter3", "{\n\t\"b\": 1,\n\t\"TOKEN\": \"hunter3\",\n\t\"a\": null\n}\n"},
		"a.ini":  {"; of the gateway\n[z]\nb = 1\nTOKEN = hunter2\n\n[a]\nc = 2\n", `["z"]["TOKEN"]`, "hunter3", "; of the gateway\n[z]\nb     = 1\nTOKEN = hunter3\n\n[a]\nc = 2\n"},
		"a.key":  {"-----BEGIN X-----\nhunter2\n", "", "-----BEGIN X-----\nhunter3\n\x00\x01", "-----BEGIN X-----\nhunter3\n\x00\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := NewDocument(name, []byte(c.plain), rulesTo(t, recipient))
			if err != nil {
				t.Fatal(err)
			}
			first := sealed(t, doc)
			if !desired.IsSOPS(name, first) || strings.Contains(string(first), "hunter2") {
				t.Fatalf("not sealed:\n%s", first)
			}
			if got := bySOPS(t, name, first, identity); strings.TrimSpace(got) != strings.TrimSpace(c.plain) && name != "a.ini" {
				t.Errorf("sops has\n%s", got)
			}
			if doc, err = d.Open(name, first, Rules{}); err != nil {
				t.Fatal(err)
			}
			var path Path
			if c.path != "" {
				if path, err = ParsePath(c.path); err != nil {
					t.Fatal(err)
				}
			}
			if changed, err := doc.Set(path, New([]byte(c.value))); err != nil || !changed {
				t.Fatalf("changed %t, %v", changed, err)
			}
			second := sealed(t, doc)
			if got := bySOPS(t, name, second, identity); got != c.want {
				t.Errorf("sops has\n%q, want\n%q", got, c.want)
			}
			if name != "a.key" {
				onlyValuesChanged(t, first, second, 1)
			}
			if doc, err = d.Open(name, second, Rules{}); err != nil {
				t.Fatal(err)
			}
			if changed, err := doc.Set(path, New([]byte(c.value))); err != nil || changed {
				t.Errorf("the same value: changed %t, %v", changed, err)
			}
		})
	}
}

// onlyValuesChanged: beside SOPS' own MAC and time, n lines of a are others in b.
func onlyValuesChanged(t *testing.T, a, b []byte, n int) {
	t.Helper()
	own := func(line string) bool {
		return strings.Contains(line, "lastmodified") || strings.Contains(line, "mac")
	}
	before := strings.Split(string(a), "\n")
	changed := 0
	for _, l := range strings.Split(string(b), "\n") {
		if !own(l) && !slices.Contains(before, l) {
			changed++
		}
	}
	if changed != n {
		t.Errorf("%d lines changed, want %d:\n%s\n%s", changed, n, a, b)
	}
}

// Whatever the value of a variable is, it is what systemd would give a process.
func TestSetKeepsEveryValue(t *testing.T) {
	identity, _, recipient := newKey(t)
	d := NewDecrypter(Options{IdentityFile: identity, Getenv: noEnv})
	rules := rulesTo(t, recipient)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.StringOf(rapid.SampledFrom([]rune("ab \t$\\n\"'`#;=!é世\u2028"))), rapid.String()).Draw(t, "value")
		doc, err := NewDocument("a.env", []byte("A=1\n# c\n"), rules)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := doc.Set(Path{"TOKEN"}, New([]byte(value))); err != nil {
			if _, cannot := desired.WriteEnv([]desired.EnvAssignment{{Key: "TOKEN", Value: value}}); cannot == nil && !strings.ContainsAny(value, "\n\r") {
				t.Fatalf("%q: %v", value, err)
			}
			if value != "" && len(value) > 3 && strings.Contains(err.Error(), value) {
				t.Fatalf("the error tells the value: %v", err)
			}
			return
		}
		sealed, err := doc.Seal()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := d.Decrypt("a.env", sealed)
		if err != nil {
			t.Fatal(err)
		}
		vars, issues := desired.ParseEnv(plain)
		if len(issues) > 0 || len(vars) != 2 || vars[1].Value != value {
			t.Fatalf("%q became %+v, %v", value, vars, issues)
		}
	})
}

func TestEditKeepsWhatStays(t *testing.T) {
	identity, _, recipient := newKey(t)
	d := NewDecrypter(Options{IdentityFile: identity, Getenv: noEnv})
	doc, err := NewDocument("a.env", []byte("# c\nA=1\nB=2\nC=3\n"), rulesTo(t, recipient))
	if err != nil {
		t.Fatal(err)
	}
	first := sealed(t, doc)
	if doc, err = d.Open("a.env", first, Rules{}); err != nil {
		t.Fatal(err)
	}
	if err := doc.SetPlain([]byte("# c\nA=1\nB=hunter2\nC=3\n# new\nD=4\n")); err != nil {
		t.Fatal(err)
	}
	second := sealed(t, doc)
	onlyValuesChanged(t, first, second, 3)
	if got := bySOPS(t, "a.env", second, identity); got != "# c\nA=1\nB=hunter2\nC=3\n# new\nD=4\n" {
		t.Errorf("got %q", got)
	}
}

func TestRecipientsChange(t *testing.T) {
	mine, _, me := newKey(t)
	theirs, _, them := newKey(t)
	sshFile, sshKey := newSSHKey(t, "")
	d := NewDecrypter(Options{IdentityFile: mine, Getenv: noEnv})
	doc, err := NewDocument("a.env", []byte("A=hunter2\n"), rulesTo(t, me))
	if err != nil {
		t.Fatal(err)
	}
	first := sealed(t, doc)
	open := func(data []byte) *Document {
		t.Helper()
		doc, err := d.Open("a.env", data, Rules{})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	doc = open(first)
	if added, err := doc.AddRecipients([]string{me, them, sshKey + " them@work"}); err != nil || len(added) != 2 {
		t.Fatalf("added %v, %v", added, err)
	}
	second := sealed(t, doc)
	for _, identity := range []string{mine, theirs, sshFile} {
		if got, err := NewDecrypter(Options{IdentityFile: identity}).Decrypt("a.env", second); err != nil || string(got) != "A=hunter2\n" {
			t.Errorf("%s: %q, %v", identity, got, err)
		}
	}
	value := func(b []byte) string { line, _, _ := strings.Cut(string(b), "\n"); return line }
	if value(first) != value(second) {
		t.Error("a value was encrypted anew for one who came")
	}
	doc = open(second)
	if err := doc.RemoveRecipients([]string{them, sshKey}); err != nil {
		t.Fatal(err)
	}
	third := sealed(t, doc)
	if value(second) == value(third) {
		t.Error("no new data key for one who went")
	}
	if _, err := NewDecrypter(Options{IdentityFile: theirs}).Decrypt("a.env", third); err == nil {
		t.Error("who was removed still opens it")
	}
	if got := bySOPS(t, "a.env", third, mine); got != "A=hunter2\n" {
		t.Errorf("got %q", got)
	}
	for want, err := range map[string]error{
		"nobody could open a.env any more":          open(third).RemoveRecipients([]string{me}),
		`a.env is not encrypted to "` + them + `"`:  open(third).RemoveRecipients([]string{them}),
		"a.env is not encrypted to a private key":   open(third).RemoveRecipients([]string{"AGE-SECRET-KEY-1XYZ"}),
		`"me" is no recipient: age1…, or an SSH pu`: func() error { _, err := open(third).AddRecipients([]string{"me"}); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// .sops.yaml is honoured as sops does: the first rule whose path fits, what stays
// plain, groups of keys, the layout.
func TestCreationRules(t *testing.T) {
	identity, _, recipient := newKey(t)
	_, _, other := newKey(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "services", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(".sops.yaml", `stores: {yaml: {indent: 2}}
creation_rules:
- path_regex: ^services/x/.*\.env$
  age: `+recipient+`
  unencrypted_regex: ^PUBLIC_
- path_regex: \.yaml$
  encrypted_regex: ^secret
  key_groups: [{age: [`+recipient+`]}, {age: [`+recipient+`, `+other+`]}]
- path_regex: nobody
`)
	seal := func(name, plain string, recipients ...string) (string, error) {
		file := filepath.Join(dir, name)
		rules, err := RulesFor(file, recipients, noEnv)
		if err != nil {
			return "", err
		}
		doc, err := NewDocument(file, []byte(plain), rules)
		if err != nil {
			return "", err
		}
		return string(sealed(t, doc)), nil
	}
	text, err := seal("services/x/a.env", "PUBLIC_A=shown\nB=hunter2\n")
	if err != nil || !strings.Contains(text, "PUBLIC_A=shown\n") || strings.Contains(text, "hunter2") {
		t.Errorf("%v\n%s", err, text)
	}
	bySOPS(t, "a.env", []byte(text), identity)
	text, err = seal("b.yaml", "plain: shown\nsecret:\n  a: hunter2\n")
	if err != nil || !strings.Contains(text, "plain: shown\nsecret:\n  a: ENC[") {
		t.Errorf("%v\n%s", err, text)
	}
	if got := bySOPS(t, "b.yaml", []byte(text), identity); !strings.Contains(got, "hunter2") {
		t.Errorf("got %s", got)
	}
	doc, err := NewDecrypter(Options{IdentityFile: identity}).Open("b.yaml", []byte(text), Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := doc.AddRecipients([]string{other}); err == nil || !strings.Contains(err.Error(), "has 2 groups of keys") {
		t.Errorf("got %v", err)
	}
	if _, err := seal("c.json", "{}"); err == nil || !strings.Contains(err.Error(), "no matching creation rules found") {
		t.Errorf("got %v", err)
	}
	if _, err := seal("nobody", "x"); !errors.Is(err, ErrNoRecipients) {
		t.Errorf("got %v", err)
	}
	if text, err = seal("c.json", "{}", other); err != nil || !strings.Contains(text, other) {
		t.Errorf("recipients that are given: %v\n%s", err, text)
	}
	rules, err := RulesFor(filepath.Join(t.TempDir(), "x"), nil, env(map[string]string{"SOPS_AGE_RECIPIENTS": recipient + "," + other}))
	if err != nil || rules.File != "" || !rules.Names([]Recipient{{Key: other, Kind: Age}, {Key: recipient, Kind: Age}}) {
		t.Errorf("SOPS_AGE_RECIPIENTS: %v", err)
	}
	if rules, err = RulesFor("x.yaml", nil, env(map[string]string{"SOPS_CONFIG": filepath.Join(dir, ".sops.yaml")})); err != nil || len(rules.config.KeyGroups) != 2 {
		t.Errorf("SOPS_CONFIG: %v", err)
	}
	t.Chdir(dir)
	if rules, err = RulesFor("services/x/a.env", nil, noEnv); err != nil || rules.config.UnencryptedRegex == "" {
		t.Errorf("from its folder: %v", err)
	}
}

// Errors of what a person has written name the line, and tell nothing of it.
func TestNoErrorTellsWhatIsWritten(t *testing.T) {
	_, _, recipient := newKey(t)
	rules := rulesTo(t, recipient)
	for name, c := range map[string]struct{ plain, want string }{
		"a.env":  {"A=1\n\n# c\nhunter2\n", `line 4 is no KEY=VALUE on a line of its own, and no comment that begins with "#"`},
		"a.yaml": {"a: b\nhunter2: [\n", "line 2 is not YAML"},
		"b.yaml": {"hunter2", "is not YAML"},
		"a.json": {"{\"a\": hunter2}", "is not JSON"},
		"a.ini":  {"[s]\nhunter2\n", "is not INI"},
		"c.yaml": {"sops: hunter2\n", ErrEncrypted.Error()},
		"c.env":  {"sops_mac=hunter2\n", ErrEncrypted.Error()},
	} {
		_, err := NewDocument(name, []byte(c.plain), rules)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	doc, err := NewDocument("a.yaml", []byte("a: [1]\nb: 2\n"), rules)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"a": "a has more below it", `["a"]["x"]`: "x is no index of a list of 1", `["a"][2]`: "2 is no index of a list of 1",
		`["b"]["c"]`: "b is a value, and has nothing below it", `["n"][0]`: "there is no list yet", "sops": "where SOPS keeps its own data",
		`["a"`: "is no path", `["a","b"]`: "is no path", `["a"][1.5]`: "an index that is none", `[0]`: "0 is no key of a map", `[null]`: "is no path",
	} {
		path, err := ParsePath(text)
		if err == nil {
			_, err = doc.Set(path, New([]byte("hunter2")))
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := doc.Set(Path{"n", "m"}, New([]byte("hunter2"))); err != nil {
		t.Error(err)
	}
	if plain, err := doc.Plain(); err != nil || string(plain) != "a:\n    - 1\nb: 2\n\"n\":\n    m: hunter2\n" {
		t.Errorf("%q, %v", plain, err)
	}
}

// New files name the version of the library that wrote them.
func TestVersion(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Skip("no build info")
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/getsops/sops/v3" && m.Version != "v"+writtenBy {
			t.Errorf("SOPS is %s, and files say %s", m.Version, writtenBy)
		}
	}
}

// A file of a key service (here Vault's transit engine) is opened where that is allowed;
// where it is not, nobody is asked.
func TestKeyServices(t *testing.T) {
	asked := 0
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		var in map[string]string
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Vault-Token") != "login" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		out := map[string]string{}
		switch r.URL.Path {
		case "/v1/sops/encrypt/fleet":
			out["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString([]byte(in["plaintext"]))
		case "/v1/sops/decrypt/fleet":
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(in["ciphertext"], "vault:v1:"))
			out["plaintext"] = string(plain)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
	}))
	defer vault.Close()
	t.Setenv("VAULT_TOKEN", "login")
	key, err := hcvault.NewMasterKeyFromURI(vault.URL + "/v1/sops/keys/fleet")
	if err != nil {
		t.Fatal(err)
	}
	_, _, recipient := newKey(t)
	rules := rulesTo(t, recipient)
	rules.config.KeyGroups = []sops.KeyGroup{{key}}
	doc, err := NewDocument("a.env", []byte("A=hunter2\n"), rules)
	if err != nil {
		t.Fatal(err)
	}
	file := sealed(t, doc)
	asked = 0
	_, err = NewDecrypter(Options{Getenv: noEnv}).Decrypt("a.env", file)
	var e *Error
	if !errors.As(err, &e) || asked != 0 || !strings.Contains(e.Mend(), "secrets.keyServices: true") {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if got, err := NewDecrypter(Options{Getenv: noEnv, KeyServices: true}).Decrypt("a.env", file); err != nil || string(got) != "A=hunter2\n" {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("VAULT_TOKEN", "another")
	if _, err = NewDecrypter(Options{Getenv: noEnv, KeyServices: true}).Decrypt("a.env", file); !errors.As(err, &e) || !strings.Contains(e.Reason(), "none of these opens it") {
		t.Errorf("got %v", err)
	}
}
