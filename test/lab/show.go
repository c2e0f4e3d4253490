package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// printLab shows a lab with all that is needed to use it.
func printLab(w io.Writer, l *lab.Lab) {
	fmt.Fprintf(w, "%s: %d hosts\n", l.Prefix(), len(l.Hosts()))
	for _, h := range l.Hosts() {
		state := "on"
		if !h.Running() {
			state = "off"
		}
		fmt.Fprintf(w, "  %-5s %-15s %s\n", h.Name(), h.Address(), state)
	}
	for _, b := range l.Balancers() {
		for _, be := range b.Config().Backends {
			fmt.Fprintf(w, "  haproxy backend %s: http://%s, runtime API tcp://%s\n", be.Name, b.FrontendAddr(be.Name), b.RuntimeAddr())
		}
	}
	fmt.Fprintf(w, "  flags: %s\n", strings.Join(evenkeelFlags(l), " "))
}

func evenkeelFlags(l *lab.Lab) []string {
	return []string{"--identity", l.IdentityFile(), "--known-hosts", l.KnownHostsFile(), "--ssh-user", "deploy", "--become"}
}

func listCommand(prefix *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show the labs on this machine, with addresses, and flags to paste", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			infos, err := lab.List(cmd.Context())
			if err != nil {
				return err
			}
			if len(infos) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no lab is up: `go run ./test/lab up 3` makes one")
			}
			for _, info := range infos {
				if cmd.Flags().Changed("prefix") && info.Prefix != *prefix {
					continue
				}
				if !info.Persistent {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %d hosts, %s\n", info.Prefix, info.Hosts, info.State)
					continue
				}
				l, err := lab.Open(cmd.Context(), info.Prefix, os.Stderr)
				if err != nil {
					return err
				}
				printLab(cmd.OutOrStdout(), l)
				l.Detach()
			}
			return nil
		},
	}
}

func inventoryCommand(prefix *string) *cobra.Command {
	labels := map[string]string{}
	cmd := &cobra.Command{
		Use: "inventory [FILE]", Short: "Print, or write, an Inventory of the lab's hosts", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(cmd.Context(), *prefix, os.Stderr)
			if err != nil {
				return err
			}
			defer l.Detach()
			text := l.Inventory(labels)
			if len(args) == 1 {
				return os.WriteFile(args[0], []byte(text), 0o644)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().StringToStringVar(&labels, "labels", nil, "labels of every host, as role=gateway,rack=a")
	return cmd
}

func sshCommand(prefix *string) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "ssh [flags] HOST [COMMAND…]", DisableFlagsInUseLine: true, Short: "Log in to a host, or run a command on it", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(cmd.Context(), *prefix, os.Stderr)
			if err != nil {
				return err
			}
			h, err := l.Host(args[0])
			l.Detach()
			if err != nil {
				return err
			}
			path, err := exec.LookPath("ssh")
			if err != nil {
				return fmt.Errorf("cannot log in: %w: apt-get install openssh-client", err)
			}
			argv := []string{"ssh", "-F", "none", "-i", l.IdentityFile(), "-o", "IdentitiesOnly=yes",
				"-o", "UserKnownHostsFile=" + l.KnownHostsFile(), "-l", user, h.Address()}
			return syscall.Exec(path, append(argv, args[1:]...), os.Environ())
		},
	}
	cmd.Flags().StringVarP(&user, "login", "l", "deploy", "log in as: root, deploy (may sudo), plain (may not)")
	cmd.Flags().SetInterspersed(false)
	return cmd
}
