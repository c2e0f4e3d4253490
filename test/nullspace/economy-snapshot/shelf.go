package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// shelf is the directory of snapshots. Their names sort by time; whatever else
// is in the directory is left alone.
type shelf struct {
	dir  string
	keep int
}

const namePattern = "economy-????????T??????Z.json"

// put writes a snapshot, mode 0640. It is on disk under its name when put
// returns, or not there at all, also after a crash (a leftover of one ends in
// .part).
func (s shelf) put(snapshot Snapshot) (string, error) {
	content, err := json.MarshalIndent(snapshot, "", "  ")
	if err != nil {
		return "", fmt.Errorf("cannot encode the snapshot: %w", err)
	}
	path := filepath.Join(s.dir, "economy-"+snapshot.TakenAt.Format("20060102T150405Z")+".json")
	if err := write(path+".part", append(content, '\n')); err != nil {
		return "", errors.Join(fmt.Errorf("cannot write the snapshot: %w", err), os.RemoveAll(path+".part"))
	}
	if err := os.Rename(path+".part", path); err != nil {
		return "", fmt.Errorf("cannot write the snapshot: %w", err)
	}
	return path, syncDir(s.dir)
}

func write(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func syncDir(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot sync the directory: %w", err)
	}
	if err := errors.Join(directory.Sync(), directory.Close()); err != nil {
		return fmt.Errorf("cannot sync %s: %w", path, err)
	}
	return nil
}

// prune removes the oldest snapshots beyond those to keep, and returns how many
// went.
func (s shelf) prune() (int, error) {
	names, err := s.names()
	if err != nil {
		return 0, fmt.Errorf("cannot prune snapshots: %w", err)
	}
	surplus := max(0, len(names)-s.keep)
	for i, name := range names[:surplus] {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			return i, fmt.Errorf("cannot prune snapshots: %w", err)
		}
	}
	return surplus, nil
}

// names are the snapshots, oldest first.
func (s shelf) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if ours, _ := filepath.Match(namePattern, entry.Name()); ours && entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// migrate brings all snapshots to this program's format and returns how many were of an
// older one. Each is replaced whole, so that it may be cut and run again. A directory that
// is not there yet has none.
func (s shelf) migrate() (int, error) {
	names, err := s.names()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot migrate snapshots: %w", err)
	}
	n := 0
	for _, name := range names {
		migrated, err := s.migrateOne(name)
		if err != nil {
			return n, fmt.Errorf("cannot migrate %s: %w", name, err)
		}
		if migrated {
			n++
		}
	}
	return n, nil
}

func (s shelf) migrateOne(name string) (bool, error) {
	content, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return false, err
	}
	var snapshot Snapshot
	if err := json.Unmarshal(content, &snapshot); err != nil {
		return false, err
	}
	switch {
	case snapshot.Format == format:
		return false, nil
	case snapshot.Format > format:
		return false, fmt.Errorf("it is of format %d, and this program knows %d at most", snapshot.Format, format)
	}
	snapshot.Format = format
	_, err = s.put(snapshot)
	return true, err
}
