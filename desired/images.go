package desired

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Images of containers that a unit's start runs are pulled before a host is disturbed. What
// they are is read from where it is said already: a Quadlet's Image=, the command line of
// `docker run` (and of create and pull), the compose file that the service manages. What
// only the host can tell (a variable that is set elsewhere, an image that it loads or builds
// itself, another machine's Docker, the storage of a user) is left to the start, and so is
// what is never to be pulled.

// containers tells whether the unit's start may run any.
func (u *Unit) containers() bool {
	if u.Quadlet() {
		return true
	}
	for _, d := range u.Text.Directives {
		if (d.Key == "ExecStart" || d.Key == "ExecStartPre") && (strings.Contains(d.Value, "docker") || strings.Contains(d.Value, "podman")) {
			return true
		}
	}
	return false
}

// images are those of all units, each once.
func images(units []Unit, files []made) []hostdriver.Image {
	var out []hostdriver.Image
	var byPath map[string]*made
	for i := range units {
		u := &units[i]
		if u.State != "started" || !u.containers() {
			continue
		}
		if byPath == nil {
			byPath = make(map[string]*made, len(files))
			for i := range files {
				byPath[files[i].Path] = &files[i]
			}
		}
		for _, img := range u.images(byPath) {
			if !slices.Contains(out, img) {
				out = append(out, img)
			}
		}
	}
	return out
}

// ownImage is a command by which the host makes an image itself, which no registry has.
var ownImage = regexp.MustCompile(`\b(docker|podman)\s+(image\s+)?(load|import|build|tag)\b`)

func (u *Unit) images(byPath map[string]*made) []hostdriver.Image {
	text := u.Text
	var out []hostdriver.Image
	add := func(tool, name string) {
		img := hostdriver.Image{Tool: tool, Name: name}
		if img.Check() == nil {
			out = append(out, img)
		}
	}
	if u.Quadlet() {
		if text.Last("Container", "Pull") == "never" {
			return nil
		}
		for _, section := range []string{"Container", "Image"} {
			name, known := expandSpecifiers(text.Last(section, "Image"), u.Name)
			if known && !strings.HasSuffix(name, ".image") && !strings.HasSuffix(name, ".build") {
				add("podman", name)
			}
		}
		return out
	}
	for _, value := range text.Values("Service", "ExecStartPre") {
		if ownImage.MatchString(value) {
			return nil
		}
	}
	user := text.Last("Service", "User")
	vars := u.knownVars(byPath)
	for _, key := range []string{"ExecStartPre", "ExecStart"} {
		for _, value := range text.Values("Service", key) {
			line, ok := containerLine(value, u.Name, vars)
			switch {
			case !ok, line.tool == "podman" && user != "" && user != "root" && user != "0":
			case line.compose:
				for _, name := range line.composed(text.Last("Service", "WorkingDirectory"), byPath) {
					add(line.tool, name)
				}
			default:
				add(line.tool, line.image())
			}
		}
	}
	return out
}

// knownVars are what ${NAME} stands for in the unit's command lines, as far as that is known
// here and no secret.
func (u *Unit) knownVars(byPath map[string]*made) map[string]string {
	vars := map[string]string{}
	take := func(v EnvVar) {
		if v.Secret {
			delete(vars, v.Key)
			return
		}
		vars[v.Key] = string(v.Value.Bytes())
	}
	for _, v := range u.Environment {
		take(v)
	}
	for _, p := range u.EnvFiles {
		if f := byPath[p]; f != nil {
			for _, v := range f.Vars {
				take(v)
			}
		}
	}
	return vars
}

// containerCommand is a command line that runs containers.
type containerCommand struct {
	tool    string // docker or podman
	compose bool
	files   []string // of compose: those that -f names
	project string   // of compose: its --project-directory
	args    []string // what comes after the verb
}

// Flags before the verb by which the containers are somewhere else.
var elsewhere = []string{"-H", "--host", "-c", "--context", "--connection", "--url", "-r", "--remote", "--root", "--config", "--storage-opt"}

// containerLine reads an Exec line; false where it runs no container, or not here.
func containerLine(value, unit string, vars map[string]string) (containerCommand, bool) {
	line, known := expandSpecifiers(strings.TrimLeft(value, "@-:+!|"), unit)
	raw, err := unitWords(line)
	if err != nil || !known || len(raw) == 0 || strings.ContainsAny(value[:len(value)-len(strings.TrimLeft(value, "@-:+!|"))], "@") {
		return containerCommand{}, false
	}
	words, ok := expandWords(raw, vars)
	if !ok {
		return containerCommand{}, false
	}
	var c containerCommand
	switch path.Base(words[0]) {
	case "docker", "podman":
		c.tool = path.Base(words[0])
	case "docker-compose":
		c.tool, c.compose = "docker", true
	case "podman-compose":
		c.tool, c.compose = "podman", true
	default:
		return c, false
	}
	rest := words[1:]
	for len(rest) > 0 {
		word := rest[0]
		name, inline, hasValue := strings.Cut(word, "=")
		switch {
		case slices.Contains(elsewhere, name):
			return c, false
		case strings.HasPrefix(word, "-") && !hasValue && len(rest) > 1 && slices.Contains(globalWithValue, name):
			inline, hasValue, rest = rest[1], true, rest[1:]
		}
		if hasValue {
			switch name {
			case "-f", "--file":
				c.files = append(c.files, inline)
			case "--project-directory", "--workdir":
				c.project = inline
			}
		}
		rest = rest[1:]
		switch {
		case strings.HasPrefix(word, "-"), word == "container", word == "image":
		case word == "compose":
			c.compose = true
		case c.compose && slices.Contains([]string{"up", "create", "start", "run", "pull"}, word), !c.compose && slices.Contains([]string{"run", "create", "pull"}, word):
			c.args = rest
			return c, true
		default:
			return c, false
		}
	}
	return c, false
}

// globalWithValue are flags before the verb that take a value.
var globalWithValue = []string{"-f", "--file", "-p", "--project-name", "--project-directory", "--workdir", "--profile", "--env-file", "--ansi", "--parallel", "--progress",
	"-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey", "--cgroup-manager", "--events-backend", "--conmon", "--runtime", "--network-cmd-path", "--podman-run-args", "--podman-args"}

// expandWords replaces variables as systemd does: ${NAME} within a word, and $NAME alone by
// the words of its value. False where one is not known.
func expandWords(words []string, vars map[string]string) ([]string, bool) {
	var out []string
	for _, w := range words {
		if name, lone := strings.CutPrefix(w, "$"); lone && checkEnvKey(name) == "" {
			value, ok := vars[name]
			if !ok {
				return nil, false
			}
			out = append(out, strings.Fields(value)...)
			continue
		}
		// What stays unknown keeps its $, by which Image.Check refuses it.
		for name, value := range vars {
			w = strings.ReplaceAll(w, "${"+name+"}", value)
		}
		out = append(out, w)
	}
	return out, len(out) > 0
}

// Flags of run and create that have no value.
var (
	flagsWithout = []string{"--detach", "--disable-content-trust", "--env-host", "--help", "--http-proxy", "--init", "--interactive", "--no-healthcheck", "--no-hostname",
		"--no-hosts", "--oom-kill-disable", "--passwd", "--privileged", "--publish-all", "--quiet", "--read-only", "--read-only-tmpfs", "--replace", "--rm", "--rmi",
		"--sig-proxy", "--tls-verify", "--tty", "--unsetenv-all", "--use-api-socket", "--all-tags"}
)

// image is the first argument that is neither a flag nor a flag's value.
func (c containerCommand) image() string {
	for i := 0; i < len(c.args); i++ {
		w := c.args[i]
		switch {
		case w == "--pull=never", w == "--pull" && i+1 < len(c.args) && c.args[i+1] == "never":
			return ""
		case w == "--":
			if i+1 < len(c.args) {
				return c.args[i+1]
			}
			return ""
		case strings.HasPrefix(w, "--"):
			if w == "--rootfs" {
				return "" // a directory, no image
			}
			if !strings.Contains(w, "=") && !slices.Contains(flagsWithout, w) {
				i++
			}
		case strings.HasPrefix(w, "-") && len(w) > 1:
			letters := strings.TrimLeft(w[1:], "ditqP")
			if len(letters) == 1 { // the last one takes the next word
				i++
			}
		default:
			return w
		}
	}
	return ""
}

// composed are the images that the managed files of a compose command name.
func (c containerCommand) composed(workdir string, byPath map[string]*made) []string {
	dir := strings.TrimPrefix(workdir, "-")
	if c.project != "" {
		dir = c.project
	}
	names := c.files
	if len(names) == 0 {
		for _, n := range []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"} {
			if byPath[path.Join(dir, n)] != nil {
				ext := path.Ext(n)
				names = []string{n, strings.TrimSuffix(n, ext) + ".override" + ext}
				break
			}
		}
	}
	images := map[string]string{} // by service; a later file wins
	var order []string
	for _, n := range names {
		if !path.IsAbs(n) {
			n = path.Join(strings.TrimPrefix(workdir, "-"), n)
		}
		f := byPath[path.Clean(n)]
		if f == nil || f.Secret {
			continue
		}
		for _, s := range composeServices(f.Content.Bytes()) {
			if _, again := images[s[0]]; !again {
				order = append(order, s[0])
			}
			images[s[0]] = s[1]
		}
	}
	var out []string
	for _, s := range order {
		out = append(out, images[s])
	}
	return out
}

// composeServices are the services of a compose file that run an image as it is, each with
// it, in order. A file that is none has none.
func composeServices(text []byte) [][2]string {
	if len(text) > 1<<20 {
		return nil
	}
	var doc struct {
		Services yaml.Node `yaml:"services"`
	}
	if yaml.Unmarshal(text, &doc) != nil || doc.Services.Kind != yaml.MappingNode {
		return nil
	}
	var out [][2]string
	for i := 0; i+1 < len(doc.Services.Content); i += 2 {
		var service struct {
			Image string    `yaml:"image"`
			Build yaml.Node `yaml:"build"`
		}
		if doc.Services.Content[i+1].Decode(&service) == nil && service.Image != "" && service.Build.IsZero() {
			out = append(out, [2]string{doc.Services.Content[i].Value, service.Image})
		}
	}
	return out
}
