package desired

import (
	"context"
	"strings"
	"testing"
)

// keyed is who has a key of fingerprints.
type keyed struct{ *sealedFiles }

func (keyed) FingerprintKey() []byte { return []byte("a key") }

// A credential is to be encrypted by its host. Its identity is keyed, and no digest of the
// value stands anywhere. Where the host cannot, what need not be is a plain file.
func TestEncryptedCredentials(t *testing.T) {
	d := keyed{&sealedFiles{plain: map[string]string{"services/a/token": "hunter2"}}}
	repo := plain.with(files{
		"services/a/service.yaml": service("a", `
  units: [{source: a.service, state: started}]
  credentials: [{name: token, source: token}, {name: open, source: open}, {name: never, source: token, encrypted: require}]
  health: [{unit: {name: a.service}}]
`),
		"services/a/a.service": "[Service]\nExecStart=/x\n",
		"services/a/token":     `{"data": "ENC[x]", "sops": {"mac": "ENC[y]"}}`,
		"services/a/open":      "plain\n",
	})
	if got := findings(t, repo, LoadOptions{Decrypter: d}); got != "" {
		t.Errorf("got %s", got)
	}
	resolve := func() Instance {
		t.Helper()
		rev, err := load(t, repo, LoadOptions{Decrypter: d})
		if err != nil {
			t.Fatal(err)
		}
		st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
		if err != nil || len(st.Instances) != 1 {
			t.Fatalf("%+v, %v", st, err)
		}
		return st.Instances[0]
	}
	find := func(in Instance, path string) *File {
		t.Helper()
		for i := range in.Files {
			if in.Files[i].Path == path {
				return &in.Files[i]
			}
		}
		t.Fatalf("there is no %s", path)
		return nil
	}
	const dropIn = "/etc/systemd/system/a.service.d/50-evenkeel-credentials.conf"
	in := resolve()
	f := find(in, "/etc/credstore.encrypted/a.token")
	if s := f.Sealing; s == nil || s.Name != "token" || s.Require || string(s.Plain.Bytes()) != "hunter2" || s.PlainPath != "/etc/credstore/a.token" || s.Identity == s.Plain.SHA256() || f.SHA256 != s.Identity {
		t.Errorf("it is %+v", f)
	}
	if other := find(in, "/etc/credstore.encrypted/a.never"); other.Identity() == f.Identity() || !other.Sealing.Require {
		t.Errorf("two credentials with one value: %+v", other.Sealing)
	}
	if open := find(in, "/etc/credstore.encrypted/a.open"); open.Identity() != open.Sealing.Plain.SHA256() {
		t.Errorf("what is no secret has the identity %s", open.Identity())
	}
	if text := string(find(in, dropIn).Content.Bytes()); !strings.Contains(text, "\nLoadCredentialEncrypted=token:/etc/credstore.encrypted/a.token\n") {
		t.Errorf("it is loaded by\n%s", text)
	}

	plainly := in.Unencrypted()
	f = find(plainly, "/etc/credstore/a.token")
	if f.Sealing != nil || !f.Unsealed || string(f.Content.Bytes()) != "hunter2" || f.SHA256 != f.Content.SHA256() || f.Mode != 0o600 {
		t.Errorf("without encryption it is %+v", f)
	}
	if find(plainly, "/etc/credstore.encrypted/a.never").Sealing == nil {
		t.Error("what must be encrypted is not")
	}
	loader := find(plainly, dropIn)
	want := "[Service]\nLoadCredential=token:/etc/credstore/a.token\nLoadCredential=open:/etc/credstore/a.open\nLoadCredentialEncrypted=never:/etc/credstore.encrypted/a.never\n"
	if text := string(loader.Content.Bytes()); !strings.HasSuffix(text, want) || loader.SHA256 != loader.Content.SHA256() {
		t.Errorf("without encryption it is loaded by\n%s", text)
	}
	if reads := strings.Join(plainly.Units[0].Reads, " "); reads != "/etc/credstore.encrypted/a.never /etc/credstore/a.open /etc/credstore/a.token" {
		t.Errorf("the unit reads %s", reads)
	}
	if find(in, "/etc/credstore.encrypted/a.token").Sealing == nil || !strings.Contains(string(find(in, dropIn).Content.Bytes()), "LoadCredentialEncrypted=token") {
		t.Error("what it was made from was changed")
	}
}
