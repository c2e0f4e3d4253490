package api

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrNoToken answers who wants to revoke a token that is not in the file.
var ErrNoToken = errors.New("there is no such token")

// ReadTokens reads a tokens file; one that is not there holds none.
func ReadTokens(file string) ([]Token, error) {
	text, err := readTokens(file)
	if err != nil {
		return nil, err
	}
	return parseTokens(file, text)
}

func readTokens(file string) ([]byte, error) {
	text, err := readGuarded(file, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// AddToken appends an entry to a tokens file, which is made where it is not there.
// What else stands in the file, comments included, stays.
func AddToken(file string, t Token) error {
	return edit(file, func(text []byte) ([]byte, error) {
		old, err := parseTokens(file, text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(old, func(o Token) bool { return o.Name == t.Name }) {
			return nil, fmt.Errorf("there is a token named %s already", t.Name)
		}
		if len(old) == 0 && strings.Trim(withoutComments(string(text)), " \t\n") == "[]" {
			text = nil
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		text = append(text, t.YAML()...)
		if now, err := parseTokens(file, text); err != nil || len(now) != len(old)+1 {
			return nil, fmt.Errorf("%s is a list of another form than - name: …: add the entry by hand:\n%s", file, t.YAML())
		}
		return text, nil
	})
}

// YAML is the entry as it stands in the file.
func (t Token) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "- name: %s\n  hash: %s\n  scopes: [%s]\n", yamlWord(t.Name), yamlWord(t.Hash), scopeList(t.Scopes))
	if t.Expires != "" {
		fmt.Fprintf(&b, "  expires: %s\n", yamlWord(t.Expires))
	}
	return b.String()
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		b.WriteString(line + "\n")
	}
	return b.String()
}

// yamlWord quotes what YAML might take for something else than a text.
func yamlWord(s string) string { return `"` + s + `"` }

func scopeList(scopes []Scope) string {
	var words []string
	for _, s := range scopes {
		words = append(words, string(s))
	}
	return strings.Join(words, ", ")
}

// RemoveToken takes the entry of a name out of a tokens file.
func RemoveToken(file, name string) error {
	return edit(file, func(text []byte) ([]byte, error) {
		tokens, err := parseTokens(file, text)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(tokens, func(t Token) bool { return t.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w in %s: %s", ErrNoToken, file, name)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			return nil, err
		}
		list := doc.Content[0]
		list.Content = slices.Delete(list.Content, i, i+1)
		return yaml.Marshal(&doc)
	})
}

// edit replaces a file by what change makes of it, at once and with the owner and mode
// that it has; a new one gets the group of its folder, for the controller to read.
func edit(file string, change func([]byte) ([]byte, error)) error {
	text, err := readTokens(file)
	if err != nil {
		return err
	}
	if text, err = change(text); err != nil {
		return err
	}
	like, mode := file, fs.FileMode(0o640)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	} else {
		like = filepath.Dir(file)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tokens-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	err = errors.Join(err, ownedLike(tmp, like), tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
