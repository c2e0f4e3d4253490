package sshdriver

import (
	"cmp"
	"maps"
	"path"
	"slices"
)

// maxPathSpecs is how many paths a host's systemd is asked to watch for one owner. Each
// takes an inotify instance of root's, of which a host may have no more than 128.
const maxPathSpecs = 24

// layout is how paths are watched: the ones named, or the directory that they are in,
// which is signalled for what others do in it too.
type layout int

const (
	// compact watches a directory from its third path on.
	compact layout = iota
	// exact watches directories only for want of room.
	exact
	// none watches no paths: what is there changes without end.
	none
)

// planPaths returns the paths to watch so that all those asked for are, as far as there
// is room, and those that are not. It gives directories up last that hold the most.
func planPaths(asked []string, room int, l layout) (specs, unwatched []string) {
	asked = slices.Compact(slices.Sorted(slices.Values(asked)))
	if l == none || room <= 0 {
		return nil, asked
	}
	groups := map[string][]string{}
	for _, p := range asked {
		groups[path.Dir(p)] = append(groups[path.Dir(p)], p)
	}
	dirs := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(len(groups[b])-len(groups[a]), cmp.Compare(a, b))
	})
	count := len(asked)
	for i, dir := range dirs {
		if n := len(groups[dir]); dir != "/" && n > 1 && (l == compact && n > 2 || count > room) {
			groups[dirs[i]] = []string{dir}
			count -= n - 1
		}
	}
	for _, dir := range dirs {
		if len(specs)+len(groups[dir]) <= room {
			specs = append(specs, groups[dir]...)
			continue
		}
		for _, p := range asked {
			if path.Dir(p) == dir {
				unwatched = append(unwatched, p)
			}
		}
	}
	slices.Sort(specs)
	slices.Sort(unwatched)
	return slices.Compact(specs), unwatched
}

// withParents adds the directories that the paths are in, for a systemd that follows links
// and so does not see that one was turned or removed. Where there is no room for both, the
// directory takes its path's place, unless that is the root directory.
func withParents(specs, asked []string, room int) []string {
	var both []string
	for i, p := range specs {
		dir := path.Dir(p)
		switch {
		case dir == "/" || slices.Contains(both, dir) || !slices.Contains(asked, p):
			both = append(both, p)
		case len(both)+len(specs)-i < room:
			both = append(both, p, dir)
		default:
			both = append(both, dir)
		}
	}
	slices.Sort(both)
	return slices.Compact(both)
}
