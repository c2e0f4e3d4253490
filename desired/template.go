package desired

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// A tmpl is a parsed template. It may be executed concurrently.
//
// Rendering is a pure function of text and variables: no clock, no randomness, no
// environment. It always ends: steps and output are counted, not timed, so that
// the same template fails in the same way everywhere.
type tmpl struct {
	mutates   bool // it may write into maps it is given, so it gets its own
	executors sync.Pool
}

// executor is a copy of the template whose functions are paid from its budget; one
// execution at a time.
type executor struct {
	exec   *template.Template
	budget *budget
}

const (
	maxRendered = 1 << 20
	maxSteps    = 200_000
)

// templateName stands for the file in the library's errors, so that they can be
// taken apart whatever the file is called.
const templateName = "t"

// isTemplate tells whether a string has anything to render.
func isTemplate(s string) bool { return strings.Contains(s, "{{") }

var (
	identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	mutating   = regexp.MustCompile(`\b(set|unset|merge|mergeOverwrite|mustMerge|mustMergeOverwrite)\b`)
)

// parseTemplate parses; at is the place of the text's first character.
func parseTemplate(text string, at Position) (*tmpl, *Fault) {
	parsed, err := template.New(templateName).Option("missingkey=error").Funcs(placeholderFuncs()).Parse(text)
	if err != nil {
		return nil, parseFault(err, at)
	}
	for _, sub := range parsed.Templates() {
		if sub.Tree != nil {
			addCheckpoints(sub.Root)
		}
	}
	used := map[string]bool{}
	for _, word := range identifier.FindAllString(text, -1) {
		used[word] = true
	}
	t := &tmpl{mutates: mutating.MatchString(text)}
	t.executors.New = func() any {
		b := &budget{}
		exec := template.Must(parsed.Clone())
		return &executor{exec: exec.Funcs(b.funcs(used)), budget: b}
	}
	return t, nil
}

// addCheckpoints puts an empty text before everything that may be executed again
// and again, so that the writer is asked and can end the execution.
func addCheckpoints(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.IfNode:
			addCheckpoints(n.List)
			addCheckpoints(n.ElseList)
		case *parse.WithNode:
			addCheckpoints(n.List)
			addCheckpoints(n.ElseList)
		case *parse.RangeNode:
			addCheckpoints(n.List)
			addCheckpoints(n.ElseList)
		}
	}
	l.Nodes = append([]parse.Node{&parse.TextNode{NodeType: parse.NodeText}}, l.Nodes...)
}

// render executes with the variables of a scope, which it leaves as they are.
func (t *tmpl) render(vars map[string]any, at Position) ([]byte, *Fault) {
	if t.mutates {
		vars = copyValue(vars).(map[string]any)
	}
	e := t.executors.Get().(*executor)
	defer t.executors.Put(e)
	*e.budget = budget{}
	if err := e.exec.Execute(e.budget, vars); err != nil {
		return nil, execFault(err, at, vars)
	}
	return e.budget.out.Bytes(), nil
}

// copyValue copies maps and lists all the way down.
func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = copyValue(e)
		}
		return out
	case map[string]string:
		return maps.Clone(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = copyValue(e)
		}
		return out
	case []string:
		return slices.Clone(v)
	}
	return v
}

// budget is what one execution may still do, and where it writes.
type budget struct {
	out   bytes.Buffer
	steps int
}

var (
	errEndless = errors.New("the template does not end within its steps")
	errDepth   = errors.New("a value is nested too deeply, or in itself")
	errOutput  = fmt.Errorf("the template makes more than %d bytes", maxRendered)
)

func (b *budget) spend(steps int) error {
	b.steps += steps
	if b.steps > maxSteps {
		return errEndless
	}
	return nil
}

// Write counts and keeps what a template writes.
func (b *budget) Write(p []byte) (int, error) {
	if err := b.spend(1 + len(p)/256); err != nil {
		return 0, err
	}
	if b.out.Len()+len(p) > maxRendered {
		return 0, errOutput
	}
	return b.out.Write(p)
}

var (
	templateAt   = regexp.MustCompile(`^template: t:(\d+)(?::(\d+))?: (?s:(.*))$`)
	templateExec = regexp.MustCompile(`^executing "[^"]*" at <(?s:(.*?))>: (?s:(.*))$`)
	missingKey   = regexp.MustCompile(`map has no entry for key "([^"]*)"`)
	missingFunc  = regexp.MustCompile(`function "([^"]*)" not defined`)
)

// locate splits the library's error into place and text.
func locate(err error, at Position) (Position, string) {
	m := templateAt.FindStringSubmatch(err.Error())
	if m == nil {
		return at, err.Error()
	}
	line, _ := strconv.Atoi(m[1])
	column, _ := strconv.Atoi(m[2])
	pos := Position{File: at.File, Line: max(at.Line, 1) + line - 1}
	switch {
	case line == 1 && at.Column > 1: // within a line of YAML
		pos.Column = at.Column + column
	case column > 0:
		pos.Column = column + 1
	}
	return pos, m[3]
}

func parseFault(err error, at Position) *Fault {
	pos, text := locate(err, at)
	f := &Fault{Pos: pos, Rule: "template", Message: "not a template: " + text}
	if m := missingFunc.FindStringSubmatch(text); m != nil {
		f.Message = "templates have no function " + fault.Quote(m[1])
		if why, ok := impureFuncs[m[1]]; ok {
			f.Mend = why
		} else if near, ok := fault.Nearest(m[1], funcNames()); ok {
			f.Mend = "did you mean " + fault.Quote(near) + "?"
		}
	}
	return f
}

func execFault(err error, at Position, vars map[string]any) *Fault {
	pos, text := locate(err, at)
	f := &Fault{Pos: pos, Rule: "template"}
	switch {
	case errors.Is(err, errEndless):
		f.Message = errEndless.Error()
		return f
	case errors.Is(err, errOutput):
		f.Message = errOutput.Error()
		return f
	}
	expr := ""
	if m := templateExec.FindStringSubmatch(text); m != nil {
		expr, text = m[1], m[2]
	}
	if m := missingKey.FindStringSubmatch(text); m != nil {
		f.Rule = "missing-var"
		parent, candidates := missing(expr, m[1], vars)
		f.Message = parent + " has no " + fault.Quote(m[1])
		f.Mend = fault.DidYouMean(m[1], candidates)
		if f.Mend == "" && parent == ".Vars" {
			f.Mend = "set it in the vars of the fleet, a group or the host"
		}
		return f
	}
	f.Message = "cannot render {{ " + expr + " }}: " + text
	return f
}

var fieldChain = regexp.MustCompile(`^\$?(\.[A-Za-z0-9_]+)+$`)

// missing names what was looked into for a key that is not there, and what there is.
func missing(expr, key string, vars map[string]any) (parent string, candidates []string) {
	if !fieldChain.MatchString(expr) {
		return "{{ " + expr + " }}", nil
	}
	var at any = vars
	for _, part := range strings.Split(strings.TrimPrefix(expr, "$"), ".")[1:] {
		m, ok := at.(map[string]any)
		if part == key || !ok {
			break
		}
		at = m[part]
		parent += "." + part
	}
	switch m := at.(type) {
	case map[string]any:
		candidates = keysOf(m)
	case map[string]string:
		candidates = keysOf(m)
	}
	if parent == "" {
		parent = "the template's data"
	}
	return parent, candidates
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}
