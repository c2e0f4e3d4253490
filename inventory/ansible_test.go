package inventory

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// story writes hosts one a line, for comparison.
func story(inv Inventory) string {
	var b strings.Builder
	for _, h := range inv.Hosts {
		fmt.Fprintf(&b, "%s %s", h.Name, h.Address)
		if h.Port != 0 {
			fmt.Fprintf(&b, ":%d", h.Port)
		}
		if h.User != "" {
			fmt.Fprintf(&b, " user=%s", h.User)
		}
		if h.Jump != "" {
			fmt.Fprintf(&b, " jump=%s", h.Jump)
		}
		if h.Suspend != "" {
			fmt.Fprintf(&b, " (%s)", h.Suspend)
		}
		if len(h.Groups) > 0 {
			fmt.Fprintf(&b, " groups=%s", strings.Join(h.Groups, ","))
		}
		if len(h.Labels) > 0 {
			fmt.Fprintf(&b, " labels=%s", pairs(h.Labels))
		}
		vars := map[string]string{}
		for k, v := range h.Vars {
			if !strings.HasPrefix(k, "ansible_") && k != "evenkeel_labels" && k != "evenkeel_suspend" {
				text, _ := json.Marshal(v)
				vars[k] = string(text)
			}
		}
		if len(vars) > 0 {
			fmt.Fprintf(&b, " vars=%s", pairs(vars))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func pairs(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+":"+v)
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}

// built is the story of what one call adds to a Builder, faults behind it.
func built(add func(*Builder)) string {
	var b Builder
	add(&b)
	inv, faults := b.Build()
	out := story(inv)
	if len(faults) > 0 {
		out += faults.Error() + "\n"
	}
	return out
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimLeft(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestINI(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a plain list": {"web-1\nweb-2.example.com\n192.0.2.7\n", `
web-1 web-1
web-2.example.com web-2.example.com
192.0.2.7 192.0.2.7
`},
		"where and as whom to connect": {`
[web]
web-1 ansible_host=192.0.2.11 ansible_port=2222 ansible_user=deploy
web-2:2200 ansible_ssh_host=192.0.2.12 ansible_ssh_user='ci bot' # a comment
web-3 ansible_host=2001:db8::3 ansible_ssh_common_args='-o ProxyJump="ops@bastion:22" -o BatchMode=yes'
[2001:db8::4]:23
`, `
web-1 192.0.2.11:2222 user=deploy groups=web labels=ansible_group/web:true
web-2 192.0.2.12:2200 user=ci bot groups=web labels=ansible_group/web:true
web-3 2001:db8::3 jump=ops@bastion:22 groups=web labels=ansible_group/web:true
2001:db8::4 2001:db8::4:23 groups=web labels=ansible_group/web:true
f.ini:4:1: host web-2: user "ci bot" is not a user's name
`},
		"ranges": {"[w]\nweb[08:10].example.com\ndb-[a:c]\nn[0:6:3]-[1:2]\n", `
web08.example.com web08.example.com groups=w labels=ansible_group/w:true
web09.example.com web09.example.com groups=w labels=ansible_group/w:true
web10.example.com web10.example.com groups=w labels=ansible_group/w:true
db-a db-a groups=w labels=ansible_group/w:true
db-b db-b groups=w labels=ansible_group/w:true
db-c db-c groups=w labels=ansible_group/w:true
n0-1 n0-1 groups=w labels=ansible_group/w:true
n0-2 n0-2 groups=w labels=ansible_group/w:true
n3-1 n3-1 groups=w labels=ansible_group/w:true
n3-2 n3-2 groups=w labels=ansible_group/w:true
n6-1 n6-1 groups=w labels=ansible_group/w:true
n6-2 n6-2 groups=w labels=ansible_group/w:true
`},
		"vars are Python's": {`
[all:vars]
count=3
ratio=0.5
on=True
off = False # not a comment in Python's eyes? it is
list=[1, 'two', "three"]
map={'a': 1, 'b': {'c': [True]}}
mode=0640
text=plain text # stays
quoted="with # inside"
[w]
h inline="a b" n=7 hash=x#y
`, `
h h groups=w labels=ansible_group/w:true vars=count:3,hash:"x",inline:"a b",list:[1,"two","three"],map:{"a":1,"b":{"c":[true]}},mode:"0640",n:7,off:false,on:true,quoted:"with # inside",ratio:0.5,text:"plain text # stays"
`},
		"children under parents, hosts over groups": {`
[eu:children]
eu-west
[eu:vars]
region=eu
tier=low
[eu-west]
a tier=own
b
[eu-west:vars]
tier=mid
[all:vars]
tier=all
everywhere=1
[web]
a
`, `
a a groups=eu,eu-west,web labels=ansible_group/eu-west:true,ansible_group/eu:true,ansible_group/web:true vars=everywhere:1,region:"eu",tier:"own"
b b groups=eu,eu-west labels=ansible_group/eu-west:true,ansible_group/eu:true vars=everywhere:1,region:"eu",tier:"mid"
`},
		"labels out of vars": {`
[web]
a evenkeel_labels="{'rack': 'a', 'big': True}"
b
[web:vars]
evenkeel_labels={'role': 'gateway', 'rack': 'none'}
`, `
a a groups=web labels=ansible_group/web:true,big:true,rack:a,role:gateway
b b groups=web labels=ansible_group/web:true,rack:none,role:gateway
`},
		"what cannot be read": {`
[web:childs]
[web:vars]
nonsense
[db:children]
wbe
[web]
ok
a b
c d='open
web[1:
web[9:1]
web[01:100]
web[a:3]
x:port
secret=!vault
[all:vars]
token=!vault |
[we b]
skipped
`, `
ok ok groups=web labels=ansible_group/web:true
secret=!vault secret=!vault groups=web labels=ansible_group/web:true
f.ini:2:1: the section [web:childs] is unknown: did you mean "children"?
f.ini:4:1: in [web:vars] stand only KEY=VALUE, not "nonsense"
f.ini:6:1: group db names the group "wbe", which is declared nowhere: did you mean "web"?
f.ini:9:1: after the host come only KEY=VALUE, not "b": one host a line
f.ini:10:1: the line cannot be read: a quote is not closed
f.ini:11:1: host range "web[1:" lacks its ]
f.ini:12:1: host range "web[9:1]": it ends before it begins
f.ini:13:1: host range "web[01:100]": both ends must have the same number of digits
f.ini:14:1: host range "web[a:3]": write two numbers or two letters
f.ini:15:1: "port" is not a port
f.ini:16:1: host name "secret=!vault" is not a host name: use letters, digits, "-", "_" and ".", and put an IP address into address
f.ini:18:1: "token" is encrypted with Ansible Vault, which evenkeel does not open: keep it in a SOPS file that a service's env names
f.ini:19:1: the section header "[we b]" is not [group], [group:vars] or [group:children]
`},
		"a group of vars only": {"h\n[wbe:vars]\nx=1\n[web]\nh\n", `
h h groups=web labels=ansible_group/web:true
f.ini:2:1: [wbe:vars] is of a group that is declared nowhere: did you mean "web"?
`},
		"Jinja is not evaluated": {"h ansible_host='{{ lookup }}' ansible_port=99999\n", `
h h
f.ini:1:1: host h: ansible_host is a Jinja expression, which evenkeel does not evaluate: write the value itself
f.ini:1:1: host h: ansible_port is not a port: write a number from 1 to 65535
`},
		"two names for one machine": {"a ansible_host=192.0.2.1\nb ansible_host=192.0.2.1\nc ansible_host=192.0.2.1 ansible_port=23\n", `
a 192.0.2.1
b 192.0.2.1
c 192.0.2.1:23
f.ini:2:1: hosts a and b are one machine: both are at 192.0.2.1 port 22: drop one of them, or give each its own address or port
`},
		"a group within itself": {"[a:children]\nb\n[b:children]\na\n[c:children]\nc\n", `
f.ini:1:1: group "a" lies in itself: take it out of its own children's children
f.ini:6:1: group "c" is its own child: drop it from its children
`},
		"options are no addresses": {"h ansible_host=-oProxyCommand=x\nj ansible_ssh_common_args='-J -x'\n", `
h -oProxyCommand=x
j j jump=-x
f.ini:1:1: host h: address "-oProxyCommand=x" is neither a host name nor an IP address
f.ini:2:1: host j: jump "-x" is not [user@]host[:port]
`},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, built(func(b *Builder) { b.AddINI("f.ini", []byte(c.text)) }), c.want)
		})
	}
}

func TestAnsibleYAML(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"groups in groups": {`
all:
  vars: {tier: all, dns: [192.0.2.53]}
  hosts:
    lone:
  children:
    eu:
      vars: {tier: eu}
      children:
        web:
          hosts:
            web[1:2].example.com: {ansible_port: 2222, tier: own}
            web.three: {ansible_host: 192.0.2.3, ansible_user: deploy}
    ungrouped: {hosts: {x: {}}}
`, `
lone lone vars=dns:["192.0.2.53"],tier:"all"
web1.example.com web1.example.com:2222 groups=eu,web labels=ansible_group/eu:true,ansible_group/web:true vars=dns:["192.0.2.53"],tier:"own"
web2.example.com web2.example.com:2222 groups=eu,web labels=ansible_group/eu:true,ansible_group/web:true vars=dns:["192.0.2.53"],tier:"own"
web.three 192.0.2.3 user=deploy groups=eu,web labels=ansible_group/eu:true,ansible_group/web:true vars=dns:["192.0.2.53"],tier:"eu"
x x vars=dns:["192.0.2.53"],tier:"all"
`},
		"misspelt": {"all:\n  host: {a: {}}\n  children:\n    web: [a]\n", `
f.yml:2:3: unknown key "host": did you mean "hosts"?
f.yml:4:10: "web" must be a map, not a list
`},
		"a vault": {"all:\n  vars:\n    token: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n", `
f.yml:3:12: "token" is encrypted with Ansible Vault, which evenkeel does not open: keep it in a SOPS file that a service's env names
`},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, built(func(b *Builder) {
				docs, faults := strictyaml.Parse("f.yml", []byte(c.text))
				b.faults = append(b.faults, faults...)
				for _, d := range docs {
					b.AddAnsibleYAML(d)
				}
			}), c.want)
		})
	}
}

func TestDynamic(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"what Ansible's scripts print": {`{"web": {"hosts": ["a", "b"], "vars": {"n": 1.5, "off": null}, "children": ["db"]}, "db": ["c"],
			"all": {"children": ["web", "ungrouped"]}, "ungrouped": {"hosts": ["d"]},
			"_meta": {"hostvars": {"a": {"ansible_host": "192.0.2.1", "port": 7}, "e": {"evenkeel_labels": {"role": "x"}}}}}`, `
c c groups=db,web labels=ansible_group/db:true,ansible_group/web:true vars=n:1.5
d d
a 192.0.2.1 groups=web labels=ansible_group/web:true vars=n:1.5,port:7
b b groups=web labels=ansible_group/web:true vars=n:1.5
e e labels=role:x
`},
		"not JSON":              {"usage: …", "d.py: what it printed for --list is not a JSON map: invalid character 'u' looking for beginning of value: run it with --list and look\n"},
		"more than JSON":        {"{} {}", "d.py: what it printed for --list is not a JSON map: more follows at byte 4: run it with --list and look\n"},
		"a group like no other": {`{"web": 7}`, "d.py: group web is neither a list of hosts nor a map of hosts, vars and children\n"},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, built(func(b *Builder) { b.AddDynamic("d.py", []byte(c.text)) }), c.want)
		})
	}
}

func TestVarsFiles(t *testing.T) {
	got := built(func(b *Builder) {
		b.AddINI("hosts", []byte("[web]\na tier=inline\nb\n[web:vars]\ntier=group\nx=1\n"))
		b.AddGroupVars("web", "group_vars/web.yml", []byte("tier: file\ny: 2\n"))
		b.AddGroupVars("all", "group_vars/all.yml", []byte("z: 3\ntier: all\n"))
		b.AddHostVars("a", "host_vars/a.yml", []byte("y: 9\n"))
		b.AddGroupVars("wbe", "group_vars/wbe.yml", []byte("q: 1\n"))
		b.AddHostVars("b", "host_vars/b.yml", []byte("$ANSIBLE_VAULT;1.1;AES256\n6162\n"))
	})
	compare(t, got, `
a a groups=web labels=ansible_group/web:true vars=tier:"inline",x:1,y:9,z:3
b b groups=web labels=ansible_group/web:true vars=tier:"file",x:1,y:2,z:3
group_vars/wbe.yml: warning: there is no group "wbe" for these vars: did you mean "web"?
host_vars/b.yml:1:1: the file is encrypted with Ansible Vault, which evenkeel does not open: keep secrets in a SOPS file that a service's env names
`)
}

func TestShellWords(t *testing.T) {
	for line, want := range map[string][]string{
		`a b='c d' e="f \"g\" \$h"`: {"a", "b=c d", `e=f "g" \$h`},
		`a\ b c#d e`:                {"a b", "c"},
		`'' ""`:                     {"", ""},
		` `:                         nil,
	} {
		got, err := shellWords(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, %v", line, got, err)
		}
	}
}

func FuzzAnsibleINI(f *testing.F) {
	for _, seed := range []string{"[web]\nweb[01:20].example.com a='b c' # d\n[web:vars]\nx={'a': [1, (2,)]}\n[eu:children]\nweb\n",
		"[::1]:22 k=\n[a:b:c]\n", "h[a:z][0:9]\n", "x k=\"\\\n", "[all:vars]\nl=[1,2,\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b Builder
		b.AddINI("f.ini", []byte(text))
		inv, faults := b.Build()
		checkSane(t, inv, faults)
	})
}

func FuzzDynamic(f *testing.F) {
	f.Add(`{"web": {"hosts": ["a"], "vars": {"x": [1, null, {"y": 1e9}]}}, "_meta": {"hostvars": {"a": null}}}`)
	f.Add(`{"all": ["a", 1]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var b Builder
		b.AddDynamic("d.py", []byte(text))
		inv, faults := b.Build()
		checkSane(t, inv, faults)
	})
}

// checkSane holds what must hold of any inventory, whoever wrote it.
func checkSane(t *testing.T, inv Inventory, faults fault.Faults) {
	t.Helper()
	for _, f := range faults {
		if strings.ContainsAny(f.String(), "\n\x1b\x00") {
			t.Errorf("a fault with control characters: %q", f.String())
		}
	}
	if faults.Err() != nil {
		return
	}
	for _, h := range inv.Hosts {
		if message, _ := checkAddress(h.Address); message != "" || strings.HasPrefix(h.Address, "-") {
			t.Errorf("host %q at %q passed", h.Name, h.Address)
		}
		if h.Name == "" || strings.ContainsAny(h.Name, " /\n\t\\'\"$") || h.Name[0] == '-' {
			t.Errorf("host %q passed", h.Name)
		}
	}
}
