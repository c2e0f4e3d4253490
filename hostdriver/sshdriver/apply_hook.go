package sshdriver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const (
	maxHookOutput      = 16 << 10
	defaultHookTimeout = 5 * time.Minute
)

func (d *Driver) hook(f hostdriver.Fence, op hostdriver.Hook) (*change, error) {
	if err := op.Check(); err != nil {
		return nil, err
	}
	s := d.mutation(f, "facts", "entry", "stage", "hook")
	timeout := op.Timeout
	if timeout <= 0 {
		timeout = defaultHookTimeout
	}
	s.check(op.Service)
	s.check(op.Name)
	s.set("MARK", op.Mark())
	s.set("STATE", op.Service+"\t"+op.Name)
	s.set("GEN", fmt.Sprint(op.Generation))
	s.set("RELEASE", op.Release)
	key := ""
	if op.Release != "" {
		key = hostdriver.ReleaseKey(op.Release)
	}
	s.set("KEY", key)
	s.setFlag("ONCE", op.Once)
	s.setFlag("RETRY", op.Retry)
	s.setFlag("ELSEWHERE", op.Elsewhere)
	s.vars.WriteString("LINE=" + quote(op.Line) + "\n")
	s.set("RUNAS", op.User)
	for _, name := range op.Secret {
		if _, known := op.Env[name]; !known {
			return nil, fmt.Errorf("%.60q is to be kept secret, and is no variable of the hook's", name)
		}
	}
	s.set("SECRET", strings.Join(op.Secret, "\n"))
	s.setInt("TIMEOUT", seconds(timeout))
	s.setInt("CAP", maxHookOutput)
	exports, err := exportsFunction(op.Env)
	if err != nil {
		return nil, err
	}
	s.vars.WriteString(exports)
	return &change{request: request{script: s, call: "op_hook"}, result: hookResult}, nil
}

func hookResult(records []record) (hostdriver.Result, error) {
	res := hostdriver.Result{}
	told := false
	for _, r := range records {
		switch r.kind {
		case "ran":
			res.Ran, told = r.arg(0) == "yes", true
		case "output":
			res.Output = r.body
		case "exit":
			n, err := strconv.Atoi(r.arg(0))
			if err != nil {
				return res, fmt.Errorf("the hook's exit status reads %s", printable(r.arg(0), 20))
			}
			res.Exit = n
		}
	}
	if !told {
		return res, errors.New("whether the hook was run was not told")
	}
	return res, nil
}

// takeHook reads what the host remembers of a hook.
func (p *observationParser) takeHook(name, line string) error {
	if err := hostdriver.CheckHookMark(name); err != nil {
		return err
	}
	f := strings.Split(line, "\t")
	if len(f) != 5 || f[0] != "hook" || f[1] != "done" && f[1] != "begun" {
		return fmt.Errorf("it reads %s", printable(line, 200))
	}
	if p.obs.Hooks == nil {
		p.obs.Hooks = map[string]hostdriver.HookMark{}
	}
	p.obs.Hooks[strings.Clone(name)] = hostdriver.HookMark{Done: f[1] == "done", Service: common.one(printable(f[2], 100)), Name: common.one(printable(f[3], 100)),
		Holder: common.one(printable(f[4], maxHolder))}
	return nil
}
