package gitrepo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Commit is what a commit says of itself. Who wrote it is only known once it is verified.
type Commit struct {
	ID        string // 40 hex digits
	Tree      string
	Parents   []string
	Author    Person
	Committer Person
	Subject   string // the message's first line

	raw []byte
}

// Person is who and when, as a commit claims.
type Person struct {
	Name  string
	Email string
	When  time.Time // zero where the commit does not say it in an understood way
}

func (p Person) String() string {
	if p.Email == "" {
		return p.Name
	}
	return p.Name + " <" + p.Email + ">"
}

// Short is the beginning of the ID, for people.
func (c Commit) Short() string { return c.ID[:min(12, len(c.ID))] }

const (
	maxCommit  = 4 << 20
	maxParents = 1000
	maxName    = 200
)

// parseCommit reads a commit object. What decides what is deployed (tree, parents) must
// be there exactly once, in git's order; what is only shown is taken as far as it goes.
func parseCommit(id plumbing.Hash, raw []byte) (Commit, error) {
	c := Commit{ID: id.String(), raw: raw}
	head, message, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		head = bytes.TrimSuffix(raw, []byte("\n"))
	}
	lines := strings.Split(string(head), "\n")
	tree, ok := objectLine(lines[0], "tree ")
	if !ok {
		return Commit{}, errors.New("a commit without a tree")
	}
	c.Tree = tree
	rest := lines[1:]
	for len(rest) > 0 {
		parent, ok := objectLine(rest[0], "parent ")
		if !ok {
			break
		}
		if c.Parents = append(c.Parents, parent); len(c.Parents) > maxParents {
			return Commit{}, errors.New("a commit with too many parents")
		}
		rest = rest[1:]
	}
	for i, want := range []string{"author ", "committer "} {
		if len(rest) == 0 || !strings.HasPrefix(rest[0], want) {
			return Commit{}, fmt.Errorf("a commit without its %s", strings.TrimSpace(want))
		}
		*[]*Person{&c.Author, &c.Committer}[i] = parsePerson(rest[0][len(want):])
		rest = rest[1:]
	}
	for _, l := range rest {
		for _, again := range []string{"tree ", "parent ", "author ", "committer "} {
			if strings.HasPrefix(l, again) {
				return Commit{}, fmt.Errorf("a commit with a second or misplaced %s", strings.TrimSpace(again))
			}
		}
	}
	c.Subject = oneLine(subject(message), maxName)
	return c, nil
}

func subject(message []byte) string {
	first, _, _ := strings.Cut(strings.TrimLeft(string(message), "\n"), "\n")
	return first
}

// objectLine is the object that a header line names.
func objectLine(line, header string) (string, bool) {
	id, ok := strings.CutPrefix(line, header)
	return id, ok && isHash(id)
}

// isHash tells of 40 lower-case hex digits.
func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 20 && s == strings.ToLower(s)
}

// parsePerson reads "Name <email> seconds zone".
func parsePerson(s string) Person {
	var p Person
	end := strings.LastIndexByte(s, '>')
	start := strings.LastIndexByte(s[:max(0, end)], '<')
	if start < 0 {
		p.Name = oneLine(s, maxName)
		return p
	}
	p.Name, p.Email = oneLine(s[:start], maxName), oneLine(s[start+1:end], maxName)
	when := strings.Fields(s[end+1:])
	if len(when) != 2 {
		return p
	}
	seconds, err := strconv.ParseInt(when[0], 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return p
	}
	p.When = time.Unix(seconds, 0).UTC()
	zone, err := strconv.Atoi(when[1])
	if err == nil && len(when[1]) == 5 && zone > -2400 && zone < 2400 {
		p.When = p.When.In(time.FixedZone(when[1], (zone/100*60+zone%100)*60))
	}
	return p
}
