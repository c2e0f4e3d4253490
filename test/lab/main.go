package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "lab", Short: "Real hosts on this machine", SilenceUsage: true, SilenceErrors: true,
	}
	var prefix string
	root.PersistentFlags().StringVar(&prefix, "prefix", "lab", "the lab's name: 1 to 8 of a-z and 0-9")
	root.AddCommand(
		upCommand(&prefix), downCommand(&prefix), needsCommand(), listCommand(&prefix), inventoryCommand(&prefix), sshCommand(&prefix),
		hostCommand(&prefix, "cut", "part a host from the network", (*lab.Host).Cut),
		hostCommand(&prefix, "heal", "end a cut", (*lab.Host).Heal),
		hostCommand(&prefix, "kill", "cut a host's power", (*lab.Host).Kill),
		hostCommand(&prefix, "boot", "put a host's power on, and wait until it is up", (*lab.Host).Boot),
		hostCommand(&prefix, "reboot", "have a host reboot itself, and wait until it is up", (*lab.Host).Reboot),
		hostCommand(&prefix, "freeze", "stop a host's processes where they are", (*lab.Host).Freeze),
		hostCommand(&prefix, "thaw", "end a freeze", (*lab.Host).Thaw),
	)
	return root
}

func upCommand(prefix *string) *cobra.Command {
	var options lab.Options
	var base lab.Base
	var balance, systems []string
	cmd := &cobra.Command{
		Use: "up N", Short: "Make a lab of N hosts, which stays until it is taken down", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return fmt.Errorf("cannot make %q hosts: not a number", args[0])
			}
			backends, err := parseBackends(balance)
			if err != nil {
				return err
			}
			options.Base = base
			for _, suite := range systems {
				b := base
				b.Suite = suite
				options.Bases = append(options.Bases, b)
			}
			if len(systems) == 1 {
				options.Base, options.Bases = options.Bases[0], nil
			}
			options.Prefix, options.Hosts, options.Persistent, options.Log = *prefix, n, true, os.Stderr
			l, err := lab.New(cmd.Context(), options)
			if err != nil {
				return err
			}
			if len(backends) > 0 {
				if _, err := l.HAProxy(cmd.Context(), lab.HAProxyConfig{Backends: backends}); err != nil {
					return errors.Join(err, l.Close())
				}
			}
			defer l.Detach()
			printLab(cmd.OutOrStdout(), l)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&balance, "haproxy", nil, "put a load balancer before the hosts: BACKEND:PORT of the service on them")
	flags.Lookup("haproxy").NoOptDefVal = "app:8080"
	flags.StringSliceVar(&systems, "os", nil, "what the hosts are: bookworm (the default), trixie, bullseye, noble (Ubuntu), or one for each host: bookworm,noble")
	flags.StringVar(&base.Shell, "sh", "", "what the hosts' /bin/sh is: their own, or busybox")
	flags.StringSliceVar(&base.Packages, "packages", nil, "further packages in the hosts")
	flags.BoolVar(&options.Containers, "containers", false, "let the hosts run containers")
	flags.Int64Var(&options.DiskSize, "disk-size", 0, "bytes of each host's disk (default 2 GiB)")
	flags.StringVar(&options.DiskDir, "disk-dir", "", "keep the hosts' disks in this directory instead of in memory")
	return cmd
}

// parseBackends reads NAME:PORT, once per backend.
func parseBackends(texts []string) ([]lab.Backend, error) {
	var backends []lab.Backend
	for _, text := range texts {
		name, port, ok := strings.Cut(text, ":")
		number, err := strconv.Atoi(port)
		if !ok || name == "" || err != nil {
			return nil, fmt.Errorf("cannot balance %q: BACKEND:PORT is needed, such as --haproxy=gateway:8080", text)
		}
		backends = append(backends, lab.Backend{Name: name, ServerPort: number})
	}
	return backends, nil
}

func downCommand(prefix *string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "down", Short: "Remove a lab, or all that have no living owner", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !all {
				return lab.Down(cmd.Context(), *prefix, os.Stderr)
			}
			infos, err := lab.List(cmd.Context())
			for _, info := range infos {
				if !info.Persistent && !info.Dead {
					fmt.Fprintf(os.Stderr, "lab: %s stays: %s\n", info.Prefix, info.State)
					continue
				}
				err = errors.Join(err, lab.Down(cmd.Context(), info.Prefix, os.Stderr))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every lab on this machine but those that a running process owns")
	return cmd
}

func needsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "needs [PACKAGE…]", Short: "Install what labs need, and further Debian packages; say what can't be mended",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := lab.Needs(); err != nil {
				return err
			}
			return lab.Install(cmd.Context(), os.Stderr, args...)
		},
	}
}

func hostCommand(prefix *string, verb, short string, do func(*lab.Host, context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " HOST…", Short: strings.ToUpper(short[:1]) + short[1:], Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(cmd.Context(), *prefix, os.Stderr)
			if err != nil {
				return err
			}
			defer l.Detach()
			for _, name := range args {
				h, err := l.Host(name)
				if err != nil {
					return err
				}
				if err := do(h, cmd.Context()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
