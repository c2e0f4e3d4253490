package desired

import (
	"fmt"
	"strings"
	"testing"
)

func envStory(vars []EnvAssignment, issues []EnvIssue) string {
	var b strings.Builder
	for _, v := range vars {
		fmt.Fprintf(&b, "%s=%q\n", v.Key, v.Value)
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

// The cases are systemd's own reading (v252 to v257, but for the last two).
func TestParseEnv(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                               {"", ""},
		"plain":                                 {"A=1\nB=two words\n", "A=\"1\"\nB=\"two words\"\n"},
		"no newline at the end":                 {"A=1", "A=\"1\"\n"},
		"white space around":                    {"  A \t=  1  \t\n", "A=\"1\"\n"},
		"an empty value":                        {"A=\nB=", "A=\"\"\nB=\"\"\n"},
		"a comment behind is not one":           {"A=b # c\n", "A=\"b # c\"\n"},
		"comments before":                       {"# A=1\n; A=2\n  # A=3\nB=1\n", "B=\"1\"\n"},
		"no dollar, no backquote":               {"A=$HOME `id`\n", "A=\"$HOME `id`\"\n"},
		"double quotes":                         {"A=\"a b\"\n", "A=\"a b\"\n"},
		"escapes in double quotes":              {`A="\"\\\` + "`" + `\$\n"` + "\n", "A=\"\\\"\\\\`$\\\\n\"\n"},
		"single quotes take all":                {`A='\n "x" $y'` + "\n", "A=\"\\\\n \\\"x\\\" $y\"\n"},
		"quotes join":                           {`A="a"'b'c` + "\n", "A=\"abc\"\n"},
		"white space between quotes is lost":    {`A="a"  "b"` + "\n", "A=\"ab\"\n"},
		"a quote within is itself":              {`A=it's "so"` + "\n", "A=\"it's \\\"so\\\"\"\n"},
		"a broken line in quotes":               {"A=\"a\nb\"\nB=1\n", "A=\"a\\nb\"\nB=\"1\"\n"},
		"a continued line":                      {"A=a\\\nb\nB=\"c\\\nd\"\n", "A=\"ab\"\nB=\"cd\"\n"},
		"a backslash outside quotes":            {`A=a\ b\"` + "\n", "A=\"a b\\\"\"\n"},
		"an escape outside quotes is no escape": {`A=a\nb\tc` + "\n", "A=\"anbtc\"\n? 1: systemd drops a backslash outside quotes and keeps what follows it: \\n becomes n\n"},
		"an escaped space at the end stays":     {"A=a\\ \nB=1\n", "A=\"a \"\nB=\"1\"\n"},
		"Windows' line ends":                    {"A=1\r\nB=2\r\n", "A=\"1\"\nB=\"2\"\n"},
		"the last of two holds":                 {"A=1\nB=2\nA=3\n", "A=\"3\"\nB=\"2\"\n? 3: A is assigned again: this one holds, not line 1\n"},
		"a shell's export":                      {"export A=1\n", "? 1: systemd ignores the line, for this is not a shell script\n"},
		"no assignment":                         {"A\nB=1\nC", "B=\"1\"\n? 1: systemd ignores the line, for it has no =\n? 3: systemd ignores the line, for it has no =\n"},
		"a name that is none":                   {"1A=1\nA-B=2\n=3\nÄ=4\n", "? 1: systemd ignores the line, for what stands before = is not a variable's name\n? 2: systemd ignores the line, for what stands before = is not a variable's name\n? 3: systemd ignores the line, for it has no =\n? 4: systemd ignores the line, for what stands before = is not a variable's name\n"},
		"an open quote takes the rest":          {"A=1\nB=\"x\nC=2\n", "A=\"1\"\nB=\"x\\nC=2\\n\"\n! 2: the quote is never closed: the value takes in the rest of the file\n"},
		"not UTF-8":                             {"A=\xff\nB=1\n", "B=\"1\"\n! 1: the line is not UTF-8, for which systemd refuses the whole file\n"},
		"a NUL":                                 {"A=1\nB=\x002\nC=3\n", "A=\"1\"\nB=\"\"\n! 2: there is a NUL in the file: systemd reads no further\n"},
		"a comment eats a line before v254":     {"# dir C:\\\nA=1\n", "A=\"1\"\n! 1: the comment ends in a backslash, which makes systemd before 254 skip the next line\n"},
		"a comment eats a comment":              {"# dir C:\\\n# more\nA=1\n", "A=\"1\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			vars, issues := ParseEnv([]byte(c.text))
			equal(t, envStory(vars, issues), c.want)
		})
	}
}

// What an issue says may be shown anywhere, so it never has any of a line's text
// that is not a proper name: the line may be a piece of a key.
func TestEnvIssuesShowNoText(t *testing.T) {
	_, issues := ParseEnv([]byte("-----BEGIN KEY-----\nhunter2hunter2/+=\nexport T=hunter2\nX=\"hunter2\n"))
	if len(issues) != 4 {
		t.Errorf("got %d issues", len(issues))
	}
	for _, i := range issues {
		if strings.Contains(i.Message+i.Mend, "hunter2") {
			t.Errorf("shown: %s", i.Message)
		}
	}
}

func TestWriteEnv(t *testing.T) {
	for value, want := range map[string]string{
		"plain-1.2_3/x:y,z@%=~^+": "A=plain-1.2_3/x:y,z@%=~^+\n",
		"":                        "A=\n",
		" a b ":                   "A=\" a b \"\n",
		"$x `y` \"z\" \\n":        "A=\"\\$x \\`y\\` \\\"z\\\" \\\\n\"\n",
		"a\nb\r\tc":               "A=\"a\nb\r\tc\"\n",
		"#c":                      "A=\"#c\"\n",
		"é":                       "A=\"é\"\n",
	} {
		got, err := WriteEnv([]EnvAssignment{{Key: "A", Value: value}})
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", value, got, err)
		}
	}
	for _, a := range []EnvAssignment{{Key: "A", Value: "hunter2\x00"}, {Key: "A", Value: "hunter2\xff"}, {Key: "A-B", Value: "hunter2"}, {Key: "", Value: "hunter2"},
		{Key: "A", Value: strings.Repeat("hunter2", 20000)}} {
		if _, err := WriteEnv([]EnvAssignment{a}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

// Whatever is written is read back byte for byte.
func FuzzEnvFile(f *testing.F) {
	f.Add("A", "1", "B", "a b\n\"$`\\'#;= \r\t")
	f.Add("_x9", "", "C", " \\")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		in := []EnvAssignment{{Key: k1, Value: v1}, {Key: k2, Value: v2}}
		text, err := WriteEnv(in)
		if err != nil {
			return
		}
		got, issues := ParseEnv(text)
		if k1 == k2 {
			in = []EnvAssignment{{Key: k2, Value: v2}}
		} else if len(issues) > 0 {
			t.Errorf("issues with what was written: %v", issues)
		}
		if len(got) != len(in) {
			t.Fatalf("%q: got %v", text, got)
		}
		for i := range in {
			if got[i].Key != in[i].Key || got[i].Value != in[i].Value {
				t.Errorf("wrote %q=%q, read %q=%q", in[i].Key, in[i].Value, got[i].Key, got[i].Value)
			}
		}
	})
}

func FuzzParseEnv(f *testing.F) {
	for _, seed := range []string{"A=1\nB=\"x\\\ny\"\n", "# c\\\nA='", "=\n\x00", "A=\\"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, issues := ParseEnv(data)
		if again, err := WriteEnv(vars); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		} else if back, _ := ParseEnv(again); envStory(back, nil) != envStory(vars, nil) {
			t.Errorf("read %q, then %q", envStory(vars, nil), envStory(back, nil))
		}
		lines := 1 + strings.Count(string(data), "\n")
		for _, i := range issues {
			if i.Line < 1 || i.Line > lines {
				t.Errorf("an issue of line %d of %d: %s", i.Line, lines, i.Message)
			}
		}
	})
}
