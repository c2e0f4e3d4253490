package main

import (
	"fmt"
	"maps"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// Settings are all that an operator can set. Flags win over the environment
// (EVENKEEL_ and the key in capitals, with _ for the dots), which wins over the
// file that --config or EVENKEEL_CONFIG names.
type Settings struct {
	Repo      string            `mapstructure:"repo"`
	Hosts     []string          `mapstructure:"host"`    // globs
	Services  []string          `mapstructure:"service"` // globs
	Output    string            `mapstructure:"output"`  // text | json
	SSH       SSHSettings       `mapstructure:"ssh"`
	Secrets   SecretSettings    `mapstructure:"secrets"`
	Artifacts ArtifactsSettings `mapstructure:"artifacts"`
	Server    ServerSettings    `mapstructure:"server"`
	API       APISettings       `mapstructure:"api"`
	Webhook   WebhookSettings   `mapstructure:"webhook"`
	Metrics   MetricsSettings   `mapstructure:"metrics"`
	Log       LogSettings       `mapstructure:"log"`

	// Of the controller, beside API, Webhook and Metrics.
	Name       string        `mapstructure:"name"` // by which hosts know it; default evenkeel@HOSTNAME
	Git        GitSettings   `mapstructure:"git"`
	Store      StoreSettings `mapstructure:"store"`
	Drift      DriftSettings `mapstructure:"drift"`
	StopWithin time.Duration `mapstructure:"stopWithin"` // for the hosts in hand, at the end; default 2m
}

// SSHSettings win over the fleet repo's and ssh_config's.
type SSHSettings struct {
	User           string        `mapstructure:"user"`
	Identity       []string      `mapstructure:"identity"`
	KnownHosts     []string      `mapstructure:"knownHosts"`
	Become         *bool         `mapstructure:"become"` // nil: the fleet's
	Concurrency    int           `mapstructure:"concurrency"`
	ConnectTimeout time.Duration `mapstructure:"connectTimeout"`
	Bandwidth      string        `mapstructure:"bandwidth"` // a second, over all hosts together: 10MB, 500KiB; "": not bounded
	Compress       string        `mapstructure:"compress"`  // releases on their way: auto, always, never; "": auto
}

// SecretSettings say how SOPS files are opened.
type SecretSettings struct {
	AgeIdentity string `mapstructure:"ageIdentity"` // a file of age identities
	KeyServices bool   `mapstructure:"keyServices"` // also with clouds' KMS, Vault and PGP, which the files name
}

// ArtifactsSettings say where artifacts from elsewhere are kept.
type ArtifactsSettings struct {
	Cache string `mapstructure:"cache"` // a folder; default evenkeel/artifacts in the user's cache
}

// ServerSettings name the controller that verbs ask, instead of a checkout.
type ServerSettings struct {
	URL       string `mapstructure:"url"`       // https://HOST, or unix:///PATH; "": a checkout
	TokenFile string `mapstructure:"tokenFile"` // its first line is the token
	CA        string `mapstructure:"ca"`        // PEM certificates to trust instead of the system's
}

// APISettings are those of the controller's API.
type APISettings struct {
	Listen      string      `mapstructure:"listen"` // HOST:PORT; "": no TCP
	TLS         TLSSettings `mapstructure:"tls"`
	Plaintext   bool        `mapstructure:"plaintext"`   // something else protects the way to Listen
	Socket      string      `mapstructure:"socket"`      // the path of a unix socket; "": none
	SocketGroup string      `mapstructure:"socketGroup"` // may connect there, too
	Tokens      string      `mapstructure:"tokens"`      // the file of token hashes
}

// TLSSettings name a certificate and its key, in PEM.
type TLSSettings struct {
	Cert string `mapstructure:"cert"`
	Key  string `mapstructure:"key"`
}

// WebhookSettings say whose hooks are taken.
type WebhookSettings struct {
	Secret string        `mapstructure:"secret"` // a file of secrets, one a line
	Window time.Duration `mapstructure:"window"` // hooks within it are one fetch; default 500ms
}

// MetricsSettings say who may scrape.
type MetricsSettings struct {
	Token string `mapstructure:"token"` // a file of tokens, one a line
}

// LogSettings are those of the log, which goes to stderr.
type LogSettings struct {
	Level  string `mapstructure:"level"`  // trace, debug, info, warn, error; default warn, and info for serve
	Format string `mapstructure:"format"` // text | json
}

// flagKeys are the settings that flags stand for.
var flagKeys = map[string]string{
	"repo": "repo", "host": "host", "service": "service", "output": "output", "ssh-user": "ssh.user", "identity": "ssh.identity",
	"known-hosts": "ssh.knownHosts", "become": "ssh.become", "concurrency": "ssh.concurrency",
	"server": "server.url", "token-file": "server.tokenFile", "server-ca": "server.ca", "store": "store.path", "tokens": "api.tokens", "log-level": "log.level", "log-format": "log.format",
}

var defaults = map[string]any{"repo": ".", "output": "text", "log.format": "text", "git.branch": "main", "git.poll": "1m",
	"drift.mode": "correct", "store.path": "/var/lib/evenkeel/evenkeel.db"}

const envPrefix = "EVENKEEL_"

// envName is the variable that stands for a key: EVENKEEL_SSH_KNOWNHOSTS.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// settingKeys are all keys of Settings, such as ssh.knownHosts.
func settingKeys() []string { return keysOf(reflect.TypeFor[Settings](), "") }

func keysOf(t reflect.Type, prefix string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("mapstructure")
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, keysOf(f.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// loadSettings puts together what flags, environment and file say. The warnings are
// of variables that look like misspelt settings.
func loadSettings(flags *pflag.FlagSet, getenv func(string) string, environ []string) (Settings, []string, error) {
	v := viper.New()
	for k, d := range defaults {
		v.SetDefault(k, d)
	}
	file := getenv(envName("config"))
	if f := flags.Lookup("config"); f != nil && f.Changed {
		file = f.Value.String()
	}
	if err := fromFile(v, file); err != nil {
		return Settings{}, nil, err
	}
	for _, key := range settingKeys() {
		if text := getenv(envName(key)); text != "" {
			v.Set(key, text)
		}
	}
	flags.Visit(func(f *pflag.Flag) {
		key, ok := flagKeys[f.Name]
		if list, many := f.Value.(pflag.SliceValue); ok && many {
			v.Set(key, list.GetSlice())
		} else if ok {
			v.Set(key, f.Value.String())
		}
	})
	var s Settings
	if err := v.UnmarshalExact(&s); err != nil {
		return Settings{}, nil, mendable("the value may stand in a flag, in the environment or in "+orElse(file, "a file named by --config"), "cannot understand the settings: %w", err)
	}
	return s, misspelt(environ), s.check()
}

// fromFile reads the configuration file. Its keys must all be settings.
func fromFile(v *viper.Viper, file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return mendable("name an existing file with --config or EVENKEEL_CONFIG", "cannot read the configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return mendable("it must be YAML, such as ssh: {user: deploy}", "cannot read the configuration %s: %w", file, err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	if err := knownKeys(file, doc.Content[0], ""); err != nil {
		return err
	}
	v.SetConfigFile(file)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return fmt.Errorf("cannot read the configuration %s: %w", file, err)
	}
	return nil
}

// knownKeys refuses the first key that is no setting, by its place, with the one
// that was most likely meant.
func knownKeys(file string, n *yaml.Node, prefix string) error {
	if n.Kind != yaml.MappingNode {
		return mendable("write settings such as ssh: {user: deploy}", "cannot read the configuration %s: line %d is no map of settings", file, n.Line)
	}
	known := map[string]bool{} // to whether it has keys of its own
	for _, k := range settingKeys() {
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			name, _, inner := strings.Cut(rest, ".")
			known[name] = inner
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		inner, ok := known[key.Value]
		switch {
		case !ok:
			return mendable(fault.DidYouMean(key.Value, slices.Collect(maps.Keys(known))),
				"cannot read the configuration: %s:%d:%d: unknown key %s", file, key.Line, key.Column, fault.Quote(prefix+key.Value))
		case inner:
			if err := knownKeys(file, value, prefix+key.Value+"."); err != nil {
				return err
			}
		}
	}
	return nil
}

// misspelt tells of variables that are no settings but nearly one.
func misspelt(environ []string) []string {
	names := map[string]bool{"CONFIG": true}
	for _, k := range settingKeys() {
		names[strings.TrimPrefix(envName(k), envPrefix)] = true
	}
	var out []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || names[rest] {
			continue
		}
		if near, ok := fault.Nearest(rest, slices.Collect(maps.Keys(names))); ok {
			out = append(out, name+" is no setting; "+envPrefix+near+" is")
		}
	}
	return out
}

// check refuses values that no verb could use.
func (s Settings) check() error {
	oneOf := func(what, value string, allowed ...string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return mendable("use "+strings.Join(allowed, " or "), "cannot use %s %s", what, fault.Quote(value))
	}
	if err := oneOf("log format", s.Log.Format, "text", "json"); err != nil {
		return err
	}
	if _, err := zerolog.ParseLevel(s.Log.Level); err != nil {
		return mendable("use trace, debug, info, warn or error", "cannot use log level %s", fault.Quote(s.Log.Level))
	}
	if _, err := desired.ParseBandwidth(s.SSH.Bandwidth); err != nil {
		return mendable("write it as 10MB or 500KiB (a second), or leave it out", "ssh.bandwidth: %w", err)
	}
	switch s.SSH.Compress {
	case "", "auto", "always", "never":
	default:
		return mendable("it is one of auto, always, never", "ssh.compress cannot be %q", s.SSH.Compress)
	}
	if s.SSH.Concurrency < 0 {
		return mendable("use 1 or more, or leave it out", "cannot talk to %d hosts at once", s.SSH.Concurrency)
	}
	for _, glob := range append(slices.Clone(s.Hosts), s.Services...) {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			return mendable("a glob has *, ? and [a-z]", "cannot use the glob %s", fault.Quote(glob))
		}
	}
	return nil
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
