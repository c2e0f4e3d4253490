package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/adopt"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// adoption is one adopt under way.
type adoption struct {
	*app
	out, name, inventory string
	units                []string
	secrets              adopt.Secrets
	recipients           []string
	ageKey               string
	artifacts            bool
	maxArtifact          int64 // bytes

	existing bool // there is a fleet.yaml in out
	rev      desired.Revision
	hosts    []inventory.Host
	files    map[string][]byte // of the repo's own, beside what is adopted
	written  []string          // by this run
	report   show.Adoption
}

func (a *app) adoptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "adopt [HOST…]", Short: "Write a fleet repo from hosts that already run", GroupID: groupRepo,
		Long: `Read the units that hosts have in /etc/systemd/system, with their drop-ins, env files,
configuration, programs, users and directories, and write them as services into a fleet
repo, so that there is nothing to change. Nothing is written on any host. Secrets in env
files are encrypted to an age key, and never printed. What cannot be taken over as it is,
is left alone and named with the reason.

A HOST is a name or glob of the inventory, or [NAME=][USER@]ADDRESS[:PORT]. Where DIR has a
fleet.yaml, services are added to it; no file is ever overwritten.

At the end it validates the repo and plans it against the hosts.
Exit codes: 0 the plan is empty, 1 it is not, 2 an error.`,
		Example: `  evenkeel adopt --out fleet web-1 web-2 web-3        by the names ssh knows
  evenkeel adopt --out fleet --inventory hosts.ini    every host of an Ansible inventory
  evenkeel adopt --out fleet --unit ledger 'web-*'    one unit more, into the same repo`,
		Annotations: map[string]string{errorExit: "2"},
	}
	f := cmd.Flags()
	f.SortFlags = false
	ad := &adoption{app: a, files: map[string][]byte{}}
	f.StringVar(&ad.out, "out", ".", "the fleet repo's `DIR`: a new one, or one to add to")
	f.StringVar(&ad.name, "name", "", "a new fleet's `NAME` (default: the folder's)")
	f.StringVar(&ad.inventory, "inventory", "", "take the hosts from this `FILE`, and copy it into a new repo as it is")
	f.StringArrayVar(&ad.units, "unit", nil, "only units whose names match `GLOB`, with or without .service; may be repeated")
	f.StringArrayVar(&ad.recipients, "age-recipient", nil, "encrypt secrets to this `KEY` (else .sops.yaml's, else a new key is made); may be repeated")
	f.StringVar(&ad.ageKey, "age-key", "", "put a new age key into `FILE` (default evenkeel/FLEET.agekey in your configuration folder)")
	f.StringArrayVar(&ad.secrets.Also, "secret", nil, "values of variables whose names match `GLOB` are secrets, too; may be repeated")
	f.StringArrayVar(&ad.secrets.Plain, "plain", nil, "values of variables whose names match `GLOB` are none; may be repeated")
	none := f.Bool("no-artifacts", false, "do not fetch programs that lie behind a symlink")
	most := f.Int64("max-artifact", 256, "fetch none of more than so many `MIB`")
	hostFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ad.artifacts, ad.maxArtifact = !*none, *most<<20
		for _, globs := range [][]string{ad.units, ad.secrets.Also, ad.secrets.Plain} {
			for _, g := range globs {
				if _, err := path.Match(g, ""); err != nil {
					return mendable("such as 'ledger-*'", "cannot use the glob %q", g)
				}
			}
		}
		return ad.run(cmd.Context(), args)
	}
	return cmd
}

func (ad *adoption) run(ctx context.Context, args []string) error {
	if err := ad.openRepo(ctx, args); err != nil {
		return err
	}
	driver, err := sshdriver.New(ad.sshOptions(&ad.rev))
	if err != nil {
		return err
	}
	defer func() { _ = driver.Close() }()
	hosts, err := ad.read(ctx, driver, driver)
	if err != nil {
		return err
	}
	claimed := ad.claims(ctx)
	taken := ad.rev.HeldBack()
	for _, s := range ad.rev.Services {
		taken = append(taken, s.Name)
	}
	repo := adopt.Build(hosts, adopt.Options{Secrets: ad.secrets, Taken: taken, Claimed: claimed})
	ad.report.Out, ad.report.Alone, ad.report.Services = ad.out, repo.Alone, repo.Services
	for _, h := range ad.hosts {
		ad.report.Hosts = append(ad.report.Hosts, h.Name)
	}
	if err := ad.write(ctx, driver, repo); err != nil {
		return err
	}
	if len(repo.Services) == 0 {
		return ad.tell() // nothing was written that could be proven
	}
	if err := ad.prove(ctx, repo); err != nil {
		return err
	}
	return ad.tell()
}

// openRepo loads the repo, or makes the beginnings of a new one, and finds the hosts
// asked for.
func (ad *adoption) openRepo(ctx context.Context, args []string) error {
	dir := ad.out
	switch _, err := os.Lstat(filepath.Join(ad.out, "fleet.yaml")); {
	case err == nil:
		ad.existing = true
		if ad.inventory != "" || ad.name != "" {
			return mendable("leave --inventory and --name away: the repo has them", "%s is a fleet repo already", ad.out)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot look into %s: %w", ad.out, err)
	default:
		if err := ad.newRepo(); err != nil {
			return err
		}
		stage, err := os.MkdirTemp("", "evenkeel-adopt-")
		if err != nil {
			return fmt.Errorf("cannot make a folder to work in: %w", err)
		}
		defer func() { _ = os.RemoveAll(stage) }()
		for _, name := range sortedNames(ad.files) {
			if err := writeNew(filepath.Join(stage, name), ad.files[name]); err != nil {
				return fmt.Errorf("cannot make a folder to work in: %w", err)
			}
		}
		if ad.inventory != "" {
			if info, err := os.Stat(ad.inventory); err == nil && info.Mode()&0o111 != 0 {
				_ = os.Chmod(filepath.Join(stage, "inventory", filepath.Base(ad.inventory)), 0o755)
			}
		}
		dir = stage
	}
	c, err := openCheckout(dir)
	if err != nil {
		return err
	}
	defer c.close()
	if ad.rev, err = c.load(ctx, ad.settings, false); err != nil {
		return err
	}
	if err := ad.choose(args); err != nil {
		return err
	}
	sshDefaults(&ad.rev)
	for i := range ad.hosts {
		if h, ok := ad.rev.Inventory.Find(ad.hosts[i].Name); ok {
			ad.hosts[i] = h
		}
	}
	if len(ad.rev.Quarantined) > 0 {
		return desired.Faults(ad.rev.Quarantined)
	}
	// What the repo has on the hosts already must be known, or it would be adopted again.
	for _, h := range ad.hosts {
		if _, err := ad.rev.Resolve(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

func (ad *adoption) newRepo() error {
	if ad.name == "" {
		abs, err := filepath.Abs(ad.out)
		if err != nil {
			return fmt.Errorf("cannot write a fleet repo: %w", err)
		}
		ad.name = strings.ToLower(filepath.Base(abs))
	}
	if why := desired.CheckServiceName(ad.name); why != "" {
		return mendable("give the fleet a name with --name", "cannot write a fleet repo: fleet %s", why)
	}
	var ssh []string
	if u := ad.settings.SSH.User; u != "" {
		ssh = append(ssh, fmt.Sprintf("user: %q", u))
	}
	if b := ad.settings.SSH.Become; b != nil {
		ssh = append(ssh, fmt.Sprintf("become: %t", *b))
	}
	ad.files["fleet.yaml"] = []byte(fmt.Sprintf(`apiVersion: evenkeel/v1
kind: Fleet
metadata: {name: %q}
spec:
  ssh: {%s}
  # Every service has these unless it says otherwise (docs/rollouts.md).
  rollout: {maxUnavailable: 1, minHealthyTime: 10s, healthyDeadline: 2m, autoRevert: true}
`, ad.name, strings.Join(ssh, ", ")))
	ad.files[".gitignore"] = []byte("# Keys never go into the repo; what is encrypted with them does.\n*.agekey\nage.key\n")
	if ad.inventory == "" {
		return nil
	}
	data, err := os.ReadFile(ad.inventory)
	if err != nil {
		return mendable("name a file: INI or YAML of Ansible's, an executable, or a document of kind Inventory", "cannot read the inventory: %w", err)
	}
	ad.files["inventory/"+filepath.Base(ad.inventory)] = data
	return nil
}

// choose finds the hosts that args name, and declares those that are new.
func (ad *adoption) choose(args []string) error {
	var fresh []inventory.Host
	for _, arg := range args {
		found := false
		for _, h := range ad.rev.Inventory.Hosts {
			if ok, _ := path.Match(arg, h.Name); ok {
				found = true
				if !slices.ContainsFunc(ad.hosts, func(o inventory.Host) bool { return o.Name == h.Name }) {
					ad.hosts = append(ad.hosts, h)
				}
			}
		}
		if found {
			continue
		}
		if ad.inventory != "" {
			return nothingNamed("host", arg, ad.rev.Inventory.Names())
		}
		h, err := adoptedHost(arg)
		if err != nil {
			return err
		}
		for i, o := range append(slices.Clone(ad.rev.Inventory.Hosts), fresh...) {
			if o.Name == h.Name || o.Address == h.Address && cmp.Or(o.Port, 22) == cmp.Or(h.Port, 22) && o.Jump == "" {
				mend := "name each machine once"
				if i < len(ad.rev.Inventory.Hosts) {
					mend = "the repo's inventory has it: say " + o.Name
				}
				return mendable(mend, "cannot adopt %s: it is host %s already", fault.Quote(arg), o.Name)
			}
		}
		fresh = append(fresh, h)
	}
	if len(args) == 0 {
		ad.hosts = slices.Clone(ad.rev.Inventory.Hosts)
	}
	if len(ad.hosts)+len(fresh) == 0 {
		return mendable("such as: evenkeel adopt --out fleet web-1 web-2", "there is no host to adopt")
	}
	if len(fresh) > 0 {
		name := "inventory/hosts.yaml"
		if ad.existing {
			name = "inventory/hosts-" + fresh[0].Name + ".yaml"
		}
		ad.files[name] = hostsYAML(fresh)
		ad.rev.Inventory.Hosts = append(ad.rev.Inventory.Hosts, fresh...)
		ad.hosts = append(ad.hosts, fresh...)
	}
	return nil
}

// claims are the paths that services of the repo have on the hosts, and whose.
func (ad *adoption) claims(ctx context.Context) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, h := range ad.hosts {
		st, _ := ad.rev.Resolve(ctx, h)
		mine := map[string]string{}
		for _, in := range st.Instances {
			for _, f := range in.Files {
				mine[f.Path] = in.Service
			}
			for _, art := range in.Artifacts {
				mine[art.Link] = in.Service
			}
		}
		out[h.Name] = mine
	}
	return out
}

// managed are the units that services of the repo have on a host, and their files.
func (ad *adoption) managed(ctx context.Context, h inventory.Host) map[string]bool {
	out := map[string]bool{}
	st, _ := ad.rev.Resolve(ctx, h)
	for _, in := range st.Instances {
		for _, u := range in.Units {
			out[u.Name], out[u.File] = true, true
		}
	}
	return out
}

// prove validates what was written and plans it. A service whose parts evenkeel does not
// take is taken out again and left alone; a habit that validate would refuse is lowered to
// a warning for the service.
func (ad *adoption) prove(ctx context.Context, repo *adopt.Repo) error {
	ad.settings.Repo = ad.out
	fixed := map[string]bool{}
	for _, r := range desired.Rules() {
		fixed[r.Name] = r.Fixed
	}
	lower := map[string][]string{}
	for round := 0; ; round++ {
		faults, err := ad.faults(ctx)
		if err != nil {
			return err
		}
		again := false
		for _, f := range faults {
			i := slices.IndexFunc(repo.Services, func(s *adopt.Service) bool { return s.Name == f.Service })
			switch {
			case !f.IsError() || i < 0 || round > 5:
				continue
			case !fixed[f.Rule] && f.Rule != "env-syntax" && f.Rule != "unit-syntax" && !slices.Contains(lower[f.Service], f.Rule):
				lower[f.Service] = append(lower[f.Service], f.Rule)
				slices.Sort(lower[f.Service])
				err = ad.rewrite(repo.Services[i].Dir()+"/service.yaml", repo.Services[i].YAML(lower[f.Service]))
			default:
				err = ad.giveUp(repo, i, f)
			}
			if err != nil {
				return err
			}
			again = true
			break
		}
		if !again {
			ad.report.Errors, ad.report.Warnings = len(desired.Faults(faults).Errors()), len(faults)-len(desired.Faults(faults).Errors())
			break
		}
	}
	ad.report.Services = repo.Services
	for _, s := range repo.Services {
		if rules := lower[s.Name]; len(rules) > 0 {
			s.Notes = append(s.Notes, "validate warns of "+strings.Join(rules, ", ")+", and does not refuse it")
		}
	}
	if len(repo.Services) == 0 {
		return nil
	}
	return ad.plan(ctx, repo)
}

// plan compares the hosts with what was adopted.
func (ad *adoption) plan(ctx context.Context, repo *adopt.Repo) error {
	ad.settings.Hosts, ad.settings.Services = nil, nil
	for _, h := range ad.hosts {
		ad.settings.Hosts = append(ad.settings.Hosts, escapeGlob(h.Name))
	}
	for _, s := range repo.Services {
		ad.settings.Services = append(ad.settings.Services, s.Name)
	}
	f, done, err := ad.openFleet(ctx)
	if err != nil {
		return err
	}
	defer done()
	v, err := ad.look(ctx, f)
	if err != nil {
		return err
	}
	ad.report.Exit = int(planExit(f, v))
	ad.report.Plan = &v.Plan
	if ad.report.Exit != 0 {
		ad.report.PlanText = show.Plan(v.Plan, viewed(f, v, planOptions(show.DiffShort)))
	}
	return nil
}

// escapeGlob is a host's name as a glob that matches it alone.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

func (ad *adoption) tell() error {
	var err error
	if ad.asJSON() {
		err = ad.json(ad.report)
	} else {
		err = ad.print(show.Adopted(ad.report))
	}
	switch {
	case err != nil:
		return err
	case ad.report.Exit != 0:
		return exitCode(ad.report.Exit)
	case ad.report.Errors > 0 || len(ad.report.Services) == 0:
		return exitCode(2)
	}
	return nil
}
