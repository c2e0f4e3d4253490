// Package lint holds what the operators of systemd fleets have learned the hard way, as
// rules over what each host should be: limits, start limits, timeouts, hardening, secrets
// in the wrong place, what systemd reads otherwise than meant.
//
// It is pure: it looks at a desired.HostState and returns findings. What holds a service
// back (a file that is missing, a unit that systemd refuses) package desired finds
// itself. How a finding is taken (off, warning, error) the fleet repo says.
//
// Start reading at lint.go. docs/validate.md has a section on every rule, and
// docs/add-a-validate-rule.md how one is added.
package lint
