package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// noise tells how much of this machine was not the bench's: figures from a machine that
// does other work as well are worth less.
type noise struct {
	at         time.Time
	busy, ours time.Duration
}

func (s *stage) startNoise() (noise, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return noise{}, err
	}
	busy, err := parseBusy(string(text))
	if err != nil {
		return noise{}, err
	}
	ours, err := s.ourCPU()
	return noise{time.Now(), busy, ours}, err
}

// share is what others have used since, of all processors.
func (n noise) share(s *stage) (float64, error) {
	now, err := s.startNoise()
	if err != nil {
		return 0, err
	}
	others := (now.busy - n.busy) - (now.ours - n.ours)
	all := now.at.Sub(n.at) * time.Duration(runtime.NumCPU())
	return max(0, others.Seconds()/all.Seconds()), nil
}

// ourCPU is what the hosts, this process and the programs it has run have used.
func (s *stage) ourCPU() (time.Duration, error) {
	host, err := s.hostCPU()
	sum := host * time.Duration(len(s.lab.Hosts()))
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return 0, err
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum, err
}

// tick is the unit of /proc/stat (proc(5); USER_HZ is 100 on every Linux that Go runs on).
const tick = 10 * time.Millisecond

// parseBusy reads how long all processors together were not idle: the first line of
// /proc/stat without idle, iowait, steal, and guest times, which user times hold already.
func parseBusy(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %.80q", line)
	}
	var sum time.Duration
	for i, f := range fields[1:8] {
		n, err := strconv.ParseInt(f, 10, 48)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("/proc/stat begins with %.80q", line)
		}
		if i != 3 && i != 4 { // idle, iowait
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}
