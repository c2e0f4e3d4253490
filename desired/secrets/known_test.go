package secrets

import (
	"strings"
	"testing"
)

// Who was removed and still knows a value is told, as far as versions and keys go.
func TestForgotten(t *testing.T) {
	mine, _, me := newKey(t)
	_, _, them := newKey(t)
	d, none := NewDecrypter(Options{IdentityFile: mine, Getenv: noEnv}), NewDecrypter(Options{Getenv: noEnv})
	old := seal(t, "a.env", "# c\nA=1\nB=2\nC=\n", me, them)
	open := func(data []byte) *Document {
		t.Helper()
		doc, err := d.Open("a.env", data, Rules{})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	// as sops updatekeys does: the data key stays
	doc := open(old)
	doc.tree.Metadata.KeyGroups[0] = doc.tree.Metadata.KeyGroups[0][:1]
	same := sealed(t, doc)
	doc = open(old)
	if err := doc.RemoveRecipients([]string{them}); err != nil {
		t.Fatal(err)
	}
	anew := sealed(t, doc)
	doc = open(anew)
	if _, err := doc.Set(Path{"A"}, New([]byte("11"))); err != nil {
		t.Fatal(err)
	}
	half := sealed(t, doc)
	doc = open(half)
	if _, err := doc.Set(Path{"B"}, New([]byte("22"))); err != nil {
		t.Fatal(err)
	}
	whole := sealed(t, doc)
	removed := them + ", which was removed since, could open it in commit c1 (2026-01-02), and "
	for name, c := range map[string]struct {
		d         *Decrypter
		now, then []byte
		want      string
	}{
		"the data key stayed":           {d, same, old, removed + "each value of A, B is still what it was"},
		"it stayed, and we have no key": {none, same, old, removed + "each value of A, B is still what it was"},
		"values are as they were":       {d, anew, old, removed + "each value of A, B is still what it was"},
		"we cannot tell":                {none, anew, old, ""},
		"one was changed":               {d, half, old, removed + "the value of B is still what it was"},
		"all were changed":              {d, whole, old, ""},
		"nobody was removed":            {d, old, old, ""},
		"one came":                      {d, old, same, ""},
		"it was plain text":             {d, half, []byte("B=2\nA=1\n"), "it was plain text in commit c1 (2026-01-02), and the value of B is still what it was"},
		"it was something else":         {d, half, []byte("hunter2"), ""},
	} {
		got := c.d.Forgotten("a.env", c.now, []Version{{Commit: "c1", Date: "2026-01-02", Data: c.then}, {Commit: "c0", Date: "2026-01-01", Data: c.then}})
		text := ""
		for _, f := range got {
			text += f.Message
			if f.IsError() || strings.Contains(f.String(), "hunter") {
				t.Errorf("%s: %v", name, f)
			}
		}
		if text != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", name, text, c.want)
		}
	}
}
