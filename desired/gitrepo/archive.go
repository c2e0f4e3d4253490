package gitrepo

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/go-git/go-git/v5/plumbing"
)

// Archive writes the files of a commit, or of one folder of it ("." is all), as a tar.
// It is a function of the commit and the folder alone: in git's own order, owned by
// nobody, at the time of the commit, with modes 0644 and 0755. Links stay links;
// submodules and what is kept in Git LFS are refused, for it would not be whole.
func (r *Repo) Archive(ctx context.Context, id, folder string, w io.Writer) error {
	return fail("archive the commit", Refused, r.archive(ctx, id, folder, w))
}

func (r *Repo) archive(ctx context.Context, id, folder string, w io.Writer) error {
	c, err := r.commit(id)
	if err != nil {
		return err
	}
	f := &commitFS{objects: r.objects, commit: c, limits: r.limits, read: map[plumbing.Hash]bool{}}
	top, err := f.find("open", folder)
	if err == nil && top.kind != kindFolder {
		err = &fs.PathError{Op: "open", Path: folder, Err: errors.New("it is not a folder")}
	}
	if err != nil {
		return refused(err, "name a folder of that commit")
	}
	a := &archiver{ctx: ctx, fs: f, tar: tar.NewWriter(w)}
	if err := a.folder(top, "", 0); err != nil {
		return err
	}
	if a.count == 0 {
		return refused(fmt.Errorf("%s has no files", folder), "name a folder that has some")
	}
	return a.tar.Close()
}

type archiver struct {
	ctx   context.Context
	fs    *commitFS
	tar   *tar.Writer
	count int
}

func (a *archiver) folder(at entry, name string, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	entries, err := a.fs.objects.tree(at.hash)
	if err != nil {
		return a.fs.fail("read", name, err)
	}
	for _, e := range entries {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err := a.entry(e, path.Join(name, e.name), depth); err != nil {
			return err
		}
	}
	return nil
}

func (a *archiver) entry(e entry, name string, depth int) error {
	a.count++
	h := &tar.Header{Name: name, Mode: int64(e.kind.mode().Perm()), ModTime: a.fs.commit.Committer.When.UTC()}
	if hasControl(name) {
		return a.fs.fail("archive", name, errControl)
	}
	switch e.kind {
	case kindFolder:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		if err := a.tar.WriteHeader(h); err != nil {
			return err
		}
		return a.folder(e, name, depth+1)
	case kindLink:
		to, err := a.fs.objects.read(plumbing.BlobObject, e.hash, maxLink)
		if err != nil {
			return a.fs.fail("archive", name, err)
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, string(to)
		return a.tar.WriteHeader(h)
	}
	data, err := a.fs.content(name, e)
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(data))
	if err := a.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = a.tar.Write(data)
	return err
}

const maxLink = 4096 // bytes, as Linux has it
