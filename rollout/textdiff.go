package rollout

import (
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// diffTexts are diffs already made: what differs on one host often differs on many in
// the same way.
type diffTexts struct {
	made  map[diffOf]map[string]diffText
	terse bool // keys alone
}

// diffOf is what a diff is of, but for what is on the host. Which variables are secret
// belongs to it: two hosts may get the same content from different files.
type diffOf struct {
	path, digest, secrets string
	kind                  desired.FileKind
	secret, closed        bool
	fingerprints          string
}

type diffText struct {
	diff    string
	keys    []string
	secrets []SecretChange
}

func newDiffTexts(terse bool) *diffTexts {
	return &diffTexts{made: map[diffOf]map[string]diffText{}, terse: terse}
}

// diff is fileDiff's. What it holds is shared: it must not be changed.
func (t *diffTexts) diff(f *desired.File, got hostdriver.PathState, fingerprints hostdriver.Content) diffText {
	of := diffOf{path: f.Path, digest: f.SHA256, kind: f.Kind, secret: f.Secret, closed: isClosed(got), fingerprints: string(fingerprints.Bytes())}
	if f.Secret {
		secrets := make([]byte, len(f.Vars))
		for i, v := range f.Vars {
			if v.Secret {
				secrets[i] = 1
			}
		}
		of.secrets = string(secrets)
	}
	var had []byte
	if got.Content != nil {
		had = got.Content.Bytes()
	}
	if x, ok := t.made[of][string(had)]; ok {
		return x
	}
	if t.made[of] == nil {
		t.made[of] = map[string]diffText{}
	}
	x := t.fileDiff(f, got, fingerprints)
	t.made[of][string(had)] = x
	return x
}

// isClosed tells that not everybody on the host may read what is there: it may have
// held secrets, whatever the revision says of it now.
func isClosed(got hostdriver.PathState) bool {
	return got.Type == hostdriver.PathFile && got.Mode&0o004 == 0
}

// fileDiff is the unified diff from what is on the host (without content: nothing that
// could be read back) to f, and the keys of an env file that differ. No value that came
// out of a SOPS file stands in it, nor any value of such a file that is on the host:
// there, keys are named, and fingerprints.
func (t *diffTexts) fileDiff(f *desired.File, got hostdriver.PathState, fingerprints hostdriver.Content) (x diffText) {
	var had []byte
	if got.Content != nil {
		had = got.Content.Bytes()
	}
	if f.Kind == desired.FileEnv {
		x.keys = differingKeys(f, had)
	}
	// What the revision no longer has may be a secret of the one before.
	hides := f.Secret || isClosed(got) && len(goneKeys(f, had)) > 0
	if f.Kind == desired.FileEnv && f.Secret && (got.Content != nil || got.Type == hostdriver.PathAbsent) {
		x.secrets = secretChanges(f, had, x.keys, fingerprints)
	}
	switch {
	case t.terse:
	case hides && f.Kind == desired.FileEnv:
		r := redaction{fingerprints}
		x.diff = udiff.Unified(f.Path, f.Path, r.onHost(had, f, x.keys), r.wanted(f))
	case f.Secret, isClosed(got) && f.Mode&0o004 != 0:
	case !utf8.Valid(had) || !utf8.Valid(f.Content.Bytes()):
	default:
		x.diff = udiff.Unified(f.Path, f.Path, string(had), string(f.Content.Bytes()))
	}
	return x
}

// goneKeys are the variables that f no longer has.
func goneKeys(f *desired.File, had []byte) []string {
	before := envMap(had)
	for _, v := range f.Vars {
		delete(before, v.Key)
	}
	return sortedKeys(before)
}

// secretChanges are the secrets among the keys that differ. One that f does not have is
// taken for a secret, too.
func secretChanges(f *desired.File, had []byte, differing []string, fingerprints hostdriver.Content) []SecretChange {
	if fingerprints.Len() == 0 {
		return nil
	}
	before, after := envMap(had), map[string]desired.EnvVar{}
	for _, v := range f.Vars {
		after[v.Key] = v
	}
	var out []SecretChange
	for _, k := range differing {
		v, wanted := after[k]
		if wanted && !v.Secret {
			continue
		}
		c := SecretChange{Key: k}
		if was, ok := before[k]; ok {
			c.From = desired.Fingerprint(fingerprints, []byte(was))
		}
		if wanted {
			c.To = desired.Fingerprint(fingerprints, v.Value.Bytes())
		}
		out = append(out, c)
	}
	return out
}

// differingKeys lists the variables that one side has otherwise than the other.
func differingKeys(f *desired.File, had []byte) []string {
	before, after := envMap(had), wantedMap(f)
	var keys []string
	for k, v := range after {
		if b, ok := before[k]; !ok || b != v {
			keys = append(keys, k)
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}

func envMap(data []byte) map[string]string {
	m := map[string]string{}
	vars, _ := desired.ParseEnv(data)
	for _, v := range vars {
		m[v.Key] = v.Value
	}
	return m
}

func wantedMap(f *desired.File) map[string]string {
	m := map[string]string{}
	for _, v := range f.Vars {
		m[v.Key] = string(v.Value.Bytes())
	}
	return m
}

// redaction puts marks in place of secrets, with fingerprints where there is a key.
type redaction struct{ fingerprints hostdriver.Content }

func (r redaction) of(value []byte) string {
	if print := desired.Fingerprint(r.fingerprints, value); print != "" {
		return "[redacted " + print + "]"
	}
	return "[redacted]"
}

// wanted is f's variables, one a line, without secret values.
func (r redaction) wanted(f *desired.File) string {
	var b strings.Builder
	for _, v := range f.Vars {
		text := string(v.Value.Bytes())
		if v.Secret {
			text = r.of(v.Value.Bytes())
		}
		b.WriteString(v.Key + "=" + text + "\n")
	}
	return b.String()
}

// onHost is what the host has, in the order f has it, foreign keys last. A value is
// shown only where f has the same key with a value that is no secret.
func (r redaction) onHost(had []byte, f *desired.File, differing []string) string {
	before := envMap(had)
	differs := map[string]bool{}
	for _, k := range differing {
		differs[k] = true
	}
	var b strings.Builder
	for _, v := range f.Vars {
		was, ok := before[v.Key]
		delete(before, v.Key)
		switch {
		case !ok:
		case v.Secret && differs[v.Key] && r.fingerprints.Len() == 0:
			b.WriteString(v.Key + "=[redacted: another value]\n")
		case v.Secret:
			b.WriteString(v.Key + "=" + r.of([]byte(was)) + "\n")
		default:
			b.WriteString(v.Key + "=" + was + "\n")
		}
	}
	for _, k := range sortedKeys(before) {
		b.WriteString(k + "=" + r.of([]byte(before[k])) + "\n")
	}
	return b.String()
}

// variablesDiffer tells whether the env file on the host gives a process other
// variables than the one desired; true where its content did not come back.
func (d *differ) variablesDiffer(in input) bool {
	c := d.o.Paths[in.path].Content
	return c == nil || len(differingKeys(in.file, c.Bytes())) > 0
}
