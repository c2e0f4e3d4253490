package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is where a run took place.
type machine struct {
	at                      time.Time
	cpu, memory, kernel, os string
	cores                   int
	load                    string  // averages before the hosts were made
	others                  float64 // share of the processors that other work took meanwhile
	ansible, python         string
}

// describeMachine asks the machine; what it cannot tell is "?".
func describeMachine(ctx context.Context) machine {
	m := machine{at: time.Now().UTC(), cores: runtime.NumCPU()}
	m.cpu = field("/proc/cpuinfo", "model name", ":")
	m.os = strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`)
	m.kernel = firstWord("/proc/sys/kernel/osrelease")
	m.memory = gibibytes(field("/proc/meminfo", "MemTotal", ":"))
	m.ansible = firstLineOf(ctx, "ansible", "--version")
	m.python = firstLineOf(ctx, "/usr/bin/python3", "--version")
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores (%s), %s of memory, Linux %s; %s, %s, %s; %s. Load averages before: %s; "+
		"other work took %.0f %% of the processors meanwhile.",
		m.os, m.cores, m.cpu, m.memory, m.kernel, m.ansible, m.python, runtime.Version(), m.at.Format("2006-01-02"), m.load, m.others*100)
}

func loadAverages() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) >= 3 {
		return strings.Join(fields[:3], " ")
	}
	return "?"
}

// field is the value of the first line of a file that begins with key.
func field(file, key, separator string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

func firstWord(file string) string {
	text, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(text)) == "" {
		return "?"
	}
	return strings.Fields(string(text))[0]
}

// gibibytes reads /proc/meminfo's "16384 kB".
func gibibytes(text string) string {
	var kib float64
	if _, err := fmt.Sscanf(text, "%f kB", &kib); err != nil {
		return "?"
	}
	return fmt.Sprintf("%.0f GiB", kib/(1<<20))
}

func firstLineOf(ctx context.Context, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return name + " ?"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
