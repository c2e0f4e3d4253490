package main

import (
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// app is one command line under way.
type app struct {
	*terminal
	settings Settings
	log      zerolog.Logger
	level    string // of the log, where nobody says another
	logTo    *logSink
	pending  *pendingHosts             // the driver, once the fleet is open
	applies  bool                      // what is looked at is changed, too
	secrets  []controller.SecretStatus // as last looked at
}

// The groups of verbs in the help.
const (
	groupLook   = "look"
	groupChange = "change"
	groupRepo   = "repo"
	groupOther  = "other"
)

const rootHelp = `evenkeel keeps a fleet of plain systemd hosts as a git repository says: units,
env files, secrets, files and artifacts, over SSH, with nothing installed on the
hosts. What disturbs nothing goes out at once; what restarts a service goes host
by host: drain, switch, restart, prove healthy, undrain.`

// flagUsages wraps the descriptions of flags at 80 columns: pflag leaves up to five more to
// what would else be a short last line.
const flagUsages = ".FlagUsagesWrapped 75 "

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use: "evenkeel", Short: "Keep a fleet of systemd hosts as git says", Long: rootHelp,
		Example: `  evenkeel init fleet && cd fleet     a first fleet repo
  evenkeel validate                   is it in order? needs no host
  evenkeel check                      can every host be reached?
  evenkeel plan                       what would change
  evenkeel apply                      change it, after asking`,
		SilenceErrors: true, SilenceUsage: true, Version: thisBuild().words(),
		PersistentPreRunE: a.prepare,
		Args:              a.unknownVerb,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(unknownFlag)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", flagUsages))
	root.AddGroup(&cobra.Group{ID: groupLook, Title: "Look:"}, &cobra.Group{ID: groupChange, Title: "Change:"},
		&cobra.Group{ID: groupRepo, Title: "The fleet repo:"}, &cobra.Group{ID: groupOther, Title: "Other:"})
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.String("config", "", "read settings from `FILE` (YAML); EVENKEEL_CONFIG names one, too")
	flags.String("log-level", "", "what is logged to stderr: trace, debug, info (serve), warn (others), error")
	flags.String("log-format", "text", "text or json")
	root.AddCommand(
		a.statusCommand(), a.planCommand(), a.diffCommand(), a.explainCommand(), a.checkCommand(), a.historyCommand(), a.eventsCommand(), a.logsCommand(),
		a.applyCommand(), a.serveCommand(), a.rolloutCommand(), a.reconcileCommand(), a.suspendCommand(), a.resumeCommand(), a.drainCommand(), a.undrainCommand(), a.acceptCommand(), a.takeOverCommand(),
		a.initCommand(), a.adoptCommand(), a.validateCommand(), a.secretCommand(), a.schemaCommand(),
		a.tokenCommand(), a.storeCommand(), a.versionCommand(),
	)
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Run, help.RunE = nil, a.help
	}
	return root
}

// logLevel is the annotation of verbs that log more than others where nobody says.
const logLevel = "log-level"

// moreOutputs is the annotation of verbs that have further forms of output.
const moreOutputs = "more-outputs"

// prepare reads the settings and opens the log, before any verb.
func (a *app) prepare(cmd *cobra.Command, _ []string) error {
	s, warnings, err := loadSettings(cmd.Flags(), a.getenv, a.environ())
	if err != nil {
		return err
	}
	outputs := append([]string{"text", "json"}, strings.Fields(cmd.Annotations[moreOutputs])...)
	if !slices.Contains(outputs, s.Output) {
		return mendable("use "+strings.Join(outputs[:len(outputs)-1], ", ")+" or "+outputs[len(outputs)-1], "cannot use output %s", fault.Quote(s.Output))
	}
	a.settings = s
	a.level = orElse(cmd.Annotations[logLevel], "warn")
	a.openLog()
	for _, w := range warnings {
		a.log.Warn().Msg(w)
	}
	return nil
}

// help is what cobra's help does, but that a verb which is none is an error.
func (a *app) help(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return a.unknownVerb(found, rest)
	}
	found.InitDefaultHelpFlag()
	return found.Help()
}

// unknownVerb refuses arguments of the command itself.
func (a *app) unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var verbs []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			verbs = append(verbs, c.Name())
		}
	}
	mend := cmd.CommandPath() + " --help lists them"
	if near, ok := fault.Nearest(args[0], verbs); ok {
		mend = "did you mean " + near + "?"
	}
	if cmd.HasParent() {
		return mendable(mend, "%s has no verb %s", cmd.CommandPath(), fault.Quote(args[0]))
	}
	return mendable(mend, "there is no verb %s", fault.Quote(args[0]))
}

// unknownFlag gives pflag's errors a mend.
func unknownFlag(cmd *cobra.Command, err error) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		mend := cmd.CommandPath() + " --help lists them"
		if near, ok := fault.Nearest(name, names); ok {
			mend = "did you mean --" + near + "?"
		}
		return mendable(mend, "%s has no flag --%s", cmd.CommandPath(), name)
	}
	if _, name, ok := strings.Cut(text, "unknown shorthand flag: '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return mendable(cmd.CommandPath()+" --help lists them", "%s has no flag -%s", cmd.CommandPath(), name)
	}
	return mendable(cmd.CommandPath()+" --help tells what it takes", "cannot read the flags: %w", err)
}

// takes is how many arguments a verb has, with words for who gives others.
func takes(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case n == 0 && len(args) > 0:
			mend := cmd.CommandPath() + " --help tells what it takes"
			if cmd.Flags().Lookup("service") != nil {
				mend = "to choose hosts and services, use --host and --service"
			}
			return mendable(mend, "%s takes no arguments, and %s is one", cmd.CommandPath(), fault.Quote(args[0]))
		case len(args) != n:
			return mendable("such as: "+firstExample(cmd), "%s takes %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

func firstExample(cmd *cobra.Command) string {
	line, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	line, _, _ = strings.Cut(line, "   ")
	return line
}

// hostFlags are those of every verb that reads hosts.
func hostFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayP("identity", "i", nil, "private key `FILE` to log in with; may be repeated (else ssh_config's and the agent's)")
	f.StringArray("known-hosts", nil, "the only `FILE` of known host keys; may be repeated (else ~/.ssh/known_hosts and the system's)")
	f.String("ssh-user", "", "log in as `NAME` everywhere")
	f.Bool("become", false, "work as root by sudo -n")
	f.Int("concurrency", 0, "how many hosts are talked to at once (default 64)")
	outputFlag(cmd)
}

// filterFlags are those of verbs over many hosts.
func filterFlags(cmd *cobra.Command) {
	cmd.Flags().StringArray("host", nil, "only hosts whose names match `GLOB`; may be repeated")
	cmd.Flags().StringArray("service", nil, "only services whose names match `GLOB`; may be repeated")
}

func repoFlag(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.Flags().String("repo", ".", "the `DIR` of fleet.yaml")
}

func outputFlag(cmd *cobra.Command) {
	cmd.Flags().StringP("output", "o", "text", "text or json")
}

// asJSON tells whether the answer is to be a JSON document.
func (a *app) asJSON() bool { return a.settings.Output == "json" }
