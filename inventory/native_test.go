package inventory

import (
	"testing"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

const head = "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: all}\nspec:\n"

func TestDocument(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"groups under hosts": {head + `
  groups:
    all: {vars: {dns: 192.0.2.53, tier: all}}
    world: {children: [eu], labels: {planet: earth}, vars: {tier: world}}
    eu: {labels: {region: eu, role: none}, vars: {tier: eu}}
  hosts:
    - {name: web-1, address: 192.0.2.11, port: 2222, user: deploy, jump: "ops@bastion:22,b2", labels: {role: gateway}, groups: [eu], vars: {own: 1}}
    - {name: lone.example.com}
    - {name: v6, address: "2001:db8::1", groups: [world]}
`, `
web-1 192.0.2.11:2222 user=deploy jump=ops@bastion:22,b2 groups=eu,world labels=planet:earth,region:eu,role:gateway vars=dns:"192.0.2.53",own:1,tier:"eu"
lone.example.com lone.example.com vars=dns:"192.0.2.53",tier:"all"
v6 2001:db8::1 groups=world labels=planet:earth vars=dns:"192.0.2.53",tier:"world"
`},
		"what is wrong with hosts": {head + `
  hosts:
    - {name: a, adress: 192.0.2.1}
    - {name: a}
    - {name: b, address: "192.0.2.1:22"}
    - {name: c, address: deploy@example.com}
    - {name: d, address: "[2001:db8::1]"}
    - {name: e, address: 192.0.2.300}
    - {name: f, port: 70000}
    - {name: g, groups: [ue]}
    - {name: h, labels: {role: "a b", "-x": y}}
    - {name: i, address: 192.0.2.9}
    - {name: j, address: 192.0.2.9, port: 22}
    - {name: k, address: 192.0.2.9, port: 23}
    - {name: -rf}
    - {name: 192.0.2.77}
    - {name: l, jump: "a b"}
    - {address: 192.0.2.5}
  groups: {eu: {}}
`, `
a a
b 192.0.2.1:22
c deploy@example.com
d [2001:db8::1]
e 192.0.2.300
f f
g g
h h labels=-x:y,role:a b
i 192.0.2.9
j 192.0.2.9:22
k 192.0.2.9:23
-rf -rf
192.0.2.77 192.0.2.77
l l jump=a b
f.yaml:7:17: unknown key "adress": did you mean "address"?
f.yaml:8:14: host "a" is declared twice: it stands at f.yaml:7:7 already
f.yaml:9:26: host b: address "192.0.2.1:22" is neither a host name nor an IP address: the port goes into port: 22
f.yaml:10:26: host c: address "deploy@example.com" is neither a host name nor an IP address: the user goes into user
f.yaml:11:26: host d: address "[2001:db8::1]" is neither a host name nor an IP address: write an IPv6 address without brackets, and the port into port
f.yaml:12:26: host e: address "192.0.2.300" is neither a host name nor an IP address
f.yaml:13:23: "port" cannot be 70000: the most is 65535
f.yaml:14:26: host g names the group "ue", which is declared nowhere: did you mean "eu"?
f.yaml:15:25: host h: label "-x" must be letters, digits, "-", "_" and ".", at most 63, beginning and ending with a letter or digit
f.yaml:15:25: host h: label role has the value "a b", which must be letters, digits, "-", "_" and ".", at most 63, beginning and ending with a letter or digit
f.yaml:17:26: hosts i and j are one machine: both are at 192.0.2.9 port 22: drop one of them, or give each its own address or port
f.yaml:19:14: host name "-rf" is not a host name: use letters, digits, "-", "_" and ".", and put an IP address into address
f.yaml:21:23: host l: jump "a b" is not [user@]host[:port]
f.yaml:22:7: missing key "name" in "hosts[15]"
`},
		"a group declared twice": {head + "  groups: {eu: {vars: {a: 1}, labels: {x: y}}}\n---\n" + head + "  groups: {eu: {vars: {a: 2, b: 3}, labels: {x: y}}}\n  hosts: [{name: h, groups: [eu]}]\n", `
h h groups=eu labels=x:y vars=a:2,b:3
f.yaml:11:27: group eu has the var "a" already: it is declared at f.yaml:5:16 too
`},
		"suspended hosts": {head + `
  hosts:
    - {name: a, suspend: true}
    - {name: b, suspend: "its disk is being replaced"}
    - {name: c, suspend: false}
    - {name: d, suspend: [x]}
    - {name: e, suspend: " "}
`, `
a a (suspended)
b b (suspended: its disk is being replaced)
c c
d d
e e
f.yaml:10:26: "suspend" must be true, false or a reason: write true, or why it is suspended: "its disk is being replaced"
f.yaml:11:26: "suspend" is no reason: write true, or why it is suspended: "its disk is being replaced"
`},
		"a group misnamed": {head + "  groups: {\"a b\": {children: [c]}, c: {children: [d]}}\n", `
f.yaml:5:19: group name "a b" has other than letters, digits, "-", "_" and "."
f.yaml:5:51: group c names the group "d", which is declared nowhere: there is c
`},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, built(func(b *Builder) {
				docs, faults := strictyaml.Parse("f.yaml", []byte(c.text))
				b.faults = append(b.faults, faults...)
				for _, d := range docs {
					b.AddDocument(d)
				}
			}), c.want)
		})
	}
}

func TestMixedSources(t *testing.T) {
	got := built(func(b *Builder) {
		docs, _ := strictyaml.Parse("a.yaml", []byte(head+"  hosts: [{name: a}]\n"))
		b.AddDocument(docs[0])
		b.AddINI("hosts", []byte("[web]\na\nb\n"))
	})
	compare(t, got, `
a a
b b groups=web labels=ansible_group/web:true
hosts:2:1: host "a" is declared twice: it stands at a.yaml:5:11 already
`)
}

func TestSuspendedByAnsible(t *testing.T) {
	compare(t, built(func(b *Builder) {
		b.AddINI("hosts", []byte("a evenkeel_suspend=True\nb evenkeel_suspend='moves to rack 7'\nc evenkeel_suspend=no\nd\n"))
	}), `
a a (suspended)
b b (suspended: moves to rack 7)
c c
d d
`)
}

func FuzzDocument(f *testing.F) {
	f.Add(head + "  hosts: [{name: a, groups: [g]}]\n  groups: {g: {children: [g, h]}, h: {children: [g]}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		docs, faults := strictyaml.Parse("f.yaml", []byte(text))
		var b Builder
		for _, d := range docs {
			b.AddDocument(d)
			b.AddAnsibleYAML(d)
		}
		inv, more := b.Build()
		checkSane(t, inv, append(faults, more...))
	})
}

// A group may name its hosts, which may stand in any other document.
func TestGroupsNameTheirHosts(t *testing.T) {
	inv, faults := nativeInventory("kind: Inventory\nspec:\n  groups: {blue: {hosts: [b], labels: {colour: blue}, vars: {x: 1}}}\n",
		"kind: Inventory\nspec:\n  hosts: [{name: a}, {name: b, labels: {rack: r}}]\n")
	b, _ := inv.Find("b")
	a, _ := inv.Find("a")
	if len(faults.Errors()) > 0 || b.Labels["colour"] != "blue" || b.Labels["rack"] != "r" || b.Vars["x"] != 1 || a.Labels["colour"] != "" {
		t.Errorf("%+v, %+v, %v", a, b, faults)
	}
	if _, faults := nativeInventory("kind: Inventory\nspec: {groups: {blue: {hosts: [bb]}}, hosts: [{name: b}]}\n"); len(faults) != 1 || faults[0].Rule != "unknown-host" || faults[0].Pos.Line != 3 {
		t.Errorf("%v", faults)
	}
}

func nativeInventory(docs ...string) (Inventory, fault.Faults) {
	var b Builder
	var faults fault.Faults
	for _, text := range docs {
		parsed, fs := strictyaml.Parse("i.yaml", []byte("apiVersion: evenkeel/v1\n"+text))
		faults = append(faults, fs...)
		for _, d := range parsed {
			b.AddDocument(d)
		}
	}
	inv, fs := b.Build()
	return inv, append(faults, fs...)
}

// Find finds a host by its name whoever has put it into the Inventory, also after hosts were
// taken out or moved.
func TestFind(t *testing.T) {
	inv := Inventory{Hosts: []Host{{Name: "a", Port: 1}, {Name: "b", Port: 2}, {Name: "c", Port: 3}}, at: map[string]int{"a": 0, "b": 1, "c": 2}}
	finds := func(name string, port int) {
		t.Helper()
		if h, ok := inv.Find(name); ok != (port > 0) || h.Port != port {
			t.Errorf("%s: %+v, %t; want port %d", name, h, ok, port)
		}
	}
	finds("a", 1)
	finds("c", 3)
	finds("d", 0)
	inv.Hosts = []Host{{Name: "c", Port: 4}, {Name: "a", Port: 5}, {Name: "d", Port: 6}}
	finds("a", 5)
	finds("c", 4)
	finds("d", 6)
	finds("b", 0)
}
