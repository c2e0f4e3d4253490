package desired

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func unitStory(u UnitFile, issues []UnitIssue) string {
	var b strings.Builder
	for _, d := range u.Directives {
		fmt.Fprintf(&b, "%d [%s] %s=%s\n", d.Line, d.Section, d.Key, d.Value)
	}
	for _, i := range issues {
		mark := "?"
		if i.Fatal {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %d: %s\n", mark, i.Line, i.Message)
	}
	return b.String()
}

func TestParseUnit(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":                   {"[Unit]\nDescription = A b \n\n[Service]\nExecStart=/bin/x -y\n", "2 [Unit] Description=A b\n5 [Service] ExecStart=/bin/x -y\n"},
		"comments":                {"# [X]\n[S]\n; a=b\n  # c=d\ne=f # not one\n", "5 [S] e=f # not one\n"},
		"continued lines":         {"[S]\na=b \\\n  c\\\nd\ne=f\n", "2 [S] a=b    c d\n5 [S] e=f\n"},
		"comments among them":     {"[S]\na=b \\\n# gone\n; too\nc\n", "2 [S] a=b  c\n"},
		"a comment continues not": {"[S]\n# x \\\na=b\n", "3 [S] a=b\n"},
		"two backslashes":         {"[S]\na=b\\\\\nc=d\n", "2 [S] a=b\\\\\n3 [S] c=d\n"},
		"to the end of the file":  {"[S]\na=b \\", "2 [S] a=b\n"},
		"an empty value":          {"[S]\na=\n", "2 [S] a=\n"},
		"Windows' line ends":      {"\xef\xbb\xbf[S]\r\na=b\r\n", "2 [S] a=b\n"},
		"outside a section":       {"a=b\n[S]\nc\n=d\n", "? 1: systemd ignores the line, for it stands before any section\n? 3: systemd ignores the line, for it has no =\n? 4: systemd ignores the line, for nothing stands before =\n"},
		"an open section":         {"[S\na=b\n[]\n", "! 1: the section header is not closed\n? 2: systemd ignores the line, for it stands before any section\n? 3: systemd ignores the section, for it has no name\n"},
		"not UTF-8":               {"[S]\na=\xff\nb=c\n", "3 [S] b=c\n! 2: systemd does not load the unit, for the line is not UTF-8\n"},
	} {
		t.Run(name, func(t *testing.T) {
			equal(t, unitStory(ParseUnit([]byte(c.text))), c.want)
		})
	}
}

func TestUnitValues(t *testing.T) {
	u, _ := ParseUnit([]byte("[Service]\nEnvironmentFile=/a\nEnvironmentFile=\nEnvironmentFile=-/b\nType=simple\n[Unit]\nEnvironmentFile=/no\n"))
	d, _ := ParseUnit([]byte("[Service]\nEnvironmentFile=/c\nType=notify\n[Install]\nWantedBy=x.target\n"))
	all := u.With(d)
	if got := all.Values("Service", "EnvironmentFile"); !reflect.DeepEqual(got, []string{"-/b", "/c"}) {
		t.Errorf("got %q", got)
	}
	if all.Last("Service", "Type") != "notify" || u.Last("Service", "Type") != "simple" || u.Last("Service", "None") != "" {
		t.Error("the last value does not hold")
	}
	if u.Installs() || !all.Installs() {
		t.Error("[Install] is not seen")
	}
	if len(u.Directives) != 5 {
		t.Error("a drop-in changed the unit it was laid over")
	}
}

func TestUnitWords(t *testing.T) {
	for text, want := range map[string][]string{
		`a  b	c`:                          {"a", "b", "c"},
		`"A=a b" 'B=c "d"' C=e"f g"h`:     {"A=a b", `B=c "d"`, "C=ef gh"},
		`"A=\"x\" \x41\101\u00e9\n" a\sb`: {"A=\"x\" AAé\n", "a b"},
		``:                                nil,
		`""`:                              {""},
	} {
		if got, err := unitWords(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{`a "b`, `a b\`, `a \q`, `a \x4`, `a \x00`} {
		if got, err := unitWords(bad); err == nil || len(got) != 1 {
			t.Errorf("%s: got %q, %v", bad, got, err)
		}
	}
}

func TestSpecifiers(t *testing.T) {
	for text, want := range map[string]string{
		"/etc/%p/%i.env":    "/etc/web-front/a-b.env",
		"/x/%I/%j/%n/%N":    "/x/a/b/front/web-front@a-b.service/web-front@a-b",
		"%E %S %C %L %t %%": "/etc /var/lib /var/cache /var/log /run %",
		"100%":              "100%",
	} {
		if got, ok := expandSpecifiers(text, "web-front@a-b.service"); !ok || got != want {
			t.Errorf("%s: got %q, %t", text, got, ok)
		}
	}
	if _, ok := expandSpecifiers("/etc/%H.env", "a.service"); ok {
		t.Error("a host's own name was made up")
	}
}

func FuzzUnitFile(f *testing.F) {
	for _, seed := range []string{"[Service]\nExecStart=/x \\\n# c\n y\nEnvironment=\"A=b c\" D=%i\\\n", "[", "[S]\na=\\", "\xef\xbb\xbf[S]\n=\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		u, issues := ParseUnit(data)
		lines := 1 + strings.Count(string(data), "\n")
		for _, d := range u.Directives {
			if d.Key == "" || d.Section == "" || d.Line < 1 || d.Line > lines || strings.Contains(d.Value, "\n") {
				t.Errorf("got %+v", d)
			}
			_, _ = unitWords(d.Value)
			_, _ = expandSpecifiers(d.Value, "x@y.service")
		}
		for _, i := range issues {
			if i.Line < 1 || i.Line > lines {
				t.Errorf("an issue of line %d of %d", i.Line, lines)
			}
		}
		for _, p := range u.Paths() {
			if p != "" && !strings.HasPrefix(p, "/") {
				t.Errorf("%q is no path", p)
			}
		}
	})
}

// A process that runs by a unit file does not depend on its comments, its form, its
// description, or on what only systemctl enable reads.
func TestUnitDigest(t *testing.T) {
	digest := func(text string) string {
		u, _ := ParseUnit([]byte(text))
		return u.Digest()
	}
	text := "[Unit]\nAfter=a.service\n[Service]\nExecStart=/bin/a b\nEnvironment=A=1\n"
	for _, same := range []string{
		"# words\n" + text, "; words\n\n" + text, strings.ReplaceAll(text, "=a", " = a"), strings.ReplaceAll(text, "\n", "\r\n"), "\ufeff" + text,
		text + "[Install]\nWantedBy=multi-user.target\n", "[Unit]\nDescription=D\nDocumentation=man:a\n" + text, strings.Replace(text, "/bin/a b", "/bin/a\\\n# words\nb", 1),
	} {
		if digest(same) != digest(text) {
			t.Errorf("it means another thing: %q", same)
		}
	}
	for _, other := range []string{text + "Environment=\n", text + "Environment=A=2\n", strings.Replace(text, "[Service]\n", "", 1), strings.Replace(text, "a b", "a  b", 1), text + "X-Hash=1\n"} {
		if digest(other) == digest(text) {
			t.Errorf("it means the same: %q", other)
		}
	}
}

func TestLinks(t *testing.T) {
	for _, tt := range []struct{ unit, text, want string }{
		{"a.service", "[Install]\nWantedBy=multi-user.target graphical.target\nRequiredBy=b.target\nUpheldBy=c.service\nAlias=d.service a.service\nAlso=e.service\n",
			"b.target.requires c.service.upholds d.service graphical.target.wants multi-user.target.wants"},
		{"a.service", "[Install]\nWantedBy=x.target\nWantedBy=\nWantedBy=y.target\n", "y.target.wants"},
		{"a@x.service", "[Install]\nWantedBy=x.target\n", "x.target.wants"},
		{"a@x.service", "[Install]\nWantedBy=x-%i.target\n", "?"},
		{"a@.service", "[Install]\nWantedBy=x.target\n", "?"},
		{"a.service", "[Service]\n", ""},
	} {
		u, _ := ParseUnit([]byte(tt.text))
		links, ok := u.Links(tt.unit)
		if got := strings.Join(links, " "); ok != (tt.want != "?") || ok && got != tt.want {
			t.Errorf("%s with %q: %s %v, want %s", tt.unit, tt.text, got, ok, tt.want)
		}
	}
}

func TestNotEnabled(t *testing.T) {
	for _, tt := range []struct{ unit, text, want string }{
		{"a.service", "[Install]\nWantedBy=multi-user.target\n", ""},
		{"a.service", "[Install]\nAlias=b.service\n", ""},
		{"a.service", "[Service]\n", "nothing under [Install]"},
		{"a.service", "[Install]\nAlso=a.socket\n", "only names others: Also=a.socket"},
		{"a@.service", "[Install]\nWantedBy=multi-user.target\n", "without DefaultInstance="},
		{"a@.service", "[Install]\nWantedBy=multi-user.target\nDefaultInstance=x\n", ""},
		{"a@x.service", "[Install]\nWantedBy=multi-user.target\n", ""},
	} {
		u, _ := ParseUnit([]byte(tt.text))
		message, mend := u.notEnabled(tt.unit, "file")
		if (message == "") != (tt.want == "") || !strings.Contains(message, tt.want) || message != "" && mend == "" {
			t.Errorf("%s with %q: %q, mend %q; want %q", tt.unit, tt.text, message, mend, tt.want)
		}
	}
}
