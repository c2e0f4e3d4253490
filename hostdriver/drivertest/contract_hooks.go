package drivertest

import (
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// commands plants what a fake host does for command lines; a real one runs them.
func (k *kit) commands(does func(hostdriver.Run) ([]byte, int)) {
	if f, ok := k.Machine.(*FakeHost); ok {
		f.Commands(does)
	}
}

func hookOf(line string) hostdriver.Hook {
	return hostdriver.Hook{ID: strings.Repeat("ab", 16), Service: "contract", Name: "migrate", Line: line}
}

var hookCases = []contractCase{
	{"a hook runs in its staged release, once, and is remembered", func(k *kit) {
		r := release("/opt/contract/.releases/app", hostdriver.FormTar, tarOf(map[string]string{"app": "one"}))
		k.draft(1).release(r).stage()
		runs := 0
		k.commands(func(x hostdriver.Run) ([]byte, int) {
			runs++
			return []byte("in " + x.Env["PWD"] + " " + x.Env["TOKEN"] + "\n"), 0
		})
		op := hookOf(`echo "in $PWD $TOKEN"; echo built >node_modules`)
		op.Release, op.Generation, op.Env = r.Path, 1, map[string]string{"TOKEN": "a 'b'"}
		res := k.apply(op)
		equal(k, "ran", res.Ran, true)
		equal(k, "output", string(res.Output), "in "+r.Path+" a 'b'\n")
		equal(k, "again", k.apply(op).Ran, false)
		mark := k.records().Hooks[op.Mark()]
		equal(k, "mark", mark, hostdriver.HookMark{Service: "contract", Name: "migrate", Done: true, Holder: k.fence.Holder})
		// What it made belongs to the release: it is as it was staged.
		equal(k, "bytes of staging it again", k.apply(k.draft(2).release(r).op()).Staged, 0)
	}},
	{"a release that is unpacked anew has had no hook", func(k *kit) {
		r := release("/opt/contract/.releases/app", hostdriver.FormTar, tarOf(map[string]string{"app": "one"}))
		k.draft(1).release(r).stage()
		op := hookOf("true")
		op.Release = r.Path
		equal(k, "ran", k.apply(op).Ran, true)
		k.Machine.WriteFile(r.Path+"/app", "edited", 0o755)
		k.draft(2).release(r).stage()
		equal(k, "ran in the new one", k.apply(op).Ran, true)
	}},
	{"a hook that fails tells its last lines, and is run again", func(k *kit) {
		k.commands(func(hostdriver.Run) ([]byte, int) { return []byte("no such table\n"), 3 })
		for _, once := range []bool{false, true} {
			op := hookOf("echo no such table >&2; exit 3")
			op.Once = once
			for range 2 {
				res := k.apply(op)
				equal(k, "exit", res.Exit, 3)
				equal(k, "ran", res.Ran, true)
				equal(k, "output", string(res.Output), "no such table\n")
			}
			equal(k, "marks", len(k.records().Hooks), 0)
		}
	}},
	{"what runs once and was cut is not run again, unless it may be", func(k *kit) {
		k.commands(func(hostdriver.Run) ([]byte, int) { return nil, 137 })
		op := hookOf("kill -9 $$")
		op.Once = true
		equal(k, "exit", k.apply(op).Exit, 137)
		mark, known := k.records().Hooks[op.Mark()]
		equal(k, "remembered", known, true)
		equal(k, "done", mark.Done, false)
		op.Line = "true"
		k.commands(func(hostdriver.Run) ([]byte, int) { return nil, 0 })
		_, err := k.refused(hostdriver.Failed, op)
		if !strings.Contains(err.Error(), "what it has done is not known") {
			k.Fatalf("it does not say why: %v", err)
		}
		op.Retry = true
		equal(k, "ran", k.apply(op).Ran, true)
		equal(k, "done", k.records().Hooks[op.Mark()].Done, true)
	}},
	{"what another host has run is only remembered", func(k *kit) {
		op := hookOf("exit 3")
		op.Once, op.Elsewhere = true, true
		equal(k, "ran", k.apply(op).Ran, false)
		equal(k, "done", k.records().Hooks[op.Mark()].Done, true)
	}},
	{"a hook is run by a user whom the staged generation brings", func(k *kit) {
		k.commands(func(x hostdriver.Run) ([]byte, int) { return []byte(x.User + "\n"), 0 })
		op := hookOf("id -un")
		op.User, op.Generation = "contract-hook", 1
		k.refused(hostdriver.Failed, op)
		k.draft(1).add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: op.User, Target: "/"}).stage()
		equal(k, "output", string(k.apply(op).Output), "contract-hook\n")
	}},
	{"a hook that names no such release, or no command, does nothing", func(k *kit) {
		op := hookOf("true")
		op.Release = "/opt/contract/.releases/app/none"
		k.refused(hostdriver.Failed, op)
		k.refused(hostdriver.Refused, hookOf(" "))
	}},
}
