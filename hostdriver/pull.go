package hostdriver

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Pull says where a host fetches the source of a release by itself.
type Pull struct {
	// URL is https. What is behind its "?" may be a password, so it prints as [redacted]:
	// Place is what may be shown.
	URL       Content
	Bandwidth int64 // bytes a second at most; 0: not bounded
}

// Place is the URL as it may be shown.
func (p *Pull) Place() string { return RedactURLs(string(p.URL.Bytes())) }

// HasQuery tells whether the URL has a part that is not shown.
func (p *Pull) HasQuery() bool { return strings.Contains(string(p.URL.Bytes()), "?") }

// urlText are the characters that RFC 3986 lets a URL have: none that a shell, or a file of
// curl's settings, takes for something else.
var urlText = regexp.MustCompile(`^[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+$`)

// Check tells what no host is asked to fetch.
func (p *Pull) Check() error {
	text := string(p.URL.Bytes())
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || !urlText.MatchString(text) || len(text) > 8000:
		return fmt.Errorf("a host does not fetch %s: it is not an https URL of plain characters", p.Place())
	case u.User != nil:
		return errors.New("the URL holds a password")
	case u.Fragment != "":
		return fmt.Errorf("a host does not fetch %s: it has a fragment", p.Place())
	case p.Bandwidth < 0:
		return fmt.Errorf("a bandwidth of %d", p.Bandwidth)
	}
	return nil
}

var someURL = regexp.MustCompile(`(?i)(?:git\+)?https?://[^\s"'<>]+`)

// RedactURLs takes out of a text what may be a password in the URLs in it: the part behind
// "?", and the one before "@". A commit as an artifact (git+https:) has no secret there.
func RedactURLs(text string) string {
	return someURL.ReplaceAllStringFunc(text, func(u string) string {
		if strings.HasPrefix(strings.ToLower(u), "git+") {
			return u
		}
		scheme, rest, _ := strings.Cut(u, "://")
		rest, query, asked := strings.Cut(rest, "?")
		host, path, slash := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			host = redacted + host[i:]
		}
		if rest = host; slash {
			rest += "/" + path
		}
		if asked && query != "" {
			rest += "?" + redacted
		}
		return scheme + "://" + rest
	})
}

// PullFault is why a host did not pull, in one word.
type PullFault string

// The faults. The first five are known before anything is fetched.
const (
	PullNoTool    PullFault = "tool"
	PullQuery     PullFault = "query"
	PullBandwidth PullFault = "bandwidth"
	PullNoZstd    PullFault = "zstd"
	PullNoUnzip   PullFault = "unzip"
	PullFetch     PullFault = "fetch"    // the last thing that was said
	PullTime      PullFault = "time"     // the same
	PullRedirect  PullFault = "redirect" // to where
	PullSize      PullFault = "size"     // the bytes
	PullRoom      PullFault = "room"     // the bytes needed, and those there are
	PullDigest    PullFault = "digest"   // the one that it has
	PullEntry     PullFault = "entry"    // which, and what is wrong with it
	PullUnpack    PullFault = "unpack"   // what was said
)

// InTheWay tells whether the fault is one of the host's tools, to be found by a precheck.
func (f PullFault) InTheWay() bool {
	switch f {
	case PullNoTool, PullQuery, PullBandwidth, PullNoZstd, PullNoUnzip:
		return true
	}
	return false
}

// pullController ends the mends: the way that needs nothing of the host.
const pullController = "or write pull: controller"

// PullError puts into words why r was not pulled. The detail comes from the host.
func (r Release) PullError(f PullFault, detail string) (what, mend string) {
	place := r.Pull.Place()
	detail = strings.TrimSpace(RedactURLs(detail))
	cannot := "cannot fetch " + place + ": "
	switch f {
	case PullNoTool:
		return cannot + "there is neither curl nor wget", "install curl there, " + pullController
	case PullQuery:
		return cannot + "it has a query, which may be a password, and busybox's wget would show it to everybody who may list processes",
			"install curl there, " + pullController
	case PullBandwidth:
		return cannot + "busybox's wget cannot bound its bandwidth", "install curl there, leave bandwidth out, " + pullController
	case PullNoZstd:
		return "cannot unpack " + place + ": there is no zstd", "install zstd there, " + pullController
	case PullNoUnzip:
		return "cannot unpack " + place + ": there is no unzip", "install unzip there, " + pullController
	case PullTime:
		if detail == "" {
			detail = "it has not ended"
		}
		return cannot + "it took too long: " + detail, "try again: what has come need not come again; see whether bandwidth is too low"
	case PullRedirect:
		return cannot + "it is redirected to " + detail + ", which is not https", "name an https URL that stays https"
	case PullSize:
		return cannot + "it has " + detail + " bytes, which is too much", "an artifact has at most 8 GiB, unpacked too"
	case PullRoom:
		need, have, _ := strings.Cut(detail, " ")
		return fmt.Sprintf("cannot fetch and unpack %s: %s bytes are needed on the filesystem of %s, which has %s", place, need, r.Dir(), have),
			"make room there: df " + r.Dir()
	case PullDigest:
		return fmt.Sprintf("%s has the sha256 %s there, not %s", place, detail, r.SHA256), "write its sha256, or put the right file there"
	case PullEntry:
		return "cannot unpack " + place + ": " + detail, "look who has made the archive; of files, folders and links within it, tar -C DIR -cf FILE . makes one"
	case PullUnpack:
		return "cannot unpack " + place + ": " + detail, "see whether it is a tar, or what unpack says, and whether the disk of " + r.Dir() + " is full"
	}
	return cannot + detail, "see that the URL answers there: log in and fetch it; what has come need not come again"
}

// Dir is where releases of the same artifact are.
func (r Release) Dir() string { return r.Path[:max(0, strings.LastIndexByte(r.Path, '/'))] }

// PullFinding is what a precheck finds of a release that is to be pulled.
func (r Release) PullFinding(f PullFault) Finding {
	what, mend := r.PullError(f, "")
	return Finding{Reason: CannotPull, Place: r.Path, What: what, Mend: mend}
}

// Unpacker is the tool that the URL's name says the release is unpacked with, beside tar
// and gzip: "zstd", "zip" or "".
func (r Release) Unpacker() string {
	if r.Pull == nil || r.Form != FormTar {
		return ""
	}
	u, err := url.Parse(string(r.Pull.URL.Bytes()))
	switch {
	case err != nil:
	case strings.HasSuffix(u.Path, ".zst"):
		return "zstd"
	case strings.HasSuffix(u.Path, ".zip"):
		return "zip"
	}
	return ""
}
