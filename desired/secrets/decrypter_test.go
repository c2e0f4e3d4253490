package secrets

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keys"
	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/desired"
)

// seal encrypts a plain file with SOPS to age recipients, as the sops command does.
func seal(t *testing.T, name, plain string, recipients ...string) []byte {
	t.Helper()
	store := storeFor(name)
	branches, err := store.LoadPlainFile([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	tree := sops.Tree{Branches: branches}
	tree.Metadata.LastModified = time.Now().UTC()
	tree.Metadata.Version = "3.13.3"
	var group sops.KeyGroup
	for _, r := range recipients {
		k, err := sopsage.MasterKeyFromRecipient(r)
		if err != nil {
			t.Fatal(err)
		}
		group = append(group, keys.MasterKey(k))
	}
	tree.Metadata.KeyGroups = []sops.KeyGroup{group}
	dataKey, errs := tree.GenerateDataKey()
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		t.Fatal(err)
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		t.Fatal(err)
	}
	out, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// newKey makes an age identity in a file.
func newKey(t *testing.T) (file, secret, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "age.key")
	text := "# created: today\n# public key: " + id.Recipient().String() + "\n" + id.String() + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, id.String(), id.Recipient().String()
}

func noEnv(string) string { return "" }

func env(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

func TestEveryFormat(t *testing.T) {
	file, _, recipient := newKey(t)
	d := NewDecrypter(Options{IdentityFile: file, Getenv: noEnv})
	for name, plain := range map[string]string{
		"a.secrets.env": "# a comment\nTOKEN=hunter2 $x\nEMPTY=\n",
		"a.yaml":        "TOKEN: hunter2\ncount: 7\n",
		"a.json":        "{\n\t\"TOKEN\": \"hunter2\"\n}\n",
		"a.ini":         "[s]\nTOKEN = hunter2\n",
		"a.pem":         "-----BEGIN X-----\nhunter2\n",
	} {
		sealed := seal(t, name, plain, recipient)
		if strings.Contains(string(sealed), "hunter2") {
			t.Fatalf("%s was not sealed", name)
		}
		got, err := d.Decrypt(name, sealed)
		if err != nil || strings.Join(strings.Fields(string(got)), " ") != strings.Join(strings.Fields(plain), " ") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestWhereIdentitiesAreFound(t *testing.T) {
	file, secret, recipient := newKey(t)
	_, other, _ := newKey(t)
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".config", "sops", "age"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".config", "sops", "age", "keys.txt"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sshFile, sshRecipient := newSSHKey(t, "")
	sealed := seal(t, "a.env", "A=1\n", recipient, sshRecipient)
	for name, o := range map[string]Options{
		"the configured file":      {IdentityFile: file, Getenv: env(map[string]string{"SOPS_AGE_KEY": other})},
		"SOPS_AGE_KEY_FILE":        {Getenv: env(map[string]string{"SOPS_AGE_KEY_FILE": file})},
		"SOPS_AGE_KEY, several":    {Getenv: env(map[string]string{"SOPS_AGE_KEY": other + "," + secret})},
		"the user's keys.txt":      {Getenv: env(map[string]string{"HOME": home})},
		"an SSH key":               {IdentityFile: sshFile, Getenv: noEnv},
		"sops' variable for one":   {Getenv: env(map[string]string{"SOPS_AGE_SSH_PRIVATE_KEY_FILE": sshFile})},
		"one of them is not there": {Getenv: env(map[string]string{"SOPS_AGE_KEY_FILE": "/nowhere", "SOPS_AGE_KEY": secret})},
	} {
		if got, err := NewDecrypter(o).Decrypt("a.env", sealed); err != nil || string(got) != "A=1\n" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if rs, err := NewDecrypter(Options{IdentityFile: file}).Recipients(); err != nil || len(rs) != 1 || rs[0] != recipient {
		t.Errorf("recipients %v, %v", rs, err)
	}
}

func newSSHKey(t *testing.T, passphrase string) (file, recipient string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	sp, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sp)))
}

// Every error says which file, to whom it is encrypted, who tried, and what to do;
// none holds a private key or a value.
func TestErrors(t *testing.T) {
	file, secret, recipient := newKey(t)
	otherFile, otherSecret, other := newKey(t)
	sealed := string(seal(t, "a.env", "TOKEN=hunter2\nB=hunter3\n", recipient))
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(strings.ToLower(secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	lockedSSH, _ := newSSHKey(t, "pass")
	for name, c := range map[string]struct {
		opt          Options
		file, text   string
		reason, mend string
		noKey        bool
	}{
		"no identity at all": {Options{Getenv: noEnv}, "a.env", sealed,
			"it is encrypted to " + recipient + ", and there is no age identity",
			"set secrets.ageIdentity (EVENKEEL_SECRETS_AGEIDENTITY), or SOPS_AGE_KEY_FILE", true},
		"another's identity": {Options{IdentityFile: otherFile}, "a.env", sealed,
			"it is encrypted to " + recipient + ", which none of the identities here opens: " + other + " (" + otherFile + ")",
			"give the identity of one of them, or have one of them add yours: evenkeel secret recipients FILE --add age1…", true},
		"a file that is not there": {Options{IdentityFile: "/nowhere/age.key"}, "a.env", sealed,
			"it is encrypted to " + recipient + ", and there is no age identity (cannot read the age identity: stat /nowhere/age.key: no such file or directory)",
			"name a readable file of age identities", true},
		"a file without one": {Options{IdentityFile: empty}, "a.env", sealed,
			"it is encrypted to " + recipient + ", and there is no age identity (" + empty + " holds no age identity: its lines are AGE-SECRET-KEY-1… or comments)",
			"name a readable file of age identities", true},
		"an SSH key with a passphrase": {Options{IdentityFile: lockedSSH}, "a.env", sealed,
			"it is encrypted to " + recipient + ", and there is no age identity (the SSH key in " + lockedSSH + " is locked with a passphrase: use one without, or an age key)",
			"name a readable file of age identities", true},
		"a value edited by hand": {Options{IdentityFile: file}, "a.env", strings.Replace(sealed, "TOKEN=ENC[", "TOKEN=hunter4ENC[", 1),
			"a value in it cannot be decrypted: the file was edited by hand after it was encrypted", "take the value as it was in git, or edit with evenkeel secret edit FILE", false},
		"a line taken away": {Options{IdentityFile: file}, "a.env", sealed[strings.Index(sealed, "B=ENC"):],
			"its MAC does not match: a line was added, removed or changed by hand after it was encrypted", "take the file as it was in git, and edit with evenkeel secret edit FILE", false},
		"not a SOPS file": {Options{IdentityFile: file}, "a.env", "TOKEN=hunter2\n",
			"it is not a whole SOPS file of the dotenv format, which its name stands for", "encrypt it again, with the ending .env, .yaml, .json or .ini that it is to have", false},
		"a line that is no assignment": {Options{IdentityFile: file}, "a.env", "hunter2\n" + sealed,
			"it is not a whole SOPS file of the dotenv format, which its name stands for", "encrypt it again, with the ending .env, .yaml, .json or .ini that it is to have", false},
		"the wrong ending": {Options{IdentityFile: file}, "a.json", sealed,
			"it is not a whole SOPS file of the json format, which its name stands for", "encrypt it again, with the ending .env, .yaml, .json or .ini that it is to have", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewDecrypter(c.opt).Decrypt(c.file, []byte(c.text))
			var e *Error
			if !errors.As(err, &e) || got != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			if e.Reason() != c.reason || e.Mend() != c.mend || e.NoKey() != c.noKey {
				t.Errorf("reason %s\nwant   %s\nmend   %s\nwant   %s\nno key %t", e.Reason(), c.reason, e.Mend(), c.mend, e.NoKey())
			}
			if !strings.HasPrefix(err.Error(), "cannot decrypt "+c.file+": ") {
				t.Errorf("got %s", err)
			}
			for _, private := range []string{"hunter", secret, otherSecret, strings.ToLower(secret)} {
				if strings.Contains(err.Error()+e.Mend(), private) {
					t.Errorf("it shows %s", private)
				}
			}
		})
	}
}

func TestPassphraseIdentity(t *testing.T) {
	_, secret, recipient := newKey(t)
	file := filepath.Join(t.TempDir(), "locked.key")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.NewScryptRecipient("pass")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(1)
	a := armor.NewWriter(out)
	w, err := age.Encrypt(a, r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(secret))
	for _, c := range []interface{ Close() error }{w, a, out} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = NewDecrypter(Options{IdentityFile: file}).Decrypt("a.env", seal(t, "a.env", "A=1\n", recipient))
	if err == nil || !strings.Contains(err.Error(), "is locked with a passphrase: open it with age --decrypt") {
		t.Error(err)
	}
}

// What needs no secret needs no key: nothing is read before the first file.
func TestIdentitiesAreReadLazily(t *testing.T) {
	file, _, recipient := newKey(t)
	later := file + ".later"
	d := NewDecrypter(Options{IdentityFile: later})
	if err := os.Rename(file, later); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decrypt("a.env", seal(t, "a.env", "A=1\n", recipient)); err != nil {
		t.Error(err)
	}
}

// Fingerprints are the same for all who have the key, and for nobody else.
func TestFingerprintKey(t *testing.T) {
	file, secret, _ := newKey(t)
	other, _, _ := newKey(t)
	key := func(o Options) string {
		if o.Getenv == nil {
			o.Getenv = noEnv
		}
		return string(NewDecrypter(o).FingerprintKey())
	}
	mine := key(Options{IdentityFile: file})
	if mine != key(Options{Getenv: env(map[string]string{"SOPS_AGE_KEY": secret})}) {
		t.Error("the same key gives other fingerprints")
	}
	none, again := NewDecrypter(Options{Getenv: noEnv}), NewDecrypter(Options{Getenv: noEnv})
	if mine == key(Options{IdentityFile: other}) || string(none.FingerprintKey()) == string(again.FingerprintKey()) || len(mine) != 32 {
		t.Error("others give the same fingerprints")
	}
	first := string(none.FingerprintKey())
	if first != string(none.FingerprintKey()) {
		t.Error("one Decrypter gives several")
	}
}

func FuzzDecrypt(f *testing.F) {
	f.Add("a.env", []byte("A=ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops_mac=ENC[]\nsops_version=3\n"))
	f.Add("a.json", []byte(`{"sops":{"mac":"ENC[","age":[{"recipient":"age1","enc":"x"}]}}`))
	f.Add("a.yaml", []byte("a: 1\nsops:\n  mac: ENC[\n  lastmodified: x\n"))
	d := NewDecrypter(Options{Getenv: noEnv})
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if plain, err := d.Decrypt(name, data); err == nil {
			t.Errorf("opened without a key: %q", plain)
		}
	})
}

// The example fleet's secrets open with the example's own key.
func TestExampleFleet(t *testing.T) {
	d := NewDecrypter(Options{IdentityFile: filepath.Join("..", "..", "examples", "nullspace", "example.agekey"), Getenv: noEnv})
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "nullspace", "services", "*", "*.secrets.env"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := d.Decrypt(file, data)
		if err != nil {
			t.Error(err)
			continue
		}
		vars, issues := desired.ParseEnv(plain)
		if len(vars) == 0 || len(issues) > 0 {
			t.Errorf("%s: %d variables, %v", file, len(vars), issues)
		}
	}
}
