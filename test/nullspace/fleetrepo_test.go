package nullspace

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"github.com/goccy/go-yaml"
)

// fleetRepo is examples/nullspace read the plain way, so that these tests judge
// the example and not the code that reads fleet repos for a living.
type fleetRepo struct {
	Vars   map[string]any
	Groups map[string]group
	Hosts  []host
}

type group struct {
	Labels map[string]string `yaml:"labels"`
	Vars   map[string]any    `yaml:"vars"`
}

type host struct {
	Name    string            `yaml:"name"`
	Address string            `yaml:"address"`
	Labels  map[string]string `yaml:"labels"`
	Groups  []string          `yaml:"groups"`
	Vars    map[string]any    `yaml:"vars"`
}

// serviceFile is what these tests need of a service.yaml.
type serviceFile struct {
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		After []string `yaml:"after"`
		Units []struct {
			Source string `yaml:"source"`
		} `yaml:"units"`
		Env []struct {
			Path   string `yaml:"path"`
			Source any    `yaml:"source"`
			Owner  string `yaml:"owner"`
			Group  string `yaml:"group"`
			Mode   string `yaml:"mode"`
		} `yaml:"env"`
		Files []struct {
			Path   string `yaml:"path"`
			Source string `yaml:"source"`
		} `yaml:"files"`
		Credentials []struct {
			Name   string `yaml:"name"`
			Source string `yaml:"source"`
		} `yaml:"credentials"`
		Artifacts []struct {
			Name   string `yaml:"name"`
			Source string `yaml:"source"`
			Path   string `yaml:"path"`
		} `yaml:"artifacts"`
	} `yaml:"spec"`
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repo, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readRepo(t *testing.T) fleetRepo {
	t.Helper()
	var fleet struct {
		Spec struct {
			Vars map[string]any `yaml:"vars"`
		} `yaml:"spec"`
	}
	decode(t, "fleet.yaml", &fleet)
	var inventory struct {
		Spec struct {
			Groups map[string]group `yaml:"groups"`
			Hosts  []host           `yaml:"hosts"`
		} `yaml:"spec"`
	}
	decode(t, "inventory/production.yaml", &inventory)
	return fleetRepo{Vars: fleet.Spec.Vars, Groups: inventory.Spec.Groups, Hosts: inventory.Spec.Hosts}
}

// services are the service.yaml files by the name of their folder.
func services(t *testing.T) map[string]serviceFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repo, "services/*/service.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]serviceFile{}
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		var one serviceFile
		decode(t, "services/"+name+"/service.yaml", &one)
		all[name] = one
	}
	return all
}

func (r fleetRepo) host(t *testing.T, name string) host {
	t.Helper()
	for _, h := range r.Hosts {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("there is no host %s", name)
	return host{}
}

// vars lays the layers: fleet, the group all, the host's groups, the host.
func (r fleetRepo) vars(h host) map[string]any {
	all := map[string]any{}
	layers := []map[string]any{r.Vars, r.Groups["all"].Vars}
	for _, name := range h.Groups {
		layers = append(layers, r.Groups[name].Vars)
	}
	for _, layer := range append(layers, h.Vars) {
		for key, value := range layer {
			all[key] = value
		}
	}
	return all
}

// render renders text for a host; a key that is missing is an error.
func (r fleetRepo) render(t *testing.T, name, text string, h host) string {
	t.Helper()
	parsed, err := template.New(name).Funcs(sprig.TxtFuncMap()).Option("missingkey=error").Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, map[string]any{"Host": h, "Vars": r.vars(h)}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// env returns the variables that a service's env file gives it on a host.
func (r fleetRepo) env(t *testing.T, service, hostName string) map[string]string {
	t.Helper()
	h, values := r.host(t, hostName), map[string]string{}
	for _, file := range services(t)[service].Spec.Env {
		for _, source := range list(file.Source) {
			path := filepath.Join(repo, "services", service, source)
			if strings.HasSuffix(source, ".secrets.env") {
				for key, value := range unseal(t, path) {
					values[key] = value
				}
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(r.render(t, source, string(text), h)) {
				key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
				if !ok {
					t.Errorf("%s on %s: the line %q sets nothing", source, hostName, line)
				}
				values[key] = value
			}
		}
	}
	return values
}

// list reads one string or a list of them.
func list(value any) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		var all []string
		for _, one := range value {
			all = append(all, one.(string))
		}
		return all
	}
	return nil
}
