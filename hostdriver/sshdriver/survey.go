package sshdriver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

const (
	opSurvey = "survey"
	opFetch  = "fetch from"
)

var _ hostdriver.Surveyor = (*Driver)(nil)

// Survey lists the host's own units; see hostdriver.Surveyor.
func (d *Driver) Survey(ctx context.Context, host inventory.Host) (hostdriver.Survey, error) {
	s := newScript(d.places, "survey")
	records, err := exchange(ctx, d.line, host, request{op: opSurvey, script: s, call: "op_survey"})
	if err != nil {
		return hostdriver.Survey{}, err
	}
	out, err := parseSurvey(records)
	if err != nil {
		return hostdriver.Survey{}, &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: opSurvey, Err: err,
			Mend: "see what is there: ssh to it and look at /etc/systemd/system"}
	}
	return out, nil
}

// parseSurvey reads what op_survey says. Names that no unit and no path may have are left
// out: nothing can be done with them.
func parseSurvey(records []record) (hostdriver.Survey, error) {
	var out hostdriver.Survey
	seen := map[string]bool{}
	for _, r := range records {
		seen[r.kind] = true
		switch r.kind {
		case "entries":
			for _, line := range r.lines() {
				e, ok := surveyEntry(line)
				if ok && len(out.Entries) == hostdriver.MaxSurvey {
					out.Cut = true
				} else if ok {
					out.Entries = append(out.Entries, e)
				}
			}
		case "loaded":
			for _, line := range r.lines() {
				name, _, _ := strings.Cut(strings.TrimLeft(line, " *●"), " ")
				if hostdriver.CheckUnit(name) != nil {
					continue
				}
				if len(out.Loaded) == hostdriver.MaxSurvey {
					out.Cut = true
					break
				}
				out.Loaded = append(out.Loaded, strings.Clone(name))
			}
		default:
			return out, fmt.Errorf("the reply has a part %s", printable(r.kind, 40))
		}
	}
	if !seen["entries"] || !seen["loaded"] {
		return out, errors.New("the reply lacks a part")
	}
	return out, nil
}

// surveyRoots are the folders that a survey tells of.
var surveyRoots = []string{"/etc/systemd/system/", "/etc/containers/systemd/"}

// surveyEntry reads find's type, path and link target, with tabs between.
func surveyEntry(line string) (hostdriver.SurveyEntry, bool) {
	kind, rest, ok := strings.Cut(line, "\t")
	name, target, ok2 := strings.Cut(rest, "\t")
	if !ok || !ok2 || hostdriver.CheckPath(name) != nil || hostdriver.HasControl(target) || len(target) > 4095 {
		return hostdriver.SurveyEntry{}, false
	}
	below := false
	for _, root := range surveyRoots {
		inside, in := strings.CutPrefix(name, root)
		below = below || in && inside != "" && strings.Count(inside, "/") <= 1
	}
	if !below {
		return hostdriver.SurveyEntry{}, false
	}
	e := hostdriver.SurveyEntry{Path: strings.Clone(name), Type: hostdriver.PathOther}
	switch kind {
	case "f":
		e.Type = hostdriver.PathFile
	case "d":
		e.Type = hostdriver.PathDir
	case "l":
		e.Type, e.Target = hostdriver.PathSymlink, strings.Clone(target)
	}
	return e, true
}

// maxFetchNoise is what a login shell may say before what is fetched.
const maxFetchNoise = 64 << 10

// Fetch brings one file or folder here; see hostdriver.Surveyor.
func (d *Driver) Fetch(ctx context.Context, host inventory.Host, q hostdriver.FetchQuery, w io.Writer) error {
	fail := func(kind hostdriver.ErrorKind, err error, mend string) error {
		return &hostdriver.Error{Kind: kind, Host: host.Name, Op: opFetch, Err: err, Mend: mend}
	}
	if err := q.Check(); err != nil {
		return fail(hostdriver.Refused, err, "")
	}
	if d.pool == nil {
		return fail(hostdriver.Refused, errors.New("there is no connection to hosts here"), "")
	}
	conn, err := d.pool.Conn(ctx, TargetFor(host))
	if err != nil {
		return err
	}
	s := newScript(d.places, "survey")
	s.set("WHAT", q.Path)
	s.setFlag("FOLDER", q.Folder)
	if s.err != nil {
		return fail(hostdriver.Refused, s.err, "")
	}
	text := s.text("op_fetch")
	words, err := conn.BecomeLine(payloadWords(len(text))...)
	if err != nil {
		return fail(hostdriver.Become, err, "name another user to become")
	}
	session, err := conn.Start(ctx, words)
	if err != nil {
		return renameOp(err, opFetch)
	}
	defer func() { _ = session.Close() }()
	defer context.AfterFunc(ctx, func() { _ = session.Close() })()
	if _, err := io.WriteString(session, text); err != nil && ctx.Err() == nil {
		return fail(hostdriver.Unreachable, err, "")
	}
	if err := fetched(session, s.nonce, q.Max, w); err != nil {
		switch {
		case ctx.Err() != nil:
			return fail(hostdriver.Unreachable, fmt.Errorf("it has not ended: %w", context.Cause(ctx)), "")
		case errors.Is(err, errNotBegun):
			if res, werr := session.Wait(ctx); werr == nil {
				if refused := conn.BecomeRefusal(res); refused != nil {
					return refused
				}
				err = noReply(err, res)
			}
		}
		return fail(hostdriver.Failed, err, "")
	}
	res, err := session.Wait(ctx)
	if err != nil {
		return renameOp(err, opFetch)
	}
	if res.Exit != 0 || res.Signal != "" {
		return fail(hostdriver.Failed, noReply(fmt.Errorf("%s was not read to its end", q.Path), res), "look at it there")
	}
	return nil
}

var errNotBegun = errors.New("it did not begin")

// fetched copies what follows the line with the nonce, and refuses more than most bytes.
func fetched(r io.Reader, nonce string, most int64, w io.Writer) error {
	in := bufio.NewReaderSize(r, 64<<10)
	mark := []byte(nonce + " begin\n")
	for noise := 0; ; {
		line, err := in.ReadSlice('\n')
		if bytes.Equal(line, mark) {
			break
		}
		noise += len(line)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) || noise > maxFetchNoise {
			return errNotBegun
		}
	}
	n, err := io.Copy(w, io.LimitReader(in, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return err
}
