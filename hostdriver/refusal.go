package hostdriver

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Refusal is the host's own record that what a revision brought of one service was taken
// back here, so that no controller, with or without a store, brings it again. A host has
// at most one for a service; the driver keeps it as JSON.
type Refusal struct {
	Service  string    `json:"service"`
	Revision string    `json:"revision"` // which had brought it
	Reason   string    `json:"reason"`
	By       RefusalBy `json:"by"`
	At       time.Time `json:"at"`
	// Content is a digest of what was on disk of the service, How one of what else counts
	// for whether it is tried again; opaque to the driver. Both are keyed by nothing: a
	// host's records are root's alone.
	Content string `json:"content"`
	How     string `json:"how,omitempty"`
}

// RefusalBy is who took it back.
type RefusalBy string

// Who takes something back.
const (
	ByRevert RefusalBy = "revert" // it did not get healthy
	ByUndo   RefusalBy = "undo"   // an operator wanted the former generation
)

// maxReason bounds what is kept of a reason.
const maxReason = 1000

// Bounded is r with a reason of a size that is worth keeping.
func (r Refusal) Bounded() Refusal {
	if len(r.Reason) > maxReason {
		r.Reason = strings.ToValidUTF8(r.Reason[:maxReason], "") + "…"
	}
	return r
}

// Check tells what in r no host can keep, or should not have been told by one.
func (r Refusal) Check() error {
	switch {
	case CheckService(r.Service) != nil:
		return CheckService(r.Service)
	case r.By != ByRevert && r.By != ByUndo:
		return fmt.Errorf("a service is taken back by %q", r.By)
	case len(r.Revision) > 256 || len(r.Reason) > 4*maxReason:
		return errors.New("its words are too long")
	case !IsDigest(r.Content) || r.How != "" && !IsDigest(r.How):
		return errors.New("its digests are none")
	}
	return nil
}

// CheckService allows the names of services: they are names of files on a host.
func CheckService(name string) error {
	ok := name != "" && len(name) <= 63 && isLower(rune(name[0]))
	for _, c := range name {
		ok = ok && (isLower(c) || c == '-' || c == '.')
	}
	if !ok {
		return fmt.Errorf("%.80q is not the name of a service", name)
	}
	return nil
}

func isLower(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// Forget drops the refusals of services, where there are any.
type Forget struct{ Services []string }

func (Forget) op() string { return "forget" }
