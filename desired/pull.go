package desired

import (
	"net/url"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// pullHost is the way of an artifact that each host fetches by itself.
const pullHost = "host"

// checkPull says what is wrong with how an artifact comes to hosts, apart from its source.
func (a *ArtifactSpec) checkPull() (key, message, mend string) {
	if a.Bandwidth == "" {
		return "", "", ""
	}
	if a.Pull != pullHost {
		return "bandwidth", "bandwidth bounds what a host fetches by itself, and this is sent", "add pull: host, or bound what is sent with the controller's ssh.bandwidth"
	}
	if _, err := ParseBandwidth(a.Bandwidth); err != nil {
		return "bandwidth", "bandwidth: " + err.Error(), "write it as 10MB or 500KiB (a second)"
	}
	return "", "", ""
}

// checkPullSource says why no host fetches that source by itself; a template's result.
func checkPullSource(source string) (message, mend string) {
	if u, err := url.Parse(source); err != nil || u.Scheme != "https" {
		return "a host fetches by itself from https:// alone, not " + fault.Quote(hostdriver.RedactURLs(source)), "give an https:// URL, or write pull: controller"
	}
	p := hostdriver.Pull{URL: hostdriver.NewContent([]byte(source))}
	if err := p.Check(); err != nil {
		return err.Error(), "escape what stands in it with %, or write pull: controller"
	}
	return "", ""
}

// pull is how the host fetches the source; nil where it is sent.
func (a *compiledArtifact) pull(source string) *hostdriver.Pull {
	if a.spec.Pull != pullHost {
		return nil
	}
	bandwidth, _ := ParseBandwidth(a.spec.Bandwidth) // checked as the service was decoded
	return &hostdriver.Pull{URL: hostdriver.NewContent([]byte(source)), Bandwidth: bandwidth}
}

// readHere tells whether the content is needed on this side: to be sent, or for a signature
// that is made of all of it. What cosign signs is the digest, which is pinned.
func (a *compiledArtifact) readHere() bool {
	return a.spec.Pull != pullHost || a.spec.Signature != nil && a.spec.Signature.Minisign != ""
}

// pinned is what is known of a source that is not read here, once for a Revision.
func (s *artifacts) pinned(source, digest string, unpack bool) *bundle {
	key := strings.Join([]string{"pinned", digest, source}, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.known[key]
	if b == nil {
		b = absentBundle(digest, unpack)
		s.known[key] = b
	}
	return b
}
