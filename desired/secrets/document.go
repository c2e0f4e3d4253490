package secrets

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"

	"github.com/evenkeel/evenkeel/desired"
)

// writtenBy is the version of SOPS that new files name: the library's own.
const writtenBy = "3.13.3"

// Document is a SOPS file that is open: what it holds and who can open it may be
// changed, and it is sealed again. It is written by SOPS' own library, so that sops
// reads it. Its errors hold keys and lines, never a value.
type Document struct {
	name   string
	store  sops.Store
	tree   sops.Tree
	key    []byte // the data key, with which the values are encrypted
	cipher aes.Cipher
	keys   keyservice.KeyServiceClient
}

// NewDocument is a file of plain text, in the format of its name, that is not encrypted
// yet. The error of a file that is encrypted already is ErrEncrypted.
func NewDocument(name string, plain []byte, rules Rules) (*Document, error) {
	silence()
	if desired.IsSOPS(filepath.Base(name), plain) {
		return nil, ErrEncrypted
	}
	format := desired.SOPSFormatOf(name)
	d := &Document{name: filepath.Base(name), store: storeOf(format, rules.stores), tree: sops.Tree{Metadata: rules.metadata(format)},
		cipher: aes.NewCipher(), keys: keyservice.NewLocalClient()}
	if abs, err := filepath.Abs(name); err == nil {
		d.tree.FilePath = abs
	}
	if err := d.SetPlain(plain); err != nil {
		return nil, err
	}
	return d, d.newKey()
}

// ErrEncrypted is that a plain file is a SOPS file, or would be taken for one.
var ErrEncrypted = errors.New("it is encrypted already, or has a key that begins with sops, where SOPS keeps its own data")

// Open opens a SOPS file to change it. Its MAC has been checked. Its layout is that of
// the rules that hold for it, as sops has it.
func (d *Decrypter) Open(name string, data []byte, rules Rules) (*Document, error) {
	tree, key, cipher, err := d.open(name, data)
	if err != nil {
		return nil, err
	}
	stores := rules.stores
	if stores == (config.StoresConfig{}) {
		stores = *config.NewStoresConfig()
	}
	return &Document{name: filepath.Base(name), store: storeOf(desired.SOPSFormatOf(name), stores), tree: tree, key: key, cipher: cipher,
		keys: keyservice.NewLocalClient()}, nil
}

// newKey makes a new data key and encrypts it to every recipient.
func (d *Document) newKey() error {
	d.key = make([]byte, 32)
	_, _ = rand.Read(d.key) // which never fails
	d.cipher = aes.NewCipher()
	if faults := d.tree.Metadata.UpdateMasterKeysWithKeyServices(d.key, []keyservice.KeyServiceClient{d.keys}); len(faults) > 0 {
		return fmt.Errorf("cannot encrypt %s to its recipients: %w", d.name, errors.Join(faults...))
	}
	return nil
}

// Plain is what the file holds, in its own format, to be edited.
func (d *Document) Plain() ([]byte, error) {
	plain, err := d.store.EmitPlainFile(d.tree.Branches)
	if err != nil {
		return nil, fmt.Errorf("what %s holds cannot be written in its own format", d.name)
	}
	return plain, nil
}

// SetPlain replaces all that the file holds. Values that stay the same keep their
// ciphertext, so that a diff in git shows which ones changed.
func (d *Document) SetPlain(plain []byte) error {
	branches, err := d.store.LoadPlainFile(plain)
	if err != nil {
		return &SyntaxError{Format: desired.SOPSFormatOf(d.name), Line: faultyLine(desired.SOPSFormatOf(d.name), plain, err)}
	}
	if len(branches) == 0 {
		return errors.New("it is empty")
	}
	if d.store.HasSopsTopLevelKey(branches[0]) {
		return ErrEncrypted
	}
	d.tree.Branches = branches
	return nil
}

// SyntaxError is that a plain file is not what its name stands for. It holds none of
// the file's text.
type SyntaxError struct {
	Format desired.SOPSFormat
	Line   int // 0: not known
}

func (e *SyntaxError) Error() string {
	where := "it"
	if e.Line > 0 {
		where = fmt.Sprintf("line %d", e.Line)
	}
	if e.Format == desired.SOPSDotenv {
		return where + ` is no KEY=VALUE on a line of its own, and no comment that begins with "#"`
	}
	return where + " is not " + strings.ToUpper(string(e.Format))
}

var lineInError = regexp.MustCompile(`\bline (\d{1,9})\b`)

// faultyLine is the line that a library's error is about, which itself may hold text
// of the file.
func faultyLine(format desired.SOPSFormat, plain []byte, err error) (line int) {
	if format == desired.SOPSDotenv {
		return 1 + slices.IndexFunc(bytes.Split(plain, []byte("\n")), func(l []byte) bool {
			return len(l) > 0 && l[0] != '#' && bytes.IndexByte(l, '=') < 0
		})
	}
	if m := lineInError.FindStringSubmatch(err.Error()); m != nil {
		_, _ = fmt.Sscan(m[1], &line)
	}
	return line
}

// Recipients are the keys that the file is encrypted to.
func (d *Document) Recipients() []Recipient { return recipientsIn(d.tree.Metadata.KeyGroups) }

// AddRecipients lets others open the file. The values keep their ciphertext. It tells
// who was new.
func (d *Document) AddRecipients(recipients []string) (added []string, err error) {
	group, err := d.onlyGroup()
	if err != nil {
		return nil, err
	}
	wanted, err := groupOf(recipients)
	if err != nil {
		return nil, err
	}
	for _, key := range wanted {
		if slices.ContainsFunc(d.Recipients(), func(r Recipient) bool { return r.Key == key.ToString() }) {
			continue
		}
		if err := key.Encrypt(d.key); err != nil {
			return nil, fmt.Errorf("cannot encrypt %s to %s: %w", d.name, key.ToString(), err)
		}
		*group = append(*group, key)
		added = append(added, key.ToString())
	}
	return added, nil
}

// RemoveRecipients takes keys away, and encrypts every value anew with another data
// key, for the old one is known to those who were taken away. What the values are is
// known to them, too: that is to be changed beside.
func (d *Document) RemoveRecipients(recipients []string) error {
	group, err := d.onlyGroup()
	if err != nil {
		return err
	}
	kept := slices.Clone(*group)
	for _, r := range recipients {
		i := slices.IndexFunc(kept, func(k masterKey) bool { return sameRecipient(k.ToString(), r) })
		if i < 0 {
			return fmt.Errorf("%s is not encrypted to %s", d.name, quoteRecipient(r))
		}
		kept = slices.Delete(kept, i, i+1)
	}
	if len(kept) == 0 {
		return fmt.Errorf("nobody could open %s any more", d.name)
	}
	*group = kept
	return d.newKey()
}

// onlyGroup is the file's one group of keys.
func (d *Document) onlyGroup() (*sops.KeyGroup, error) {
	if n := len(d.tree.Metadata.KeyGroups); n != 1 {
		return nil, fmt.Errorf("%s has %d groups of keys, of which several are needed at once: that is changed in .sops.yaml, and with sops updatekeys", d.name, n)
	}
	return &d.tree.Metadata.KeyGroups[0], nil
}

// sameRecipient compares recipients; an SSH key's comment does not count.
func sameRecipient(a, b string) bool {
	fa, fb := strings.Fields(a), strings.Fields(b)
	if len(fa) >= 2 && len(fb) >= 2 {
		return slices.Equal(fa[:2], fb[:2])
	}
	return slices.Equal(fa, fb)
}

// Seal encrypts the document. It is of no use afterwards.
func (d *Document) Seal() ([]byte, error) {
	mac, err := d.tree.Encrypt(d.key, d.cipher)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt %s: a value is of a kind that SOPS cannot encrypt", d.name)
	}
	d.tree.Metadata.LastModified = time.Now().UTC()
	d.tree.Metadata.MessageAuthenticationCode, err = d.cipher.Encrypt(mac, d.key, d.tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt the MAC of %s: %w", d.name, err)
	}
	sealed, err := d.store.EmitEncryptedFile(d.tree)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s in its own format: nested values need a .yaml or .json file", d.name)
	}
	return sealed, nil
}
