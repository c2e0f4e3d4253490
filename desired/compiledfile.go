package desired

import (
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// compiledFile is one file of a service, made for a host when wanted.
type compiledFile struct {
	kind         FileKind
	path         string
	owner, group string
	mode         uint32
	unit         string
	quadlet      bool
	change       ChangeMode
	names        []string // sources as they are written
	at           []Position
	render       bool // even if not named *.tmpl
	inPlace      bool // of env files: see mergeInPlace
	nameTmpl     []*tmpl
	// seal makes, of a credential that its host encrypts, how; nil for all else.
	seal func(content hostdriver.Content, secret bool) *Sealing

	// static is the file where it is the same on every host.
	static func() (made, Faults)
	// variants are the files by their sources, where only those differ by host.
	variants sync.Map // joined source paths to func() (made, Faults)
}

// made is a file and what its content was found to be.
type made struct {
	File
	parsed *UnitFile // of units and drop-ins
}

// prepare reads what can be read without a host, and checks it.
func (c *compiler) prepare(f *compiledFile) {
	f.nameTmpl = make([]*tmpl, len(f.names))
	var srcs []*sourceFile
	named, rendered, sealed := true, false, false
	for i, name := range f.names {
		if isTemplate(name) {
			t, fault := parseTemplate(name, f.at[i])
			if fault != nil {
				c.fault(fault)
			}
			f.nameTmpl[i], named = t, false
			continue
		}
		src := c.source(name, f.at[i])
		if src == nil {
			named = false
			continue
		}
		srcs = append(srcs, src)
		if looksSecret(src.path) && !src.sops {
			c.fault(&Fault{Pos: f.at[i], Severity: SeverityWarning, Rule: "plain-secret",
				Message: src.path + " is called a secret and is not encrypted", Mend: "evenkeel secret encrypt " + src.path})
		}
		sealed = sealed || src.sops
		if f.renders(src) {
			rendered = true
			if _, fault := src.parse(); fault != nil {
				c.fault(fault)
			}
		}
	}
	if !named || rendered {
		return
	}
	f.static = sync.OnceValues(func() (made, Faults) { return f.make(srcs, nil) })
	if sealed {
		return // opened when a host wants it, so that planning others needs no key
	}
	_, faults := f.static()
	for i := range faults {
		c.fault(&faults[i])
	}
}

// looksSecret tells a name such as gateway.secrets.env.
func looksSecret(p string) bool {
	base := path.Base(p)
	return strings.Contains(base, ".secrets.") || strings.Contains(base, ".secret.") || strings.HasPrefix(base, "secrets.")
}

// source reads a source that is named plainly; nil where it cannot be.
func (c *compiler) source(name string, at Position) *sourceFile {
	p, err := joinSource(c.svc.Dir, name)
	if err != nil {
		c.fault(sourceFault(err, at))
		return nil
	}
	src, fault := c.sources.get(p, at)
	if fault != nil {
		c.fault(fault)
		return nil
	}
	return src
}

func (f *compiledFile) renders(src *sourceFile) bool {
	return !src.sops && (f.render || strings.HasSuffix(src.path, ".tmpl"))
}

// of is the file for one host.
func (f *compiledFile) of(c *compiled, src *sources, sc *scope) (made, Faults) {
	if f.static != nil {
		return f.static()
	}
	var list []*sourceFile
	var paths []string
	var faults Faults
	rendered := false
	for i, name := range f.names {
		if f.nameTmpl[i] != nil {
			text, fault := f.nameTmpl[i].render(sc.vars(), f.at[i])
			if fault != nil {
				faults = append(faults, *fault)
				continue
			}
			name = string(text)
		}
		p, err := joinSource(c.svc.Dir, name)
		if err != nil {
			faults = append(faults, *sourceFault(err, f.at[i]))
			continue
		}
		s, fault := src.get(p, f.at[i])
		if fault != nil {
			faults = append(faults, *fault)
			continue
		}
		list, paths = append(list, s), append(paths, p)
		rendered = rendered || f.renders(s)
	}
	if len(faults) > 0 {
		return f.bare(), faults
	}
	if rendered {
		return f.make(list, sc)
	}
	once, _ := f.variants.LoadOrStore(strings.Join(paths, "\n"), sync.OnceValues(func() (made, Faults) { return f.make(list, nil) }))
	return once.(func() (made, Faults))()
}

// bare is the file without content.
func (f *compiledFile) bare() made {
	return made{File: File{Path: f.path, Owner: f.owner, Group: f.group, Mode: f.mode, Kind: f.kind, Unit: f.unit, ChangeMode: f.change}}
}

// piece is what one source gives.
type piece struct {
	src      *sourceFile
	data     []byte
	secret   bool
	rendered bool
}

// make puts the file together. The scope is nil where nothing is rendered.
func (f *compiledFile) make(srcs []*sourceFile, sc *scope) (made, Faults) {
	m := f.bare()
	var pieces []piece
	for _, s := range srcs {
		m.Sources = append(m.Sources, s.path)
		p := piece{src: s, data: s.data, secret: s.sops}
		var fault *Fault
		if s.sops {
			p.data, fault = s.decode()
			m.Secret = true
		} else if sc != nil && f.renders(s) {
			var t *tmpl
			if t, fault = s.parse(); fault == nil {
				p.data, fault = t.render(sc.vars(), Position{File: s.path, Line: 1, Column: 1})
				p.rendered = true
			}
		}
		if fault != nil {
			return f.bare(), Faults{*fault}
		}
		pieces = append(pieces, p)
	}
	var content []byte
	var faults Faults
	switch f.kind {
	case FileEnv:
		content, faults = m.env(pieces, f.inPlace)
	case FileUnit, FileDropIn:
		content = pieces[0].data
		faults = m.unitFile(pieces[0])
	default:
		content = pieces[0].data
	}
	if m.Secret && m.Mode&0o004 != 0 {
		faults = append(faults, Fault{Pos: f.at[0], Severity: SeverityWarning, Rule: "open-secret",
			Message: fmt.Sprintf("%s holds a secret, and its mode %04o lets every user of the host read it", m.Path, m.Mode), Mend: `give it mode: "0600", and the owner who reads it`})
	}
	m.Content = hostdriver.NewContent(content)
	m.SHA256 = m.Content.SHA256()
	if f.seal != nil {
		if m.Sealing = f.seal(m.Content, m.Secret); m.Sealing == nil {
			return f.bare(), append(faults, Fault{Pos: f.at[0], Rule: "decrypt", Message: m.Path + " cannot be encrypted on the host: what opens its source has no key to tell values apart by", Mend: "encrypted: off does without"})
		}
		m.SHA256 = m.Sealing.Identity
	}
	return m, faults
}

// env merges the sources of an env file. One plain source stays as it is, byte for
// byte, and so does one SOPS file of a single value; else all variables are written
// anew, or in place, later sources winning.
func (m *made) env(pieces []piece, inPlace bool) ([]byte, Faults) {
	var faults Faults
	var all []EnvAssignment
	index := map[string]int{}
	for _, p := range pieces {
		vars, fs := p.vars()
		faults = append(faults, fs...)
		for _, v := range vars {
			ev := EnvVar{Key: v.Key, Value: hostdriver.NewContent([]byte(v.Value)), Secret: p.secret, Source: p.src.path, Line: v.Line}
			if i, again := index[v.Key]; again {
				all[i], m.Vars[i] = v, ev
				continue
			}
			index[v.Key] = len(all)
			all, m.Vars = append(all, v), append(m.Vars, ev)
		}
	}
	if len(pieces) == 1 && (!pieces[0].secret || SOPSFormatOf(pieces[0].src.path) == SOPSBinary) {
		return pieces[0].data, faults
	}
	if inPlace && len(pieces) > 1 {
		content, err := mergeEnv(pieces, all)
		if err != nil {
			faults = append(faults, Fault{Pos: Position{File: pieces[0].src.path}, Rule: "env-syntax", Message: err.Error(),
				Mend: "write KEY= alone on a line where a later source's value is to stand, or drop merge: in-place"})
		}
		return content, faults
	}
	content, err := WriteEnv(all)
	if err != nil {
		return nil, append(faults, Fault{Pos: Position{File: pieces[0].src.path}, Rule: "env-syntax", Message: err.Error()})
	}
	return append(envHeader(m.Sources), content...), faults
}

// vars are the variables of one source of an env file.
func (p piece) vars() ([]EnvAssignment, Faults) {
	if p.rendered {
		return readVars(p.src.path, p.data, false)
	}
	return p.src.vars()
}

// readVars reads the text of one source; what is wrong with it are faults.
func readVars(path string, data []byte, secret bool) ([]EnvAssignment, Faults) {
	var vars []EnvAssignment
	var issues []EnvIssue
	if secret {
		var err error
		if vars, issues, err = secretVars(path, data); err != nil {
			return nil, Faults{{Pos: Position{File: path}, Rule: "env-syntax", Message: err.Error()}}
		}
	} else {
		vars, issues = ParseEnv(data)
	}
	var faults Faults
	for _, is := range issues {
		f := Fault{Pos: Position{File: path, Line: is.Line, Column: 1}, Severity: SeverityWarning, Rule: "env-syntax", Message: is.Message, Mend: is.Mend}
		if is.Fatal {
			f.Severity = SeverityError
		}
		faults = append(faults, f)
	}
	return vars, faults
}

// unitFile reads a unit file or drop-in.
func (m *made) unitFile(p piece) Faults {
	u, issues := ParseUnit(p.data)
	for i := range u.Directives {
		u.Directives[i].File = p.src.path
	}
	m.parsed, m.Meaning = &u, u.Digest()
	var faults Faults
	for _, is := range issues {
		f := Fault{Pos: Position{File: p.src.path, Line: is.Line, Column: is.Column}, Severity: SeverityWarning, Rule: "unit-syntax", Message: is.Message, Mend: is.Mend}
		if is.Fatal {
			f.Severity = SeverityError
		}
		faults = append(faults, f)
	}
	if len(u.Directives) == 0 && m.Kind == FileUnit {
		faults = append(faults, Fault{Pos: Position{File: p.src.path, Line: 1, Column: 1}, Rule: "empty-unit",
			Message: "the unit file is empty, which systemd takes for masked", Mend: fmt.Sprintf("write [Service] and so on, or drop %s", m.Unit)})
	}
	return faults
}
