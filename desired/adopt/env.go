package adopt

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

func itoa(n int) string { return strconv.Itoa(n) }

// envParts are an env file with its secrets taken out.
type envParts struct {
	base    []byte   // with KEY= alone where a secret stood
	sealed  []byte   // the secrets, a line each, as they stood
	secrets []string // their keys, sorted
	plain   []string // the other keys, sorted
	whole   bool     // the secrets cannot be taken out: all of it is one
}

// splitEnv takes the secrets out of an env file, so that merging the two in place
// (EnvSpec.Merge) gives the same bytes.
func splitEnv(data []byte, s Secrets) envParts {
	vars, _ := desired.ParseEnv(data)
	var p envParts
	values := map[string]string{}
	for _, v := range vars {
		values[v.Key] = v.Value
		if s.Is(v.Key, v.Value) {
			p.secrets = append(p.secrets, v.Key)
		} else {
			p.plain = append(p.plain, v.Key)
		}
	}
	slices.Sort(p.secrets)
	slices.Sort(p.plain)
	var base, sealed bytes.Buffer
	taken := map[string]int{}
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSuffix(line, "\n")
		key, raw, ok := strings.Cut(text, "=")
		if !ok || !slices.Contains(p.secrets, key) {
			p.whole = p.whole || s.hidden(text)
			base.WriteString(line)
			continue
		}
		taken[key]++
		p.whole = p.whole || !desired.MeansInEnv(key, raw, values[key]) || strings.ContainsAny(raw, "\r") || strings.Contains(raw, `\n`) || strings.HasPrefix(key, "sops_")
		base.WriteString(key + "=" + line[len(text):])
		sealed.WriteString(text + "\n")
	}
	for _, key := range p.secrets {
		p.whole = p.whole || taken[key] != 1
	}
	if len(p.secrets) == 0 && !p.whole {
		p.base = data
		return p
	}
	p.base, p.sealed = base.Bytes(), sealed.Bytes()
	if p.whole {
		p.base, p.sealed, p.secrets, p.plain = nil, data, append(p.secrets, p.plain...), nil
		slices.Sort(p.secrets)
	}
	return p
}

// hidden tells whether a line that is no assignment of a secret holds one: a comment with
// an old value, a line that systemd does not read.
func (s Secrets) hidden(line string) bool {
	line = strings.TrimSpace(line)
	if secretValue.MatchString(line) {
		return true
	}
	bare := strings.TrimPrefix(strings.TrimLeft(line, "#; \t"), "export ")
	if bare == line {
		return false
	}
	key, value, ok := strings.Cut(bare, "=")
	return ok && desired.CheckEnvKey(strings.TrimSpace(key)) == "" && s.Is(strings.TrimSpace(key), strings.Trim(value, `"' `))
}

// maxVars is how many lines may differ between hosts for an env file to become a template.
const maxVars = 20

// templateEnv makes one template of the texts of several hosts that differ in the values
// of some lines, with the vars of each host. ok is false where they differ otherwise.
func templateEnv(texts map[string][]byte, prefix string) (tmpl []byte, vars map[string]map[string]string, ok bool) {
	hosts := sorted(texts)
	lines := map[string][]string{}
	for _, h := range hosts {
		if bytes.Contains(texts[h], []byte("{{")) {
			return nil, nil, false
		}
		lines[h] = strings.SplitAfter(string(texts[h]), "\n")
		if len(lines[h]) != len(lines[hosts[0]]) {
			return nil, nil, false
		}
	}
	vars = map[string]map[string]string{}
	for _, h := range hosts {
		vars[h] = map[string]string{}
	}
	var b bytes.Buffer
	for i, first := range lines[hosts[0]] {
		same := true
		for _, h := range hosts[1:] {
			same = same && lines[h][i] == first
		}
		if same {
			b.WriteString(first)
			continue
		}
		key, _, _ := strings.Cut(first, "=")
		name := prefix + "_" + key
		for _, h := range hosts {
			text := strings.TrimSuffix(lines[h][i], "\n")
			k, raw, has := strings.Cut(text, "=")
			parsed, issues := desired.ParseEnv([]byte(text + "\n"))
			_, twice := vars[h][name]
			if !has || k != key || desired.CheckEnvKey(key) != "" || len(parsed) != 1 || len(issues) > 0 || twice || strings.ContainsAny(raw, "\r\t") || lines[h][i] == text != (first == strings.TrimSuffix(first, "\n")) {
				return nil, nil, false
			}
			vars[h][name] = raw
		}
		b.WriteString(key + "={{ .Vars." + name + " }}")
		if strings.HasSuffix(first, "\n") {
			b.WriteByte('\n')
		}
	}
	if n := len(vars[hosts[0]]); n == 0 || n > maxVars {
		return nil, nil, false
	}
	return b.Bytes(), vars, true
}
