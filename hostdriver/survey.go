package hostdriver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/evenkeel/evenkeel/inventory"
)

// Surveyor finds what a host has that nobody has named yet. It writes nothing there.
type Surveyor interface {
	// Survey lists the host's own units, in one round trip. What is in them, and how they
	// are, an Observer tells.
	Survey(ctx context.Context, host inventory.Host) (Survey, error)
	// Fetch writes one file of the host, or a folder as a tar, to w, and at most q.Max
	// bytes of it. Where it returns an error (an *Error, or w's own), what was written is
	// of no use.
	Fetch(ctx context.Context, host inventory.Host, q FetchQuery, w io.Writer) error
}

// Survey is what a host has in /etc/systemd/system, and in /etc/containers/systemd.
type Survey struct {
	// Entries are the paths there, two levels deep, in no order.
	Entries []SurveyEntry
	// Loaded are the names of the units that systemd has loaded: instances of templates
	// are known by them alone.
	Loaded []string
	// Cut tells that there is more than a survey takes.
	Cut bool
}

// SurveyEntry is one path.
type SurveyEntry struct {
	Path   string
	Type   PathType
	Target string // of a symlink, as it was written
}

// MaxSurvey is how many paths a survey takes, and how many units.
const MaxSurvey = 4000

// FetchQuery names what to fetch.
type FetchQuery struct {
	Path   string
	Folder bool // as a tar, of files, folders and links; symlinks are not followed
	Max    int64
}

// Check tells what in q no host can be asked.
func (q FetchQuery) Check() error {
	if err := CheckPath(q.Path); err != nil {
		return err
	}
	if q.Path == "/" {
		return errors.New("the root directory cannot be fetched")
	}
	if q.Max <= 0 {
		return fmt.Errorf("%d bytes cannot be fetched", q.Max)
	}
	return nil
}
