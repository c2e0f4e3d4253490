package inventory

import (
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// ansibleHost adds a host of an Ansible inventory, where a host may stand any
// number of times.
func (b *Builder) ansibleHost(name, group string, port int, vars map[string]any, pos fault.Position) {
	h, isNew := b.host(name, pos)
	if !isNew && h.native {
		b.fault(pos, "duplicate-host", "host "+fault.Quote(name)+" is declared twice", "it stands at "+h.pos.String()+" already")
		return
	}
	if port != 0 {
		h.vars["ansible_port"] = port
	}
	for k, v := range vars {
		h.vars[k] = v
	}
	if group != groupAll && group != groupUngrouped {
		h.groups[group] = pos
	}
}

func (b *Builder) ansibleGroup(name string, pos fault.Position) *declaredGroup {
	g := b.group(name, pos)
	g.declared, g.ansible = true, true
	return g
}

// connectVars reads how to connect from Ansible's vars.
func (b *Builder) connectVars(h *Host, d *declaredHost) {
	if s, ok := b.textVar(h, d, "ansible_host", "ansible_ssh_host"); ok {
		h.Address = s
	}
	if s, ok := b.textVar(h, d, "ansible_user", "ansible_ssh_user"); ok {
		h.User = s
	}
	if s, ok := b.textVar(h, d, "evenkeel_jump"); ok {
		h.Jump = s
	} else if s, ok := b.textVar(h, d, "ansible_ssh_common_args"); ok {
		h.Jump = proxyJump(s)
	}
	if s, ok := b.textVar(h, d, "evenkeel_suspend"); ok {
		h.Suspend = suspendOf(s).Why()
	}
	for _, key := range []string{"ansible_port", "ansible_ssh_port"} {
		v, ok := h.Vars[key]
		if !ok {
			continue
		}
		port, ok := asInt(v)
		if !ok || port < 1 || port > 65535 {
			b.fault(d.pos, "bad-port", "host "+h.Name+": "+key+" is not a port", "write a number from 1 to 65535")
			return
		}
		h.Port = port
		return
	}
}

// textVar is the first of the vars that is set, as text.
func (b *Builder) textVar(h *Host, d *declaredHost, keys ...string) (string, bool) {
	for _, key := range keys {
		v, ok := h.Vars[key]
		if !ok {
			continue
		}
		s, ok := asText(v)
		if !ok {
			b.fault(d.pos, "wrong-type", "host "+h.Name+": "+key+" must be text", "")
			return "", false
		}
		if strings.Contains(s, "{{") {
			b.fault(d.pos, "jinja", "host "+h.Name+": "+key+" is a Jinja expression, which evenkeel does not evaluate", "write the value itself")
			return "", false
		}
		return s, true
	}
	return "", false
}

// proxyJump finds the jump host in arguments of ssh: -J HOST, -JHOST,
// -o ProxyJump=HOST or -oProxyJump=HOST.
func proxyJump(args string) string {
	words, err := shellWords(args)
	if err != nil {
		return ""
	}
	for i, w := range words {
		if w == "-J" || w == "-o" {
			if i+1 >= len(words) {
				return ""
			}
			w += words[i+1]
		}
		if jump, ok := strings.CutPrefix(w, "-J"); ok && jump != "" {
			return jump
		}
		if rest, ok := strings.CutPrefix(w, "-o"); ok && len(rest) > 10 && strings.EqualFold(rest[:9], "ProxyJump") {
			return strings.TrimLeft(rest[9:], "= ")
		}
	}
	return ""
}

func trimmed(s, cutset string) bool { return strings.Trim(s, cutset) == "" }
