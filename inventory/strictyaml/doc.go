// Package strictyaml decodes YAML documents into Go values strictly, with the
// position of everything it read: an unknown key (with the nearest right one), a
// duplicate key, a wrong type, a missing key and a value outside an enumeration
// are each a fault of a line and a column, and all of them are collected.
//
// It is meant for files written by strangers: the size of a file, the depth of
// its nesting and the number of nodes that aliases unfold to are bounded.
//
// What a struct wants is said in its tags: `yaml:"name"` as usual, and of
// `jsonschema:"…"` (the same tags that make the JSON Schema) the words required,
// enum=VALUE, minimum=N and maximum=N.
//
// Start reading at document.go, then decode.go.
package strictyaml
