package sshdriver

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// A manifest is kept on the host as lines of tab separated fields, so that a shell
// can carry it out. The first line is
//
//	evenkeel  1  GENERATION  REVISION  ID
//
// where ID is random: two manifests with the same first line are the same. Then one
// line an entry, in the order of hostdriver.Entry's fields, mode in octal, and "-"
// for a field that is empty. A file has no target: what is sealed in it stands there.

// ownManifest is a manifest as it was read from a host.
type ownManifest struct {
	hostdriver.Manifest
	header string // the first line, without newline; "" where nothing was ever switched
	sum    uint64 // of the whole text, by manifestSeed
}

// manifestSeed is this process' own: no host can make another text with the same sum.
var manifestSeed = maphash.MakeSeed()

// again is the manifest that a host tells: this very one, if it is told in the same words.
func (m ownManifest) again(body string) (ownManifest, error) {
	sum := maphash.String(manifestSeed, body)
	if m.header != "" && m.sum == sum {
		return m, nil
	}
	told, err := parseManifest(body)
	told.sum = sum
	return told, err
}

const (
	manifestWord    = "evenkeel"
	manifestVersion = "1"
	entryFields     = 10
)

// encodeManifest writes m, or says what in it no host can keep.
func encodeManifest(m hostdriver.Manifest, id string) (string, error) {
	if err := m.Check(); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%s\n", manifestWord, manifestVersion, m.Generation, m.Revision, id)
	entries := slices.Clone(m.Entries)
	slices.SortStableFunc(entries, compareEntries)
	for _, e := range entries {
		b.WriteString(encodeEntry(e))
	}
	return b.String(), nil
}

func compareEntries(a, b hostdriver.Entry) int {
	if c := strings.Compare(string(a.Kind), string(b.Kind)); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

func encodeEntry(e hostdriver.Entry) string {
	mode := ""
	if e.Mode != 0 || e.Kind == hostdriver.KindFile || e.Kind == hostdriver.KindDirectory {
		mode = fmt.Sprintf("%o", e.Mode)
	}
	target := e.Target
	if e.Kind == hostdriver.KindFile {
		target = e.Sealed
	}
	fields := []string{string(e.Kind), e.Service, e.Name, e.SHA256, e.Owner, e.Group, mode, target, e.Enabled, e.State}
	for i, f := range fields {
		if f == "" {
			fields[i] = "-"
		}
	}
	return strings.Join(fields, "\t") + "\n"
}

func oneOf(s string, all ...string) bool { return slices.Contains(all, s) }

// parseManifest reads what encodeManifest wrote, from a host that is not trusted.
func parseManifest(body string) (ownManifest, error) {
	header, rest, _ := strings.Cut(body, "\n")
	f := strings.Split(header, "\t")
	if len(f) != 5 || f[0] != manifestWord || f[1] != manifestVersion {
		return ownManifest{}, fmt.Errorf("the manifest begins with %.60q", header)
	}
	gen, err := parseCount(f[2])
	if err != nil {
		return ownManifest{}, fmt.Errorf("the manifest's generation: %w", err)
	}
	m := ownManifest{header: strings.Clone(header), Manifest: hostdriver.Manifest{Generation: gen, Revision: printable(f[3], 256)}}
	if n := strings.Count(rest, "\n"); n > 0 { // it is kept, so it takes no more room than it needs
		m.Entries = make([]hostdriver.Entry, 0, min(n, 1024))
	}
	for line := range strings.Lines(rest) {
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			return ownManifest{}, fmt.Errorf("the manifest's line %.120q: %w", line, err)
		}
		m.Entries = append(m.Entries, e)
	}
	return m, nil
}

func parseEntry(line string) (hostdriver.Entry, error) {
	if n := strings.Count(line, "\t") + 1; n != entryFields {
		return hostdriver.Entry{}, fmt.Errorf("%d fields", n)
	}
	var f [entryFields]string
	for i := range f {
		f[i], line, _ = strings.Cut(line, "\t")
		if f[i] == "-" {
			f[i] = ""
		}
		f[i] = common.one(f[i])
	}
	e := hostdriver.Entry{Kind: hostdriver.EntryKind(f[0]), Service: f[1], Name: f[2], SHA256: f[3], Owner: f[4], Group: f[5],
		Target: f[7], Enabled: f[8], State: f[9]}
	if e.Kind == hostdriver.KindFile {
		e.Sealed, e.Target = e.Target, ""
	}
	if f[6] != "" {
		mode, err := strconv.ParseUint(f[6], 8, 16)
		if err != nil {
			return e, fmt.Errorf("mode %q: %w", f[6], err)
		}
		e.Mode = uint32(mode)
	}
	return e, e.Check()
}

// parseCount reads a generation or an epoch.
func parseCount(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a number", s)
	}
	return n, nil
}
