package drain

import (
	"bytes"
	"strings"
	"testing"
)

const nginxExample = `# gateway's instances; "server 10.0.0.9:80;" is gone
upstream gateway {
    least_conn;
    server 10.0.0.11:8080 weight=5 max_fails=0;	# rack a
    server 10.0.0.12:8080 ;
    server	"10.0.0.13:8080"
        weight=2
        ; # rack b
    server 10.0.0.14:8080 down; # broken disk
    server 10.0.0.15:8080 down weight=3; # drained by evenkeel # rack c
    server unix:/run/gw.sock backup;
    keepalive 16;
}
upstream other { server 10.0.0.11:8080; server [2001:db8::1]:80; }
server {
    listen 80;
    server_name "~^(?<name>\w{1,9})\.example\.com$";
    location / { proxy_pass http://gateway; return 200 "} server x; ${scheme}"; }
    if ($scheme = http) { set $x "${host}#no comment"; }
}
`

func TestParseNginx(t *testing.T) {
	servers, err := parseNginx([]byte(nginxExample))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range servers {
		line := s.upstream + " " + s.address
		for _, f := range []struct {
			is   bool
			word string
		}{{s.down, "down"}, {s.ours, "ours"}, {!s.alone, "crowded"}} {
			if f.is {
				line += " " + f.word
			}
		}
		got = append(got, line)
	}
	want := `gateway 10.0.0.11:8080
gateway 10.0.0.12:8080
gateway 10.0.0.13:8080
gateway 10.0.0.14:8080 down
gateway 10.0.0.15:8080 down ours
gateway unix:/run/gw.sock
other 10.0.0.11:8080 crowded
other [2001:db8::1]:80 crowded`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestNginxEdits(t *testing.T) {
	for _, tt := range []struct{ name, before, after string }{
		{"plain", "server a:1;\n", "server a:1 down; # drained by evenkeel\n"},
		{"in a block", "upstream u {\n\tserver b:1;\n\tserver a:1;\n}\n", "upstream u {\n\tserver b:1;\n\tserver a:1 down; # drained by evenkeel\n}\n"},
		{"with parameters", "server a:1 weight=5 backup;\n", "server a:1 weight=5 backup down; # drained by evenkeel\n"},
		{"space before the sign", "server a:1  ;\n", "server a:1 down  ; # drained by evenkeel\n"},
		{"a comment", "server a:1; # rack a\n", "server a:1 down; # drained by evenkeel # rack a\n"},
		{"a comment at once", "server a:1;#rack a\n", "server a:1 down; # drained by evenkeel#rack a\n"},
		{"over lines", "server\n a:1 # it is\n weight=5\n;\n", "server\n a:1 # it is\n weight=5 down\n; # drained by evenkeel\n"},
		{"quoted", "server 'a:1';\n", "server 'a:1' down; # drained by evenkeel\n"},
		{"of another world", "server a:1;\r\nserver b:1;\r\n", "server a:1 down; # drained by evenkeel\r\nserver b:1;\r\n"},
		{"no last newline", "server a:1;", "server a:1 down; # drained by evenkeel"},
		{"a mark without its word", "server a:1; # drained by evenkeel\n", "server a:1 down; # drained by evenkeel\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one := func(text string) nginxServer {
				servers, err := parseNginx([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				s, err := findNginx(servers, "", "a:1")
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			before := one(tt.before)
			got := string(before.drained([]byte(tt.before)))
			if tt.after != "" && got != tt.after {
				t.Fatalf("drained %q, want %q", got, tt.after)
			}
			after := one(got)
			if !after.down || !after.ours {
				t.Errorf("%q reads down %v, ours %v", got, after.down, after.ours)
			}
			if again := string(after.drained([]byte(got))); again != got {
				t.Errorf("drained twice: %q", again)
			}
			if back := string(after.undrained([]byte(got))); !before.ours && back != tt.before {
				t.Errorf("undrained %q, want %q", back, tt.before)
			}
		})
	}
}

// What others wrote stays, also on the very line of a server that we have drained.
func TestNginxUndrainsItsOwnOnly(t *testing.T) {
	for before, want := range map[string]string{
		"server a:1 down;\n":                                       "server a:1 down;\n",
		"server a:1 down; # drained by evenkeels\n":                "server a:1 down; # drained by evenkeels\n",
		"server a:1 down; # not drained by evenkeel\n":             "server a:1 down; # not drained by evenkeel\n",
		"server a:1 weight=2 down slow; # drained by evenkeel\n":   "server a:1 weight=2 slow;\n",
		"server a:1 \t down ;\t# drained by evenkeel\t# hello\r\n": "server a:1 ;\t# hello\r\n",
		"server a:1; # drained by evenkeel":                        "server a:1;",
	} {
		servers, err := parseNginx([]byte(before))
		if err != nil || len(servers) != 1 {
			t.Fatal(before, servers, err)
		}
		if got := string(servers[0].undrained([]byte(before))); got != want {
			t.Errorf("%q becomes %q, want %q", before, got, want)
		}
	}
}

func TestFindNginxSpeaks(t *testing.T) {
	servers, err := parseNginx([]byte(nginxExample))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := findNginx(servers, "other", "10.0.0.11:8080"); err != nil || s.upstream != "other" {
		t.Errorf("%+v, %v", s, err)
	}
	twice, err := parseNginx([]byte("server a;\nserver a;\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		servers                       []nginxServer
		upstream, address, want, mend string
	}{
		{servers, "", "10.0.0.11:8080", "the server 10.0.0.11:8080 in several upstreams: gateway, other", "name the drain's `upstream`"},
		{servers, "gateway", "10.0.0.99:8080", "no server 10.0.0.99:8080 in upstream gateway; there are: 10.0.0.11:8080, 10.0.0.12:8080", "as the file has it"},
		{servers, "", "10.0.0.9:80", "no server 10.0.0.9:80; there are", "as the file has it"},
		{servers, "nobody", "10.0.0.11:8080", "no upstream nobody", "`file` and `upstream`"},
		{twice, "", "a", "the server a 2 times", "leave one"},
		{nil, "", "a", "no server a, nor any other", "`file`"},
	} {
		_, err := findNginx(tt.servers, tt.upstream, tt.address)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(MendOf(err), tt.mend) {
			t.Errorf("%v (%s)\nwant %s (%s)", err, MendOf(err), tt.want, tt.mend)
		}
	}
}

func TestParseNginxRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"upstream a {\nserver b;\n":      "ends in the middle",
		"server a":                       "ends in the middle",
		"a;\n}\n":                        `line 2: unexpected '}'`,
		"a b }":                          `line 1: unexpected '}'`,
		"a b}":                           "ends in the middle", // a word, to nginx as well
		"a\n;\n;":                        `line 3: unexpected ';'`,
		"{ }":                            `line 1: unexpected '{'`,
		"a 'b":                           "line 1: a quote does not end",
		"a \"b\"c;":                      "line 1: something follows a quote",
		"upstream a {\n server b\n}\n\n": "line 3: unexpected '}'",
	} {
		if servers, err := parseNginx([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", text, servers, err, want)
		}
	}
}

// Whatever the file, a drain changes one server and nothing else, and an undrain takes
// back exactly that.
func FuzzNginx(f *testing.F) {
	f.Add([]byte(nginxExample), 0)
	f.Add([]byte("\ufeffserver a\\;b 'down' ;#x\n upstream \"${x} {\" { server a; }"), 1)
	f.Add([]byte("upstream u{server a;#\nserver b down down;# drained by evenkeel\r\n}"), 1)
	f.Fuzz(func(t *testing.T, text []byte, which int) {
		before, err := parseNginx(text)
		if err != nil || which < 0 || which >= len(before) {
			return
		}
		s := before[which]
		if !s.alone || s.ours || s.down {
			return
		}
		drained := s.drained(text)
		after, err := parseNginx(drained)
		if err != nil || len(after) != len(before) {
			t.Fatalf("%q drained is %q: %v", text, drained, err)
		}
		for i := range after {
			if i == which && (!after[i].down || !after[i].ours) || i != which && (after[i].down != before[i].down || after[i].ours != before[i].ours) ||
				after[i].address != before[i].address || after[i].upstream != before[i].upstream {
				t.Fatalf("%q drained is %q: server %d reads %+v", text, drained, i, after[i])
			}
		}
		if back := after[which].undrained(drained); !bytes.Equal(back, text) {
			t.Fatalf("%q drained is %q, undrained %q", text, drained, back)
		}
	})
}
