package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// What a Scenario from a file may have at most.
const (
	mostHosts    = 200
	mostServices = 8
	mostFaults   = 100
)

// ReadScenario reads a Scenario as JSON has it.
func ReadScenario(data []byte) (*Scenario, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var sc Scenario
	if err := d.Decode(&sc); err != nil {
		return nil, fmt.Errorf("cannot read the scenario: %w", err)
	}
	if err := sc.Validate(); err != nil {
		return nil, fmt.Errorf("cannot run the scenario: %w", err)
	}
	return &sc, nil
}

// Validate tells what keeps a Scenario from being run.
func (sc *Scenario) Validate() error {
	switch {
	case sc.Hosts < 1 || sc.Hosts > mostHosts:
		return fmt.Errorf("%d hosts: between 1 and %d are possible", sc.Hosts, mostHosts)
	case len(sc.Services) < 1 || len(sc.Services) > mostServices:
		return fmt.Errorf("%d services: between 1 and %d are possible", len(sc.Services), mostServices)
	case len(sc.Revisions) < 2:
		return fmt.Errorf("%d revisions: there must be what runs at first and what mends everything in the end", len(sc.Revisions))
	case sc.Racks < 0 || sc.Racks > mostHosts:
		return fmt.Errorf("%d racks: at most %d are possible", sc.Racks, mostHosts)
	case len(sc.Faults) > mostFaults:
		return fmt.Errorf("%d faults: at most %d are possible", len(sc.Faults), mostFaults)
	}
	names := map[string]bool{}
	for i := range sc.Services {
		if err := sc.Services[i].validate(sc.Hosts, names); err != nil {
			return fmt.Errorf("service %d: %w", i, err)
		}
		names[sc.Services[i].Name] = true
	}
	if !everOpen(sc.Services) {
		return errors.New("a visit of all services could never begin: their windows are never open at once")
	}
	for i, r := range sc.Revisions {
		if len(r.Services) != len(sc.Services) {
			return fmt.Errorf("revision %d has %d services, not %d", i, len(r.Services), len(sc.Services))
		}
	}
	for i, f := range sc.Faults {
		if f.At < 0 || f.For < 0 || f.Skip < 0 || f.Arg < 0 || f.Host < -1 || f.Host >= sc.Hosts || f.Service < 0 || f.Service >= len(sc.Services) {
			return fmt.Errorf("fault %d (%s) is out of range", i, f.Kind)
		}
	}
	return nil
}

func (s *Service) validate(hosts int, earlier map[string]bool) error {
	st := s.Strategy
	switch {
	case !slices.Contains(serviceNames, s.Name) || earlier[s.Name]:
		return fmt.Errorf("its name must be another one of %v", serviceNames)
	case len(s.Hosts) == 0:
		return fmt.Errorf("%s is on no host", s.Name)
	case s.Sessions < 0 || s.Sessions > 100 || s.Lasting < 0:
		return fmt.Errorf("%s has sessions out of range", s.Name)
	case st.HealthyDeadline < 1 || st.MinHealthyTime < 0 || st.ProgressDeadline < 0 || st.DrainTimeout < 1:
		return fmt.Errorf("%s has times out of range", s.Name)
	case st.allowed(len(s.Hosts)) < 1:
		return fmt.Errorf("%s may never be rolled: minHealthy leaves nothing", s.Name)
	}
	for i, h := range s.Hosts {
		if h < 0 || h >= hosts || slices.Contains(s.Hosts[:i], h) {
			return fmt.Errorf("%s is on host %d, which there is not, or twice", s.Name, h)
		}
	}
	for _, a := range s.After {
		if !earlier[a] {
			return fmt.Errorf("%s comes after %s, which is not declared before it", s.Name, a)
		}
	}
	for _, b := range append([]string{st.MaxUnavailable, st.MinHealthy, st.Canary}, st.Batches...) {
		if n := count(b); b != "" && (!n.Set || n.Value < 0 || n.Value > 1000) {
			return fmt.Errorf("%s has the count %q", s.Name, b)
		}
	}
	if !slices.Contains([]string{promoteItself, promoteByHand, promoteNever}, st.Promote) || st.PromoteAfter < 0 {
		return fmt.Errorf("%s has canaries that are promoted %q after %d s", s.Name, st.Promote, st.PromoteAfter)
	}
	for _, w := range st.Windows {
		if err := w.validate(); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}
