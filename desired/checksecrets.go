package desired

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// RotationsFile is the file beside fleet.yaml in which evenkeel secret rotate notes when
// values were made.
const RotationsFile = "rotations.yaml"

// rotationsFile reads rotations.yaml, where there is one.
func (l *loader) rotationsFile() {
	file := path.Join(l.dir, RotationsFile)
	data, err := l.tree.read(file, strictyaml.MaxBytes)
	if err != nil {
		if f := sourceFault(err, Position{}); f.Rule != "missing-source" {
			l.faults = append(l.faults, *f)
		}
		return
	}
	l.take(file, data)
	docs, faults := strictyaml.Parse(file, data)
	l.faults = append(l.faults, faults...)
	l.rotated = map[string]time.Time{}
	for _, d := range docs {
		var doc RotationsDocument
		pos, faults := strictyaml.Decode(d, &doc)
		l.faults = append(l.faults, faults...)
		for _, name := range sortedNames(doc.Spec.Secrets) {
			at, err := time.Parse(time.RFC3339, doc.Spec.Secrets[name].At)
			if err != nil {
				l.fault(pos.At("spec.secrets."+name+".at"), "wrong-value", "cannot be "+fault.Quote(doc.Spec.Secrets[name].At), "write it as 2006-01-02T15:04:05Z")
				continue
			}
			l.rotated[name] = at
		}
	}
}

// checkSecrets finds what is wrong with the fleet's secrets, once all services are read.
func (l *loader) checkSecrets() {
	if l.fleet == nil {
		return
	}
	services := sortedNames(l.services)
	for name := range l.broken {
		if !slices.Contains(services, name) {
			services = append(services, name)
		}
	}
	seen, keys := map[string]bool{}, map[string]string{}
	for i, s := range l.fleet.Spec.Secrets {
		at := fmt.Sprintf("secrets[%d]", i)
		for _, p := range s.check(services, seen, keys) {
			l.faults = append(l.faults, p.At(l.fleet.At(at+p.Path), ""))
		}
	}
}

// check finds what is wrong with one secret; seen are the names before it, and keys who has
// which variable of which service.
func (s SecretSpec) check(services []string, seen map[string]bool, keys map[string]string) []fault.Problem {
	var ps []fault.Problem
	add := func(at, rule, message, mend string) {
		ps = append(ps, fault.Problem{Path: at, Rule: rule, Message: message, Mend: mend})
	}
	if why := checkName(s.Name); why != "" && s.Name != "" {
		add(".name", "bad-name", "secret "+why, "")
	}
	if seen[s.Name] {
		add(".name", "duplicate-secret", "secret "+fault.Quote(s.Name)+" is declared twice", "")
	}
	seen[s.Name] = true
	if len(s.Verifiers) == 0 {
		add("", "no-verifier", "no service accepts secret "+s.Name, "name them in verifiers: [{service: …}]")
	}
	for _, list := range []struct {
		at   string
		uses []SecretUseSpec
	}{{"verifiers", s.Verifiers}, {"signers", s.Signers}} {
		once := map[string]bool{}
		for i, u := range list.uses {
			at := fmt.Sprintf(".%s[%d]", list.at, i)
			switch {
			case u.Service == "":
			case !slices.Contains(services, u.Service):
				add(at+".service", "unknown-service", "there is no service "+fault.Quote(u.Service), fault.DidYouMean(u.Service, services))
			case once[u.Service]:
				add(at+".service", "duplicate-service", u.Service+" stands there twice", "declare another secret for another variable")
			}
			once[u.Service] = true
		}
	}
	for _, p := range s.Parts() {
		ps = append(ps, p.check(s, keys)...)
	}
	if len(s.Signers) == 0 && s.Keep == nil {
		add("", "no-keep", "no service of the fleet sends secret "+s.Name+", so nobody can tell when the old value is no longer used",
			"write keep: 24h, how long those who send it have to change over; or name signers")
	}
	if g := s.Generate; g != nil && (g.Random == 0) == (g.Command == "") {
		add(".generate", "wrong-value", "it must be one of random and command", "write generate: {random: 32}")
	}
	if s.Automatic && (s.EveryDays == 0 || s.Generate == nil) {
		add(".automatic", "wrong-value", "it needs everyDays and generate", "")
	}
	if every := time.Duration(s.EveryDays) * 24 * time.Hour; every > 0 && s.KeepFor() >= every {
		add(".keep", "wrong-value", "both values would be accepted for longer than a value lasts", "shorten keep, or lengthen everyDays")
	}
	for _, p := range checkWindows(s.Windows) {
		p.Path = "." + p.Path
		ps = append(ps, p)
	}
	return ps
}

func (p SecretPart) check(s SecretSpec, keys map[string]string) []fault.Problem {
	var ps []fault.Problem
	add := func(message, mend string) {
		ps = append(ps, fault.Problem{Rule: "wrong-value", Message: "secret " + s.Name + ", service " + p.Service + ": " + message, Mend: mend})
	}
	switch {
	case p.Key == "":
		add("no variable holds it", "write key: NAME")
		return ps
	case p.Previous == "" && p.Separator == "":
		add("there is no place for the value before", "write previous: "+p.Key+`_PREVIOUS; or separator: "," where `+p.Key+" is a list")
	case p.Previous != "" && p.Separator != "":
		add("previous and separator exclude each other", "")
	case p.Previous == p.Key:
		add("key and previous are the same variable", "")
	}
	for _, key := range []string{p.Key, p.Previous} {
		if key == "" {
			continue
		}
		if why := checkEnvKey(key); why != "" {
			add(why, "")
		}
		at := p.Service + " " + key
		if by, taken := keys[at]; taken {
			add(key+" belongs to secret "+by+" already", "")
		}
		keys[at] = s.Name
	}
	return ps
}
