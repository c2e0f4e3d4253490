package secrets

import "strings"

// Error is why a SOPS file was not opened. It holds public keys and names only.
type Error struct {
	Name       string
	Recipients []string // the age recipients the file is encrypted to
	Others     []string // the kinds of its keys that are not age's
	Tried      []string // the public halves of the identities that were tried, and where they are from
	Asked      bool     // that those of Others were used, too
	unread     []string // why other identities could not be read
	reason     string
	mend       string
}

func (e *Error) Error() string { return "cannot decrypt " + e.Name + ": " + e.Reason() }

// Reason is the error without the file's name.
func (e *Error) Reason() string {
	if e.reason != "" {
		return e.reason
	}
	var b strings.Builder
	switch {
	case len(e.Recipients) == 0 && e.Asked:
		return "it is encrypted to " + strings.Join(e.Others, ", ") + ", and none of these opens it with what there is to log in with"
	case len(e.Recipients) == 0 && len(e.Others) > 0:
		return "it is encrypted to no age key, only to " + strings.Join(e.Others, ", ")
	case len(e.Recipients) == 0:
		return "it is encrypted to no key at all"
	}
	b.WriteString("it is encrypted to " + strings.Join(e.Recipients, ", "))
	if len(e.Tried) == 0 {
		b.WriteString(", and there is no age identity")
	} else {
		b.WriteString(", which none of the identities here opens: " + strings.Join(e.Tried, ", "))
	}
	if len(e.unread) > 0 {
		b.WriteString(" (" + strings.Join(e.unread, "; ") + ")")
	}
	return b.String()
}

// NoKey tells that the file may be whole: there is no key here that opens it.
func (e *Error) NoKey() bool { return e.reason == "" }

// Mend is what to do about it.
func (e *Error) Mend() string {
	switch {
	case e.mend != "":
		return e.mend
	case len(e.Recipients) == 0 && e.Asked:
		return "see that sops -d opens it in this environment, or add an age key: evenkeel secret recipients FILE --add age1…"
	case len(e.Recipients) == 0 && len(e.Others) > 0:
		return "add the controller's age key: evenkeel secret recipients FILE --add age1…; or set secrets.keyServices: true, where its environment may log in there"
	case len(e.Recipients) == 0:
		return "add the controller's age key: evenkeel secret recipients FILE --add age1…"
	case len(e.Tried) == 0 && len(e.unread) == 0:
		return "set secrets.ageIdentity (EVENKEEL_SECRETS_AGEIDENTITY), or SOPS_AGE_KEY_FILE"
	case len(e.Tried) == 0:
		return "name a readable file of age identities"
	}
	return "give the identity of one of them, or have one of them add yours: evenkeel secret recipients FILE --add age1…"
}
