package strictyaml

import (
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// wants is what the tags of a field ask of its value.
type wants struct {
	required         bool
	enum             []string
	minimum, maximum *int64
}

type field struct {
	index int
	wants wants
}

type fields struct {
	names  []string // in the struct's order
	byName map[string]field
}

var fieldCache sync.Map // reflect.Type to fields

func fieldsOf(t reflect.Type) fields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(fields)
	}
	fs := fields{byName: map[string]field{}}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		fs.names = append(fs.names, name)
		fs.byName[name] = field{index: i, wants: parseWants(t.Field(i).Tag.Get("jsonschema"))}
	}
	fieldCache.Store(t, fs)
	return fs
}

func parseWants(tag string) wants {
	var w wants
	for _, part := range strings.Split(tag, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "required":
			w.required = true
		case "enum":
			w.enum = append(w.enum, value)
		case "minimum":
			w.minimum = parseInt(value)
		case "maximum":
			w.maximum = parseInt(value)
		}
	}
	return w
}

func parseInt(s string) *int64 {
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("strictyaml: a struct tag has the limit " + s)
	}
	return &i
}
