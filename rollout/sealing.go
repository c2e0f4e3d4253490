package rollout

import (
	"slices"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// Credentials are encrypted by their host, each time to something else. So what a revision
// wants is told by the identity of the value, and what is to be in the file only once it is
// known what the host has: that very encryption, if it still opens to what is meant, or one
// that is yet to be made.

// Settle is what is desired on a host now that it is known what the host has and can: an
// encrypted credential that holds what is meant stays as it is, and where the host cannot
// encrypt, those that need not be are plain. The Observation must answer Query. hs is not
// changed; what was settled once may be settled again.
func Settle(hs desired.HostState, o hostdriver.Observation) desired.HostState {
	cloned := false
	for i := range hs.Instances {
		if !slices.ContainsFunc(hs.Instances[i].Files, func(f desired.File) bool { return f.Sealing != nil }) {
			continue
		}
		if !cloned {
			hs.Instances, cloned = slices.Clone(hs.Instances), true
		}
		inst := &hs.Instances[i]
		if !o.Encrypts {
			*inst = inst.Unencrypted()
			continue
		}
		inst.Files = slices.Clone(inst.Files)
		for j := range inst.Files {
			if inst.Files[j].Sealing != nil {
				settle(&inst.Files[j], o)
			}
		}
	}
	return hs
}

// settle tells what is to be in the file of an encrypted credential.
func settle(f *desired.File, o hostdriver.Observation) {
	f.SHA256, f.Content = f.Sealing.Identity, f.Sealing.Plain
	e, ours := o.Manifest.Find(hostdriver.KindFile, f.Path)
	got := o.Paths[f.Path]
	switch {
	case !ours || e.Sealed == "":
	case got.Type == hostdriver.PathFile && got.SHA256 == e.SHA256:
		if got.Seal != hostdriver.SealSame {
			return
		}
		// Whoever wrote it may have had another key of identities.
		x := *f.Sealing
		x.Identity = e.Sealed
		f.Sealing, f.SHA256, f.Content = &x, e.SHA256, hostdriver.Content{}
		if got.Content != nil {
			f.Content = *got.Content
		}
	case e.Sealed == f.Sealing.Identity:
		// It was edited, or is gone: the host has kept what was there.
		f.SHA256, f.Content = e.SHA256, hostdriver.Content{}
	}
}

// toSeal tells whether a file is yet to be encrypted.
func toSeal(f *desired.File) bool { return f.Sealing != nil && f.SHA256 == f.Sealing.Identity }

// onHost tells whether the host has the content of a file, which is not known here.
func onHost(f *desired.File) bool { return f.Sealing != nil && !toSeal(f) && f.Content.Len() == 0 }

// pathQueries asks for a file.
func pathQueries(f *desired.File, salt string) []hostdriver.PathQuery {
	if f.Sealing == nil {
		return []hostdriver.PathQuery{{Path: f.Path, SHA256: f.SHA256, MaxContent: maxContent}}
	}
	qs := []hostdriver.PathQuery{{Path: f.Path, SHA256: f.SHA256, Seal: &hostdriver.SealQuery{Name: f.Sealing.Name, Digest: hostdriver.SealDigest(salt, f.Sealing.Plain)}}}
	if !f.Sealing.Require { // whether the host can encrypt is not known yet
		qs = append(qs, hostdriver.PathQuery{Path: f.Sealing.PlainPath})
	}
	return qs
}

// ToSeal is what the host is to encrypt before it can be brought op's generation; another
// op with the same key needs the same.
func (h *HostInput) ToSeal(op hostdriver.Stage) (seal hostdriver.Seal, key string) {
	for _, e := range op.Manifest.Entries {
		if f := h.unsealed(e); f != nil {
			seal.Items = append(seal.Items, hostdriver.SealItem{Name: f.Sealing.Name, Content: f.Sealing.Plain})
			key += e.Sealed + " " + e.Name + "\n"
		}
	}
	return seal, key
}

// Sealed is op with what the host has encrypted, in the order of ToSeal.
func (h *HostInput) Sealed(op hostdriver.Stage, contents []hostdriver.Content) hostdriver.Stage {
	op.Manifest.Entries = slices.Clone(op.Manifest.Entries)
	for i := range op.Manifest.Entries {
		e := &op.Manifest.Entries[i]
		if h.unsealed(*e) == nil || len(contents) == 0 {
			continue
		}
		e.SHA256 = contents[0].SHA256()
		op.Blobs[e.SHA256], contents = contents[0], contents[1:]
	}
	return op
}

// unsealed is the file of an entry that is yet to be encrypted, or nil.
func (h *HostInput) unsealed(e hostdriver.Entry) *desired.File {
	if e.Sealed == "" || e.Sealed != e.SHA256 {
		return nil
	}
	inst := h.Instance(e.Service)
	if inst == nil {
		return nil
	}
	for i := range inst.Files {
		if f := &inst.Files[i]; f.Path == e.Name && toSeal(f) {
			return f
		}
	}
	return nil
}

// sealed says of a Change what differs of an encrypted credential: by identities, for the
// digests of encryptions tell nothing.
func (d *differ) sealed(c *Change, f *desired.File, got hostdriver.PathState) {
	c.To = short(f.Sealing.Identity)
	if c.From == "" {
		return
	}
	if e, ours := d.o.Manifest.Find(hostdriver.KindFile, f.Path); ours && e.Sealed != "" && e.SHA256 == got.SHA256 {
		c.From = short(e.Sealed)
	} else {
		c.From = desired.Fingerprint(d.desired.Fingerprints, []byte(got.SHA256))
	}
}
