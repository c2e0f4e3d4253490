package sshdriver

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const testNonce = "0123456789abcdef0123456789abcdef"

// reply writes records as a host does; a record is its head line and its body.
func reply(records ...[2]string) []byte {
	var b bytes.Buffer
	for i, r := range append([][2]string{{"begin 1", ""}}, records...) {
		b.WriteString("\n" + testNonce + " " + r[0] + "\n" + r[1])
		if i == len(records) {
			b.WriteString("\n" + testNonce + " end " + strconv.Itoa(len(records)+2) + "\n")
		}
	}
	return b.Bytes()
}

func TestReply(t *testing.T) {
	whole := reply([2]string{"a 1 2", "x\ny\n"}, [2]string{"b", ""}, [2]string{"c", "no newline"})
	for _, noise := range []string{"", "motd", "banner\n\n", "\n" + testNonce[:31] + "\n", "\x00\xff\n"} {
		got, err := parseReply(append([]byte(noise), whole...), testNonce)
		if err != nil {
			t.Fatalf("after %q: %v", noise, err)
		}
		if len(got) != 3 || got[0].kind != "a" || got[0].arg(1) != "2" || got[0].arg(2) != "" || string(got[0].body) != "x\ny\n" ||
			got[1].kind != "b" || len(got[1].body) != 0 || string(got[2].body) != "no newline" {
			t.Fatalf("after %q: %+v", noise, got)
		}
	}
	for n := range len(whole) - 1 {
		if got, err := parseReply(whole[:n], testNonce); err == nil {
			t.Fatalf("the first %d of %d bytes were taken for %+v", n, len(whole), got)
		}
	}
	if _, err := parseReply(whole, strings.ReplaceAll(testNonce, "0", "1")); err == nil {
		t.Error("another nonce's reply was taken")
	}
}

func TestReplyThatIsNotBelieved(t *testing.T) {
	mark := "\n" + testNonce + " "
	for what, text := range map[string]string{
		"a record too few":   mark + "begin 1\n" + mark + "end 3\n",
		"a record too many":  mark + "begin 1\n" + mark + "a\n" + mark + "end 2\n",
		"another version":    mark + "begin 2\n" + mark + "end 2\n",
		"a nameless record":  mark + "begin 1\n" + mark + "\n" + mark + "end 3\n",
		"no count":           mark + "begin 1\n" + mark + "end\n",
		"end before begin":   mark + "end 1\n" + mark + "begin 1\n",
		"only a beginning":   mark + "begin 1\n",
		"nothing":            "",
		"a long way to mark": strings.Repeat("x", 1<<20),
	} {
		if got, err := parseReply([]byte(text), testNonce); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestReplyThatBeginsAgain(t *testing.T) {
	text := "\n" + testNonce + " begin 1\n\n" + testNonce + " a\nold\n" + testNonce + " again\n\n" + testNonce + " a\nnew\n" + testNonce + " end 5\n"
	got, err := parseReply([]byte(text), testNonce)
	if err != nil || len(got) != 1 || string(got[0].body) != "new" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestHostError(t *testing.T) {
	records := []record{{kind: "error", args: []string{"conflict"}, body: []byte("it\x1b[31m was\nchanged\n")}, {kind: "mend", body: []byte("look\n")},
		{kind: "detail", body: []byte("line 1\nline 2\n")}}
	err := hostError(records, "h1", "switch")
	if err == nil || err.Error() != "cannot switch h1: it [31m was changed" || hostdriver.KindOf(err) != hostdriver.Conflict || hostdriver.MendOf(err) != "look" {
		t.Errorf("%v, %s, %s", err, hostdriver.KindOf(err), hostdriver.MendOf(err))
	}
	if d := err.(*hostdriver.Error).Detail; d != "line 1\nline 2" {
		t.Errorf("detail %q", d)
	}
	if k := hostdriver.KindOf(hostError([]record{{kind: "error", args: []string{"hostkey"}}}, "h", "x")); k != hostdriver.Unknown {
		t.Errorf("a kind that no host can know of: %s", k)
	}
	if err := hostError(nil, "h", "x"); err != nil {
		t.Error(err)
	}
}

func TestManifestKeepsEverything(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	m := hostdriver.Manifest{Generation: 7, Revision: "checkout a b", Entries: []hostdriver.Entry{
		{Kind: hostdriver.KindUnit, Service: "s", Name: `a\x2db.mount`, Enabled: "no", State: "stopped"},
		{Kind: hostdriver.KindUser, Service: "s", Name: "u", Target: "/home/u"},
		{Kind: hostdriver.KindDirectory, Service: "s", Name: "/d e", Owner: "u", Group: "g", Mode: 0o2755},
		{Kind: hostdriver.KindFile, Service: "s", Name: "/f", SHA256: sum, Mode: 0},
		{Kind: hostdriver.KindLink, Service: "s", Name: "/l", Target: "a b"},
		{Kind: hostdriver.KindRelease, Service: "s", Name: "/r/" + sum, SHA256: sum, Owner: "u"},
	}}
	text, err := encodeManifest(m, "id")
	if err != nil {
		t.Fatal(err)
	}
	back, err := parseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if back.header != "evenkeel\t1\t7\tcheckout a b\tid" || back.Generation != 7 || back.Revision != m.Revision || len(back.Entries) != 6 {
		t.Fatalf("%+v", back)
	}
	for _, e := range m.Entries {
		if got, ok := back.Find(e.Kind, e.Name); !ok || got != e {
			t.Errorf("%+v came back as %+v", e, got)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add(reply([2]string{"a", "b"}))
	f.Add([]byte("\n" + testNonce + " begin 1\n\n" + testNonce + " end 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := parseReply(data, testNonce)
		if err == nil && !bytes.Contains(data, []byte("\n"+testNonce+" end")) {
			t.Fatalf("no end mark, and yet %+v", records)
		}
		for _, r := range records {
			if bytes.Contains(r.body, []byte("\n"+testNonce+" ")) {
				t.Fatalf("a mark within a body: %q", r.body)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add("evenkeel\t1\t7\trev\tid\nfile\ts\t/f\t" + strings.Repeat("ab", 32) + "\troot\troot\t644\t-\t-\t-\n")
	f.Add("evenkeel\t1\t0\t-\t-\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		for _, e := range m.Entries {
			if err := e.Check(); err != nil {
				t.Fatalf("%+v: %v", e, err)
			}
		}
	})
}

func FuzzUnquoteC(f *testing.F) {
	for _, s := range []string{`"a"`, `"a\"b" -> "c\\\001"`, `"\`, `"\4"`, `'x'`, `"\303\244"rest`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, rest, err := unquoteC(s)
		if err == nil && len(v)+len(rest)+2 > len(s) {
			t.Fatalf("%q became %q and %q", s, v, rest)
		}
	})
}

func TestUnquoteC(t *testing.T) {
	for quoted, want := range map[string]string{`"a b"`: "a b", `"a\"\\\n\t"`: "a\"\\\n\t", `"\303\244\001"`: "ä\x01", `""`: ""} {
		if got, rest, err := unquoteC(quoted); err != nil || got != want || rest != "" {
			t.Errorf("%s: %q, %q, %v", quoted, got, rest, err)
		}
	}
	for _, bad := range []string{"", "a", `"a`, `"a\`} {
		if got, _, err := unquoteC(bad); err == nil {
			t.Errorf("%s: %q", bad, got)
		}
	}
}
