package sshdriver

import (
	"os"
	"strings"
)

// fetchTools are what the hosts of the contract have, of which a case hides some.
var fetchTools = []string{"curl", "wget", "busybox", "zstd", "unzip"}

// origin is an https server on the bridge, which the host trusts.
func (m *labMachine) origin() *origin {
	m.t.Helper()
	if m.web == nil {
		m.web = newOriginAt(m.t, m.gateway)
		ca, err := os.ReadFile(m.web.ca)
		if err != nil {
			m.t.Fatal(err)
		}
		m.do("cd /etc/ssl/certs && { [ -e plain.crt ] || cp ca-certificates.crt plain.crt; } && { cat plain.crt; printf %%s %s; } >ca-certificates.crt", quote(string(ca)))
	}
	return m.web
}

// Fetcher hides the others; busybox has no name of its own for its wget there.
func (m *labMachine) Fetcher(tool string) {
	m.t.Helper()
	m.do(`for f in curl wget busybox; do
	[ ! -e /usr/bin/$f.hidden ] || mv /usr/bin/$f.hidden /usr/bin/$f
	[ $f = %s ] || mv /usr/bin/$f /usr/bin/$f.hidden
done`, quote(tool))
}

func (m *labMachine) Publish(path string, data []byte) string {
	o := m.origin()
	o.set(func() {
		if o.files[path] = data; data == nil {
			delete(o.files, path)
		}
	})
	return o.URL + path
}

func (m *labMachine) Redirect(path, to string) {
	o := m.origin()
	o.set(func() { o.away[path] = to })
}

func (m *labMachine) Asked(path string) (n int) {
	for _, q := range m.origin().requests() {
		if words := strings.Fields(q); strings.HasPrefix(words[1]+"?", path+"?") {
			n++
		}
	}
	return n
}
