package hostdriver

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestContentDoesNotPrint(t *testing.T) {
	type hidden struct{ c Content }
	type open struct{ C *Content }
	c := NewContent([]byte("s3cret-text"))
	var out strings.Builder
	for _, v := range []any{c, &c, hidden{c}, &hidden{c}, open{&c}, []Content{c}, map[string]Content{"k": c}, struct{ h hidden }{hidden{c}}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%c", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	for _, form := range []string{"s3cret", "733363", "115 51 99", "s 3 c"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q stands in the output", form)
		}
	}
	if string(c.Bytes()) != "s3cret-text" || c.Len() != 11 || (Content{}).Len() != 0 {
		t.Error("the content itself is not given away by Bytes")
	}
}
