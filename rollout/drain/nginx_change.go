package drain

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

//go:embed nginx_change.sh
var nginxChangeScript string

//go:embed nginx_sessions.sh
var nginxSessions string

// errNginxOther tells that the file has become another since it was read, and that
// nothing was done.
var errNginxOther = errors.New("the file was changed again and again in the meantime")

// nginxLeft is a failure after which the file stays changed.
type nginxLeft struct{ err error }

func (l *nginxLeft) Error() string { return l.err.Error() }
func (l *nginxLeft) Unwrap() error { return l.err }

// nginxChange is the script that replaces one content of the file by another, or, where
// they are the same, only has nginx check and reload. Contents travel encoded, and all
// else as one quoted word each.
func nginxChange(spec desired.NginxDrain, from, to []byte, confirm time.Duration) string {
	var b strings.Builder
	for _, v := range [][2]string{
		{"FILE", spec.File}, {"OLD", digestOf(from)}, {"NEW", digestOf(to)}, {"CHECK", spec.Check}, {"RELOAD", spec.Reload},
	} {
		b.WriteString(v[0] + "=" + peer.Quote(v[1]) + "\n")
	}
	fmt.Fprintf(&b, "TURNS=%d\n", confirm/(100*time.Millisecond))
	b.WriteString("content() {\nbase64 -d <<'END'\n")
	if string(from) != string(to) {
		b.WriteString(base64.StdEncoding.EncodeToString(to))
	}
	b.WriteString("\nEND\n}\n")
	b.WriteString(nginxChangeScript)
	return b.String()
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// nginxOutcome puts the script's exit status into words.
func nginxOutcome(out peer.Output, spec desired.NginxDrain, confirm time.Duration) error {
	text := string(out.Text)
	const again = "mend that, and it is tried again"
	const byHand = "look at the file there, and have nginx reload"
	switch out.Exit {
	case 0:
		return nil
	case 100:
		return errNginxOther
	case 101:
		return mend("on that machine, fuser -v on the file's directory names who holds it", "another change is at work there: %s", peer.FirstLine(text))
	case 102:
		return mend("may the user that evenkeel is there write in that directory, and is there room?", "the file cannot be written: %s", peer.FirstLine(text))
	case 103:
		return mend(again, "%s, so the file was left as it was", nginxSaid(spec.Check, text))
	case 104:
		return &nginxLeft{mend(byHand, "%s, and the file could not be put back: somebody has changed it since", nginxSaid(spec.Check, text))}
	case 105:
		return mend("is nginx running there?", "%s, so the file was left as it was", nginxSaid(spec.Reload, text))
	case 106:
		return &nginxLeft{mend(byHand, "%s, and the file could not be put back: somebody has changed it since", nginxSaid(spec.Reload, text))}
	case 107:
		return &nginxLeft{mend("nginx's error log says why", "nginx was told to reload, but %s later it has no new workers", confirm)}
	case peer.ExitTimeout, 137: // timeout(1): it was ended, or killed
		return &nginxLeft{mend("see on that machine why it hangs", "%s and %s ran longer than %s", program(spec.Check), program(spec.Reload), commandLimit)}
	}
	return &nginxLeft{fmt.Errorf("the change ended with exit status %d: %s", out.Exit, peer.FirstLine(text))}
}

// nginxProcess stands before the words of nginx's log: process and thread.
var nginxProcess = regexp.MustCompile(`^\d+#\d+: `)

// nginxSaid is how a command failed: of what it printed, the line with the error.
func nginxSaid(line, text string) string {
	status, text, _ := strings.Cut(text, "\n")
	said := peer.FirstLine(text)
	for l := range strings.Lines(text) {
		if _, fault, ok := strings.Cut(l, "[emerg]"); ok {
			said = nginxProcess.ReplaceAllString(peer.Line(fault), "")
			break
		}
	}
	if said != "" {
		said = ": " + said
	}
	return program(line) + " fails with " + peer.Line(status) + said
}
