package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/evenkeel/evenkeel/test/lab/lab"
	"github.com/evenkeel/evenkeel/test/lab/load"
)

// rotatingText is the fleet whose greeting is a secret that every instance both sends and
// accepts: what takes three passes over all hosts.
const rotatingText = `apiVersion: evenkeel/v1
kind: Fleet
metadata: {name: bench}
spec:
  secrets:
    - {name: greeting, key: GREETING, previous: GREETING_PREVIOUS, verifiers: [{service: victim}], signers: [{service: victim}]}
`

// usersRate is how many requests a second come while a secret rotates.
const usersRate = 80

// noticed is what users noticed of all rotations by one side.
type noticed struct{ requests, failed int }

// rotate has hosts serve a greeting behind the balancer, without being measured; then lets
// one side rotate it in three passes, with users, and makes sure that the new one is served.
func (s *stage) rotate(ctx context.Context, greeting string, m measure, do func() error) error {
	from, to := greeting+"-before", greeting+"-rotated"
	return s.balanced(ctx, func() error {
		if err := s.changed(ctx, from, drained, func(string) error {
			_, _, err := s.evenkeelRun(ctx, loginUser, "apply", "--yes")
			return err
		}); err != nil {
			return err
		}
		if err := s.wantRotation(from, to); err != nil {
			return err
		}
		before, err := s.starts(ctx)
		if err != nil {
			return err
		}
		users, err := load.Start(ctx, load.Config{URL: "http://" + s.balancer.FrontendAddr("victim") + "/", Rate: usersRate})
		if err != nil {
			return err
		}
		err = do()
		st := users.Stop()
		n := s.results.users[m]
		s.results.users[m] = noticed{n.requests + st.Requests, n.failed + st.Failed()}
		return errors.Join(err, s.verify(ctx, to), s.threePasses(ctx, before))
	})
}

// rotationPasses is how often a rotation goes over all hosts.
const rotationPasses = 3

// starts is how often the service was started on all hosts together, by their journals.
func (s *stage) starts(ctx context.Context) (int, error) {
	var sum atomic.Int64
	err := s.everywhere(ctx, func(ctx context.Context, h *lab.Host) error {
		out, err := h.Exec(ctx, "journalctl --sync; journalctl -q -o cat -u "+unitName+" _PID=1 | grep -c '^Started' || true")
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
		sum.Add(n)
		return err
	})
	return int(sum.Load()), err
}

// threePasses tells, as an error, if a side has done less than three passes, or more:
// without it a bench would praise whoever leaves one out.
func (s *stage) threePasses(ctx context.Context, before int) error {
	now, err := s.starts(ctx)
	if want := rotationPasses * s.hosts; err == nil && now-before != want {
		err = fmt.Errorf("the service was started %d times on %d hosts, and %d passes are %d", now-before, s.hosts, rotationPasses, want)
	}
	return err
}

// wantRotation changes the fleet repo and the peer's files: the greeting is to be another
// one, by way of both.
func (s *stage) wantRotation(from, to string) error {
	if err := s.want(to, rotating); err != nil {
		return err
	}
	both := func(first, second string) string { return envText(first) + "GREETING_PREVIOUS=" + second + "\n" }
	return errors.Join(
		write(filepath.Join(s.fleet, "fleet.yaml"), rotatingText),
		write(filepath.Join(s.fleet, "services", "victim", "victim.env"), both(to, from)),
		write(filepath.Join(s.peer, "files", "victim.stage.env"), both(from, to)),
		write(filepath.Join(s.peer, "files", "victim.roll.env"), both(to, from)),
		s.commit("rotate"))
}

func rotationTable(r *results, hosts int) *table {
	t := &table{title: fmt.Sprintf("A secret rotates over %d hosts, one at a time, in three passes, behind HAProxy", hosts), header: timesHeader("evenkeel"),
		remarks: []string{"Every instance both sends and accepts it. evenkeel proves after each pass, by what processes hold, that all hosts are through with it; the playbook does not."}}
	t.line(r, "`evenkeel apply --yes`", rotateApply, rotateApply)
	t.line(r, "`ansible-playbook`, serial: 1, drained, three plays", rotatePeer, rotateApply)
	t.target(r, "`ansible-playbook` over evenkeel", rotatePeer, rotateApply, rollingUnderPeer)
	for _, m := range []measure{rotateApply, rotatePeer} {
		if n, ok := r.users[m]; ok {
			t.conclude("%s: %d of %d requests failed, at %d a second", m, n.failed, n.requests, usersRate)
		}
	}
	return t
}
