package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// life tells systemd how the controller is: sd_notify(3), Type=notify and WatchdogSec=.
// Outside of systemd it tells nobody.
type life struct {
	log   zerolog.Logger
	every time.Duration // of the watchdog; 0: none
}

func newLife(log zerolog.Logger) *life {
	l := &life{log: log}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("WATCHDOG_USEC is not understood: systemd's watchdog is not told")
		return l
	}
	l.every = every / 3
	return l
}

func (l *life) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		l.log.Warn().Err(err).Msg("systemd cannot be told how the controller is")
	}
}

// ready tells that the controller works.
func (l *life) ready(status string) { l.tell(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// stopping tells that it ends, or reads its configuration again.
func (l *life) stopping(again bool) {
	if !again {
		l.tell(daemon.SdNotifyStopping + "\nSTATUS=finishing the hosts in hand")
		return
	}
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // never fails for this clock
	l.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// watch feeds the watchdog as long as alive says so.
func (l *life) watch(ctx context.Context, alive func() error) {
	if l.every <= 0 {
		return
	}
	t := time.NewTicker(l.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := alive(); err != nil {
				l.log.Error().Err(err).Msg("the controller does not work: the watchdog is not fed")
				continue
			}
			l.tell(daemon.SdNotifyWatchdog)
		}
	}
}

// serveSignals are what ends a controller: SIGTERM and Ctrl-C for good, SIGHUP to begin
// anew with the configuration as it is then. A second SIGTERM or Ctrl-C kills, as ever:
// the hosts' own records let the next start go on.
type serveSignals struct{ ch chan os.Signal }

func newServeSignals() *serveSignals {
	s := &serveSignals{ch: make(chan os.Signal, 4)}
	signal.Notify(s.ch, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return s
}

// wait returns at the next signal, or when ctx ends. again tells that it was SIGHUP.
func (s *serveSignals) wait(ctx context.Context) (again bool) {
	select {
	case sig := <-s.ch:
		if sig == syscall.SIGHUP {
			return true
		}
		signal.Reset(os.Interrupt, syscall.SIGTERM)
	case <-ctx.Done():
	}
	return false
}

func (s *serveSignals) stop() { signal.Stop(s.ch) }
