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
	secret                bool
}

type diffText struct {
	diff string
	keys []string
}

func newDiffTexts(terse bool) *diffTexts {
	return &diffTexts{made: map[diffOf]map[string]diffText{}, terse: terse}
}

// diff is fileDiff's. The keys are shared: they must not be changed.
func (t *diffTexts) diff(f *desired.File, onHost *hostdriver.Content) (string, []string) {
	of := diffOf{path: f.Path, digest: f.SHA256, kind: f.Kind, secret: f.Secret}
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
	if onHost != nil {
		had = onHost.Bytes()
	}
	if x, ok := t.made[of][string(had)]; ok {
		return x.diff, x.keys
	}
	if t.made[of] == nil {
		t.made[of] = map[string]diffText{}
	}
	diff, keys := t.fileDiff(f, onHost)
	t.made[of][string(had)] = diffText{diff: diff, keys: keys}
	return diff, keys
}

// fileDiff is the unified diff from what is on the host (nil: nothing that could
// be read back) to f, and the keys of an env file that differ. No value that came
// out of a SOPS file stands in it, nor any value of such a file that is on the
// host: there, only keys are named.
func (t *diffTexts) fileDiff(f *desired.File, onHost *hostdriver.Content) (diff string, keys []string) {
	var had []byte
	if onHost != nil {
		had = onHost.Bytes()
	}
	if f.Kind == desired.FileEnv {
		keys = differingKeys(f, had)
	}
	switch {
	case t.terse:
		return "", keys
	case f.Secret && f.Kind == desired.FileEnv:
		return udiff.Unified(f.Path, f.Path, redactedEnv(had, f, keys), redactedWanted(f)), keys
	case f.Secret:
		return "", nil
	case !utf8.Valid(had) || !utf8.Valid(f.Content.Bytes()):
		return "", nil
	}
	return udiff.Unified(f.Path, f.Path, string(had), string(f.Content.Bytes())), keys
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

// redactedWanted is f's variables, one a line, without secret values.
func redactedWanted(f *desired.File) string {
	var b strings.Builder
	for _, v := range f.Vars {
		b.WriteString(v.Key + "=")
		if v.Secret {
			b.WriteString("[redacted]\n")
		} else {
			b.WriteString(string(v.Value.Bytes()) + "\n")
		}
	}
	return b.String()
}

// redactedEnv is what the host has, in the order f has it, foreign keys last. A
// value is shown only where f has the same key with a value that is no secret.
func redactedEnv(had []byte, f *desired.File, differing []string) string {
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
		case v.Secret && differs[v.Key]:
			b.WriteString(v.Key + "=[redacted: another value]\n")
		case v.Secret:
			b.WriteString(v.Key + "=[redacted]\n")
		default:
			b.WriteString(v.Key + "=" + was + "\n")
		}
	}
	for _, k := range sortedKeys(before) {
		b.WriteString(k + "=[redacted]\n")
	}
	return b.String()
}

// variablesDiffer tells whether the env file on the host gives a process other
// variables than the one desired; true where its content did not come back.
func (d *differ) variablesDiffer(in input) bool {
	c := d.o.Paths[in.path].Content
	return c == nil || len(differingKeys(in.file, c.Bytes())) > 0
}
