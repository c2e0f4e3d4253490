package api

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout"
)

// fill gives everything in v a value that is not zero.
func fill(t *testing.T, v reflect.Value, depth int) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)))
		return
	case rollout.Disruption:
		v.Set(reflect.ValueOf(rollout.Reload))
		return
	case desired.IntOrPercent:
		v.Set(reflect.ValueOf(desired.IntOrPercent{Value: 25, Percent: true, Set: true}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int8:
		v.SetInt(3)
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		v.SetUint(3)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Pointer:
		if depth > 12 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), depth+1)
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, depth+1)
		fill(t, value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || f.Tag.Get("json") == "-" {
				continue // the wire does not know it
			}
			fill(t, v.Field(i), depth+1)
		}
		if s, ok := v.Addr().Interface().(*desired.Strategy); ok {
			s.Order = desired.OrderByLabel // which ByLabel means
		}
	default:
		t.Fatalf("what is a %s?", v.Type())
	}
}

// TestNothingIsLostOnTheWire: what the controller tells arrives whole at the command
// line, with every field there is.
func TestNothingIsLostOnTheWire(t *testing.T) {
	for _, v := range []any{&controller.Snapshot{}, &controller.Explanation{}, &controller.RolloutStatus{}, &controller.Event{}, &controller.RevisionEntry{},
		&controller.RolloutEntry{}, &rollout.Plan{}, &Hosts{}, &ActionRequest{}, &Problem{}} {
		fill(t, reflect.ValueOf(v).Elem(), 0)
		b, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		got := reflect.New(reflect.TypeOf(v).Elem())
		if err := json.Unmarshal(b, got.Interface()); err != nil {
			t.Errorf("%T: %v: %s", v, err, b)
			continue
		}
		again, err := json.Marshal(got.Interface())
		if err != nil || string(again) != string(b) {
			t.Errorf("%T is another one (%v):\n%s\n%s", v, err, b, again)
		}
		lost(t, reflect.TypeOf(v).Elem().String(), reflect.ValueOf(v).Elem(), got.Elem())
	}
}

// lost names the fields that did not arrive.
func lost(t *testing.T, where string, sent, got reflect.Value) {
	t.Helper()
	switch sent.Kind() {
	case reflect.Struct:
		if _, isTime := sent.Interface().(time.Time); isTime {
			break
		}
		for i := range sent.NumField() {
			if f := sent.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				lost(t, where+"."+f.Name, sent.Field(i), got.Field(i))
			}
		}
		return
	case reflect.Pointer:
		if !sent.IsNil() && !got.IsNil() {
			lost(t, where, sent.Elem(), got.Elem())
			return
		}
	case reflect.Slice:
		if sent.Len() == 1 && got.Len() == 1 {
			lost(t, where+"[]", sent.Index(0), got.Index(0))
			return
		}
	}
	if !reflect.DeepEqual(sent.Interface(), got.Interface()) {
		t.Errorf("%s: %v arrives as %v", where, sent.Interface(), got.Interface())
	}
}
