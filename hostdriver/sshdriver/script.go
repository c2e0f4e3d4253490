package sshdriver

import (
	"embed"
	"fmt"
	"io"
	"strings"
	"sync"
)

//go:embed script/*.sh
var scriptFiles embed.FS

// scriptPart is one file of script/, without comments and indentation: nothing in
// there depends on either.
func scriptPart(name string) string {
	src, err := scriptFiles.ReadFile("script/" + name + ".sh")
	if err != nil {
		panic(err) // embedded: a misspelt name, found by any test
	}
	var b strings.Builder
	for line := range strings.Lines(string(src)) {
		line = strings.TrimLeft(line, "\t")
		if line == "\n" || strings.HasPrefix(line, "#") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

var scriptParts = func() map[string]string {
	parts := make(map[string]string)
	entries, err := scriptFiles.ReadDir("script")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".sh")
		parts[name] = scriptPart(name)
	}
	return parts
}()

// places are where things are on a host; only tests have others.
type places struct {
	state, run, path string
}

var hostPlaces = places{
	state: "/var/lib/evenkeel",
	run:   "/run/evenkeel",
	path:  "/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin",
}

// script is the text of one request: functions, then variables, then the call.
// It is one compound command, so a shell that was sent only a part of it runs
// nothing at all.
type script struct {
	nonce  string
	places places
	vars   strings.Builder
	parts  []string
	err    error
}

func newScript(p places, parts ...string) *script {
	return &script{nonce: newNonce(), places: p, parts: append([]string{"frame"}, parts...)}
}

// set gives a shell variable its value, which may hold newlines between items but
// no other control character and no NUL.
func (s *script) set(name, value string) {
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\n' && c != '\t' || c == 0x7f) && s.err == nil {
			s.err = fmt.Errorf("%q holds a control character, which no name on a host may", value)
		}
	}
	s.vars.WriteString(name)
	s.vars.WriteByte('=')
	s.vars.WriteString(quote(value))
	s.vars.WriteByte('\n')
}

func (s *script) setInt(name string, v int64) { s.set(name, fmt.Sprint(v)) }

func (s *script) setFlag(name string, v bool) {
	if v {
		s.set(name, "1")
	} else {
		s.set(name, "0")
	}
}

// setList is a list of one item a line; an item holds neither newline nor tab.
func (s *script) setList(name string, items []string) {
	for _, it := range items {
		s.check(it)
	}
	s.set(name, strings.Join(items, "\n"))
}

// check refuses what would break a list apart.
func (s *script) check(item string) {
	if (item == "" || strings.ContainsAny(item, "\n\t")) && s.err == nil {
		s.err = fmt.Errorf("%q is empty or holds a newline or tab, which no name on a host may", item)
	}
}

// text is a whole request, for a shell of its own; call is its last command.
func (s *script) text(call string) string { return strings.Join(s.pieces(call), "") }

// pieces are the same, of which the longest one is not made anew for each request.
func (s *script) pieces(call string) pieces {
	return pieces{"{\n" + s.places.setting(s.nonce), partsText(s.parts), s.vars.String(), s.ending(call)}
}

// pieces are one text; to Read takes what was read away.
type pieces []string

func (p pieces) len() (n int) {
	for _, s := range p {
		n += len(s)
	}
	return n
}

func (p *pieces) Read(b []byte) (n int, err error) {
	for n < len(b) && len(*p) > 0 {
		k := copy(b[n:], (*p)[0])
		n += k
		if (*p)[0] = (*p)[0][k:]; (*p)[0] == "" {
			*p = (*p)[1:]
		}
	}
	if n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// errand is the same for a shell that stays, and has been told the parts.
func (s *script) errand(call string) string { return "{\n" + s.vars.String() + s.ending(call) }

func (s *script) ending(call string) string {
	return "rec begin " + protocolVersion + "\n" + call + "\n}\n"
}

func (p places) setting(nonce string) string {
	return fmt.Sprintf("NONCE=%s SOH='\x01' D=%s R=%s PATH=%s\n", nonce, quote(p.state), quote(p.run), quote(p.path))
}

// partsText is the parts as one text. There are few combinations, and each is asked for
// again and again.
func partsText(parts []string) string {
	key := strings.Join(parts, " ")
	if text, ok := joinedParts.Load(key); ok {
		return text.(string)
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(scriptParts[p])
	}
	joinedParts.Store(key, b.String())
	return b.String()
}

var joinedParts sync.Map

// shellText begins a shell that stays: see script/shell.sh.
func shellText(p places) string {
	return "{\n" + p.setting("none") + partsText([]string{"frame", "shell"}) + "serve\n}\n"
}

// quote makes one word of the POSIX shell of any text without NUL.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
