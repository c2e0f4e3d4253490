package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// credential is one thing to offer: a key, or a certificate with its key.
type credential struct {
	signer ssh.Signer
	source string // the file, or "agent: comment"
}

func (c credential) tried() TriedKey {
	return TriedKey{Source: c.source, KeyType: c.signer.PublicKey().Type(), Fingerprint: ssh.FingerprintSHA256(plainKey(c.signer.PublicKey()))}
}

// credentials are all that a login may offer, in order: the files that flags or
// ssh_config name, then the agent's other keys, then ssh's default files; of a key
// that has a certificate, the certificate first.
type credentials struct {
	list     []credential
	problems []string // what could not be used, and what would help
	agent    net.Conn // open while the agent may be asked to sign
}

func (c *credentials) close() {
	if c.agent != nil {
		_ = c.agent.Close()
	}
}

// gatherCredentials reads files and asks the agent, which may take until ctx ends.
func gatherCredentials(ctx context.Context, l *login) *credentials {
	c := &credentials{}
	held := c.openAgent(ctx, l)
	certs := c.loadCertificates(l)
	var files, own []credential
	for _, path := range l.identities {
		id, err := loadIdentity(path)
		if err != nil {
			if l.identitiesGiven || !errors.Is(err, fs.ErrNotExist) {
				c.problems = append(c.problems, err.Error())
			}
			continue
		}
		found := c.offers(id, held, certs)
		if len(found) == 0 {
			c.problems = append(c.problems, id.path+" "+id.why)
		}
		files = append(files, found...)
	}
	if !l.identitiesOnly {
		for _, h := range held {
			own = append(own, h)
			own = append(own, withCertificates(h, certs)...)
		}
	}
	if l.identitiesGiven {
		c.add(files)
		c.add(own)
	} else {
		c.add(own)
		c.add(files)
	}
	return c
}

// offers returns what one identity file stands for.
func (c *credentials) offers(id identity, held []credential, certs []*ssh.Certificate) []credential {
	base := credential{signer: id.signer, source: id.path}
	var all []credential
	if id.signer == nil {
		for _, h := range held {
			if id.public == nil || !sameKey(plainKey(h.signer.PublicKey()), plainKey(id.public)) {
				continue
			}
			if _, isCert := h.signer.PublicKey().(*ssh.Certificate); isCert {
				all = append(all, h)
			} else {
				base.signer = h.signer
				base.source = id.path + " (agent)"
			}
		}
		if base.signer == nil {
			return all
		}
	}
	cert, err := loadCertificate(id.path+"-cert.pub", time.Now())
	if err == nil {
		all = append(all, withCertificates(base, []*ssh.Certificate{cert})...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		c.problems = append(c.problems, err.Error())
	}
	all = append(all, withCertificates(base, certs)...)
	return append(all, base)
}

func withCertificates(base credential, certs []*ssh.Certificate) []credential {
	var all []credential
	for _, cert := range certs {
		if !sameKey(cert.Key, base.signer.PublicKey()) {
			continue
		}
		if signer, err := ssh.NewCertSigner(cert, modernSigner(base.signer)); err == nil {
			all = append(all, credential{signer: signer, source: base.source + " with certificate " + cert.KeyId})
		}
	}
	return all
}

func (c *credentials) loadCertificates(l *login) []*ssh.Certificate {
	var certs []*ssh.Certificate
	for _, path := range l.certificates {
		cert, err := loadCertificate(path, time.Now())
		if err != nil {
			c.problems = append(c.problems, err.Error())
			continue
		}
		certs = append(certs, cert)
	}
	return certs
}

// add appends what is not in the list yet.
func (c *credentials) add(list []credential) {
	for _, n := range list {
		known := false
		for _, old := range c.list {
			known = known || sameKey(old.signer.PublicKey(), n.signer.PublicKey())
		}
		if !known {
			c.list = append(c.list, n)
		}
	}
}

// openAgent returns what the agent holds. An agent that cannot be reached is a
// problem only if nothing else lets us in, so it is noted and not returned.
func (c *credentials) openAgent(ctx context.Context, l *login) []credential {
	if l.agent == "" {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", l.agent)
	if err != nil {
		c.problems = append(c.problems, fmt.Sprintf("agent: %v", err))
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	c.agent = conn
	client := agent.NewClient(conn)
	keys, err := client.List()
	if err == nil {
		var signers []ssh.Signer
		if signers, err = client.Signers(); err == nil {
			return heldBy(keys, signers)
		}
	}
	c.problems = append(c.problems, fmt.Sprintf("agent %s: %v", l.agent, err))
	return nil
}

func heldBy(keys []*agent.Key, signers []ssh.Signer) []credential {
	comments := map[string]string{}
	for _, k := range keys {
		comments[string(k.Marshal())] = k.Comment
	}
	var all []credential
	for _, s := range signers {
		if cert, ok := s.PublicKey().(*ssh.Certificate); ok && certificateTime(cert, time.Now()) != nil {
			continue
		}
		source := strings.TrimSpace("agent: " + comments[string(s.PublicKey().Marshal())])
		all = append(all, credential{signer: s, source: source})
	}
	return all
}
