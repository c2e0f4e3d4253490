package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
)

// TestEveryRuleIsDocumented: docs/validate.md has a section on each rule with its level,
// and on no other.
func TestEveryRuleIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/validate.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{} // level by rule
	for _, m := range regexp.MustCompile(`(?m)^### ([a-z0-9-]+)\n\n\*(off|warning|error|always an error)\.\* \S`).FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2]
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok && documented[name] == "" {
			t.Errorf("the section on %s does not begin with its level", name)
		}
	}
	for _, r := range desired.Rules() {
		want := string(r.Level)
		if r.Fixed {
			want = "always an error"
		}
		if documented[r.Name] != want {
			t.Errorf("%s: documented as %q, is %q", r.Name, documented[r.Name], want)
		}
		delete(documented, r.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		t.Errorf("%s is documented, and there is no such rule", name)
	}
}

// ruleWords are the functions that take a rule's name, with which argument it is.
var ruleWords = map[string]int{"add": 1, "addIf": 1, "say": 1, "warn": 1, "missing": 0}

// TestEveryRuleIsKnown: what the code calls a rule is in desired.Rules, and each of those
// is in the code.
func TestEveryRuleIsKnown(t *testing.T) {
	used := map[string]string{}
	for _, folder := range []string{"..", ".", "../../inventory", "../../inventory/strictyaml", "../../inventory/fault", "../../cmd/evenkeel", "../secrets"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || filepath.Base(file) == "rule.go" {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				for _, e := range ruleExpressions(n) {
					if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						if name, _ := strconv.Unquote(lit.Value); name != "" && !strings.ContainsAny(name, " [].") {
							used[name] = file
						}
					}
				}
				return true
			})
		}
	}
	known := map[string]bool{}
	for _, r := range desired.Rules() {
		known[r.Name] = true
		if used[r.Name] == "" {
			t.Errorf("no code finds %s", r.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !known[name] {
			t.Errorf("%s has a rule %s that is not in desired.Rules", used[name], name)
		}
	}
}

// ruleExpressions are the expressions of a node that name a rule.
func ruleExpressions(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && (k.Name == "Rule" || k.Name == "rule") {
			return []ast.Expr{n.Value}
		}
	case *ast.AssignStmt:
		for i, l := range n.Lhs {
			if s, ok := l.(*ast.SelectorExpr); ok && s.Sel.Name == "Rule" && i < len(n.Rhs) {
				return []ast.Expr{n.Rhs[i]}
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if strings.HasPrefix(name.Name, "Rule") && i < len(n.Values) {
				return []ast.Expr{n.Values[i]}
			}
		}
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.SelectorExpr:
			name = f.Sel.Name
		case *ast.Ident:
			name = f.Name
		}
		if i, ok := ruleWords[name]; ok && len(n.Args) >= 3 {
			return n.Args[i : i+1]
		}
		// fault(pos, rule, message, mend), or fault(rule, message, mend)
		if name == "fault" && len(n.Args) >= 3 {
			return n.Args[:min(2, len(n.Args)-2)]
		}
	}
	return nil
}
