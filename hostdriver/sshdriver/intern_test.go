package sshdriver

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

func TestInternerSharesAndForgets(t *testing.T) {
	var i interner
	long := strings.Repeat("x", 1000) + "/etc/app.env"
	first := i.one(long[1000:])
	if first != "/etc/app.env" || unsafe.StringData(first) == unsafe.StringData(long[1000:]) {
		t.Error("it keeps the longer string")
	}
	if again := i.one(strings.Clone("/etc/app.env")); unsafe.StringData(again) != unsafe.StringData(first) {
		t.Error("equal strings have memory of their own")
	}
	if i.one(long) != long || i.one("") != "" {
		t.Error("another string came back")
	}
	for n := range 2 * maxInterned {
		i.one(fmt.Sprint(n))
	}
	if len(i.known) > maxInterned {
		t.Errorf("it knows %d strings", len(i.known))
	}
}

// A manifest that is told in the same words is the same one, and in others it is not.
func TestManifestsAreReadOnce(t *testing.T) {
	text := "evenkeel\t1\t3\tabc\tid\nfile\tweb\t/etc/web.env\t" + strings.Repeat("a", 64) + "\troot\troot\t600\t-\t-\t-\n"
	first, err := ownManifest{}.again(text)
	if err != nil || len(first.Entries) != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := first.again(text)
	if err != nil || &second.Entries[0] != &first.Entries[0] {
		t.Errorf("%+v, %v", second, err)
	}
	third, err := first.again(strings.Replace(text, "600", "640", 1)) // the same first line, too
	if err != nil || third.Entries[0].Mode != 0o640 {
		t.Errorf("%+v, %v", third, err)
	}
}
