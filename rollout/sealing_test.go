package rollout

import (
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

const (
	sealedPath = "/etc/credstore.encrypted/ledger.token"
	plainPath  = "/etc/credstore/ledger.token"
)

func identity64(s string) string { return hostdriver.NewContent([]byte("identity of " + s)).SHA256() }

// withToken is ledger with a credential that its host encrypts.
func withToken(value string) desired.HostState {
	hs := ledger()
	inst := &hs.Instances[0]
	c := hostdriver.NewContent([]byte(value))
	id := identity64(value)
	inst.Files = append(inst.Files, desired.File{Path: sealedPath, Owner: "root", Group: "root", Mode: 0o600, Kind: desired.FilePlain, Secret: true, Content: c, SHA256: id,
		ChangeMode: desired.ChangeRestart, Sealing: &desired.Sealing{Name: "token", Identity: id, Plain: c, PlainPath: plainPath}})
	inst.Units[0].Reads = append(inst.Units[0].Reads, sealedPath)
	return hs
}

// hostWithToken is a host that has that value encrypted, and a process started with it.
func hostWithToken(value string) (hostdriver.Observation, hostdriver.Content) {
	o := settled()
	o.Encrypts, o.Systemd = true, "252"
	hs := withToken(value)
	inst := &hs.Instances[0]
	cipher := hostdriver.NewContent([]byte("an encryption of " + identity64(value)))
	f := &inst.Files[len(inst.Files)-1]
	started := o.Started["ledger.service"]
	started.Inputs = StartInputs(inst, &inst.Units[0])
	o.Started["ledger.service"] = started
	f.SHA256 = cipher.SHA256()
	o.Manifest = Target(hostdriver.Manifest{}, hs, []string{"ledger"}, nil, 1)
	o.Paths[sealedPath] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: cipher.SHA256(), Owner: "root", Group: "root", Mode: 0o600, Changed: day1, Content: &cipher, Seal: hostdriver.SealSame}
	o.Paths[plainPath] = hostdriver.PathState{Type: hostdriver.PathAbsent}
	return o, cipher
}

func TestSettle(t *testing.T) {
	other := hostdriver.NewContent([]byte("an encryption by hand"))
	for _, c := range []struct {
		name   string
		value  string
		host   func(*hostdriver.Observation)
		reason string // of the change of the file; "": nothing differs
		runs   bool   // the process stays
		seals  int    // what the host has to encrypt
	}{
		{name: "as it should be", value: "one", runs: true},
		{name: "another value", value: "two", host: func(o *hostdriver.Observation) { set(o, hostdriver.SealDiffers, "") }, reason: "content changes", seals: 1},
		{name: "edited: the host has kept what was there", value: "one", host: func(o *hostdriver.Observation) { hand(o, other, hostdriver.SealUnreadable) }, reason: "drift: edited on the host", runs: true},
		{name: "another value, edited", value: "two", host: func(o *hostdriver.Observation) { hand(o, other, hostdriver.SealDiffers) }, reason: "content changes; it was edited on the host as well", seals: 1},
		{name: "encrypted by hand to the same", value: "one", host: func(o *hostdriver.Observation) { hand(o, other, hostdriver.SealSame) }, reason: "drift: edited on the host", runs: true},
		{name: "gone", value: "one", host: func(o *hostdriver.Observation) {
			o.Paths[sealedPath] = hostdriver.PathState{Type: hostdriver.PathAbsent}
		}, reason: "file does not exist", runs: true},
		{name: "the host has lost its key", value: "one", host: func(o *hostdriver.Observation) { set(o, hostdriver.SealUnreadable, "no key") }, reason: "the host cannot decrypt it any more: no key", runs: true, seals: 1},
		{name: "written by who knows it by another identity", value: "one", host: func(o *hostdriver.Observation) {
			for i := range o.Manifest.Entries {
				if o.Manifest.Entries[i].Name == sealedPath {
					o.Manifest.Entries[i].Sealed = identity64("elsewhere")
				}
			}
			o.Started["ledger.service"].Inputs[sealedPath] = identity64("elsewhere")
		}, runs: true},
		{name: "not there before", value: "one", host: func(o *hostdriver.Observation) {
			o.Manifest.Entries = slices.DeleteFunc(o.Manifest.Entries, func(e hostdriver.Entry) bool { return e.Name == sealedPath })
			o.Paths[sealedPath] = hostdriver.PathState{Type: hostdriver.PathAbsent}
			delete(o.Started["ledger.service"].Inputs, sealedPath)
		}, reason: "file does not exist", seals: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, cipher := hostWithToken("one")
			if c.host != nil {
				c.host(&o)
			}
			wanted := withToken(c.value)
			h := HostInput{Desired: Settle(wanted, o), Observation: &o}
			if again := Settle(h.Desired, o); again.Instances[0].Files[3].SHA256 != h.Desired.Instances[0].Files[3].SHA256 {
				t.Error("settled again it is another")
			}
			if f := wanted.Instances[0].Files[3]; f.SHA256 != f.Sealing.Identity {
				t.Error("what was settled was changed")
			}
			d := Diff(h.Desired, o, DiffOptions{})
			reason, restarts := "", false
			for _, x := range d.Changes {
				if x.Subject == sealedPath {
					reason = x.Reason
					if strings.Contains(x.From+x.To+x.Diff, short(cipher.SHA256())) {
						t.Errorf("it tells the digest of an encryption: %+v", x)
					}
				}
				restarts = restarts || x.Disruption > None
			}
			if reason != c.reason || restarts == c.runs || len(d.Problems) > 0 {
				t.Errorf("reason %q, restarts %t; %+v %+v", reason, restarts, d.Changes, d.Problems)
			}
			if Has := h.Has("ledger"); Has != (c.value == "one" && c.name != "not there before") {
				t.Errorf("the host has what is desired: %t", Has)
			}
			op := h.Stage(&Visit{Host: "web-1", Services: []string{"ledger"}}, o.Manifest, o.Kept)
			seal, key := h.ToSeal(op)
			if len(seal.Items) != c.seals || (key == "") != (c.seals == 0) {
				t.Fatalf("to be encrypted: %d", len(seal.Items))
			}
			fresh := hostdriver.NewContent([]byte("a fresh encryption"))
			if c.seals > 0 {
				if seal.Items[0].Name != "token" || string(seal.Items[0].Content.Bytes()) != c.value {
					t.Errorf("to be encrypted: %s", seal.Items[0].Name)
				}
				op = h.Sealed(op, []hostdriver.Content{fresh})
			}
			e, _ := op.Manifest.Find(hostdriver.KindFile, sealedPath)
			want := cipher.SHA256()
			if c.seals > 0 {
				want = fresh.SHA256()
			}
			if e.SHA256 != want || !hostdriver.IsDigest(e.Sealed) || op.Manifest.Check() != nil {
				t.Errorf("staged is %+v, %v", e, op.Manifest.Check())
			}
			for digest, content := range op.Blobs {
				if content.SHA256() != digest || string(content.Bytes()) == c.value {
					t.Errorf("the blob %s is %d bytes, or plain", digest, content.Len())
				}
			}
		})
	}
}

func set(o *hostdriver.Observation, match hostdriver.SealMatch, why string) {
	p := o.Paths[sealedPath]
	p.Seal, p.SealWhy = match, why
	o.Paths[sealedPath] = p
}

// hand is a hand's edit.
func hand(o *hostdriver.Observation, c hostdriver.Content, match hostdriver.SealMatch) {
	p := o.Paths[sealedPath]
	p.SHA256, p.Content, p.Changed, p.Seal, p.SealWhy = c.SHA256(), &c, day3, match, "tampered with"
	o.Paths[sealedPath] = p
}

// A host that cannot encrypt has the value in a plain file, and that is said; where it must
// be encrypted, the instance is left as it is.
func TestSettleWithoutEncryption(t *testing.T) {
	o := settled()
	o.Systemd = "247"
	o.Paths[sealedPath], o.Paths[plainPath] = hostdriver.PathState{Type: hostdriver.PathAbsent}, hostdriver.PathState{Type: hostdriver.PathAbsent}
	hs := Settle(withToken("one"), o)
	d := Diff(hs, o, DiffOptions{})
	told := false
	for _, c := range d.Changes {
		told = told || c.Subject == plainPath && strings.Contains(c.Reason, "it is not encrypted, for the host's systemd cannot")
	}
	if !told || len(d.Problems) > 0 {
		t.Errorf("%+v %+v", d.Changes, d.Problems)
	}
	h := HostInput{Desired: hs, Observation: &o}
	op := h.Stage(&Visit{Host: "web-1", Services: []string{"ledger"}}, o.Manifest, o.Kept)
	if seal, _ := h.ToSeal(op); len(seal.Items) > 0 || string(op.Blobs[hostdriver.NewContent([]byte("one")).SHA256()].Bytes()) != "one" {
		t.Errorf("staged is %+v", op.Manifest)
	}

	must := withToken("one")
	must.Instances[0].Files[3].Sealing.Require = true
	d = Diff(Settle(must, o), o, DiffOptions{})
	if len(d.Problems) != 1 || !strings.Contains(d.Problems[0].Reason, "is to be encrypted on the host, whose systemd (247) cannot") {
		t.Errorf("%+v", d.Problems)
	}
}

// What a host is asked of a credential tells neither it nor a digest of it alone.
func TestQueryOfCredential(t *testing.T) {
	q := Query(withToken("one"), "salt")
	asked := map[string]hostdriver.PathQuery{}
	for _, p := range q.Paths {
		asked[p.Path] = p
	}
	p := asked[sealedPath]
	if p.Seal == nil || p.Seal.Name != "token" || p.Seal.Digest != hostdriver.SealDigest("salt", hostdriver.NewContent([]byte("one"))) {
		t.Errorf("it is asked %+v", p)
	}
	if _, both := asked[plainPath]; !both {
		t.Error("where it is if the host cannot encrypt is not asked")
	}
}

// A process that was started with a drop-in which is no longer wanted is started anew, also
// where the drop-in is gone already.
func TestDropInNoLongerWanted(t *testing.T) {
	const dropIn = "/etc/systemd/system/ledger.service.d/50-evenkeel-credentials.conf"
	for name, onDisk := range map[string]bool{"on disk": true, "gone": false} {
		o := settled()
		o.Started["ledger.service"].Inputs[dropIn] = strings.Repeat("b", 64)
		if onDisk {
			o.Manifest.Entries = append(o.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindFile, Service: "ledger", Name: dropIn, SHA256: strings.Repeat("b", 64), Owner: "root", Group: "root", Mode: 0o644})
			o.Paths[dropIn] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: strings.Repeat("b", 64), Owner: "root", Group: "root", Mode: 0o644}
		}
		d := Diff(ledger(), o, DiffOptions{})
		last := d.Changes[len(d.Changes)-1]
		if last.Kind != KindProcess || last.Action != ActionRestart || !strings.Contains(last.Reason, dropIn+", which is no longer wanted") || last.Stale == onDisk {
			t.Errorf("%s: %+v", name, d.Changes)
		}
	}
}
