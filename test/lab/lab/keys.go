package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// keypair is an ed25519 key as OpenSSH writes it.
type keypair struct {
	private []byte // PEM
	public  ssh.PublicKey
	line    string // as in authorized_keys
}

func newKeypair(comment string) (keypair, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keypair{}, err
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return keypair{}, err
	}
	public, err := ssh.NewPublicKey(pub)
	if err != nil {
		return keypair{}, err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) + " " + comment + "\n"
	return keypair{private: pem.EncodeToMemory(block), public: public, line: line}, nil
}

// users are who the lab's identity may log in as: root, one who may sudo without a password, one who may not.
var users = []struct{ name, home string }{{"root", "/root"}, {"deploy", "/home/deploy"}, {"plain", "/home/plain"}}

// makeKeys writes the client's identity and the known_hosts file, and returns every host's own key, in order.
func (r record) makeKeys() (identity keypair, hosts []keypair, err error) {
	if identity, err = newKeypair("lab-" + r.Prefix); err != nil {
		return identity, nil, err
	}
	if err := os.WriteFile(r.identityFile(), identity.private, 0o600); err != nil {
		return identity, nil, err
	}
	if err := os.WriteFile(r.identityFile()+".pub", []byte(identity.line), 0o644); err != nil {
		return identity, nil, err
	}
	var known strings.Builder
	for i := 1; i <= r.Hosts; i++ {
		key, err := newKeypair(hostName(i))
		if err != nil {
			return identity, nil, err
		}
		hosts = append(hosts, key)
		known.WriteString(knownhosts.Line([]string{r.address(i), hostName(i)}, key.public) + "\n")
	}
	return identity, hosts, os.WriteFile(r.knownHostsFile(), []byte(known.String()), 0o644)
}

func (r record) identityFile() string   { return filepath.Join(r.dir(), "id_ed25519") }
func (r record) knownHostsFile() string { return filepath.Join(r.dir(), "known_hosts") }

// furnishing is a file of a host that isn't the base's.
type furnishing struct {
	path, text string
	mode       os.FileMode
}

const storageConf = "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n"

// Such a host has no controllers of control groups to give away, so no limit can be set.
const containersConf = "[containers]\npids_limit = 0\n"

// furnish writes into a fresh root what tells host i from the others: its identity, keys, name and who its peers are.
func (r record) furnish(root string, i int, client, own keypair) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost %s\n::1 localhost ip6-localhost\n%s lab\n", hostName(i), r.gateway())
	for n := 1; n <= r.Hosts; n++ {
		hosts += fmt.Sprintf("%s %s\n", r.address(n), hostName(n))
	}
	files := []furnishing{
		{"etc/machine-id", hex.EncodeToString(id) + "\n", 0o444},
		{"etc/hostname", hostName(i) + "\n", 0o644},
		{"etc/hosts", hosts, 0o644},
		{"etc/ssh/ssh_host_ed25519_key", string(own.private), 0o600},
		{"etc/ssh/ssh_host_ed25519_key.pub", own.line, 0o644},
	}
	if r.Containers { // podman's overlay driver doesn't work on an overlay, which the host's root is
		dir := filepath.Join(root, "etc/containers")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cannot furnish %s: %w", hostName(i), err)
		}
		files = append(files, furnishing{"etc/containers/storage.conf", storageConf, 0o644}, furnishing{"etc/containers/containers.conf", containersConf, 0o644})
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(root, f.path), []byte(f.text), f.mode); err != nil {
			return fmt.Errorf("cannot furnish %s: %w", hostName(i), err)
		}
	}
	if !r.Generators {
		if err := maskGenerators(root); err != nil {
			return fmt.Errorf("cannot furnish %s: %w", hostName(i), err)
		}
	}
	for _, u := range users {
		// The base made the file, with its owner and mode; it is only filled here.
		path := filepath.Join(root, u.home, ".ssh/authorized_keys")
		if err := os.WriteFile(path, []byte(client.line), 0o600); err != nil {
			return fmt.Errorf("cannot furnish %s: %w", hostName(i), err)
		}
	}
	return nil
}

// idleGenerators look, at each daemon-reload, for disks, consoles and kernel options that no
// lab host has: a dozen programs for nothing, about a tenth of what a machine full of labs does.
var idleGenerators = []string{"cryptsetup", "debug", "getty", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local", "run", "ssh", "system-update", "tpm2", "veritysetup"}

// maskGenerators masks them, as systemd.generator(7) has it.
func maskGenerators(root string) error {
	dir := filepath.Join(root, "etc/systemd/system-generators")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range idleGenerators {
		if err := os.Symlink("/dev/null", filepath.Join(dir, "systemd-"+name+"-generator")); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
