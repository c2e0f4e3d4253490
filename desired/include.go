package desired

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

const (
	maxFolders = 10_000 // of one included folder
	maxNesting = 12
)

// includes reads the folders services and inventory beside fleet.yaml, where there
// are such, and what the Fleet includes.
func (l *loader) includes() {
	for _, name := range []string{"services", "inventory"} {
		p := path.Join(l.dir, name)
		if _, exists, _ := l.tree.list(p); exists {
			l.folder(p, Position{})
		}
	}
	for i, name := range l.fleet.Spec.Include {
		at := l.fleet.At(fmt.Sprintf("include[%d]", i))
		p := path.Join(l.dir, name)
		if strings.HasPrefix(name, "/") || !fs.ValidPath(p) || hasControl(name) {
			l.fault(at, "escape", "include "+fault.Quote(name)+" is not inside the repo", "write a path from the folder of fleet.yaml, at most up to the repo's root")
			continue
		}
		l.include(p, at)
	}
}

func (l *loader) include(p string, at Position) {
	if p == "." {
		l.folder(p, at)
		return
	}
	e, err := l.tree.entry(p)
	switch {
	case err != nil:
		l.faults = append(l.faults, *sourceFault(err, at))
	case e.IsDir():
		l.folder(p, at)
	default:
		l.file(p, e, at, true)
	}
}

// folder reads an included folder. Where services lie below it (a service.yaml in
// some folder), only those are read, and evenkeel's own documents beside them; else
// its files are inventories of any form.
func (l *loader) folder(dir string, at Position) {
	w := &serviceWalk{l: l}
	w.walk(dir, 0)
	if w.folders > maxFolders {
		l.fault(at, "too-large", fmt.Sprintf("%s has more than %d folders", dir, maxFolders), "include a smaller folder")
		return
	}
	for _, file := range w.found {
		l.serviceFile(file)
	}
	entries, _, err := l.tree.list(dir)
	if err != nil {
		l.faults = append(l.faults, *sourceFault(err, at))
		return
	}
	inventories := len(w.found) == 0 && path.Base(dir) != "services"
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		if e.IsDir() || e.Name() == "service.yaml" {
			continue
		}
		l.file(p, e, at, inventories)
	}
	if inventories {
		l.varsFolders(dir)
	}
}

// serviceWalk finds every service.yaml below a folder.
type serviceWalk struct {
	l       *loader
	folders int
	found   []string
}

func (w *serviceWalk) walk(dir string, depth int) {
	w.folders++
	if depth > maxNesting || w.folders > maxFolders {
		return
	}
	entries, _, err := w.l.tree.list(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			w.walk(p, depth+1)
		case e.Name() == "service.yaml":
			w.found = append(w.found, p)
		}
	}
}

// serviceFile reads a service.yaml. Whatever is wrong with it is the service's own
// fault.
func (l *loader) serviceFile(file string) {
	if l.read[file] {
		return
	}
	data, err := l.tree.read(file, strictyaml.MaxBytes)
	if err != nil {
		l.read[file] = true
		l.quarantine(folderName(file), *sourceFault(err, Position{File: file}))
		return
	}
	l.take(file, data)
	docs, faults := strictyaml.Parse(file, data)
	for _, f := range faults {
		l.quarantine(folderName(file), f)
	}
	if len(docs) == 0 && len(faults) == 0 {
		l.quarantine(folderName(file), Fault{Pos: Position{File: file}, Rule: "missing-key", Message: "the file is empty", Mend: "write a document of kind Service, or delete it"})
	}
	for _, d := range docs {
		if h := d.Header(); h.Kind != "Service" && h.Kind != "" && containsString(kinds, h.Kind) {
			l.quarantine(folderName(file), Fault{Pos: d.Pos(), Rule: "wrong-value", Message: "a service.yaml holds documents of kind Service, not " + h.Kind,
				Mend: "move it to fleet.yaml or into the inventory"})
			continue
		}
		l.document(d, false)
	}
}

// file reads one file of an included folder, if it is of a kind that is read.
func (l *loader) file(p string, e fs.DirEntry, at Position, inventories bool) {
	name := path.Base(p)
	ext := path.Ext(name)
	if l.read[p] || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
		return
	}
	isYAML := ext == ".yaml" || ext == ".yml" || ext == ".json"
	isOther := inventories && (ext == ".ini" || (ext == "" && !containsString([]string{"README", "LICENSE", "Makefile"}, name)))
	runs := inventories && !isYAML && ext != ".ini" && executable(e)
	switch {
	case runs:
		l.runInventory(p)
		return
	case !isYAML && !isOther:
		return
	}
	data, err := l.tree.read(p, strictyaml.MaxBytes)
	if err != nil {
		l.faults = append(l.faults, *sourceFault(err, Position{File: p}))
		return
	}
	if isYAML || looksLikeYAML(data) {
		l.yamlFile(p, data, inventories)
		return
	}
	l.take(p, data)
	l.inv.AddINI(p, data)
}

func executable(e fs.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// looksLikeYAML tells a file without an ending that is an Ansible YAML inventory.
func looksLikeYAML(data []byte) bool {
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		return line == "---" || line == "all:"
	}
	return false
}

func (l *loader) yamlFile(p string, data []byte, inventories bool) {
	docs, faults := strictyaml.Parse(p, data)
	ours := false
	for _, d := range docs {
		ours = ours || d.IsEvenkeel()
	}
	if !ours && !inventories {
		return // somebody else's file beside services
	}
	l.take(p, data)
	l.faults = append(l.faults, faults...)
	for _, d := range docs {
		if ours {
			l.document(d, false)
		} else {
			l.inv.AddAnsibleYAML(d)
		}
	}
}

func (l *loader) runInventory(p string) {
	if l.opt.InventoryRunner == nil {
		l.fault(Position{File: p}, "executable-inventory", "the inventory is executable, and executables are not run here",
			"let a job write its output into the repo, or make the file plain with chmod -x")
		return
	}
	out, err := l.opt.InventoryRunner(l.ctx, p)
	if err != nil {
		l.fault(Position{File: p}, "executable-inventory", err.Error(), "")
		return
	}
	l.take(p, out)
	l.inv.AddDynamic(p, out)
}

// varsFolders reads group_vars/ and host_vars/ beside inventories: files NAME.yml
// and NAME.yaml, and folders NAME of such.
func (l *loader) varsFolders(dir string) {
	for kind, add := range map[string]func(name, file string, data []byte){
		"group_vars": l.inv.AddGroupVars, "host_vars": l.inv.AddHostVars,
	} {
		folder := path.Join(dir, kind)
		entries, exists, err := l.tree.list(folder)
		if !exists {
			continue
		}
		if err != nil {
			l.faults = append(l.faults, *sourceFault(err, Position{File: folder}))
			continue
		}
		for _, e := range entries {
			p := path.Join(folder, e.Name())
			if !e.IsDir() {
				l.varsFile(yamlStem(e.Name()), p, add)
				continue
			}
			files, _, err := l.tree.list(p)
			if err != nil {
				l.faults = append(l.faults, *sourceFault(err, Position{File: p}))
			}
			for _, f := range files {
				if yamlStem(f.Name()) != "" {
					l.varsFile(e.Name(), path.Join(p, f.Name()), add)
				}
			}
		}
	}
}

// yamlStem is a file's name without .yml or .yaml, or "" where it has neither.
func yamlStem(name string) string {
	for _, ext := range []string{".yml", ".yaml"} {
		if stem, ok := strings.CutSuffix(name, ext); ok {
			return stem
		}
	}
	return ""
}

func (l *loader) varsFile(owner, file string, add func(name, file string, data []byte)) {
	if owner == "" {
		return
	}
	data, err := l.tree.read(file, strictyaml.MaxBytes)
	if err != nil {
		l.faults = append(l.faults, *sourceFault(err, Position{File: file}))
		return
	}
	l.take(file, data)
	add(owner, file, data)
}
