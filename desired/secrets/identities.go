package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// identity is one age identity and what may be said of it.
type identity struct {
	age    age.Identity
	public string // its recipient, or its kind
	from   string // where it was found
	seed   Secret // the private key itself, for the key of fingerprints
}

// maxIdentityFile bounds an identity file.
const maxIdentityFile = 1 << 20

// place is somewhere identities may be.
type place struct {
	name string // for messages
	file string // or
	text Secret
	// optional places say nothing where there is no such file.
	optional bool
}

// places are where identities are looked for: the configured file alone, or else
// everywhere sops looks.
func (o Options) places() []place {
	if o.IdentityFile != "" {
		return []place{{name: o.IdentityFile, file: o.IdentityFile}}
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	var ps []place
	if f := getenv("SOPS_AGE_KEY_FILE"); f != "" {
		ps = append(ps, place{name: "SOPS_AGE_KEY_FILE " + f, file: f})
	}
	if k := getenv("SOPS_AGE_KEY"); k != "" {
		ps = append(ps, place{name: "SOPS_AGE_KEY", text: New([]byte(k))})
	}
	if f := getenv("SOPS_AGE_SSH_PRIVATE_KEY_FILE"); f != "" {
		ps = append(ps, place{name: "SOPS_AGE_SSH_PRIVATE_KEY_FILE " + f, file: f})
	}
	config := getenv("XDG_CONFIG_HOME")
	if home := getenv("HOME"); config == "" && home != "" {
		config = filepath.Join(home, ".config")
	}
	if config != "" {
		f := filepath.Join(config, "sops", "age", "keys.txt")
		ps = append(ps, place{name: f, file: f, optional: true})
	}
	return ps
}

// read reads the identities of one place. Errors never hold any of its text.
func (p place) read() ([]identity, error) {
	data := p.text.Reveal()
	if p.file != "" {
		var err error
		data, err = readCapped(p.file)
		if p.optional && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the age identity: %w", err)
		}
	}
	switch {
	case bytes.Contains(data, []byte("-----BEGIN AGE ENCRYPTED FILE-----")):
		return nil, fmt.Errorf("the age identity in %s is locked with a passphrase: open it with age --decrypt into a file only its user can read", p.name)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return p.readSSH(data)
	}
	if p.text.held != nil { // sops lets one line of SOPS_AGE_KEY hold several
		data = bytes.ReplaceAll(data, []byte(","), []byte("\n"))
	}
	ids, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s holds no age identity: its lines are AGE-SECRET-KEY-1… or comments", p.name)
	}
	out := make([]identity, 0, len(ids))
	for _, id := range ids {
		out = append(out, identity{age: id, public: publicOf(id), from: p.name, seed: seedOf(id, data)})
	}
	return out, nil
}

func (p place) readSSH(data []byte) ([]identity, error) {
	id, err := agessh.ParseIdentity(data)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fmt.Errorf("the SSH key in %s is locked with a passphrase: use one without, or an age key", p.name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s holds no SSH key that age can use: ed25519 and RSA keys are", p.name)
	}
	public := "an SSH key"
	if signer, err := ssh.ParsePrivateKey(data); err == nil {
		public = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	}
	return []identity{{age: id, public: public, from: p.name, seed: New(data)}}, nil
}

// seedOf is the private key; where it cannot be told, all of the file it is in.
func seedOf(id age.Identity, data []byte) Secret {
	switch id := id.(type) {
	case *age.X25519Identity:
		return New([]byte(id.String()))
	case *age.HybridIdentity:
		return New([]byte(id.String()))
	}
	return New(data)
}

func publicOf(id age.Identity) string {
	switch id := id.(type) {
	case *age.X25519Identity:
		return id.Recipient().String()
	case *age.HybridIdentity:
		return id.Recipient().String()
	}
	return "an age key"
}

func readCapped(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIdentityFile {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", file, maxIdentityFile)
	}
	return os.ReadFile(file)
}
