package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const answer = "Type=simple\nActiveState=active\nExecStart={ path=/usr/local/bin/victim ; argv[]=x=y }\n--\n" +
	"81a4 644 210 0 root 0 root 1.000000000 2.000000000 7 /etc/systemd/system/victim.service\n" +
	"8180 600 30 0 root 0 root 1.000000000 2.000000000 8 /etc/default/victim\n" +
	"81ed 755 8388608 0 root 0 root 1.000000000 2.000000000 9 /usr/local/bin/victim\n--\n" +
	digest + "  /etc/systemd/system/victim.service\n" + digest + "  /etc/default/victim\n"

func TestParseReading(t *testing.T) {
	r, err := parseReading(answer)
	if err != nil {
		t.Fatal(err)
	}
	if r.unit["Type"] != "simple" || r.sums[envPath] != digest || !strings.Contains(r.stats[binaryPath], " 8388608 ") {
		t.Errorf("read as %+v", r)
	}
	if err := r.check(false); err != nil {
		t.Error(err)
	}
	if err := r.check(true); err == nil {
		t.Error("a reading without the binary's digest passes for one with it")
	}
	stopped, err := parseReading(strings.Replace(answer, "=active", "=failed", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := stopped.check(false); err == nil {
		t.Error("a failed unit passes")
	}
}

func TestParseReadingRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "",
		"cut":           answer[:strings.LastIndex(answer, "\n--\n")],
		"a short stat":  strings.Replace(answer, " 8 /etc/default/victim", "", 1),
		"a cut digest":  answer[:len(answer)-60],
		"a shell error": "sudo: a password is required\n",
	} {
		if r, err := parseReading(text); err == nil && r.check(false) == nil {
			t.Errorf("%s passes for a reading: %+v", name, r)
		}
	}
}

func FuzzParseReading(f *testing.F) {
	f.Add(answer)
	f.Add("\n--\n\n--\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseReading(text)
		if err == nil && len(r.sums) > strings.Count(text, "\n")+1 {
			t.Errorf("%d digests in %q", len(r.sums), text)
		}
	})
}

// The floor must ask systemd for no less than evenkeel does.
func TestUnitPropertiesAreEvenkeels(t *testing.T) {
	files, err := filepath.Glob("../../hostdriver/sshdriver/script/*.sh")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var scripts strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	var props string
	for line := range strings.Lines(scripts.String()) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "PROPS=")
		if !ok {
			continue
		}
		if more, ok := strings.CutPrefix(value, "$PROPS"); ok {
			props += more
		} else {
			props = value
		}
	}
	if props != unitProperties {
		t.Errorf("evenkeel asks for\n%s\nand the floor for\n%s", props, unitProperties)
	}
}

func TestReadingCommandQuotesForSudo(t *testing.T) {
	got := readingCommand(true, true)
	inner, ok := strings.CutPrefix(got, "sudo -n /bin/sh -c '")
	if !ok || !strings.HasSuffix(inner, "'") {
		t.Fatalf("not one quoted word: %s", got)
	}
	if plain := strings.ReplaceAll(strings.TrimSuffix(inner, "'"), `'\''`, "'"); plain != readingCommand(true, false) {
		t.Errorf("with sudo it runs %s", plain)
	}
}
