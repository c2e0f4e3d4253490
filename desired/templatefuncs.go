package desired

import (
	"fmt"
	"reflect"
	"sort"
	"sync"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// impureFuncs are sprig's functions that are left out, each with what to do
// instead: the same revision must always render to the same bytes.
var impureFuncs = map[string]string{
	"ago": clockMend, "now": clockMend, "date": clockMend, "dateInZone": clockMend, "date_in_zone": clockMend,
	"dateModify": clockMend, "date_modify": clockMend, "must_date_modify": clockMend, "mustDateModify": clockMend,
	"htmlDate": clockMend, "htmlDateInZone": clockMend, "toDate": clockMend, "mustToDate": clockMend, "unixEpoch": clockMend,
	"durationRound": clockMend,
	"randAlphaNum":  randomMend, "randAlpha": randomMend, "randAscii": randomMend, "randNumeric": randomMend,
	"randBytes": randomMend, "randInt": randomMend, "shuffle": randomMend, "uuidv4": randomMend,
	"bcrypt": randomMend, "htpasswd": randomMend, "encryptAES": randomMend, "decryptAES": randomMend, "derivePassword": randomMend,
	"genPrivateKey": randomMend, "genCA": randomMend, "genCAWithKey": randomMend, "genSelfSignedCert": randomMend,
	"genSelfSignedCertWithKey": randomMend, "genSignedCert": randomMend, "genSignedCertWithKey": randomMend, "buildCustomCert": randomMend,
	"env": envMend, "expandenv": envMend, "getHostByName": envMend,
	"hello": "",
}

const (
	clockMend  = "a revision renders the same at any time: write the date into vars"
	randomMend = "a revision renders the same every time: make the value once and keep it in vars or a SOPS file"
	envMend    = "a revision renders the same everywhere: put the value into vars"
)

// pureFuncs are the functions of templates: sprig's that depend on nothing but
// their arguments, and text/template's own that make text or look into values.
var pureFuncs = sync.OnceValue(func() map[string]reflect.Value {
	out := map[string]reflect.Value{}
	for name, f := range sprig.TxtFuncMap() {
		if _, impure := impureFuncs[name]; !impure {
			out[name] = reflect.ValueOf(f)
		}
	}
	for name, f := range map[string]any{
		"print": fmt.Sprint, "printf": fmt.Sprintf, "println": fmt.Sprintln,
		"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
		"index": strictIndex, "keys": sortedDictKeys, "values": sortedDictValues,
	} {
		out[name] = reflect.ValueOf(f)
	}
	return out
})

// sortedDictKeys is sprig's keys in order: its own comes as the map's iteration has it.
func sortedDictKeys(dicts ...map[string]any) []string {
	var keys []string
	for _, d := range dicts {
		keys = append(keys, sortedNames(d)...)
	}
	return keys
}

// sortedDictValues is sprig's values, in the order of their keys.
func sortedDictValues(dict map[string]any) []any {
	values := make([]any, 0, len(dict))
	for _, k := range sortedNames(dict) {
		values = append(values, dict[k])
	}
	return values
}

func funcNames() []string {
	names := make([]string, 0, len(pureFuncs()))
	for n := range pureFuncs() {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// placeholderFuncs let templates be parsed; executors put their own in their place.
var placeholderFuncs = sync.OnceValue(func() template.FuncMap {
	m := template.FuncMap{}
	for name, f := range pureFuncs() {
		m[name] = f.Interface()
	}
	return m
})

// funcs are the functions of an executor: each call is paid for by the size of
// what it is given and makes, and refused where that grows out of bounds.
func (b *budget) funcs(used map[string]bool) template.FuncMap {
	m := template.FuncMap{}
	for name := range used {
		if f, ok := pureFuncs()[name]; ok {
			m[name] = b.guard(name, f)
		}
	}
	return m
}

var errorType = reflect.TypeOf((*error)(nil)).Elem()

// guard wraps a function of any signature in one of (args...) (result, error).
func (b *budget) guard(name string, f reflect.Value) any {
	t := f.Type()
	ins := make([]reflect.Type, t.NumIn())
	for i := range ins {
		ins[i] = t.In(i)
	}
	wrapped := reflect.FuncOf(ins, []reflect.Type{t.Out(0), errorType}, t.IsVariadic())
	fail := func(err error) []reflect.Value {
		return []reflect.Value{reflect.Zero(t.Out(0)), reflect.ValueOf(err)}
	}
	return reflect.MakeFunc(wrapped, func(args []reflect.Value) []reflect.Value {
		if err := b.before(name, args); err != nil {
			return fail(err)
		}
		var out []reflect.Value
		if t.IsVariadic() {
			out = f.CallSlice(args)
		} else {
			out = f.Call(args)
		}
		if len(out) == 2 && !out[1].IsNil() {
			return fail(out[1].Interface().(error))
		}
		if err := b.after(out[0]); err != nil {
			return fail(err)
		}
		return []reflect.Value{out[0], reflect.Zero(errorType)}
	}).Interface()
}

func (b *budget) before(name string, args []reflect.Value) error {
	size := 1
	for _, a := range args {
		s, err := b.sizeOf(a, 0)
		if err != nil {
			return err
		}
		size += s
	}
	if err := b.spend(1 + size/256); err != nil {
		return err
	}
	return checkGrowth(name, args)
}

func (b *budget) after(result reflect.Value) error {
	size, err := b.sizeOf(result, 0)
	if err != nil {
		return err
	}
	return b.spend(size / 256)
}

// sizeOf is roughly the bytes of a value, counted no further than what may be
// written at most.
func (b *budget) sizeOf(v reflect.Value, depth int) (int, error) {
	if err := b.spend(0); err != nil {
		return 0, err
	}
	for v.IsValid() && (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer) {
		if v.IsNil() {
			return 1, nil
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		return 1, nil
	}
	if depth > 64 { // such as a map that was put into itself
		return 0, errDepth
	}
	size := 8
	switch v.Kind() {
	case reflect.String:
		size = v.Len()
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k != reflect.Interface && k != reflect.String && k != reflect.Slice && k != reflect.Map {
			size = v.Len()
			break
		}
		for i := range v.Len() {
			s, err := b.sizeOf(v.Index(i), depth+1)
			if err != nil {
				return 0, err
			}
			if size += s + 1; size > maxRendered {
				return 0, errOutput
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			s, err := b.sizeOf(it.Value(), depth+1)
			if err != nil {
				return 0, err
			}
			if size += s + 8; size > maxRendered {
				return 0, errOutput
			}
		}
	}
	if size > maxRendered {
		return 0, errOutput
	}
	return size, nil
}

// multiplying are the functions whose result may be their arguments multiplied
// rather than added.
var multiplying = map[string]bool{
	"repeat": true, "until": true, "untilStep": true, "seq": true, "indent": true, "nindent": true, "replace": true, "join": true,
	"wrapWith": true, "regexReplaceAll": true, "regexReplaceAllLiteral": true, "mustRegexReplaceAll": true,
	"mustRegexReplaceAllLiteral": true,
}

const (
	maxCount   = 100_000         // the largest number that a multiplying function takes
	maxProduct = 8 * maxRendered // of its two weightiest arguments
)

// checkGrowth refuses calls whose result could be far larger than their arguments.
// An argument weighs what it may multiply by: a text its bytes, a list its
// entries, a number itself.
func checkGrowth(name string, args []reflect.Value) error {
	if !multiplying[name] {
		return nil
	}
	first, second := 1, 1
	weigh := func(w int) {
		if w > first {
			first, second = w, first
		} else if w > second {
			second = w
		}
	}
	for _, a := range args {
		for a.IsValid() && a.Kind() == reflect.Interface {
			a = a.Elem()
		}
		switch {
		case !a.IsValid():
		case a.CanInt():
			if n := absInt(a.Int()); n > maxCount {
				return fmt.Errorf("%s of %d is more than a template may make", name, n)
			}
			weigh(absInt(a.Int()))
		case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.Int:
			for i := range a.Len() {
				if n := absInt(a.Index(i).Int()); n > maxCount {
					return fmt.Errorf("%s of %d is more than a template may make", name, n)
				}
			}
			weigh(a.Len())
		case a.Kind() == reflect.String || a.Kind() == reflect.Slice:
			weigh(a.Len())
		}
	}
	if first*second > maxProduct {
		return errOutput
	}
	return nil
}

func absInt(i int64) int {
	if i < 0 {
		i = -i
	}
	return int(min(i, 1<<40))
}

// strictIndex is text/template's index, but for a key that a map does not have it
// fails where that one gives nothing.
func strictIndex(item reflect.Value, keys ...reflect.Value) (any, error) {
	for _, k := range keys {
		for item.IsValid() && (item.Kind() == reflect.Interface || item.Kind() == reflect.Pointer) {
			item = item.Elem()
		}
		for k.IsValid() && k.Kind() == reflect.Interface {
			k = k.Elem()
		}
		if !item.IsValid() || !k.IsValid() {
			return nil, fmt.Errorf("index of nothing")
		}
		switch item.Kind() {
		case reflect.Map:
			if !k.Type().AssignableTo(item.Type().Key()) {
				return nil, fmt.Errorf("a key is of the wrong type")
			}
			v := item.MapIndex(k)
			if !v.IsValid() {
				return nil, fmt.Errorf("map has no entry for key %q", k)
			}
			item = v
		case reflect.Slice, reflect.Array, reflect.String:
			i, ok := intOf(k)
			if !ok || i < 0 || i >= item.Len() {
				return nil, fmt.Errorf("index %v is out of range", k)
			}
			item = item.Index(i)
		default:
			return nil, fmt.Errorf("cannot index a %s", item.Kind())
		}
	}
	return item.Interface(), nil
}

func intOf(v reflect.Value) (int, bool) {
	if v.CanInt() {
		return int(v.Int()), true
	}
	return 0, false
}
