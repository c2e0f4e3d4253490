package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Process is what a program is given to build itself from.
type Process struct {
	Env   *Env
	Log   *slog.Logger
	Level *slog.LevelVar // of Log; may be changed at any time
}

// NewProcess logs to out as text, from level info up.
func NewProcess(name string, env *Env, out io.Writer) *Process {
	level := new(slog.LevelVar)
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
	return &Process{Env: env, Log: log.With("service", name), Level: level}
}

// Main builds a server and runs it until SIGTERM or SIGINT, then exits: 0 after
// a stop, 1 with a line on stderr if a setting is wrong or it cannot serve. A
// second signal ends it at once, and with a Grace of 0 so does the first: the
// signal is then left to its default.
func Main(name string, build func(*Process) (*Server, error)) {
	process := NewProcess(name, NewEnv(os.LookupEnv), os.Stderr)
	server, err := build(process)
	if err == nil {
		server.Log = process.Log
		err = runUntilSignal(server)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func runUntilSignal(server *Server) error {
	ctx := context.Background()
	if server.Grace > 0 {
		var restore context.CancelFunc
		ctx, restore = signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
		defer restore()
		context.AfterFunc(ctx, restore)
	}
	if server.Reload != nil {
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		server.Tasks = append(server.Tasks, func(ctx context.Context) { reloadOn(ctx, hangups, server) })
	}
	return server.Run(ctx)
}

func reloadOn(ctx context.Context, hangups <-chan os.Signal, server *Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		if err := server.Reload(); err != nil {
			server.Log.Error("reload failed, keeping what is loaded", "error", err)
		}
	}
}
