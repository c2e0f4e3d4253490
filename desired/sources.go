package desired

import (
	"errors"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// sources reads what services name as sources, each file once a revision: its
// bytes, the template it is, what it decrypts to. It is safe for concurrent use.
type sources struct {
	tree      *tree
	decrypter Decrypter

	mu    sync.Mutex
	files map[string]*sourceFile

	// fingerprints is the key of Fingerprint, read once it is needed.
	fingerprints func() hostdriver.Content
}

func newSources(t *tree, d Decrypter) *sources {
	s := &sources{tree: t, decrypter: d, files: map[string]*sourceFile{}}
	s.fingerprints = sync.OnceValue(func() hostdriver.Content {
		if f, ok := d.(Fingerprinter); ok {
			return hostdriver.NewContent(f.FingerprintKey())
		}
		return hostdriver.Content{}
	})
	return s
}

// sourceFile is one source. Each part is made at most once, when first wanted.
type sourceFile struct {
	path string
	data []byte
	sops bool

	parse  func() (*tmpl, *Fault)
	decode func() ([]byte, *Fault)
	vars   func() ([]EnvAssignment, Faults) // of an env file that is not rendered
}

// get reads a source; at is where it is named.
func (s *sources) get(path string, at Position) (*sourceFile, *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.files[path]; ok {
		return f, nil
	}
	data, err := s.tree.read(path, maxSource)
	if err != nil {
		return nil, sourceFault(err, at)
	}
	f := &sourceFile{path: path, data: data, sops: IsSOPS(path, data)}
	f.parse = sync.OnceValues(func() (*tmpl, *Fault) {
		return parseTemplate(string(data), Position{File: path, Line: 1, Column: 1})
	})
	f.decode = sync.OnceValues(func() ([]byte, *Fault) { return s.decrypt(f) })
	f.vars = sync.OnceValues(func() ([]EnvAssignment, Faults) {
		if !f.sops {
			return readVars(path, data, false)
		}
		plain, fault := f.decode()
		if fault != nil {
			return nil, Faults{*fault}
		}
		return readVars(path, plain, true)
	})
	s.files[path] = f
	return f, nil
}

// sourceFault makes a Fault of why a source was not read.
func sourceFault(err error, at Position) *Fault {
	f := &Fault{Pos: at, Rule: "unreadable", Message: err.Error()}
	var se *sourceError
	if errors.As(err, &se) {
		f.Rule, f.Message, f.Mend = se.rule, se.message, se.mend
	}
	return f
}

// The rules of faults that SOPS files make.
const (
	RuleNoKey   = "no-key"  // there is no key that opens it
	RuleDecrypt = "decrypt" // it is damaged
)

func (s *sources) decrypt(f *sourceFile) ([]byte, *Fault) {
	at := Position{File: f.path}
	if s.decrypter == nil {
		return nil, &Fault{Pos: at, Rule: RuleNoKey, Message: "the file is encrypted with SOPS, and no key is configured",
			Mend: "set secrets.ageIdentity (EVENKEEL_SECRETS_AGEIDENTITY), or SOPS_AGE_KEY_FILE"}
	}
	plain, err := s.decrypter.Decrypt(f.path, f.data)
	if err == nil {
		return plain, nil
	}
	fault := &Fault{Pos: at, Rule: RuleDecrypt, Message: err.Error()}
	var de DecryptError
	if errors.As(err, &de) {
		fault.Message, fault.Mend = "cannot be decrypted: "+de.Reason(), de.Mend()
		if de.NoKey() {
			fault.Rule = RuleNoKey
		}
	}
	return nil, fault
}

// DecryptError is what a Decrypter's error may be, so that its parts reach a Fault.
type DecryptError interface {
	error
	Reason() string // without the file's name
	Mend() string
	NoKey() bool // the file may be whole: there is no key that opens it
}
