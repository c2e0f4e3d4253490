package drain

import (
	"strings"
	"testing"
)

func TestParseHAProxy(t *testing.T) {
	const states = "1\n# srv_name be_name srv_admin_state srv_new_column srv_op_state srv_uweight\n"
	const stats = "\n# pxname,svname,status,scur,check_status,new\n"
	tests := []struct {
		name, reply string
		want        string // the state, or the fault
	}{
		{"columns in another order", states + "web-1 gateway 8 x 2 1\n" + stats + "gateway,web-1,DRAIN,4,L7OK,x\n\n", "DRAIN"},
		{"quoted text with commas and lines", states + "web-1 gateway 0 x 2 1\n" + stats + "gateway,web-0,\"a\"\"b,\nc\",1,,\ngateway,web-1,UP,4,\"L7,OK\",x\n\n", "UP"},
		{"a namesake in another backend", states + "web-1 other 1 x 0 1\nweb-1 gateway 0 x 2 1\n" + stats + "other,web-1,MAINT,9,,\ngateway,web-1,UP,4,L7OK,x\n\n", "UP"},
		{"a status for the terminal", states + "web-1 gateway 0 x 2 1\n" + stats + "gateway,web-1,\x1b[31mUP,4,L7OK,x\n\n", "[31mUP"},
		{"no columns", "1\n\n" + stats, "its answer is empty"},
		{"a column missing", "1\n# srv_name be_name srv_admin_state srv_uweight\nweb-1 gateway 0 1\n" + stats + "gateway,web-1,UP,4,,\n\n", `column srv_op_state reads ""`},
		{"a number that is none", states + "web-1 gateway 0x8 x 2 1\n" + stats + "gateway,web-1,UP,4,,\n\n", `column srv_admin_state reads "0x8"`},
		{"a negative number", states + "web-1 gateway 0 x 2 1\n" + stats + "gateway,web-1,UP,-4,,\n\n", `column scur reads "-4"`},
		{"no statistics", states + "web-1 gateway 0 x 2 1\n\n", "without statistics"},
		{"statistics of others", states + "web-1 gateway 0 x 2 1\n" + stats + "gateway,web-2,UP,4,,\n\n", "no line for gateway/web-1"},
		{"no other server", states + stats, "it has no server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseHAProxy(tt.reply, "gateway", "web-1")
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) || MendOf(err) == "" {
					t.Fatalf("says %v, mend %q; want %s", err, MendOf(err), tt.want)
				}
				return
			}
			if got := s.status(); got.State != tt.want || got.Sessions != 4 || !got.Known {
				t.Errorf("got %+v, want %s and 4 sessions", got, tt.want)
			}
		})
	}
}

func FuzzParseHAProxy(f *testing.F) {
	f.Add(inRotation)
	f.Add("1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n3 gateway 1 web-1 127.0.0.1 0 8 1\n\n# pxname,svname,qcur,scur,status,check_status,\ngateway,web-1,0,2,\"DOWN 1/2\",L4CON,\n\n")
	f.Add("No such backend.\n\n")
	f.Add("1\n# \n\n# pxname,svname\n\"")
	f.Fuzz(func(t *testing.T, reply string) {
		s, err := parseHAProxy(reply, "gateway", "web-1")
		if err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\n\x1b") || len(text) > 2000 {
				t.Errorf("the fault is not one short printable line: %q", text)
			}
			return
		}
		status := s.status()
		if !strings.Contains(reply, "gateway") || !strings.Contains(reply, "web-1") {
			t.Errorf("made %+v out of an answer about others: %q", status, reply)
		}
		if status.Sessions < 0 || status.State == "" || strings.ContainsAny(status.State, "\n\x1b") {
			t.Errorf("%+v", status)
		}
	})
}
