package arrows

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/evenkeel/evenkeel/"

// ranks is the order of the top-level folders: imports point to lower ranks, or
// stay within the folder.
var ranks = map[string]int{"cmd": 6, "controller": 5, "rollout": 4, "desired": 3, "hostdriver": 2, "inventory": 1}

// pure packages decide over values: nothing that does I/O, tells the time or logs.
var pure = map[string][]string{
	"rollout":    {"net", "net/http", "os", "os/exec", "io/fs", "syscall", "math/rand", "crypto/rand", "log", "log/slog", "github.com/rs/zerolog", "golang.org/x/crypto/ssh"},
	"hostdriver": {"net/http", "os", "os/exec", "log", "github.com/rs/zerolog", "golang.org/x/crypto/ssh"},
	"desired":    {"net/http", "os", "os/exec", "math/rand", "crypto/rand", "log", "log/slog", "github.com/rs/zerolog", "golang.org/x/crypto/ssh"},
}

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	c := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	c.Dir = filepath.Join("..", "..")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

func folder(importPath string) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(importPath, module), "/")
	return top
}

func TestImportsPointDown(t *testing.T) {
	ps := packages(t)
	if len(ps) < 10 {
		t.Fatalf("only %d packages: is this the module's root?", len(ps))
	}
	for _, p := range ps {
		from := folder(p.ImportPath)
		for _, i := range p.Imports {
			if !strings.HasPrefix(i, module) || from == "test" {
				continue
			}
			to := folder(i)
			switch {
			case to == "test":
				t.Errorf("%s imports %s: nothing but tests may", p.ImportPath, i)
			case ranks[from] == 0:
				t.Errorf("%s: Go packages live in %v and test only", p.ImportPath, ranks)
			case to != from && ranks[to] >= ranks[from]:
				t.Errorf("%s imports %s: imports point down only", p.ImportPath, i)
			case i == module+"hostdriver/sshdriver" && from != "cmd" && from != "hostdriver":
				t.Errorf("%s imports %s: only cmd chooses the driver", p.ImportPath, i)
			case i == module+"controller/store/boltstore" && from != "cmd":
				t.Errorf("%s imports %s: only cmd chooses the store", p.ImportPath, i)
			case from == "rollout" && strings.HasPrefix(i, module+"rollout/") && p.ImportPath == module+"rollout":
				t.Errorf("%s imports the adapter %s", p.ImportPath, i)
			}
		}
	}
}

func TestThePureStayPure(t *testing.T) {
	for _, p := range packages(t) {
		forbidden, ok := pure[strings.TrimPrefix(p.ImportPath, module)]
		if !ok {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(forbidden, i) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
		for _, f := range p.GoFiles {
			noClock(t, filepath.Join(p.Dir, f))
		}
	}
}

// noClock reports calls of time.Now and its kin.
func noClock(t *testing.T, file string) {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker"}, s.Sel.Name) {
				t.Errorf("%s: time.%s", set.Position(s.Pos()), s.Sel.Name)
			}
		}
		return true
	})
}
