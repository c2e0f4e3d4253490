package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// MaxBytes is the largest YAML file that is read.
const MaxBytes = 1 << 20

// Document is one document of a YAML file. Root is never an alias; it is nil for
// an empty document.
type Document struct {
	File string
	Root *yaml.Node
}

// Pos is where the document begins.
func (d Document) Pos() fault.Position {
	if d.Root == nil {
		return fault.Position{File: d.File}
	}
	return nodePos(d.File, d.Root)
}

// Parse splits a file into its documents. After a syntax error the documents
// before it are returned with the fault. Empty documents are left out.
func Parse(file string, data []byte) ([]Document, fault.Faults) {
	if len(data) > MaxBytes {
		return nil, fault.Faults{{Pos: fault.Position{File: file}, Rule: "too-large",
			Message: fmt.Sprintf("%d bytes of YAML are more than the %d that are read", len(data), MaxBytes),
			Mend:    "split the file"}}
	}
	var docs []Document
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := decodeNode(dec, &n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, fault.Faults{syntaxFault(file, err)}
		}
		if n.Kind != yaml.DocumentNode || len(n.Content) == 0 {
			continue
		}
		root := n.Content[0]
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue
		}
		docs = append(docs, Document{File: file, Root: root})
	}
}

// decodeNode turns a panic of the YAML library on hostile input into an error.
func decodeNode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: cannot be read: %v", r)
		}
	}()
	return dec.Decode(n)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func syntaxFault(file string, err error) fault.Fault {
	f := fault.Fault{Pos: fault.Position{File: file}, Rule: "yaml-syntax", Message: err.Error()}
	if m := yamlLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " ")); m != nil {
		f.Pos.Line, _ = strconv.Atoi(m[1])
		f.Message = m[2]
	}
	f.Message = "not YAML: " + f.Message
	return f
}

// Header is what every evenkeel document begins with.
type Header struct {
	APIVersion string
	Kind       string
	Name       string // metadata.name
}

// Header reads what can be read of a document's header, without judging it.
func (d Document) Header() Header {
	var h Header
	if d.Root == nil || d.Root.Kind != yaml.MappingNode {
		return h
	}
	h.APIVersion = scalarAt(d.Root, "apiVersion")
	h.Kind = scalarAt(d.Root, "kind")
	if m := child(d.Root, "metadata"); m != nil {
		h.Name = scalarAt(m, "name")
	}
	return h
}

// IsEvenkeel tells whether the document says that it is one of evenkeel's, well
// formed or not.
func (d Document) IsEvenkeel() bool {
	return d.Root != nil && d.Root.Kind == yaml.MappingNode && (child(d.Root, "apiVersion") != nil || child(d.Root, "kind") != nil)
}

// Child is the value of a key of the document's root, or nil.
func (d Document) Child(key string) *yaml.Node {
	if d.Root == nil {
		return nil
	}
	return child(d.Root, key)
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func scalarAt(n *yaml.Node, key string) string {
	c := child(n, key)
	if c == nil || c.Kind != yaml.ScalarNode {
		return ""
	}
	return c.Value
}

func nodePos(file string, n *yaml.Node) fault.Position {
	return fault.Position{File: file, Line: n.Line, Column: n.Column}
}
