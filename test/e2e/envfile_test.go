package e2e

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

var envSeed = flag.Uint64("env-seed", 0, "of TestEnvFilesAgainstSystemd; 0: another one each time")

// envUnit tells what systemd gives to a process for an env file of its instance's name.
const envUnit = `[Service]
Type=oneshot
EnvironmentFile=/etc/envfile/%i.env
ExecStart=/bin/cat /proc/self/environ
StandardOutput=file:/run/envfile/%i
`

// envCases is how many files of each kind one run tries, beside those with names.
const envCases = 200

// What ParseEnv reads is what systemd gives to a process, byte for byte, and what
// WriteEnv writes is what was meant: for files with a story, and for random ones.
func TestEnvFilesAgainstSystemd(t *testing.T) {
	lab.Require(t)
	seed := *envSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-env-seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	texts := []string{"", // what systemd adds of its own
		"A=1\n", "A=1", "  A \t=  1  \t\n", "A=b # c\n", "# A=1\n; A=2\n  # A=3\nB=1\n", "A=$HOME `id` %i\n", "A=\"\\\"\\\\\\`\\$\\n\"\n", "A='\\n \"x\" $y'\n",
		"A=\"a\"'b'c\n", "A=\"a\"  \"b\"\n", "A=it's \"so\"\n", "A=\"a\nb\"\nB=1\n", "A=a\\\nb\nB=\"c\\\nd\"\n", "A=a\\ b\\\"\n", "A=a\\nb\\tc\n", "A=a\\ \nB=1\n",
		"A=1\r\nB=2\r\n", "A=1\nB=2\nA=3\n", "export A=1\n", "A\nB=1\nC", "A=\"x\nB=2\n", "A='x\\\ny'\n", "A=é世\U0001f511\n", "A=\xff\n", "A=\u2028\u00a0x\n", "A=\x01\x7f\n",
		"A=\\", "A=\"\\", "A=\"\\\n\"", "A= \"a b\" \n", "A==b=c\n", "\ufeffA=1\n", "A=\n", "A=\"\"\n", "A=''b\n", "A=a\\\r\nb\n", "A=\"a\\\r\nb\"\n"}
	for range envCases {
		texts = append(texts, randomText(random))
	}
	var meant []map[string]string
	for range envCases {
		vars := map[string]string{"A": randomValue(random), "B_1": randomValue(random), "_c": randomValue(random)}
		var list []desired.EnvAssignment
		for _, k := range slices.Sorted(maps.Keys(vars)) {
			list = append(list, desired.EnvAssignment{Key: k, Value: vars[k]})
		}
		text, err := desired.WriteEnv(list)
		if err != nil {
			t.Fatalf("%q: %v", vars, err)
		}
		meant = append(meant, vars)
		texts = append(texts, string(text))
	}
	got := givenBySystemd(t, texts)
	base, refused := got[0], 0
	for i, text := range texts {
		read, issues := desired.ParseEnv([]byte(text))
		want := map[string]string{}
		for _, v := range read {
			want[v.Key] = v.Value
		}
		fatal := slices.ContainsFunc(issues, func(i desired.EnvIssue) bool { return i.Fatal })
		if got[i] == nil {
			refused++
			if !fatal {
				t.Errorf("systemd refuses %q, and ParseEnv does not", text)
			}
			continue
		}
		has := map[string]string{}
		for k, v := range got[i] {
			if _, own := base[k]; !own {
				has[k] = v
			}
		}
		// Where it is told to be fatal, versions of systemd differ, or it is refused by them.
		if !fatal && !maps.Equal(has, want) {
			t.Errorf("of %q systemd makes %q, ParseEnv %q", text, has, want)
		}
		if n := i - (len(texts) - len(meant)); n >= 0 && !maps.Equal(has, meant[n]) {
			t.Errorf("%q was written as %q, and became %q", meant[n], text, has)
		}
	}
	t.Logf("%d files, %d refused", len(texts), refused)
}

// givenBySystemd is the environment of a process with each env file; nil where systemd
// starts none.
func givenBySystemd(t *testing.T, texts []string) []map[string]string {
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
	put := func(name, text string) {
		t.Helper()
		if err := h.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("/etc/systemd/system/envfile@.service", envUnit)
	for i, text := range texts {
		put(fmt.Sprintf("/etc/envfile/%d.env", i), text)
	}
	out, err := h.Enter(ctx, fmt.Sprintf(`mkdir -p /run/envfile && systemctl daemon-reload
seq -f 'envfile@%%.0f.service' 0 %d | xargs -n 50 systemctl start
cd /run/envfile && for i in $(seq 0 %d); do
	echo "$i $(systemctl show -p Result --value envfile@$i.service) $(base64 -w0 <$i)"
done`, len(texts)-1, len(texts)-1))
	if err != nil && out == "" {
		t.Fatal(err)
	}
	return environments(t, out, len(texts))
}

// environments reads lines of number, unit's result and environment in base64.
func environments(t *testing.T, out string, n int) []map[string]string {
	t.Helper()
	all := make([]map[string]string, n)
	seen := 0
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		var i int
		if _, err := fmt.Sscan(f[0], &i); err != nil || i < 0 || i >= n || len(f) < 2 {
			t.Fatalf("a line reads %q", line)
		}
		seen++
		if f[1] != "success" {
			continue
		}
		text, err := base64.StdEncoding.DecodeString(strings.Join(f[2:], ""))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = map[string]string{}
		for v := range strings.SplitSeq(string(text), "\x00") {
			if k, value, ok := strings.Cut(v, "="); ok {
				all[i][k] = value
			}
		}
	}
	if seen != n || all[0] == nil {
		t.Fatalf("%d of %d answered", seen, n)
	}
	return all
}

// randomText is an env file as nobody would write it: pieces that mean something to
// systemd, in any order.
func randomText(r *rand.Rand) string {
	pieces := []string{"A=", "B=", "_c1=", "A", "=", "\"", "'", "\\", "\\\\", "\\\n", "\n", "\n", "\r", "\t", " ", "#", "\n#", "\n;", ";", "$", "`", "x", "y z", "é", "世", "\u2028",
		"export ", "1", "-", "\x01", "\x7f", "\xff", "\ufffe", "\\n", "\\$", "\"\n", "'\n"}
	var b strings.Builder
	for range 1 + r.IntN(14) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// randomValue is a value of any text that an environment can hold.
func randomValue(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(12) {
		switch r.IntN(5) {
		case 0:
			b.WriteRune(rune(1 + r.IntN(127)))
		case 1:
			b.WriteRune(rune(0x80 + r.IntN(0xD000)))
		case 2:
			b.WriteRune(rune(0x10000 + r.IntN(0xFFF0)))
		default:
			b.WriteByte(" \t\n\r\"'\\`$#;=%!~"[r.IntN(15)])
		}
	}
	return b.String()
}
