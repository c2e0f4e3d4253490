package e2e

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

var unitSeed = flag.Uint64("unit-seed", 0, "of TestUnitFilesAgainstSystemd; 0: another one each time")

// unitStart is what each of the files begins with, for systemd to load it.
const unitStart = "[Service]\nType=oneshot\nExecStart=/bin/true\n"

// What ParseUnit reads is what systemd makes of a unit file: for files with a story, and
// for random ones. A setting that is text is compared, of two sections, and whether the
// unit is loaded at all.
func TestUnitFilesAgainstSystemd(t *testing.T) {
	lab.Require(t)
	seed := *unitSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-unit-seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	texts := []string{"", "[Unit]\nDescription=a b\n", "[Unit]\nDescription = \t a b \t\n", "[Unit]\nDescription=a \\\n  b\n", "[Unit]\nDescription=a \\\n# no\n; no\n  b\n",
		"[Unit]\nDescription=a\nDescription=b\n", "[Unit]\nDescription=a\nDescription=\n", "[Unit]\nDescription=a # b\n", "[Unit]\nDescription=\"a\" 'b'\n",
		"[Unit]\n  Description=a\n\t[Service]\n SyslogIdentifier=x\n", "[Unit]\nDescription=a\\\n\nSyslogIdentifier=x\n", "[Unit]\r\nDescription=a\r\n", "[Unit]\rDescription=a\rDescription=b",
		"[Unit]\nDescription=a\\\r\nb\n", "[Unit]\nDescription=a\x00Description=b\n", "[Unit]\nDescription=a\xff\nDescription\n=x\nb", "\ufeff[Unit]\nDescription=a\n", "[Unit]\n\ufeffDescription=a\n",
		"[X-Own]\nDescription=a\n", "[Unit]\nDescription=a\n[Nowhere]\nDescription=b\n", "[Unit\nDescription=a\n", "[Unit] \nDescription=a\n", "[Unit]x\nDescription=a\n", "[]\nDescription=a\n", "[ Unit ]\nDescription=a\n",
		"[Unit]\nDescription=a\\\\\nb\n", "[Unit]\nDescription=a\\", "[Unit]\nDescription=a\\ \nb\n", "[Unit]\nDescription==a=b\n", "[Unit]\ndescription=a\n", "[Unit]\nDescription=é世\U0001f511\n",
		"[Service]\nSyslogIdentifier=a\n[Unit]\nDescription=b\n[Service]\nSyslogIdentifier=c\n", "[Unit]\n#Description=a \\\nDescription=b\n", "[Unit]\nDescription=a\\\n[Service]\nSyslogIdentifier=b\n"}
	for range 400 {
		texts = append(texts, randomUnit(random))
	}
	got := madeBySystemd(t, texts)
	refused := 0
	for i, text := range texts {
		u, issues := desired.ParseUnit([]byte(unitStart + text))
		fatal := slices.ContainsFunc(issues, func(i desired.UnitIssue) bool { return i.Fatal })
		if loaded := got[i].load == "loaded"; loaded == fatal {
			t.Errorf("of %q systemd says %s, ParseUnit %v", text, got[i].load, issues)
			continue
		}
		if fatal {
			refused++
			continue
		}
		description := u.Last("Unit", "Description")
		if description == "" {
			description = fmt.Sprintf("unitfile-%d.service", i) // systemd's own
		}
		if identifier := u.Last("Service", "SyslogIdentifier"); description != got[i].description || identifier != got[i].identifier {
			t.Errorf("of %q systemd makes %q and %q, ParseUnit %q and %q", text, got[i].description, got[i].identifier, description, identifier)
		}
	}
	t.Logf("%d files, %d refused", len(texts), refused)
}

// randomUnit is a text out of what has a meaning in unit files.
func randomUnit(random *rand.Rand) string {
	pieces := []string{"[Unit]\n", "[Service]\n", "[X-a]\n", "\n", "\n", "\nDescription=", "\nDescription=", "\nSyslogIdentifier=", "\n SyslogIdentifier =", "\\\n", "\\\n", "\\", "\\\r\n", "\\\n\r", "\\\r\x00", "\\\x00\n", "\\\n\x00", "\r\n", "\r", "\x00",
		"\n#", "\n;", "#", " ", "\t", "a", "b", "c d", "=", "'", "\"", "[", "]", "é", "\xff", "\\x41", "\\n", "$a"}
	var b strings.Builder
	b.WriteString("[Unit]\n")
	for range random.IntN(24) {
		b.WriteString(pieces[random.IntN(len(pieces))])
	}
	return b.String()
}

// made is what systemd says of a unit.
type made struct{ load, description, identifier string }

// madeBySystemd is what systemd makes of each of the files.
func madeBySystemd(t *testing.T, texts []string) []made {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: 1, Base: lab.Base{Suite: os.Getenv("EVENKEEL_LAB_SUITE")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	h := l.Hosts()[0]
	for i, text := range texts {
		if err := h.WriteFile(fmt.Sprintf("/run/systemd/system/unitfile-%d.service", i), []byte(unitStart+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := h.Enter(ctx, fmt.Sprintf(`systemctl daemon-reload
for i in $(seq 0 %d); do
	for p in LoadState Description SyslogIdentifier; do systemctl show -p $p --value unitfile-$i.service | base64 -w0; echo; done
done`, len(texts)-1))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 3*len(texts) {
		t.Fatalf("%d lines for %d files", len(lines), len(texts))
	}
	all := make([]made, len(texts))
	for i := range texts {
		var said [3]string
		for j := range said {
			text, err := base64.StdEncoding.DecodeString(lines[3*i+j])
			if err != nil {
				t.Fatal(err)
			}
			said[j] = strings.TrimSuffix(string(text), "\n")
		}
		all[i] = made{said[0], said[1], said[2]}
	}
	return all
}
