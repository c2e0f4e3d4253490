package secrets

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/logging"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
	"github.com/sirupsen/logrus"

	"github.com/evenkeel/evenkeel/desired"
)

// Options say where age identities are.
type Options struct {
	// IdentityFile holds age identities, one a line, or an SSH private key. Where
	// set, nothing else is looked at.
	IdentityFile string
	// Getenv looks up the environment; nil: os.Getenv.
	Getenv func(string) string
	// KeyServices lets other keys than age's be used, too, as sops would: clouds' KMS,
	// Vault, PGP, with what this process' environment has to log in there. A file names
	// which service is asked, so this is for files of people who are trusted with that.
	KeyServices bool
}

// Decrypter opens SOPS files. Identities are read at the first file, so that what
// needs no secret needs no key. It is safe for concurrent use.
type Decrypter struct {
	opt  Options
	load func() ([]identity, []error)
	// fingerprints is FingerprintKey's.
	fingerprints func() []byte
}

var (
	_ desired.Decrypter     = (*Decrypter)(nil)
	_ desired.DecryptError  = (*Error)(nil)
	_ desired.Fingerprinter = (*Decrypter)(nil)
)

// NewDecrypter makes one. The SOPS library's own log is turned off, for it may
// hold text of the files.
func NewDecrypter(opt Options) *Decrypter {
	silence()
	d := &Decrypter{opt: opt}
	d.load = sync.OnceValues(func() (ids []identity, errs []error) {
		for _, p := range opt.places() {
			got, err := p.read()
			ids = append(ids, got...)
			if err != nil {
				errs = append(errs, err)
			}
		}
		return ids, errs
	})
	d.fingerprints = sync.OnceValue(func() []byte {
		m := hmac.New(sha256.New, []byte("evenkeel fingerprints of secrets"))
		if ids, _ := d.load(); len(ids) > 0 {
			m.Write(ids[0].seed.Reveal())
		} else {
			m.Write([]byte(rand.Text()))
		}
		return m.Sum(nil)
	})
	return d
}

// FingerprintKey is derived from the first identity, so that all who open the secrets
// with it tell the same fingerprints, and nobody else can make one of a guess. Where
// there is none, as with a cloud's keys, it is another one for each Decrypter.
func (d *Decrypter) FingerprintKey() []byte { return d.fingerprints() }

var quiet sync.Once

func silence() { quiet.Do(func() { logging.SetLevel(logrus.PanicLevel) }) }

// Recipients are the public halves of the identities there are, for messages, and
// what kept others from being read.
func (d *Decrypter) Recipients() ([]string, error) {
	ids, errs := d.load()
	var out []string
	for _, id := range ids {
		out = append(out, id.public)
	}
	return out, errors.Join(errs...)
}

// Decrypt opens one SOPS file, whose name's ending tells the format, and returns
// the plain bytes in the same format. The error is an *Error and never holds any
// of the file's text.
func (d *Decrypter) Decrypt(name string, data []byte) ([]byte, error) {
	tree, _, _, err := d.open(name, data)
	if err != nil {
		return nil, err
	}
	plain, err := storeFor(name).EmitPlainFile(tree.Branches)
	if err != nil {
		return nil, &Error{Name: name, reason: "what it holds cannot be written in its own format", mend: "keep nested values in a .yaml or .json file"}
	}
	return plain, nil
}

// open decrypts the values of a SOPS file and verifies its MAC. The cipher knows which
// ciphertext a value had.
func (d *Decrypter) open(name string, data []byte) (tree sops.Tree, dataKey []byte, cipher aes.Cipher, err error) {
	fail := func(reason, mend string) (sops.Tree, []byte, aes.Cipher, error) {
		return sops.Tree{}, nil, aes.Cipher{}, &Error{Name: name, reason: reason, mend: mend}
	}
	if tree, err = load(name, data); err != nil {
		return sops.Tree{}, nil, aes.Cipher{}, err
	}
	if dataKey, err = d.dataKey(name, &tree); err != nil {
		return sops.Tree{}, nil, aes.Cipher{}, err
	}
	cipher = aes.NewCipher()
	mac, err := tree.Decrypt(dataKey, cipher)
	if err != nil {
		return fail("a value in it cannot be decrypted: the file was edited by hand after it was encrypted", "take the value as it was in git, or edit with evenkeel secret edit FILE")
	}
	want, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil || want != mac {
		return fail("its MAC does not match: a line was added, removed or changed by hand after it was encrypted", "take the file as it was in git, and edit with evenkeel secret edit FILE")
	}
	return tree, dataKey, cipher, nil
}

// load reads a SOPS file without opening it.
func load(name string, data []byte) (sops.Tree, error) {
	tree, err := storeFor(name).LoadEncryptedFile(data)
	if err != nil {
		return sops.Tree{}, &Error{Name: name, reason: "it is not a whole SOPS file of the " + string(desired.SOPSFormatOf(name)) + " format, which its name stands for",
			mend: "encrypt it again, with the ending .env, .yaml, .json or .ini that it is to have"}
	}
	return tree, nil
}

func storeFor(name string) sops.Store {
	return storeOf(desired.SOPSFormatOf(name), *config.NewStoresConfig())
}

func storeOf(format desired.SOPSFormat, c config.StoresConfig) sops.Store {
	switch format {
	case desired.SOPSDotenv:
		return dotenv.NewStore(&c.Dotenv)
	case desired.SOPSYAML:
		return yaml.NewStore(&c.YAML)
	case desired.SOPSJSON:
		return json.NewStore(&c.JSON)
	case desired.SOPSINI:
		return ini.NewStore(&c.INI)
	}
	return json.NewBinaryStore(&c.JSONBinary)
}

// dataKey unwraps the key that the file's values are encrypted with.
func (d *Decrypter) dataKey(name string, tree *sops.Tree) ([]byte, error) {
	ids, errs := d.load()
	recipients, others := recipientsOf(tree.Metadata.KeyGroups)
	e := &Error{Name: name, Recipients: recipients, Others: others}
	for _, id := range ids {
		e.Tried = append(e.Tried, id.public+" ("+id.from+")")
	}
	for _, err := range errs {
		e.unread = append(e.unread, err.Error())
	}
	var services []keyservice.KeyServiceClient
	if len(ids) > 0 && len(recipients) > 0 {
		services = append(services, ageService{ids})
	}
	if d.opt.KeyServices && len(others) > 0 {
		services = append(services, otherServices{keyservice.NewLocalClient()})
	}
	if len(services) == 0 {
		return nil, e
	}
	e.Asked = d.opt.KeyServices
	key, err := tree.Metadata.GetDataKeyWithKeyServices(services, nil)
	if err != nil {
		return nil, e
	}
	return key, nil
}

// recipientsOf are the age recipients of a file, and the kinds of its other keys.
func recipientsOf(groups []sops.KeyGroup) (recipients, others []string) {
	for _, group := range groups {
		for _, key := range group {
			if key.TypeToIdentifier() == ageType {
				recipients = append(recipients, key.ToString())
				continue
			}
			others = append(others, kindOf(key))
		}
	}
	return recipients, others
}

func kindOf(key keys.MasterKey) string {
	return strings.ReplaceAll(key.TypeToIdentifier(), "_", " ")
}
