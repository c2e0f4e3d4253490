package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// besides measures, and tells the share of all processors that was used meanwhile by
// others than ours: figures from a machine that does other work as well are worth less.
func besides(ours func() (time.Duration, error), measure func() error) (share float64, err error) {
	used := func() (time.Duration, error) {
		text, err := os.ReadFile("/proc/stat")
		if err != nil {
			return 0, err
		}
		busy, err := parseBusy(string(text))
		if err != nil {
			return 0, err
		}
		mine, err := ours()
		return busy - mine, err
	}
	began := time.Now()
	before, err := used()
	if err != nil {
		return 0, err
	}
	err = measure()
	after, usedErr := used()
	all := time.Since(began) * time.Duration(runtime.NumCPU())
	return max(0, (after-before).Seconds()/all.Seconds()), errors.Join(err, usedErr)
}

// ourCPU is what the hosts, this process and the programs it has run have used.
func (s *stage) ourCPU() (time.Duration, error) {
	host, err := s.hostCPU()
	own, ownErr := programsCPU()
	return host*time.Duration(len(s.lab.Hosts())) + own, errors.Join(err, ownErr)
}

// programsCPU is what this process and the programs it has run have used.
func programsCPU() (time.Duration, error) {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return 0, err
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum, nil
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
