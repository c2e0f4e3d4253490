package sshdriver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// maxCredential bounds what systemd takes for one credential, and all of a service
// together (systemd.exec(5)).
const maxCredential = 1 << 20

// seal sends contents to be encrypted, one after the other on standard input, and takes
// them back encrypted, each with the digest of what the host has opened it to again.
func (d *Driver) seal(f hostdriver.Fence, op hostdriver.Seal) (*change, error) {
	s := d.mutation(f, "seal")
	salt := newNonce()
	var items []string
	var contents []io.Reader
	for _, it := range op.Items {
		if err := hostdriver.CheckCredential(it.Name); err != nil {
			return nil, err
		}
		if it.Content.Len() > maxCredential {
			return nil, fmt.Errorf("the credential %s has %d bytes, and systemd takes %d", it.Name, it.Content.Len(), maxCredential)
		}
		items = append(items, fmt.Sprintf("%s\t%d", it.Name, it.Content.Len()))
		contents = append(contents, bytes.NewReader(it.Content.Bytes()))
	}
	s.set("ITEMS", strings.Join(items, "\n"))
	s.set("SALT", salt)
	payload := func([]byte) (io.Reader, error) { return io.MultiReader(contents...), nil }
	result := func(records []record) (hostdriver.Result, error) { return sealResult(op, salt, records) }
	return &change{request: request{script: s, call: "op_seal", payload: payload}, result: result}, nil
}

func sealResult(op hostdriver.Seal, salt string, records []record) (hostdriver.Result, error) {
	var res hostdriver.Result
	for _, r := range records {
		if r.kind != "sealed" {
			continue
		}
		n := len(res.Sealed)
		text := bytes.TrimSpace(r.body)
		if n == len(op.Items) || len(text) == 0 {
			return hostdriver.Result{}, errors.New("it tells of what it was not to encrypt")
		}
		it := op.Items[n]
		if r.arg(0) != hostdriver.SealDigest(salt, it.Content) {
			return hostdriver.Result{}, &hostdriver.Error{Kind: hostdriver.Failed, Err: fmt.Errorf("what was encrypted of the credential %s opens to something else", it.Name),
				Mend: "try again; if it stays so, try systemd-creds encrypt and decrypt there by hand"}
		}
		res.Sealed = append(res.Sealed, hostdriver.NewContent(append(bytes.Clone(text), '\n')))
	}
	if len(res.Sealed) != len(op.Items) {
		return hostdriver.Result{}, errors.New("not all that was to be encrypted came back")
	}
	return res, nil
}
