package desired

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// SOPSFormat is how a SOPS file is laid out, which SOPS tells by its name.
type SOPSFormat string

// The formats.
const (
	SOPSDotenv SOPSFormat = "dotenv"
	SOPSYAML   SOPSFormat = "yaml"
	SOPSJSON   SOPSFormat = "json"
	SOPSINI    SOPSFormat = "ini"
	SOPSBinary SOPSFormat = "binary"
)

// SOPSFormatOf tells the format by the ending of a file's name, as sops does.
func SOPSFormatOf(name string) SOPSFormat {
	switch path.Ext(name) {
	case ".env":
		return SOPSDotenv
	case ".yaml", ".yml":
		return SOPSYAML
	case ".json":
		return SOPSJSON
	case ".ini":
		return SOPSINI
	}
	return SOPSBinary
}

var (
	sopsDotenvMark = regexp.MustCompile(`(?m)^sops_mac=`)
	sopsINIMark    = regexp.MustCompile(`(?m)^\[sops\]\s*$`)
	sopsYAMLMark   = regexp.MustCompile(`(?m)^sops:\s*$`)
)

// IsSOPS tells whether a file is encrypted with SOPS, by the metadata that SOPS
// leaves in it.
func IsSOPS(name string, data []byte) bool {
	switch SOPSFormatOf(name) {
	case SOPSDotenv:
		return sopsDotenvMark.Match(data)
	case SOPSINI:
		return sopsINIMark.Match(data)
	case SOPSYAML:
		return sopsYAMLMark.Match(data) && bytes.Contains(data, []byte("mac: ENC["))
	}
	if !bytes.Contains(data, []byte(`"sops"`)) {
		return false
	}
	var doc struct {
		SOPS struct {
			MAC string `json:"mac"`
		} `json:"sops"`
	}
	return json.Unmarshal(data, &doc) == nil && strings.HasPrefix(doc.SOPS.MAC, "ENC[")
}

// secretVars reads the variables of a decrypted SOPS file, in order. A dotenv file, and a
// binary one, means what systemd makes of its text; a YAML or JSON file is a flat map whose
// values are taken byte for byte. Errors never hold a value.
func secretVars(name string, plain []byte) ([]EnvAssignment, []EnvIssue, error) {
	switch SOPSFormatOf(name) {
	case SOPSDotenv, SOPSBinary: // a binary file is the env file itself
		vars, issues := ParseEnv(plain)
		return vars, issues, nil
	case SOPSYAML:
		vars, err := flatYAML(plain)
		return vars, nil, err
	case SOPSJSON:
		vars, err := flatJSON(plain)
		return vars, nil, err
	}
	return nil, nil, errors.New("a SOPS file for env does not end in .ini: that has sections")
}

func flatYAML(plain []byte) ([]EnvAssignment, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(plain, &doc); err != nil {
		return nil, errors.New("what it decrypts to is not YAML")
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("what it decrypts to is not a map")
	}
	var out []EnvAssignment
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		if v.Kind != yaml.ScalarNode || v.ShortTag() == "!!null" {
			return nil, notFlat(k.Value)
		}
		out = append(out, EnvAssignment{Key: k.Value, Value: v.Value, Line: v.Line})
	}
	return out, checkFlatKeys(out)
}

func flatJSON(plain []byte) ([]EnvAssignment, error) {
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("what it decrypts to is not a JSON map")
	}
	var out []EnvAssignment
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, errors.New("what it decrypts to is not JSON")
		}
		v, err := dec.Token()
		if err != nil {
			return nil, errors.New("what it decrypts to is not JSON")
		}
		a := EnvAssignment{Key: k.(string)}
		switch v := v.(type) {
		case string:
			a.Value = v
		case json.Number:
			a.Value = v.String()
		case bool:
			a.Value = fmt.Sprint(v)
		default:
			return nil, notFlat(a.Key)
		}
		out = append(out, a)
	}
	if _, err := dec.Token(); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New("what it decrypts to is not JSON")
	}
	return out, checkFlatKeys(out)
}

func notFlat(key string) error {
	if checkEnvKey(key) != "" {
		key = "a key"
	}
	return errors.New(key + " is not text, a number or a truth value: only a flat map becomes an env file")
}

func checkFlatKeys(vars []EnvAssignment) error {
	seen := map[string]bool{}
	for _, v := range vars {
		if checkEnvKey(v.Key) != "" {
			return fmt.Errorf("line %d: a key is not a variable's name", v.Line)
		}
		if seen[v.Key] {
			return errors.New(v.Key + " is there twice")
		}
		seen[v.Key] = true
	}
	return nil
}
