package adopt

import (
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// env writes the env files: what is secret apart and encrypted, and what differs from
// host to host as vars where these are few, else as files for each.
func (r *Repo) env(s *Service, hosts []*Host, sec Secrets) {
	defer s.section("  env:")()
	for _, a := range s.shape.Env {
		all, same := texts(hosts, a.Path)
		if len(all) < len(hosts) {
			continue // view.take has left it alone
		}
		stem := strings.TrimSuffix(path.Base(a.Path), ".env")
		parts := map[string]envParts{}
		whole, anySecret, bases, seals := false, false, true, true
		for h, data := range all {
			p := splitEnv(data, sec)
			parts[h] = p
			whole = whole || p.whole
			anySecret = anySecret || len(p.sealed) > 0
		}
		first := parts[hosts[0].Host.Name]
		for _, p := range parts {
			bases = bases && string(p.base) == string(first.base)
			seals = seals && string(p.sealed) == string(first.sealed)
		}
		var sources []string
		switch {
		case whole:
			name := s.localName(path.Base(a.Path)+".sops", ".sops")
			sources = []string{r.secret(s, name, same, all)}
		default:
			name := s.localName(stem+".env", ".env")
			base := map[string][]byte{}
			for h, p := range parts {
				base[h] = p.base
			}
			sources = []string{r.base(s, a.Path, name, bases, base)}
			if anySecret {
				sealed := map[string][]byte{}
				for h, p := range parts {
					sealed[h] = p.sealed
				}
				sources = append(sources, r.secret(s, s.localName(stem+".secrets.env", ".secrets.env"), seals, sealed))
			}
		}
		for _, h := range hosts {
			p := parts[h.Host.Name]
			for _, k := range p.secrets {
				s.Encrypted = appendNew(s.Encrypted, a.Path+": "+k)
			}
			for _, k := range p.plain {
				s.Open = appendNew(s.Open, a.Path+": "+k)
			}
			if p.whole && len(p.secrets) == 0 {
				s.Encrypted = appendNew(s.Encrypted, a.Path)
			}
		}
		if !seals && anySecret {
			s.Differs = append(s.Differs, a.Path+": a file of secrets for each host")
		}
		src := quote(sources[0])
		merge := ""
		if len(sources) > 1 {
			src, merge = list(sources), "in-place"
		}
		s.lines = append(s.lines, "    - "+flow(append([]pair{text("path", a.Path), {"source", src}, {"merge", merge}}, a.pairs()...)...))
	}
}

func appendNew(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

// base writes the plain part of an env file and names its source.
func (r *Repo) base(s *Service, p, name string, same bool, all map[string][]byte) string {
	first := all[s.Hosts[0]]
	if same {
		r.Files[s.Dir()+"/"+name] = first
		return name
	}
	prefix := strings.NewReplacer("-", "_", ".", "_").Replace(s.Name)
	if prefix[0] >= '0' && prefix[0] <= '9' {
		prefix = "v" + prefix
	}
	if tmpl, vars, ok := templateEnv(all, prefix); ok {
		r.Files[s.Dir()+"/"+name+".tmpl"] = tmpl
		for h, kv := range vars {
			at := "inventory/host_vars/" + h + "/" + s.Name + ".yaml"
			for _, k := range sorted(kv) {
				r.Files[at] = append(r.Files[at], quote(k)+": "+string(jsonText(kv[k]))+"\n"...)
			}
		}
		var keys []string
		for _, k := range sorted(vars[s.Hosts[0]]) {
			keys = append(keys, strings.TrimPrefix(k, prefix+"_"))
		}
		s.Differs = append(s.Differs, p+": "+strings.Join(keys, ", ")+", by vars of the hosts")
		return name + ".tmpl"
	}
	for h, data := range all {
		r.Files[s.Dir()+"/"+h+"/"+name] = data
	}
	s.Differs = append(s.Differs, p+": a file for each host")
	return perHost(name)
}

// secret keeps what is to be encrypted and names its source.
func (r *Repo) secret(s *Service, name string, same bool, all map[string][]byte) string {
	if same {
		r.Secrets[s.Dir()+"/"+name] = hostdriver.NewContent(all[s.Hosts[0]])
		return name
	}
	for h, data := range all {
		r.Secrets[s.Dir()+"/"+h+"/"+name] = hostdriver.NewContent(data)
	}
	return perHost(name)
}
