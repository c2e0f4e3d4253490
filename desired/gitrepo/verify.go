package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// maxSigners is the most bytes that a file of signers may have.
const maxSigners = 1 << 20

// Verify tells who signed a commit, of those that the file of signers names: an SSH
// signature (ssh-keygen(1), git's gpg.format=ssh) by a key of an allowed-signers line, or
// an OpenPGP one by an armored public key that stands in the same file. The key must have
// been valid when the commit says it was made, and now. An unsigned commit, and one that
// somebody else signed, is an Error of kind Refused. The file is read each time, so that a
// key that is taken out of it counts no more.
//
// What a commit descends from needs no signature of its own: its hash is in what is signed.
func (r *Repo) Verify(_ context.Context, id, file string) (string, error) {
	op := "verify commit " + id[:min(12, len(id))]
	c, err := r.commit(id)
	if err != nil {
		return "", fail(op, Refused, err)
	}
	signers, err := readSigners(file)
	if err != nil {
		return "", fail(op, Local, err)
	}
	who, err := signers.verify(c, time.Now())
	if err != nil {
		return "", fail(op, Refused, err)
	}
	return who, nil
}

func readSigners(file string) (*Signers, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxSigners {
		err = fmt.Errorf("it has more than %d bytes", maxSigners)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	var s *Signers
	if err == nil {
		s, err = ParseSigners(text)
	}
	if err != nil {
		return nil, local(fmt.Errorf("the signers in %s: %w", file, err), "correct the file; see docs/controller.md")
	}
	return s, nil
}

// verify judges one commit.
func (s *Signers) verify(c Commit, now time.Time) (string, error) {
	payload, signature, err := signedParts(c.raw)
	if err != nil {
		return "", refused(err, "sign the commit: git commit -S")
	}
	if c.Committer.When.IsZero() {
		return "", refused(errors.New("it does not say when it was made"), "commit it again")
	}
	times := []time.Time{c.Committer.When, now}
	switch {
	case bytes.HasPrefix(signature, []byte(sshArmor)):
		return s.verifySSH(payload, signature, times)
	case bytes.HasPrefix(signature, []byte(pgpArmor)):
		return s.verifyPGP(payload, signature, times)
	}
	return "", refused(errors.New("its signature is neither SSH's nor OpenPGP's"), "sign with gpg.format ssh or openpgp")
}

const (
	sshArmor = "-----BEGIN SSH SIGNATURE-----"
	pgpArmor = "-----BEGIN PGP SIGNATURE-----"
)

// signedParts takes the signature out of a commit object, as git does before it asks for
// it to be verified (gitformat-signature(5)): what is left is what was signed.
func signedParts(raw []byte) (payload, signature []byte, err error) {
	head, message, found := bytes.Cut(raw, []byte("\n\n"))
	if !found {
		head, message = bytes.TrimSuffix(raw, []byte("\n")), nil
	}
	var kept [][]byte
	in := false
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		switch name, value, _ := bytes.Cut(line, []byte(" ")); {
		case in && len(line) > 0 && line[0] == ' ':
			signature = append(append(signature, '\n'), line[1:]...)
			continue
		case string(name) == "gpgsig":
			if signature != nil {
				return nil, nil, errors.New("it has two signatures")
			}
			in, signature = true, bytes.Clone(value)
			continue
		case bytes.HasPrefix(name, []byte("gpgsig")):
			return nil, nil, fmt.Errorf("its signature %q is not known here", oneLine(string(name), 40))
		}
		in = false
		kept = append(kept, line)
	}
	if len(signature) == 0 {
		return nil, nil, errors.New("it is not signed")
	}
	payload = append(bytes.Join(kept, []byte("\n")), '\n')
	if found {
		payload = append(append(payload, '\n'), message...)
	}
	return payload, append(signature, '\n'), nil
}

// armored is the text between the first line and the last of an armor.
func armored(text []byte, begin, end string) (string, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(string(text)), begin)
	if !ok {
		return "", errors.New("its signature does not begin as one")
	}
	if body, ok = strings.CutSuffix(body, end); !ok {
		return "", errors.New("its signature does not end as one")
	}
	return body, nil
}
