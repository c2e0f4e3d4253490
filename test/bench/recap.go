package main

import (
	"fmt"
	"strconv"
	"strings"
)

// recap is one host's line of ansible-playbook's PLAY RECAP.
type recap struct{ ok, changed, unreachable, failed int }

// parseRecap reads the recap at the end of what ansible-playbook printed, by host.
func parseRecap(text string) (map[string]recap, error) {
	_, after, ok := strings.Cut(text, "\nPLAY RECAP ")
	if !ok {
		return nil, fmt.Errorf("ansible-playbook printed no recap")
	}
	_, after, _ = strings.Cut(after, "\n")
	hosts := map[string]recap{}
	for line := range strings.Lines(after) {
		name, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		var r recap
		fields := map[string]*int{"ok": &r.ok, "changed": &r.changed, "unreachable": &r.unreachable, "failed": &r.failed}
		for _, field := range strings.Fields(rest) {
			key, value, _ := strings.Cut(field, "=")
			to, wanted := fields[key]
			if !wanted {
				continue
			}
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("ansible-playbook's recap: %q is no count", field)
			}
			*to = n
			delete(fields, key)
		}
		if len(fields) > 0 {
			return nil, fmt.Errorf("ansible-playbook's recap: %q lacks counts", strings.TrimSpace(line))
		}
		hosts[strings.TrimSpace(name)] = r
	}
	return hosts, nil
}

// checkRecap tells, as an error, which host did not do what was expected: every one of
// hosts is there, nothing failed, and every one changed something, or none did.
func checkRecap(text string, hosts []string, changes bool) error {
	all, err := parseRecap(text)
	if err != nil {
		return err
	}
	for _, name := range hosts {
		r, ok := all[name]
		switch {
		case !ok:
			return fmt.Errorf("ansible-playbook did nothing on %s", name)
		case r.failed > 0 || r.unreachable > 0:
			return fmt.Errorf("ansible-playbook: %s: %d failed, %d unreachable", name, r.failed, r.unreachable)
		case (r.changed > 0) != changes:
			return fmt.Errorf("ansible-playbook: %s: %d changes, which is not as expected", name, r.changed)
		}
	}
	return nil
}
