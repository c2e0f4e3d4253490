package show

import (
	"fmt"
	"net/netip"
	"strings"
)

// said is what is to be said of a host.
type said struct {
	host, address string // address may be ""
	text          string
}

// alike are hosts of which the same is to be said.
type alike struct {
	said
	hosts []string
	named bool // text has marks in place of each host's own name or address
}

// groupSaid puts hosts together of which the same is said, also where only the host's own
// name or address differs in it, in the order of each group's first host.
func groupSaid(list []said) []*alike {
	var groups []*alike
	exact, neutral := map[string]*alike{}, map[string]*alike{}
	for _, s := range list {
		g := exact[s.text]
		if g == nil {
			own := s.neutral()
			if g = neutral[own]; g == nil {
				g = &alike{said: s}
				neutral[own] = g
				groups = append(groups, g)
			} else {
				g.named, g.text = true, own
			}
			exact[s.text] = g
		}
		g.hosts = append(g.hosts, s.host)
	}
	return groups
}

// neutral is the text with marks in place of the host's own name and address. Where the
// address is not known, all that are told count as its own.
func (s said) neutral() string {
	text := replaceWord(s.text, s.host, hostMark)
	if s.address != "" {
		return replaceWord(text, s.address, addressMark)
	}
	words := strings.Split(text, " ")
	for i, w := range words {
		bare := strings.TrimRight(w, ":,;")
		if a, err := netip.ParseAddrPort(bare); err == nil {
			words[i] = strings.Replace(w, a.Addr().String(), addressMark, 1)
		} else if _, err := netip.ParseAddr(bare); err == nil {
			words[i] = addressMark + w[len(bare):]
		}
	}
	return strings.Join(words, " ")
}

// title names the hosts: all of few, some of many.
func (g *alike) title() string { return nameSome(g.hosts) }

// note says of several hosts how many they are, and what the marks mean.
func (g *alike) note() string {
	if len(g.hosts) == 1 {
		return ""
	}
	text := fmt.Sprintf("(%s, alike)", count(len(g.hosts), "host"))
	if g.named {
		var marks []string
		if strings.Contains(g.text, hostMark) {
			marks = append(marks, hostMark+" is each host's own name")
		}
		if strings.Contains(g.text, addressMark) {
			marks = append(marks, addressMark+" is each host's own address")
		}
		text += "  " + strings.Join(marks, "; ")
	}
	return text
}

// after is the note behind a text.
func (g *alike) after() string {
	if note := g.note(); note != "" {
		return "  " + note
	}
	return ""
}

// nameSome names the first of several hosts, and how many there are beside them.
//
//	h1, h2, h3 and 17 more
func nameSome(names []string) string {
	const most = 3
	if len(names) <= most+1 {
		return Clean(strings.Join(names, ", "))
	}
	return Clean(strings.Join(names[:most], ", ")) + fmt.Sprintf(" and %d more", len(names)-most)
}
