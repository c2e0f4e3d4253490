package sshdriver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// jumpSpec is one hop as it is written in a ProxyJump: [user@]host[:port] or
// ssh://[user@]host[:port].
type jumpSpec struct {
	user string
	host string
	port int // 0: not given
}

// parseJump reads a comma separated list of hops, nearest to us first; nil for
// "none" and for nothing.
func parseJump(s string) ([]jumpSpec, error) {
	s = strings.TrimSpace(s)
	if s == "" || strings.EqualFold(s, "none") {
		return nil, nil
	}
	var all []jumpSpec
	for _, part := range strings.Split(s, ",") {
		spec, err := parseJumpSpec(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("jump %q: %w", s, err)
		}
		all = append(all, spec)
	}
	return all, nil
}

func parseJumpSpec(s string) (jumpSpec, error) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "ssh://"), "/")
	var spec jumpSpec
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		spec.user, s = s[:at], s[at+1:]
		if spec.user == "" {
			return spec, errors.New("no user before the @")
		}
	}
	port := ""
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return spec, errors.New("[ is not closed")
		}
		spec.host, s = s[1:end], s[end+1:]
		if s != "" && s[0] != ':' {
			return spec, errors.New("only :port may follow ]")
		}
		port = strings.TrimPrefix(s, ":")
		if s == ":" {
			return spec, errors.New("no port after the colon")
		}
	case strings.Count(s, ":") == 1:
		spec.host, port, _ = strings.Cut(s, ":")
		if port == "" {
			return spec, errors.New("no port after the colon")
		}
	default: // no port, or a bare IPv6 address
		spec.host = s
	}
	if spec.host == "" || strings.HasPrefix(spec.host, "-") || strings.ContainsAny(spec.host, " \t\n\x00/@[]") {
		return spec, fmt.Errorf("%q is not a host", spec.host)
	}
	if port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return spec, fmt.Errorf("port %q is not between 1 and 65535", port)
		}
		spec.port = n
	}
	return spec, nil
}

// resolveJump finds the hop before h: of the list that leads to it the last one,
// which in turn is reached through those before it. As for ssh, the first of a list
// may have a jump host of its own.
func (r *resolver) resolveJump(h hop, c hostConfig, behind []string) (*login, error) {
	list := h.via
	if list == nil {
		spec := h.target.Jump
		if spec == "" {
			if c.proxyCommand {
				return nil, errors.New("ssh_config sets a ProxyCommand for it, which evenkeel does not run; use ProxyJump, or jump in the inventory (jump: none to go straight)")
			}
			spec = strings.Join(c.single["proxyjump"], ",")
		}
		var err error
		if list, err = parseJump(spec); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	last := list[len(list)-1]
	if h.inventory && len(list) == 1 && last == (jumpSpec{host: h.target.Name}) {
		return nil, nil // a group's jump host is itself in the group: go straight
	}
	before := hop{user: last.user, target: Target{Name: last.host}}
	if r.options.ResolveJump != nil {
		if t, ok := r.options.ResolveJump(last.host); ok {
			before.target, before.inventory = t, true
		}
	}
	if last.port != 0 {
		before.target.Port = last.port
	}
	if len(list) > 1 {
		before.via = list[:len(list)-1]
	}
	l, err := r.resolveHop(before, behind)
	if err != nil {
		return nil, fmt.Errorf("jump host %s: %w", last.host, err)
	}
	return l, nil
}
