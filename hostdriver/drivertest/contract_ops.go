package drivertest

import (
	"bufio"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var opCases = []contractCase{
	{"precheck finds nothing on a good host, and changes nothing", func(k *kit) {
		k.apply(hostdriver.Precheck{NeedBytes: map[string]int64{"/etc": 4096, "/opt/none/yet": 4096}, NeedInodes: map[string]int64{"/etc": 3}, Units: []string{"contract-none.service"}})
		equal(k, "epoch", k.records().Epoch, 0)
	}},
	{"precheck tells all that is wrong at once, with a mend for each", func(k *kit) {
		k.Machine.WriteFile("/lib/systemd/system/contract-m.service", runs, 0o644)
		k.Machine.Systemctl("daemon-reload")
		k.Machine.Systemctl("mask", "contract-m.service")
		_, err := k.refused(hostdriver.Failed, hostdriver.Precheck{NeedBytes: map[string]int64{"/etc": 1 << 60, "/opt": 1}, Units: []string{"contract-m.service"}})
		for _, want := range []string{"bytes free", "contract-m.service is masked"} {
			if !strings.Contains(err.Error(), want) {
				k.Fatalf("%q is missing: %v", want, err)
			}
		}
		if !strings.Contains(hostdriver.MendOf(err), "unmask") {
			k.Fatalf("mend: %s", hostdriver.MendOf(err))
		}
	}},
	{"the step in hand is put and cleared", func(k *kit) {
		k.apply(hostdriver.PutStep{Record: hostdriver.StepRecord{Phase: "drain", From: 3, To: 4}})
		st := k.records().Step
		if st == nil || st.Phase != "drain" || st.From != 3 || st.To != 4 {
			k.Fatalf("step: %+v", st)
		}
		k.apply(hostdriver.ClearStep{})
		equal(k, "step", k.records().Step, nil)
		k.apply(hostdriver.ClearStep{})
	}},
	{"a step that another began is written over only by who has seen it", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "x").unit(unitName, runs, "no").stage()
		k.apply(hostdriver.PutStep{Record: hostdriver.StepRecord{Phase: "first", Epoch: 1, Drained: []hostdriver.DrainRecord{{Spec: map[string]string{"epoch": "7"}}}}})
		k.apply(hostdriver.PutStep{Record: hostdriver.StepRecord{Phase: "again", Epoch: 1}})
		k.fence = hostdriver.Fence{Epoch: 2, Holder: "another"}
		rec := hostdriver.StepRecord{Phase: "other", Epoch: 2}
		for _, over := range []uint64{0, 3} {
			rec.Over = over
			k.refused(hostdriver.Conflict, hostdriver.PutStep{Record: rec})
			k.refused(hostdriver.Conflict, hostdriver.Switch{To: 1, Record: &rec})
			k.refused(hostdriver.Conflict, hostdriver.UnitOps{Record: &rec})
		}
		equal(k, "step", k.records().Step.Phase, "again")
		k.gone("/etc/contract/f")
		rec.Over = 1
		k.apply(hostdriver.PutStep{Record: rec})
		equal(k, "step", k.records().Step.Phase, "other")
	}},
	{"a command runs with its environment, and its output and exit come back", func(k *kit) {
		if f, ok := k.Machine.(*FakeHost); ok {
			f.Commands(func(r hostdriver.Run) ([]byte, int) { return []byte("it's " + r.Env["NAME"] + "\n"), 3 })
		}
		r := k.apply(hostdriver.Run{Line: "echo \"it's $NAME\"\nexit 3", Env: map[string]string{"NAME": "a 'quoted'\nname"}})
		equal(k, "output", string(r.Output), "it's a 'quoted'\nname\n")
		equal(k, "exit", r.Exit, 3)
	}},
	{"a command as nobody that exists fails", func(k *kit) {
		k.refused(hostdriver.Failed, hostdriver.Run{Line: "true", User: "nobody-such"})
	}},
	{"a socket is reached from the host's side", func(k *kit) {
		if k.Listening == "" {
			k.Fatal("the harness has nothing that listens")
		}
		conn, err := k.Driver.DialHost(k.context(), k.Host, "tcp", k.Listening)
		if err != nil {
			k.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || line == "\n" {
			k.Fatalf("read %q, %v", line, err)
		}
		if _, err := k.Driver.DialHost(k.context(), k.Host, "tcp", "127.0.0.1:9"); err == nil {
			k.Fatal("reached a port on which nobody listens")
		}
	}},
}
