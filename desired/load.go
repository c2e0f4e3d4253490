package desired

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// LoadOptions are what Load is told and handed.
type LoadOptions struct {
	// Dir is the folder of fleet.yaml in the file system; "" is its root. What the
	// Fleet includes may lie anywhere in the file system, never outside.
	Dir string
	// ID names the Revision: a commit. Where "", it is made from what was read.
	ID string
	// Decrypter opens SOPS files; nil: services that need one are held.
	Decrypter Decrypter
	// InventoryRunner runs executable inventories; nil: they are faults.
	InventoryRunner inventory.Runner
	// Artifacts fetches artifacts from elsewhere; nil: they are resolved without
	// size and content, as far as their sha256 tells.
	Artifacts ArtifactStore
}

// Load reads a fleet repo, whole. Where fleet.yaml or the inventory has a fault the
// error is Faults and there is no Revision; a service with one is quarantined and
// the others hold. All faults are found, not only the first.
func Load(ctx context.Context, fsys fs.FS, opt LoadOptions) (Revision, error) {
	dir := path.Clean(strings.Trim(opt.Dir, "/"))
	if opt.Dir == "" {
		dir = "."
	}
	if !fs.ValidPath(dir) {
		return Revision{}, Faults{{Rule: "escape", Message: "the fleet's folder " + fault.Quote(opt.Dir) + " is not inside the repo"}}
	}
	l := &loader{ctx: ctx, opt: opt, dir: dir, tree: newTree(fsys), digest: sha256.New(), read: map[string]bool{}, services: map[string][]*Service{},
		broken: map[string]Faults{}}
	l.fleetFile()
	l.rotationsFile()
	if err := ctx.Err(); err != nil {
		return Revision{}, err
	}
	inv, faults := l.inv.Build()
	l.faults = append(l.faults, faults...)
	l.checkSecrets()
	l.faults.Sort()
	if err := l.faults.Err(); err != nil {
		return Revision{}, err
	}
	return l.revision(inv), nil
}

// loader is one Load under way.
type loader struct {
	ctx    context.Context
	opt    LoadOptions
	dir    string
	tree   *tree
	digest interface {
		Write([]byte) (int, error)
		Sum([]byte) []byte
	}
	read map[string]bool // files taken

	faults   Faults // the fleet's and the inventory's
	fleet    *Fleet
	inv      inventory.Builder
	services map[string][]*Service // by name; more than one is a fault
	broken   map[string]Faults     // by service
	rotated  map[string]time.Time  // by secret
}

func (l *loader) fault(pos Position, rule, message, mend string) {
	l.faults = append(l.faults, Fault{Pos: pos, Rule: rule, Message: message, Mend: mend})
}

// fleetFile reads fleet.yaml and all that it includes.
func (l *loader) fleetFile() {
	file := path.Join(l.dir, "fleet.yaml")
	data, err := l.tree.read(file, strictyaml.MaxBytes)
	if err != nil {
		f := sourceFault(err, Position{})
		if f.Rule == "missing-source" {
			f.Message, f.Mend = "there is no "+file, or(f.Mend, "name the folder of fleet.yaml with --repo, or make one with evenkeel init")
		}
		l.faults = append(l.faults, *f)
		return
	}
	l.take(file, data)
	docs, faults := strictyaml.Parse(file, data)
	l.faults = append(l.faults, faults...)
	for _, d := range docs {
		l.document(d, true)
	}
	if l.fleet == nil {
		if len(faults) == 0 {
			l.fault(Position{File: file}, "missing-fleet", "the file has no document of kind Fleet", "write apiVersion: evenkeel/v1, kind: Fleet and metadata: {name: …}")
		}
		return
	}
	l.includes()
}

// take notes a file as part of the revision's content.
func (l *loader) take(file string, data []byte) {
	l.read[file] = true
	fmt.Fprintf(l.digest, "%s %d\n", file, len(data))
	_, _ = l.digest.Write(data)
}

var kinds = []string{"Fleet", "Inventory", "Service"}

// document takes one of evenkeel's documents.
func (l *loader) document(d strictyaml.Document, fleetAllowed bool) {
	h := d.Header()
	switch {
	case h.Kind == "Fleet" && fleetAllowed:
		l.fleetDocument(d)
	case h.Kind == "Fleet":
		l.fault(d.Pos(), "second-fleet", "a Fleet stands in fleet.yaml only", "move it there")
	case h.Kind == "Inventory":
		l.inv.AddDocument(d)
	case h.Kind == "Service":
		l.serviceDocument(d)
	default:
		l.unknownKind(d, h)
	}
}

func (l *loader) unknownKind(d strictyaml.Document, h strictyaml.Header) {
	f := Fault{Pos: d.Pos(), Rule: "wrong-value", Message: "unknown kind " + fault.Quote(h.Kind), Mend: fault.DidYouMean(h.Kind, kinds)}
	if h.Kind == "" {
		f.Rule, f.Message, f.Mend = "missing-key", `missing key "kind" in the document`, "it is one of Fleet, Inventory, Service"
	}
	if name := serviceNameOf(d, h); path.Base(d.File) == "service.yaml" {
		l.quarantine(name, f)
		return
	}
	l.faults = append(l.faults, f)
}

func (l *loader) fleetDocument(d strictyaml.Document) {
	if l.fleet != nil {
		l.fault(d.Pos(), "second-fleet", "a second Fleet", "the first is at "+l.fleet.Pos.String())
		return
	}
	var doc FleetDocument
	pos, faults := strictyaml.Decode(d, &doc)
	l.fleet = &Fleet{Name: doc.Metadata.Name, Spec: doc.Spec, Pos: d.Pos(), positions: pos}
	l.faults = append(l.faults, faults...)
	if why := checkName(doc.Metadata.Name); why != "" && doc.Metadata.Name != "" {
		l.fault(pos.At("metadata.name"), "bad-name", "fleet "+why, "")
	}
	if why := inventory.CheckLogin(doc.Spec.SSH.User, doc.Spec.SSH.Jump); why != "" {
		l.fault(l.fleet.At("ssh"), "bad-login", why, "")
	}
	for _, p := range slices.Concat(checkRollout(doc.Spec.Rollout), checkWindows(doc.Spec.Windows), doc.Spec.Validate.check()) {
		l.faults = append(l.faults, p.At(l.fleet.At(p.Path), ""))
	}
}

// serviceNameOf is how a service is called, if need be by its folder.
func serviceNameOf(d strictyaml.Document, h strictyaml.Header) string {
	if checkName(h.Name) == "" {
		return h.Name
	}
	return folderName(d.File)
}

// folderName is the name of a service that cannot be read: its folder's.
func folderName(file string) string {
	if dir := path.Base(path.Dir(file)); dir != "." && dir != "/" {
		return dir
	}
	return file
}

func (l *loader) quarantine(service string, f Fault) {
	f.Service = service
	l.broken[service] = append(l.broken[service], f)
}

func (l *loader) serviceDocument(d strictyaml.Document) {
	var doc ServiceDocument
	pos, faults := strictyaml.Decode(d, &doc)
	svc := &Service{Name: serviceNameOf(d, d.Header()), Spec: doc.Spec, Dir: path.Dir(d.File), Pos: d.Pos(), positions: pos}
	if name := doc.Metadata.Name; name != "" {
		if why := checkName(name); why != "" {
			faults = append(faults, Fault{Pos: pos.At("metadata.name"), Rule: "bad-name", Message: "service " + why})
		}
	}
	for _, f := range faults {
		l.quarantine(svc.Name, f)
	}
	l.services[svc.Name] = append(l.services[svc.Name], svc)
}

// revision puts together what was read, once nothing is wrong with the fleet and
// its inventory.
func (l *loader) revision(inv inventory.Inventory) Revision {
	rev := Revision{ID: l.opt.ID, Fleet: *l.fleet, Inventory: inv, Warnings: l.faults, Rotated: l.rotated}
	src := newSources(l.tree, l.opt.Decrypter)
	rev.state = &revisionState{sources: src, artifacts: newArtifacts(l.tree, l.dir, l.opt.Artifacts)}
	if len(inv.Hosts) == 0 {
		rev.Warnings = append(rev.Warnings, Fault{Pos: l.fleet.Pos, Severity: SeverityWarning, Rule: "no-hosts",
			Message: "there is no host", Mend: "write an inventory into the folder inventory beside fleet.yaml"})
	}
	for _, list := range l.services {
		for _, svc := range list {
			nameGenerated(svc, src)
		}
	}
	checked := l.checkServices(&rev)
	var ready []*compiled
	for _, svc := range checked {
		c, faults := compile(svc, l.fleet.Spec, src, rev.state.artifacts)
		for _, f := range faults {
			if f.IsError() {
				l.quarantine(svc.Name, f)
			} else {
				rev.Warnings = append(rev.Warnings, f)
			}
		}
		ready = append(ready, c)
	}
	for _, c := range ready {
		if len(l.broken[c.svc.Name]) > 0 {
			continue
		}
		rev.Services = append(rev.Services, *c.svc)
		rev.state.services = append(rev.state.services, c)
	}
	for _, name := range sortedNames(l.broken) {
		rev.Quarantined = append(rev.Quarantined, l.broken[name]...)
	}
	Faults(rev.Warnings).Sort()
	if rev.ID == "" {
		rev.ID = l.checkoutID(src)
	}
	return rev
}

// checkoutID names a tree that is no commit by all that was read of it.
func (l *loader) checkoutID(src *sources) string {
	for _, p := range sortedNames(src.files) {
		l.take(p, src.files[p].data)
	}
	return "checkout-" + hex.EncodeToString(l.digest.Sum(nil))[:12]
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
