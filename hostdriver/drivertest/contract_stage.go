package drivertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// release makes an artifact of data at dir.
func release(dir string, form hostdriver.ReleaseForm, data []byte) hostdriver.Release {
	sum := hostdriver.NewContent(data).SHA256()
	return hostdriver.Release{Path: dir + "/" + sum, SHA256: sum, Size: int64(len(data)), Form: form, Owner: "root", Group: "root",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

func (d *draft) release(r hostdriver.Release) *draft {
	d.releases = append(d.releases, r)
	return d.add(hostdriver.Entry{Kind: hostdriver.KindRelease, Name: r.Path, SHA256: r.SHA256, Owner: r.Owner, Group: r.Group})
}

func tarOf(files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg})
		_, _ = io.WriteString(w, text)
	}
	_ = w.Close()
	return b.Bytes()
}

// sealedAs seals values as the credential token, stages and puts them in place.
func (k *kit) sealedAs(generation uint64, values ...string) (files []string) {
	k.Helper()
	var op hostdriver.Seal
	for _, v := range values {
		op.Items = append(op.Items, hostdriver.SealItem{Name: "token", Content: hostdriver.NewContent([]byte(v))})
	}
	res := k.apply(op)
	if len(res.Sealed) != len(values) {
		k.Fatalf("%d of %d came back", len(res.Sealed), len(values))
	}
	d := k.draft(generation)
	for i, c := range res.Sealed {
		name := "/etc/contract/sealed" + string(rune('0'+i))
		d.file(name, string(c.Bytes()))
		d.manifest.Entries[len(d.manifest.Entries)-1].Sealed = hostdriver.NewContent([]byte(values[i])).SHA256()
		files = append(files, name)
	}
	d.deploy()
	return files
}

// encrypts tells whether the host has what it takes. One that has not says so, and refuses.
func (k *kit) encrypts() bool {
	k.Helper()
	equal(k, "whether it says that it encrypts", k.observe(hostdriver.Query{}).Encrypts, !k.NoCreds)
	if k.NoCreds {
		_, err := k.refused(hostdriver.Failed, hostdriver.Seal{Items: []hostdriver.SealItem{{Name: "token", Content: hostdriver.NewContent([]byte("a value"))}}})
		k.says(err, "there is no systemd-creds")
	}
	return !k.NoCreds
}

// holds asks whether a file holds a value as the credential of that name.
func (k *kit) holds(file, name, value string) hostdriver.PathState {
	k.Helper()
	return k.observe(hostdriver.Query{Salt: "salt", Paths: []hostdriver.PathQuery{{Path: file,
		Seal: &hostdriver.SealQuery{Name: name, Digest: hostdriver.SealDigest("salt", hostdriver.NewContent([]byte(value)))}}}}).Paths[file]
}

var stageCases = []contractCase{
	{"what the host encrypts opens there, and tells nothing elsewhere", func(k *kit) {
		if !k.encrypts() {
			return
		}
		values := []string{"a value\nof any \x00\xff bytes", "another", "another", ""}
		files := k.sealedAs(1, values...)
		seen := map[string]bool{}
		for i, f := range files {
			st := k.holds(f, "token", values[i])
			equal(k, "what "+f+" holds", st.Seal, hostdriver.SealSame)
			text := k.content(f)
			if st.Content == nil || string(st.Content.Bytes()) != text || st.Content.SHA256() != st.SHA256 {
				k.Fatalf("its content does not come back: %+v", st)
			}
			if seen[text] || values[i] != "" && strings.Contains(text, values[i]) || strings.Contains(text, hostdriver.NewContent([]byte(values[i])).SHA256()) {
				k.Fatalf("%s tells what is in it: %s", f, text)
			}
			seen[text] = true
			equal(k, "another value", k.holds(f, "token", "x").Seal, hostdriver.SealDiffers)
		}
		st := k.holds(files[0], "other", values[0])
		if st.Seal != hostdriver.SealUnreadable || st.SealWhy == "" {
			k.Fatalf("as another credential: %+v", st)
		}
		for _, e := range k.records().Manifest.Entries {
			if e.Kind == hostdriver.KindFile && !hostdriver.IsDigest(e.Sealed) {
				k.Fatalf("the manifest does not tell what is sealed: %+v", e)
			}
		}
	}},
	{"an encrypted file that was tampered with does not open", func(k *kit) {
		if !k.encrypts() {
			return
		}
		file := k.sealedAs(1, "a value")[0]
		text := k.content(file)
		k.Machine.WriteFile(file, text[:len(text)/2], 0o600)
		if st := k.holds(file, "token", "a value"); st.Seal != hostdriver.SealUnreadable || st.SealWhy == "" {
			k.Fatalf("%+v", st)
		}
		k.apply(hostdriver.Switch{To: 1})
		equal(k, "once it is put right", k.holds(file, "token", "a value").Seal, hostdriver.SealSame)
		k.Machine.Remove(file)
		equal(k, "once it is gone", k.holds(file, "token", "a value").Seal, hostdriver.SealNotAsked)
	}},
	{"images that are not there are pulled, once", func(k *kit) {
		k.Machine.Images("podman", []string{"localhost/has:1"}, []string{"r.example/new@sha256:1"})
		op := k.draft(1).file("/etc/contract/f", "x").op()
		op.Images = []hostdriver.Image{{Tool: "podman", Name: "localhost/has:1"}, {Tool: "podman", Name: "r.example/new@sha256:1"}}
		k.apply(op)
		k.apply(op)
		k.apply(hostdriver.Switch{To: 1})
	}},
	{"an image that cannot be had fails the stage, and nothing of it is kept", func(k *kit) {
		op := k.draft(1).file("/etc/contract/f", "x").op()
		op.Images = []hostdriver.Image{{Tool: "docker", Name: "localhost/app:2"}}
		_, err := k.refused(hostdriver.Failed, op)
		k.says(err, "there is no docker to have the image localhost/app:2")
		k.Machine.Images("docker", []string{"localhost/app:1"}, nil)
		_, err = k.refused(hostdriver.Failed, op)
		k.says(err, "docker cannot pull the image localhost/app:2: localhost/app:2: not found")
		if o := k.observe(hostdriver.Query{}); len(o.Kept) != 0 {
			k.Fatalf("kept: %v", o.Kept)
		}
	}},
	{"staging touches nothing in use", func(k *kit) {
		k.Machine.WriteFile("/etc/contract/f", "by hand", 0o644)
		k.draft(1).file("/etc/contract/f", "x").file("/etc/contract/new", "y").unit(unitName, runs, "yes").stage()
		equal(k, "the file", k.content("/etc/contract/f"), "by hand")
		k.gone("/etc/contract/new")
		o := k.observe(hostdriver.Query{Units: []string{unitName}})
		equal(k, "the unit", o.Units[unitName].Load, "not-found")
		equal(k, "generation on disk", o.Manifest.Generation, 0)
		if len(o.Kept) != 1 || o.Kept[0] != 1 {
			k.Fatalf("kept: %v", o.Kept)
		}
	}},
	{"only what is missing travels, and doing it again is harmless", func(k *kit) {
		big := strings.Repeat("0123456789abcdef", 10000)
		first := k.draft(1).file("/etc/contract/big", big).file("/etc/contract/empty", "")
		equal(k, "bytes the first time", k.apply(first.op()).Staged, int64(len(big)))
		equal(k, "bytes the second time", k.apply(first.op()).Staged, 0)
		second := k.draft(2).file("/etc/contract/big", big).file("/etc/contract/small", "12345")
		equal(k, "bytes of what is new", k.apply(second.op()).Staged, 5)
		k.apply(hostdriver.Switch{To: 2})
		equal(k, "the file", k.content("/etc/contract/big"), big)
	}},
	{"any bytes arrive as they are", func(k *kit) {
		var all []byte
		for i := range 256 {
			all = append(all, byte(i))
		}
		text := string(all) + "'$(false)`\"\\\n\n" + string(all)
		k.draft(1).file("/etc/contract/f", text).deploy()
		equal(k, "the file", k.content("/etc/contract/f"), text)
	}},
	{"a generation must be above every kept one", func(k *kit) {
		k.draft(5).file("/etc/contract/f", "x").stage()
		k.refused(hostdriver.Conflict, k.draft(5).file("/etc/contract/f", "another").op())
		k.refused(hostdriver.Conflict, k.draft(4).file("/etc/contract/f", "x").op())
		k.draft(6).file("/etc/contract/f", "y").stage()
	}},
	{"a manifest whose contents were not sent is not kept", func(k *kit) {
		d := k.draft(1).file("/etc/contract/f", "x")
		d.blobs = nil
		k.refused(hostdriver.Failed, d.op())
		equal(k, "kept", len(k.records().Kept), 0)
	}},
	{"a blob that is not what its digest says is refused", func(k *kit) {
		d := k.draft(1).file("/etc/contract/f", "x")
		d.blobs[digest("x")] = hostdriver.NewContent([]byte("y"))
		k.refused(hostdriver.Refused, d.op())
	}},
	{"what no host can keep is refused", func(k *kit) {
		for _, e := range []hostdriver.Entry{
			{Kind: hostdriver.KindFile, Name: "relative", SHA256: digest("")}, {Kind: hostdriver.KindFile, Name: "/etc/a\tb", SHA256: digest("")},
			{Kind: hostdriver.KindFile, Name: "/etc/x", SHA256: "abc"}, {Kind: "thing", Name: "/etc/x"},
			{Kind: hostdriver.KindLink, Name: "/etc/x"}, {Kind: hostdriver.KindUnit, Name: "a/b.service"}, {Kind: hostdriver.KindUser, Name: "-x"},
			{Kind: hostdriver.KindUnit, Name: "a.service", Enabled: "maybe"}, {Kind: hostdriver.KindDirectory, Name: "/"},
		} {
			k.refused(hostdriver.Refused, k.draft(1).add(e).op())
		}
		k.refused(hostdriver.Refused, k.draft(0).op())
	}},
	{"a release that is one program arrives executable", func(k *kit) {
		r := release("/opt/contract/.releases/tool", hostdriver.FormFile, []byte("#!/bin/sh\necho tool\n"))
		d := k.draft(1).release(r).add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/opt/contract/tool", Target: r.Path})
		equal(k, "bytes", k.apply(d.op()).Staged, r.Size)
		equal(k, "bytes again", k.apply(d.op()).Staged, 0)
		k.apply(hostdriver.Switch{To: 1})
		o := k.observe(hostdriver.Query{})
		st := o.Paths[r.Path]
		equal(k, "type", st.Type, hostdriver.PathFile)
		equal(k, "mode", st.Mode, 0o755)
		equal(k, "digest", st.SHA256, r.SHA256)
		equal(k, "through the link", k.content("/opt/contract/tool"), "#!/bin/sh\necho tool\n")
	}},
	{"a release may belong to a user that comes with it", func(k *kit) {
		r := release("/opt/contract/.releases/tool", hostdriver.FormFile, []byte("tool"))
		r.Owner, r.Group = "contract", "contract"
		k.draft(1).release(r).add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: "contract", Target: "/opt/contract"}).deploy()
		st := k.path(r.Path)
		equal(k, "owner", st.Owner+":"+st.Group, "contract:contract")
	}},
	{"a release that was changed by hand shows its own digest", func(k *kit) {
		r := release("/opt/contract/.releases/tool", hostdriver.FormFile, []byte("one"))
		k.draft(1).release(r).deploy()
		k.Machine.WriteFile(r.Path, "two", 0o755)
		equal(k, "digest", k.path(r.Path).SHA256, digest("two"))
	}},
	{"a release that is a folder is unpacked whole", func(k *kit) {
		r := release("/opt/contract/.releases/site", hostdriver.FormTar, tarOf(map[string]string{"index.html": "hi", "a/b.txt": "deep"}))
		d := k.draft(1).release(r)
		d.deploy()
		st := k.path(r.Path)
		equal(k, "type", st.Type, hostdriver.PathDir)
		equal(k, "digest", st.SHA256, r.SHA256)
		equal(k, "mode", st.Mode, 0o755)
		equal(k, "mode of a folder that the stream does not name", k.path(r.Path+"/a").Mode, 0o755)
		equal(k, "bytes again", k.apply(d.op()).Staged, 0)
	}},
	{"a release is named by its source, which may be compressed, and travels as it is unpacked", func(k *kit) {
		r := release("/opt/contract/.releases/site", hostdriver.FormTar, tarOf(map[string]string{"index.html": "hi"}))
		r.Stream, r.SHA256 = r.SHA256, digest("the compressed source")
		r.Path = "/opt/contract/.releases/site/" + r.SHA256
		d := k.draft(1).release(r)
		d.deploy()
		st := k.path(r.Path)
		equal(k, "digest", st.SHA256, r.SHA256)
		equal(k, "the file", k.content(r.Path+"/index.html"), "hi")
		equal(k, "bytes again", k.apply(d.op()).Staged, 0)
		r.Stream = digest("something else")
		r.SHA256 = digest("another source")
		r.Path = "/opt/contract/.releases/site/" + r.SHA256
		k.refused(hostdriver.Failed, k.draft(2).release(r).op())
		equal(k, "the one that came damaged", k.path(r.Path).Type, hostdriver.PathAbsent)
	}},
	{"a folder in which a file was changed by hand no longer has its digest, and staging mends it", func(k *kit) {
		r := release("/opt/contract/.releases/site", hostdriver.FormTar, tarOf(map[string]string{"index.html": "hi", "a/b.txt": "deep"}))
		d := k.draft(1).release(r)
		d.deploy()
		k.Machine.WriteFile(r.Path+"/a/added.txt", "a cache", 0o644)
		equal(k, "digest with a file added", k.path(r.Path).SHA256, r.SHA256)
		k.Machine.WriteFile(r.Path+"/a/b.txt", "by hand", 0o644)
		equal(k, "digest with a file changed", k.path(r.Path).SHA256, "")
		equal(k, "bytes", k.apply(d.op()).Staged, r.Size)
		equal(k, "the file", k.content(r.Path+"/a/b.txt"), "deep")
		k.Machine.Remove(r.Path + "/index.html")
		equal(k, "digest with a file removed", k.path(r.Path).SHA256, "")
	}},
	{"a release that does not come whole leaves nothing", func(k *kit) {
		r := release("/opt/contract/.releases/tool", hostdriver.FormFile, []byte("whole"))
		r.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("who")), nil }
		_, err := k.refused(hostdriver.Failed, k.draft(1).release(r).op())
		if !strings.Contains(err.Error(), "shorter") {
			k.Fatalf("the error must tell the cause: %v", err)
		}
		r.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("other")), nil }
		k.refused(hostdriver.Failed, k.draft(1).release(r).op())
		r.Open = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		_, err = k.refused(hostdriver.Failed, k.draft(1).release(r).op())
		if !strings.Contains(err.Error(), "gone") {
			k.Fatalf("the error must tell the cause: %v", err)
		}
		equal(k, "the release", k.path(r.Path).Type, hostdriver.PathAbsent)
		equal(k, "kept", len(k.records().Kept), 0)
	}},
}
