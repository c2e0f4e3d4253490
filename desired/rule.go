package desired

import (
	"maps"
	"slices"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// Level is how a rule's findings are taken.
type Level string

// The levels.
const (
	LevelOff     Level = "off"
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)

// Rule is one thing that Validate looks for. docs/validate.md has a section on each.
type Rule struct {
	Name  string
	Level Level // where the repo says nothing
	// Fixed tells that the repo cannot say otherwise: what the rule finds cannot be used,
	// so its service, or the fleet, is held back whatever anybody says.
	Fixed bool
}

// rules are those whose findings hold something back, and those of the files' syntax.
// Those of package lint, which are habits, are told to Validate by it.
var rules = func() map[string]Rule {
	all := map[string]Rule{}
	for _, name := range []string{
		"bad-address", "bad-credential", "bad-label", "bad-login", "bad-mode", "bad-name", "bad-owner", "bad-path", "bad-port", "bad-unit-name", "bad-user", "below-a-file",
		"artifact", "claimed-twice", "cycle", "decrypt", "duplicate", "duplicate-address", "duplicate-host", "duplicate-key", "duplicate-label", "duplicate-secret", "duplicate-service", "duplicate-var",
		"dynamic-inventory", "empty-unit", "escape", "executable-inventory", "generated-unit", "group-cycle", "impossible-rollout", "impossible-window",
		"ini-syntax", "interrupted", "jinja", "missing-fleet", "missing-key", "missing-source", "missing-var", "no-keep", "no-verifier", "not-a-file", "not-a-folder", "not-installable",
		"refused-by-systemd", "second-fleet", "selector", "symlink", "template", "template-unit", "too-large", "unknown-group", "unknown-host", "unknown-key", "unknown-service", "unknown-unit", "unloaded-credential",
		"unreadable", "user-unit", "vault",
		"wrong-type", "wrong-value", "yaml-syntax",
	} {
		all[name] = Rule{Name: name, Level: LevelError, Fixed: true}
	}
	for _, name := range []string{"empty-selector", "env-syntax", "known-secret", "no-health", "no-host", "no-hosts", RuleNoKey, "no-such-variable", "open-secret", "plain-secret", "unit-syntax", "windows-apart"} {
		all[name] = Rule{Name: name, Level: LevelWarning}
	}
	for _, r := range lintRules {
		all[r.Name] = r
	}
	return all
}()

// lintRules are those of package lint, and of what the systemd of the machine at hand says.
var lintRules = []Rule{
	// What systemd would not do, or not as it is meant.
	{Name: "bad-setting", Level: LevelError},
	{Name: "exec-shell", Level: LevelWarning},
	{Name: "exec-path", Level: LevelError},
	{Name: "unknown-directive", Level: LevelWarning},
	{Name: "wrong-section", Level: LevelWarning},
	{Name: "env-dollar", Level: LevelWarning},
	{Name: "unread-env", Level: LevelWarning},
	{Name: "systemd-verify", Level: LevelWarning},
	// How a service starts, stops and comes back.
	{Name: "forking-foreground", Level: LevelError},
	{Name: "forking-pidfile", Level: LevelWarning},
	{Name: "detached", Level: LevelWarning},
	{Name: "no-restart", Level: LevelWarning},
	{Name: "start-limit", Level: LevelWarning},
	{Name: "stop-timeout", Level: LevelWarning},
	{Name: "start-timeout", Level: LevelWarning},
	{Name: "kill-mode", Level: LevelWarning},
	{Name: "container-name", Level: LevelWarning},
	{Name: "not-enabled", Level: LevelWarning},
	{Name: "enabled-stopped", Level: LevelWarning},
	{Name: "timer-alone", Level: LevelWarning},
	{Name: "timer-persistent", Level: LevelWarning},
	// Limits.
	{Name: "limit-nofile", Level: LevelWarning},
	{Name: "limit-memory", Level: LevelWarning},
	{Name: "limit-tasks", Level: LevelOff},
	{Name: "limit-cpu", Level: LevelOff},
	// What it may do.
	{Name: "runs-as-root", Level: LevelWarning},
	{Name: "hardening", Level: LevelWarning},
	{Name: "hardening-blocks", Level: LevelWarning},
	{Name: "closed-to-user", Level: LevelWarning},
	{Name: "exposure", Level: LevelWarning},
	// Secrets.
	{Name: "readable-secret", Level: LevelError},
	{Name: "readable-env", Level: LevelOff},
	{Name: "secret-in-unit", Level: LevelError},
	{Name: "secret-in-git", Level: LevelWarning},
	{Name: "metrics-token", Level: LevelWarning},
	{Name: "secret-differs", Level: LevelError},
	// What a file sets on its host.
	{Name: "setting-ignored", Level: LevelError},
	// The journal.
	{Name: "journal-lost", Level: LevelWarning},
	{Name: "no-journal", Level: LevelWarning},
}

// Rules are all rules, by name.
func Rules() []Rule {
	out := make([]Rule, 0, len(rules))
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		out = append(out, rules[name])
	}
	return out
}

// ValidateSpec says how what validate finds is taken.
type ValidateSpec struct {
	Rules map[string]Level `yaml:"rules"` // by the rule's name: off, warning or error
}

// over is s where it says something, else under.
func (s ValidateSpec) over(under ValidateSpec) ValidateSpec {
	if len(s.Rules) == 0 {
		return under
	}
	all := maps.Clone(under.Rules)
	if all == nil {
		all = map[string]Level{}
	}
	maps.Copy(all, s.Rules)
	return ValidateSpec{Rules: all}
}

// check finds rules that there are not, and levels that cannot be.
func (s ValidateSpec) check() []fault.Problem {
	var ps []fault.Problem
	for _, name := range slices.Sorted(maps.Keys(s.Rules)) {
		at := "validate.rules." + name
		rule, known := rules[name]
		switch level := s.Rules[name]; {
		case !known:
			ps = append(ps, fault.Problem{Path: at, Rule: "wrong-value", Message: "there is no rule " + fault.Quote(name),
				Mend: or(fault.DidYouMean(name, switchable()), "docs/validate.md has them all")})
		case level != LevelOff && level != LevelWarning && level != LevelError:
			ps = append(ps, fault.Problem{Path: at, Rule: "wrong-value", Message: "level " + fault.Quote(string(level)) + " is none", Mend: "write off, warning or error"})
		case rule.Fixed:
			ps = append(ps, fault.Problem{Path: at, Rule: "wrong-value", Message: "rule " + name + " cannot be switched: what it finds cannot be used", Mend: "mend what it finds"})
		}
	}
	return ps
}

func switchable() []string {
	var names []string
	for name, r := range rules {
		if !r.Fixed {
			names = append(names, name)
		}
	}
	return names
}

// level is how the finding f is taken; an error of a rule that warns elsewhere holds its
// service back, so it stays one.
func (s ValidateSpec) level(f Fault) Level {
	if level, ok := s.Rules[f.Rule]; ok && !rules[f.Rule].Fixed {
		return level
	}
	if f.IsError() {
		return LevelError
	}
	return LevelWarning
}

// Judged are the findings as the repo wants them: without those of rules that are off.
func (r *Revision) Judged(faults Faults) Faults {
	specs := map[string]ValidateSpec{}
	for _, s := range r.Services {
		specs[s.Name] = s.Spec.Validate.over(r.Fleet.Spec.Validate)
	}
	var out Faults
	for _, f := range faults {
		spec, ok := specs[f.Service]
		if !ok {
			spec = r.Fleet.Spec.Validate
		}
		switch spec.level(f) {
		case LevelOff:
			continue
		case LevelError:
			f.Severity = SeverityError
		default:
			f.Severity = SeverityWarning
		}
		out = append(out, f)
	}
	return out
}

// Taken is how findings of a rule are taken in a service.
func (r *Revision) Taken(service, rule string) Level {
	svc, _ := r.Service(service)
	return r.Levels(svc.Spec)(rule)
}

// Levels is how findings are taken in a service, by rule.
func (r *Revision) Levels(spec ServiceSpec) func(rule string) Level {
	taken := spec.Validate.over(r.Fleet.Spec.Validate)
	return func(rule string) Level {
		if level, ok := taken.Rules[rule]; ok {
			return level
		}
		return rules[rule].Level
	}
}
