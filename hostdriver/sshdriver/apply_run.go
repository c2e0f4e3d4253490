package sshdriver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const (
	maxRunOutput      = 64 << 10
	defaultRunTimeout = 30 * time.Second
)

func (d *Driver) run(f hostdriver.Fence, op hostdriver.Run) (*change, error) {
	s := d.mutation(f, "run")
	if strings.ContainsRune(op.Line, 0) || strings.TrimSpace(op.Line) == "" {
		return nil, errors.New("the command line is empty or holds a NUL")
	}
	if op.User != "" {
		if err := hostdriver.CheckAccount(op.User); err != nil {
			return nil, err
		}
	}
	timeout := op.Timeout
	if timeout <= 0 {
		timeout = defaultRunTimeout
	}
	s.vars.WriteString("LINE=" + quote(op.Line) + "\n")
	s.set("RUNAS", op.User)
	s.setInt("TIMEOUT", seconds(timeout))
	s.setInt("CAP", maxRunOutput)
	exports, err := exportsFunction(op.Env)
	if err != nil {
		return nil, err
	}
	s.vars.WriteString(exports)
	result := func(records []record) (hostdriver.Result, error) {
		return runResult(records, timeout)
	}
	return &change{request: request{script: s, call: "op_run"}, result: result}, nil
}

func exportsFunction(env map[string]string) (string, error) {
	var b strings.Builder
	b.WriteString("exports() {\n:\n")
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if !isVariable(k) || strings.ContainsRune(env[k], 0) {
			return "", fmt.Errorf("%.60q cannot be a variable of a command's environment", k)
		}
		fmt.Fprintf(&b, "%s=%s\nexport %s\n", k, quote(env[k]), k)
	}
	b.WriteString("}\n")
	return b.String(), nil
}

func isVariable(k string) bool {
	for i, c := range k {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return k != ""
}

func runResult(records []record, timeout time.Duration) (hostdriver.Result, error) {
	res := hostdriver.Result{Exit: -1}
	for _, r := range records {
		switch r.kind {
		case "output":
			res.Output = r.body
		case "exit":
			n, err := strconv.Atoi(r.arg(0))
			if err != nil {
				return res, fmt.Errorf("the command's exit status reads %s", printable(r.arg(0), 20))
			}
			res.Exit = n
		}
	}
	switch res.Exit {
	case -1:
		return res, errors.New("the command's exit status was not told")
	case 124, 137: // timeout(1): it was ended, or killed
		return res, &hostdriver.Error{Kind: hostdriver.Failed, Err: fmt.Errorf("the command did not end within %s", timeout),
			Mend: "give it more time, or see on the host why it hangs"}
	}
	return res, nil
}
