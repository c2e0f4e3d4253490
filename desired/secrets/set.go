package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/keys"

	"github.com/evenkeel/evenkeel/desired"
)

type masterKey = keys.MasterKey

// Path is where a value stands in a file: keys, and indexes of lists.
type Path []any

// ParsePath reads a key as sops set takes it, ["database"]["users"][0], or one key as
// it is.
func ParsePath(text string) (Path, error) {
	if !strings.HasPrefix(text, "[") {
		if text == "" {
			return nil, errors.New("a key is needed")
		}
		return Path{text}, nil
	}
	var path Path
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var step []any
		err := dec.Decode(&step)
		if errors.Is(err, io.EOF) {
			return path, nil
		}
		if err != nil || len(step) != 1 {
			return nil, fmt.Errorf(`%q is no path, such as ["database"]["users"][0]`, text)
		}
		switch s := step[0].(type) {
		case string:
			path = append(path, s)
		case float64:
			if s != float64(int(s)) || s < 0 {
				return nil, fmt.Errorf("%q has an index that is none: they begin with 0", text)
			}
			path = append(path, int(s))
		default:
			return nil, fmt.Errorf(`%q is no path, such as ["database"]["users"][0]`, text)
		}
	}
}

// Set gives one key its value, and tells whether it had another. A key that is not
// there is added at the end. In an env file (dotenv) the value is quoted so that
// systemd gives a process just these bytes. A binary file has no keys: its path is empty.
func (d *Document) Set(path Path, value Secret) (changed bool, err error) {
	text := string(value.Reveal())
	switch format := desired.SOPSFormatOf(d.name); {
	case format == desired.SOPSBinary && len(path) > 0:
		return false, fmt.Errorf("%s has no keys: by its name it is one value", d.name)
	case format == desired.SOPSBinary:
		before, err := d.Plain()
		if err != nil {
			return false, err
		}
		return string(before) != text, d.SetPlain(value.Reveal())
	case len(path) == 0:
		return false, fmt.Errorf("%s has keys: say which one is meant", d.name)
	case format == desired.SOPSDotenv:
		if text, err = envText(path, text); err != nil {
			return false, err
		}
	case format == desired.SOPSINI && len(path) != 2:
		return false, fmt.Errorf(`a value of %s is in a section: say ["SECTION"]["KEY"]`, d.name)
	}
	if first, ok := path[0].(string); ok && (first == "sops" || strings.HasPrefix(first, "sops_")) {
		return false, fmt.Errorf("%s is where SOPS keeps its own data", first)
	}
	if len(d.tree.Branches) == 0 {
		d.tree.Branches = sops.TreeBranches{nil}
	}
	if err := reaches(d.tree.Branches[0], path); err != nil {
		return false, err
	}
	d.tree.Branches[0], changed = d.tree.Branches[0].Set(path, text)
	return changed, nil
}

// envText is a variable's value as it stands in an env file.
func envText(path Path, value string) (string, error) {
	key, ok := path[0].(string)
	if !ok || len(path) != 1 {
		return "", errors.New("an env file has variables, without anything below them")
	}
	if strings.ContainsAny(value, "\n\r") {
		return "", fmt.Errorf("%s has several lines, which an env file of SOPS cannot hold: keep it in a .yaml file", key)
	}
	line, err := desired.WriteEnv([]desired.EnvAssignment{{Key: key, Value: value}})
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(line), key+"="), "\n"), nil
}

// reaches tells what is in a path's way, for the library takes no care.
func reaches(branch sops.TreeBranch, path Path) error {
	var at any = branch
	for i, step := range path {
		switch in := at.(type) {
		case sops.TreeBranch:
			key, ok := step.(string)
			if !ok {
				return fmt.Errorf("%v is no key of a map", step)
			}
			n := slices.IndexFunc(in, func(item sops.TreeItem) bool { return item.Key == key })
			if n < 0 {
				return onlyKeys(path[i+1:])
			}
			at = in[n].Value
		case []any:
			index, ok := step.(int)
			if !ok || index > len(in) {
				return fmt.Errorf("%v is no index of a list of %d", step, len(in))
			}
			if index == len(in) {
				return onlyKeys(path[i+1:])
			}
			at = in[index]
		default:
			return fmt.Errorf("%v is a value, and has nothing below it", path[i-1])
		}
	}
	switch at.(type) {
	case sops.TreeBranch, []any:
		return fmt.Errorf("%v has more below it: say which one is meant", path[len(path)-1])
	}
	return nil
}

// onlyKeys: what is not there yet is made of maps.
func onlyKeys(rest Path) error {
	for _, step := range rest {
		if _, ok := step.(string); !ok {
			return fmt.Errorf("there is no list yet to which index %v could belong", step)
		}
	}
	return nil
}
