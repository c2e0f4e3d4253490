package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// touchFree touches so many bytes of the machine's free memory, or half of it. A virtual
// machine may have given free memory back to the machine that it runs on, and then the first
// write to a page costs several times what it costs from then on: whoever came first, or uses
// most, would pay for that.
func touchFree(bytes int64) error {
	available, err := memAvailable()
	if err != nil {
		return err
	}
	bytes = min(bytes, available/2)
	mem, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("cannot map %d bytes: %w", bytes, err)
	}
	for at := 0; at < len(mem); at += os.Getpagesize() {
		mem[at] = 1
	}
	return unix.Munmap(mem)
}

// memAvailable is what could be used without swapping, in bytes (proc(5)).
func memAvailable() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return parseMemAvailable(string(text))
}

func parseMemAvailable(text string) (int64, error) {
	for line := range strings.Lines(text) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 && kib > 0 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo tells no MemAvailable")
}
