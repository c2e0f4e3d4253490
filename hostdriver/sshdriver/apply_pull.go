package sshdriver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// pullTimes bound what a host fetches by itself.
type pullTimes struct {
	all   time.Duration // for all releases of a stage, within that of the stage
	pause time.Duration // after a fetch that failed; it doubles
}

var hostPullTimes = pullTimes{all: 25 * time.Minute, pause: time.Second}

// setPulls is what script/pull.sh needs, which is sent only where there are any.
func (s *script) setPulls(pulls []hostdriver.Release, times pullTimes) error {
	var lines []string
	for _, r := range pulls {
		if err := checkRelease(r); err != nil {
			return fmt.Errorf("release %q: %w", r.Path, err)
		}
		query := "0"
		if r.Pull.HasQuery() {
			query = "1"
		}
		lines = append(lines, strings.Join([]string{releaseLine(r, 0, "-"), fmt.Sprint(r.Pull.Bandwidth), query, orDash(r.Unpacker()), string(r.Pull.URL.Bytes())}, "\t"))
	}
	s.set("PULLS", strings.Join(lines, "\n"))
	if len(pulls) > 0 {
		s.setInt("PULLTIME", seconds(times.all))
		s.setInt("PULLPAUSE", int64(times.pause/time.Second))
		s.parts = append(s.parts, "pull")
	}
	return nil
}

// releaseLine is what the scripts are told of a release.
func releaseLine(r hostdriver.Release, size int64, stream string) string {
	owner := firstOf(r.Owner, "root")
	return strings.Join([]string{releaseKey(r.Path), r.SHA256, fmt.Sprint(size), string(r.Form), owner, firstOf(r.Group, owner), r.Path, stream}, "\t")
}

// pullFindings understands the record "pulls" of a precheck.
func pullFindings(pulls []hostdriver.Release, r record) ([]hostdriver.Finding, error) {
	var found []hostdriver.Finding
	for _, line := range r.lines() {
		key, word, _ := strings.Cut(line, "\t")
		fault := hostdriver.PullFault(word)
		i := slices.IndexFunc(pulls, func(r hostdriver.Release) bool { return releaseKey(r.Path) == key })
		if i < 0 || !fault.InTheWay() {
			return nil, fmt.Errorf("the reply's part pulls: %s", printable(line, 100))
		}
		found = append(found, pulls[i].PullFinding(fault))
	}
	return found, nil
}

// pullFailure puts the record "pull" of a stage that failed into words.
func pullFailure(pulls []hostdriver.Release, e *hostdriver.Error, records []record) {
	for _, r := range records {
		if r.kind != "pull" {
			continue
		}
		for _, p := range pulls {
			if releaseKey(p.Path) == r.arg(0) {
				what, mend := p.PullError(hostdriver.PullFault(r.arg(1)), printable(string(r.body), 1000))
				e.Err, e.Mend = errors.New(what+"; nothing was staged"), mend
			}
		}
	}
}
