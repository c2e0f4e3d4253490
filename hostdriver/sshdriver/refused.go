package sshdriver

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// setRefused: one line a service, its name and the record as JSON.
func (s *script) setRefused(refusals []hostdriver.Refusal) error {
	var lines []string
	for _, r := range refusals {
		r = r.Bounded()
		if err := r.Check(); err != nil {
			return fmt.Errorf("the refusal of %s: %w", r.Service, err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines = append(lines, r.Service+"\t"+string(b))
	}
	s.set("REFUSE", strings.Join(lines, "\n"))
	return nil
}

func (s *script) setForget(services []string) error {
	for _, name := range services {
		if err := hostdriver.CheckService(name); err != nil {
			return err
		}
	}
	s.setList("FORGET", services)
	return nil
}

// takeRefused reads one such record.
func (p *observationParser) takeRefused(service, line string) error {
	var r hostdriver.Refusal
	if err := json.Unmarshal([]byte(line), &r); err != nil || r.Service != service {
		return errors.New("it is not the record of a refusal")
	}
	if err := r.Check(); err != nil {
		return err
	}
	r.Revision, r.Reason = printable(r.Revision, 256), printable(r.Reason, 4096)
	p.obs.Refused = append(p.obs.Refused, r)
	slices.SortFunc(p.obs.Refused, func(a, b hostdriver.Refusal) int { return strings.Compare(a.Service, b.Service) })
	return nil
}

// takeGeneration reads the manifest of a kept generation.
func (p *observationParser) takeGeneration(number, body string) error {
	n, err := parseCount(number)
	if err != nil {
		return err
	}
	own, err := parseManifest(body)
	if err != nil {
		return err
	}
	if own.Generation != n {
		return fmt.Errorf("generation %d has the manifest of %d", n, own.Generation)
	}
	if p.obs.Generations == nil {
		p.obs.Generations = map[uint64]hostdriver.Manifest{}
	}
	p.obs.Generations[n] = own.Manifest
	return nil
}
