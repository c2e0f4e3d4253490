package gitrepo

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// sshKey makes a key with ssh-keygen and returns its file and its public line.
func sshKey(t *testing.T, kind string) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "comment", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(b))
}

// signers writes a file of signers.
func signers(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "signers")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// signedBy commits with an SSH key, pushes, and returns the commit.
func (w *work) signedBy(key, name string) string {
	w.t.Helper()
	w.write(name, name)
	w.git("add", "-A")
	w.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "commit", "-q", "-S", "-m", "a change\n\nwith a body\n")
	w.git("push", "-q", "origin", "HEAD:main")
	return w.git("rev-parse", "HEAD")
}

func TestVerifySSH(t *testing.T) {
	w := newWork(t)
	w.push("fleet.yaml", "a")
	alice, alicePub := sshKey(t, "ed25519")
	rsa, rsaPub := sshKey(t, "rsa")
	ecdsa, ecdsaPub := sshKey(t, "ecdsa")
	mallory, malloryPub := sshKey(t, "ed25519")
	r := openRepo(t, "file://"+w.bare)
	commits := map[string]string{}
	for name, key := range map[string]string{"alice": alice, "rsa": rsa, "ecdsa": ecdsa, "mallory": mallory} {
		commits[name] = w.signedBy(key, name)
	}
	unsigned := w.push("fleet.yaml", "b")
	fetch(t, r, unsigned)
	all := signers(t, "# who may", "", "alice@example.com namespaces=\"git,file\" "+alicePub, "rsa "+rsaPub, `ecdsa valid-after="20000101Z",valid-before="29991231" `+ecdsaPub)
	for name, want := range map[string]string{"alice": "alice@example.com", "rsa": "rsa", "ecdsa": "ecdsa"} {
		if got, err := r.Verify(t.Context(), commits[name], all); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, c := range map[string]struct{ commit, signers, says string }{
		"unsigned":            {unsigned, all, "it is not signed"},
		"somebody else":       {commits["mallory"], all, "none of the signers'"},
		"not for git":         {commits["alice"], signers(t, `alice namespaces="file" `+alicePub), "not for git"},
		"no longer valid":     {commits["alice"], signers(t, `alice valid-before="20200101Z" `+alicePub), "valid only before 2020"},
		"not valid yet":       {commits["alice"], signers(t, `alice valid-after="29990101Z" `+alicePub), "valid only after 2999"},
		"an option too many":  {commits["alice"], signers(t, `alice cert-authority `+alicePub), `"cert-authority" is not known`},
		"nobody":              {commits["alice"], signers(t, "# nobody"), "names nobody"},
		"what cannot be read": {commits["alice"], signers(t, "alice "+alicePub, "bob ssh-ed25519 AAAA"), "line 2"},
		"a file that is away": {commits["alice"], "/nonexistent/signers", "no such file"},
	} {
		_, err := r.Verify(t.Context(), c.commit, c.signers)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := r.Verify(t.Context(), commits["mallory"], signers(t, "mallory "+malloryPub)); err != nil || got != "mallory" {
		t.Errorf("with its own key: %q, %v", got, err)
	}
}

// A commit whose content was changed after it was signed, or whose signature was taken
// from another, is refused.
func TestVerifyForged(t *testing.T) {
	w := newWork(t)
	w.push("fleet.yaml", "a")
	key, public := sshKey(t, "ed25519")
	first := w.signedBy(key, "one")
	raw := w.git("cat-file", "commit", first) + "\n"
	for name, forged := range map[string]string{
		"another message":   strings.Replace(raw, "with a body", "with another", 1),
		"another author":    strings.Replace(raw, "author Ann", "author Eve", 1),
		"a second header":   strings.Replace(raw, "gpgsig ", "gpgsig-sha256 x\ngpgsig ", 1),
		"a second one":      strings.Replace(raw, "\ngpgsig ", "\ngpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\ngpgsig ", 1),
		"a header after it": strings.Replace(raw, "\n\n", "\nmergetag x\n\n", 1),
	} {
		if forged == raw {
			t.Fatalf("%s: nothing is forged", name)
		}
		c := exec.Command("git", "-C", w.dir, "hash-object", "-t", "commit", "-w", "--stdin")
		c.Stdin = strings.NewReader(forged)
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		id := strings.TrimSpace(string(out))
		w.git("push", "-q", "--force", "origin", id+":refs/heads/main")
		r := openRepo(t, "file://"+w.bare)
		fetch(t, r, id)
		if who, err := r.Verify(t.Context(), id, signers(t, "alice "+public)); err == nil {
			t.Errorf("%s: it counts as signed by %s", name, who)
		}
	}
}

func TestVerifyOpenPGP(t *testing.T) {
	w := newWork(t)
	base := w.push("fleet.yaml", "a")
	entity, err := openpgp.NewEntity("Alice Operator", "", "alice@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openpgp.NewEntity("Mallory", "", "m@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := w.git("cat-file", "commit", base) + "\n"
	// Made now: a key is not valid before it was made.
	head, message, _ := strings.Cut(raw, "\n\n")
	lines := strings.Split(head, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "committer ") {
			lines[i] = "committer Carl Committer <carl@example.com> " + strconv.FormatInt(time.Now().Unix(), 10) + " +0000"
		}
	}
	payload := strings.Join(lines, "\n") + "\n\n" + message
	sign := func(e *openpgp.Entity) string {
		var sig bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&sig, e, strings.NewReader(payload), nil); err != nil {
			t.Fatal(err)
		}
		signed := strings.Join(lines, "\n") + "\ngpgsig " + strings.ReplaceAll(strings.TrimSpace(sig.String()), "\n", "\n ") + "\n\n" + message
		c := exec.Command("git", "-C", w.dir, "hash-object", "-t", "commit", "-w", "--stdin")
		c.Stdin = strings.NewReader(signed)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	var public bytes.Buffer
	block, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.Serialize(block); err != nil {
		t.Fatal(err)
	}
	if err := block.Close(); err != nil {
		t.Fatal(err)
	}
	_, alsoSSH := sshKey(t, "ed25519")
	file := signers(t, "bob "+alsoSSH, public.String())
	for id, want := range map[string]string{sign(entity): "Alice Operator <alice@example.com>", sign(other): ""} {
		w.git("push", "-q", "--force", "origin", id+":refs/heads/main")
		r := openRepo(t, "file://"+w.bare)
		fetch(t, r, id)
		got, err := r.Verify(t.Context(), id, file)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

func FuzzParseSigners(f *testing.F) {
	f.Add([]byte("alice namespaces=\"git\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS x\n"))
	f.Add([]byte(pgpBegin + "\n\nxjMEZ\n" + pgpEnd))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := ParseSigners(text); err == nil && len(s.keys)+len(s.pgp) == 0 {
			t.Error("nobody")
		}
	})
}

func FuzzSignature(f *testing.F) {
	f.Add([]byte("tree x\ngpgsig " + sshArmor + "\n U1NIU0lH\n -----END SSH SIGNATURE-----\n\nmessage"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		payload, sig, err := signedParts(raw)
		if err != nil {
			return
		}
		if len(payload) > len(raw)+2 {
			t.Errorf("the payload has %d bytes of %d", len(payload), len(raw))
		}
		_, _, _ = parseSSHSignature(sig)
	})
}
