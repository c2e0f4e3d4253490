package drivertest

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// pulled is an artifact that the host fetches by itself.
func (k *kit) pulled(path string, form hostdriver.ReleaseForm, source []byte) hostdriver.Release {
	k.Helper()
	sum := hostdriver.NewContent(source).SHA256()
	at, query, asked := strings.Cut(path, "?")
	url := k.Machine.Publish(at, source)
	if asked {
		url += "?" + query
	}
	return hostdriver.Release{Path: "/opt/contract/.releases/pulled/" + sum, SHA256: sum, Size: -1, Form: form, Owner: "root", Group: "root",
		Pull: &hostdriver.Pull{URL: hostdriver.NewContent([]byte(url))}}
}

// refusesPull expects that nothing comes of a release, and what is said.
func (k *kit) refusesPull(r hostdriver.Release, words ...string) {
	k.Helper()
	_, err := k.refused(hostdriver.Failed, k.draft(9).release(r).op())
	for _, w := range append(words, r.Pull.Place(), k.Host.Name, "nothing was staged") {
		k.says(err, w)
	}
	if hostdriver.MendOf(err) == "" {
		k.Fatalf("there is no mend: %v", err)
	}
	if strings.Contains(err.Error()+hostdriver.MendOf(err), "hunter2") {
		k.Fatalf("it tells the password: %v", err)
	}
	equal(k, "the release", k.path(r.Path).Type, hostdriver.PathAbsent)
	equal(k, "kept", len(k.records().Kept), 0)
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

// tarWith is a tar of a program and one further entry, compressed.
func tarWith(e tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: "bin/run", Mode: 0o755, Size: 3, Typeflag: tar.TypeReg})
	_, _ = io.WriteString(w, "run")
	_ = w.WriteHeader(&e)
	_ = w.Close()
	return gzipped(b.Bytes())
}

var pullCases = []contractCase{
	{"a host fetches a release by itself, and it is the one that is sent", func(k *kit) {
		stream := tarOf(map[string]string{"index.html": "hi", "a/b.txt": "deep"})
		for i, tool := range []string{"curl", "wget", "busybox"} {
			k.Machine.Fetcher(tool)
			generation := uint64(2*i + 1)
			program := k.pulled("/"+tool, hostdriver.FormFile, []byte("#!/bin/sh\necho "+tool+"\n"))
			site := k.pulled("/"+tool+".tar.gz", hostdriver.FormTar, gzipped(append(bytes.Clone(stream), make([]byte, 512*(i+1))...)))
			d := k.draft(generation).release(program).release(site)
			k.apply(hostdriver.Precheck{Pulls: d.releases})
			equal(k, "bytes sent", k.apply(d.op()).Staged, 0)
			k.apply(hostdriver.Switch{To: generation})
			equal(k, "mode", k.path(program.Path).Mode, 0o755)
			equal(k, "digest of the program", k.path(program.Path).SHA256, program.SHA256)
			equal(k, "digest of the folder", k.path(site.Path).SHA256, site.SHA256)
			equal(k, "the file", k.content(site.Path+"/a/b.txt"), "deep")
			asked := k.Machine.Asked("/"+tool) + k.Machine.Asked("/"+tool+".tar.gz")

			// Sent from now on, and nothing of it travels; and pulled again.
			sent := k.draft(generation + 1)
			for _, r := range d.releases {
				r.Pull, r.Size = nil, 100
				r.Open = func() (io.ReadCloser, error) { k.Fatalf("it was opened"); return nil, nil }
				sent.release(r)
			}
			equal(k, "bytes sent of what was pulled", k.apply(sent.op()).Staged, 0)
			again := k.draft(generation + 1)
			again.release(program).release(site)
			k.apply(again.op())
			equal(k, "how often it was asked for", k.Machine.Asked("/"+tool)+k.Machine.Asked("/"+tool+".tar.gz"), asked)
		}
	}},
	{"what a host pulled and a hand has changed is pulled again", func(k *kit) {
		r := k.pulled("/site.tar.gz", hostdriver.FormTar, gzipped(tarOf(map[string]string{"index.html": "hi"})))
		d := k.draft(1).release(r)
		d.deploy()
		k.Machine.WriteFile(r.Path+"/index.html", "by hand", 0o644)
		equal(k, "digest", k.path(r.Path).SHA256, "")
		k.apply(d.op())
		equal(k, "the file", k.content(r.Path+"/index.html"), "hi")
		equal(k, "digest again", k.path(r.Path).SHA256, r.SHA256)
	}},
	{"a host that cannot fetch says so before anything is disturbed", func(k *kit) {
		r := k.pulled("/tool?token=hunter2", hostdriver.FormFile, []byte("tool"))
		find := func(words ...string) {
			k.Helper()
			_, err := k.refused(hostdriver.Failed, hostdriver.Precheck{Pulls: []hostdriver.Release{r}})
			for _, w := range append(words, "[cannot-pull]", "?[redacted]", k.Host.Name) {
				k.says(err, w)
			}
			if !strings.Contains(hostdriver.MendOf(err), "pull: controller") {
				k.Fatalf("the mend is %q", hostdriver.MendOf(err))
			}
			k.refusesPull(r, words...)
		}
		k.Machine.Fetcher("")
		find("there is neither curl nor wget")
		k.Machine.Fetcher("busybox")
		find("would show it to everybody")
		r = k.pulled("/tool", hostdriver.FormFile, []byte("tool"))
		r.Pull.Bandwidth = 1 << 20
		k.refusesPull(r, "cannot bound its bandwidth")
		k.Machine.Fetcher("curl")
		k.draft(1).release(r).deploy()
		equal(k, "the program", k.content(r.Path), "tool")
	}},
	{"what is not as it is pinned, gone, or sent on to where it is not safe, is not taken", func(k *kit) {
		r := k.pulled("/tool?token=hunter2", hostdriver.FormFile, []byte("what was meant"))
		k.Machine.Publish("/tool", []byte("what was not"))
		k.refusesPull(r, "has the sha256 "+digest("what was not"))
		k.Machine.Publish("/tool", nil)
		k.refusesPull(r, "cannot fetch", "404")
		k.Machine.Publish("/tool", []byte("what was meant"))
		k.Machine.Redirect("/tool", "http://192.0.2.1/tool?token=hunter2")
		k.refusesPull(r, "is redirected to http://192.0.2.1/tool?[redacted], which is not https")
		k.Machine.Redirect("/tool", k.Machine.Publish("/elsewhere", []byte("what was meant")))
		k.draft(1).release(r).deploy()
		equal(k, "the program", k.content(r.Path), "what was meant")
	}},
	{"what would leave its folder, or is no file, is not unpacked", func(k *kit) {
		for name, e := range map[string]tar.Header{
			"/up":     {Name: "../../../etc/contract/evil", Mode: 0o644, Typeflag: tar.TypeReg},
			"/whole":  {Name: "/etc/contract/evil", Mode: 0o644, Typeflag: tar.TypeReg},
			"/link":   {Name: "out", Linkname: "../../../etc", Typeflag: tar.TypeSymlink},
			"/linked": {Name: "out", Linkname: "/etc", Typeflag: tar.TypeSymlink},
			"/device": {Name: "out", Mode: 0o666, Devmajor: 1, Devminor: 3, Typeflag: tar.TypeChar},
		} {
			word := "outside its folder"
			if name == "/device" {
				word = "is neither a file, a folder nor a link"
			}
			k.refusesPull(k.pulled(name+".tar.gz", hostdriver.FormTar, tarWith(e)), "cannot unpack", word)
			k.gone("/etc/contract/evil")
		}
	}},
	{"a URL that no host may be given is refused", func(k *kit) {
		for _, url := range []string{"http://releases.example.com/a", "https://user:pw@releases.example.com/a", "https:///a", "file:///a", "https://releases.example.com/a b", "https://releases.example.com/\"$(x)", "https://releases.example.com/a#b"} {
			r := k.pulled("/tool", hostdriver.FormFile, []byte("tool"))
			r.Pull.URL = hostdriver.NewContent([]byte(url))
			_, err := k.refused(hostdriver.Refused, k.draft(1).release(r).op())
			if strings.Contains(err.Error(), "pw@") {
				k.Fatalf("it tells the password: %v", err)
			}
			k.refused(hostdriver.Refused, hostdriver.Precheck{Pulls: []hostdriver.Release{r}})
		}
	}},
}
