package main

import (
	"time"

	"github.com/evenkeel/evenkeel/desired/gitrepo"
	"github.com/evenkeel/evenkeel/rollout"
)

// GitSettings say where the fleet repo is.
type GitSettings struct {
	URL        string        `mapstructure:"url"` // ssh://, https://, http:// on loopback, file:// or a path
	Branch     string        `mapstructure:"branch"`
	Path       string        `mapstructure:"path"`       // the folder of fleet.yaml in it
	Poll       time.Duration `mapstructure:"poll"`       // how often it is asked; webhooks come on top
	Signers    string        `mapstructure:"signers"`    // a file of allowed signers; none: commits need no signature
	Identity   []string      `mapstructure:"identity"`   // private keys for ssh; else the agent's
	KnownHosts []string      `mapstructure:"knownHosts"` // of the git server; default ssh.knownHosts
	Username   string        `mapstructure:"username"`   // for https, together with tokenFile
	TokenFile  string        `mapstructure:"tokenFile"`  // for https: a token or password
	CA         string        `mapstructure:"ca"`         // PEM certificates to trust beside the system's
	Dir        string        `mapstructure:"dir"`        // of the bare clone; default repo.git beside the store
	Timeout    time.Duration `mapstructure:"timeout"`    // of one fetch; default 5m
	// Limits are how much the repository may hold; what is 0 takes the default.
	Limits gitrepo.Limits `mapstructure:"limits"`
}

// StoreSettings say where the controller keeps its records.
type StoreSettings struct {
	Path string `mapstructure:"path"`
}

// DriftSettings say what is done about drift, and when it is looked for.
type DriftSettings struct {
	Mode     string           `mapstructure:"mode"`     // correct | report
	Schedule string           `mapstructure:"schedule"` // cron; default */5 * * * *
	Watch    *bool            `mapstructure:"watch"`    // see changes at once; default true
	Ignore   []rollout.Ignore `mapstructure:"ignore"`   // differences that are left as they are
}
