package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// On one machine, hosts share the processors with what is measured, and with whatever else
// runs there. What work costs a host is therefore also told in CPU time, which noise does
// not blur as much: of all its processes, by its control group (cgroup v2, cpu.stat).

// hostCPU is the CPU time that a host has used since it was booted, on average.
func (s *stage) hostCPU() (time.Duration, error) {
	var sum time.Duration
	hosts := s.lab.Hosts()
	for _, h := range hosts {
		text, err := h.ReadFile("/sys/fs/cgroup/cpu.stat")
		if err != nil {
			return 0, err
		}
		used, err := parseCPUStat(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", h.Name(), err)
		}
		sum += used
	}
	return sum / time.Duration(len(hosts)), nil
}

// parseCPUStat reads a cgroup's cpu.stat.
func parseCPUStat(text string) (time.Duration, error) {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, "usage_usec ")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil || n < 0 || n > int64(1<<62)/1000 {
			return 0, fmt.Errorf("cpu.stat: %.80q is no time", line)
		}
		return time.Duration(n) * time.Microsecond, nil
	}
	return 0, errors.New("cpu.stat has no usage_usec")
}

// watched runs a program and tells also what it cost a host.
func (s *stage) watched(ctx context.Context, p program) (sample, output, error) {
	used, err := s.hostCPU()
	if err != nil {
		return sample{}, output{}, err
	}
	took, out, err := p.run(ctx)
	now, cpuErr := s.hostCPU()
	took.host = now - used
	return took, out, errors.Join(err, cpuErr)
}
