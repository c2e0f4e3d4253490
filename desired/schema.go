package desired

import (
	"embed"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/evenkeel/evenkeel/inventory"
)

// specSources are the Go files that declare what users write; their comments are
// the schema's descriptions.
//
//go:embed service.go revision.go secretspec.go rule.go
var specSources embed.FS

// SchemaID names the schema.
const SchemaID = "https://github.com/evenkeel/evenkeel/schema/evenkeel-v1.json"

// Schema is the JSON Schema (draft 2020-12) of the documents of a fleet repo,
// made from the very types that Load decodes into, for editors and other tools.
func Schema() ([]byte, error) {
	comments, err := readComments(specSources, inventory.SpecSources)
	if err != nil {
		return nil, err
	}
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Anonymous: true,
		Mapper:        scalarSchema,
		LookupComment: func(t reflect.Type, field string) string { return comments[commentKey(t.Name(), field)] },
	}
	root := &jsonschema.Schema{Version: jsonschema.Version, ID: SchemaID, Title: "evenkeel/v1",
		Description: "A document of a fleet repo: Fleet, Inventory, Service or Rotations.", Definitions: jsonschema.Definitions{}}
	for _, doc := range []any{FleetDocument{}, inventory.Document{}, ServiceDocument{}, RotationsDocument{}} {
		s := r.Reflect(doc)
		for name, def := range s.Definitions {
			root.Definitions[name] = def
		}
		root.OneOf = append(root.OneOf, &jsonschema.Schema{Ref: "#/$defs/" + reflect.TypeOf(doc).Name()})
	}
	return json.MarshalIndent(root, "", "  ")
}

// scalarSchema describes the types that decode themselves.
func scalarSchema(t reflect.Type) *jsonschema.Schema {
	text := func(pattern, description string, examples ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Pattern: pattern, Description: description, Examples: examples}
	}
	zero := &jsonschema.Schema{Type: "integer", Const: 0}
	duration := text(`^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`, "a duration", "10s", "5m", "1h30m")
	switch t {
	case reflect.TypeOf(Duration(0)):
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{duration, zero}}
	case reflect.TypeOf(Promote{}):
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Const: "manual"}, duration, zero}}
	case reflect.TypeOf(IntOrPercent{}):
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: json.Number("0"), Maximum: json.Number("1000000")},
			text(`^([0-9]|[1-9][0-9]|100)%$`, "a share of the service's hosts", "25%")}}
	case reflect.TypeOf(inventory.Suspend{}):
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "boolean"}, text(`\S`, "why", "its disk is being replaced")}}
	case reflect.TypeOf(Number(0)):
		return &jsonschema.Schema{Type: "number"}
	case reflect.TypeOf(StringList{}):
		one := &jsonschema.Schema{Type: "string"}
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{one, {Type: "array", Items: one}}}
	case reflect.TypeOf(NoDrain{}):
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "object", AdditionalProperties: jsonschema.FalseSchema}, {Type: "null"}}}
	}
	return nil
}

// JSONSchemaExtend says that exactly one of the fields is set.
func (DrainSpec) JSONSchemaExtend(s *jsonschema.Schema) { exactlyOneProperty(s) }

// JSONSchemaExtend says that exactly one of the fields is set.
func (HealthSpec) JSONSchemaExtend(s *jsonschema.Schema) { exactlyOneProperty(s) }

// JSONSchemaExtend says that it is one of random and command.
func (GenerateSpec) JSONSchemaExtend(s *jsonschema.Schema) {
	s.OneOf = []*jsonschema.Schema{{Required: []string{"random"}}, {Required: []string{"command"}}}
}

// JSONSchemaExtend says that exactly one of the fields is set.
func (GateSpec) JSONSchemaExtend(s *jsonschema.Schema) { exactlyOneProperty(s) }

// JSONSchemaExtend says that it may be a word, too.
func (Order) JSONSchemaExtend(s *jsonschema.Schema) {
	whole, least := *s, uint64(1)
	whole.MinProperties = &least
	words := make([]any, len(orderWords))
	for i, w := range orderWords {
		words[i] = w
	}
	*s = jsonschema.Schema{Description: s.Description, OneOf: []*jsonschema.Schema{{Type: "string", Enum: words}, &whole}}
}

func exactlyOneProperty(s *jsonschema.Schema) {
	one := uint64(1)
	s.MinProperties, s.MaxProperties = &one, &one
}

func commentKey(typ, field string) string { return typ + "." + field }

// readComments collects the comments of struct types and their fields.
func readComments(sources ...embed.FS) (map[string]string, error) {
	out := map[string]string{}
	for _, src := range sources {
		files, err := fs.Glob(src, "*.go")
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			data, err := src.ReadFile(name)
			if err != nil {
				return nil, err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			collectComments(file, out)
		}
	}
	return out, nil
}

func collectComments(file *ast.File, out map[string]string) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			ts := spec.(*ast.TypeSpec)
			out[commentKey(ts.Name.Name, "")] = oneLine(gen.Doc.Text())
			st, ok := ts.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range st.Fields.List {
				text := oneLine(f.Doc.Text() + " " + f.Comment.Text())
				for _, n := range f.Names {
					out[commentKey(ts.Name.Name, n.Name)] = text
				}
			}
		}
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
