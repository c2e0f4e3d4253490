package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
)

// Set with -ldflags -X where the binary is released; else what the build itself
// noted of its module and commit.
var (
	version string
	commit  string
)

// build is which evenkeel this is.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true" && commit == "":
			dirty = "-dirty"
		}
	}
	if b.Commit != "" {
		b.Commit += dirty
	}
	return b
}

func (b build) words() string {
	return fmt.Sprintf("evenkeel %s (commit %s, %s, %s)", orElse(b.Version, "unreleased"), orElse(show.Revision(b.Commit), "unknown"), b.Go, b.Platform)
}

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Tell which evenkeel this is", GroupID: groupOther, Args: takes(0, ""),
		Example: `  evenkeel version -o json`,
	}
	outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := thisBuild()
		if a.asJSON() {
			return a.json(b)
		}
		return a.print(b.words() + "\n")
	}
	return cmd
}
