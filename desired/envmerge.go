package desired

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// mergeInPlace is EnvSpec.Merge's word for: the text of the first source stays as it is,
// comments, order and quotes among it, and where a line of it is KEY= alone, the value
// that a later source has for KEY is put there.
const mergeInPlace = "in-place"

// mergeEnv puts the values of later sources into the text of the first one. What the
// first has no place for is written behind it. merged is what must come of it; where the
// text would mean anything else, that is the error, which holds no value.
func mergeEnv(pieces []piece, merged []EnvAssignment) ([]byte, error) {
	values := map[string]string{} // as they stand behind the equals sign
	var order []string
	for _, p := range pieces[1:] {
		vars, _ := p.vars()
		raw := rawValues(p.data)
		for _, v := range vars {
			text, ok := raw[v.Key]
			if !ok || !means(v.Key, text, v.Value) {
				line, err := WriteEnv([]EnvAssignment{{Key: v.Key, Value: v.Value}})
				if err != nil {
					return nil, err
				}
				text = strings.TrimSuffix(strings.TrimPrefix(string(line), v.Key+"="), "\n")
			}
			if _, again := values[v.Key]; !again {
				order = append(order, v.Key)
			}
			values[v.Key] = text
		}
	}
	var b strings.Builder
	placed := map[string]bool{}
	for line := range strings.Lines(string(pieces[0].data)) {
		key, ok := strings.CutSuffix(strings.TrimSuffix(line, "\n"), "=")
		if value, has := values[key]; ok && has {
			line = strings.Replace(line, "=", "="+value, 1)
			placed[key] = true
		}
		b.WriteString(line)
	}
	first, _ := pieces[0].vars()
	for _, key := range order {
		if placed[key] {
			continue
		}
		if slices.ContainsFunc(first, func(v EnvAssignment) bool { return v.Key == key }) {
			return nil, fmt.Errorf("%s cannot be merged in place", key)
		}
		if text := b.String(); text != "" && !strings.HasSuffix(text, "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(key + "=" + values[key] + "\n")
	}
	return []byte(b.String()), checkMerged(b.String(), merged)
}

// checkMerged tells where the text does not mean what the sources say.
func checkMerged(text string, merged []EnvAssignment) error {
	got, _ := ParseEnv([]byte(text))
	has := make(map[string]string, len(got))
	for _, v := range got {
		has[v.Key] = v.Value
	}
	for _, v := range merged {
		if value, ok := has[v.Key]; !ok || value != v.Value {
			return fmt.Errorf("%s cannot be merged in place", v.Key)
		}
	}
	if len(has) != len(merged) {
		return errors.New("the sources cannot be merged in place")
	}
	return nil
}

// rawValues are what stands behind the equals signs of an env file, as far as each
// assignment is a line.
func rawValues(data []byte) map[string]string {
	raw := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && checkEnvKey(key) == "" {
			raw[key] = value
		}
	}
	return raw
}

// means tells whether systemd reads the text behind an equals sign as just this value.
func means(key, text, value string) bool {
	got, issues := ParseEnv([]byte(key + "=" + text + "\n"))
	return len(got) == 1 && got[0].Key == key && got[0].Value == value && len(issues) == 0
}
