package service

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Env reads a program's settings from environment variables and collects what
// is wrong with them, so that a program reports every fault at once and before
// it listens. A variable that is set to nothing counts as not set, for that is
// what an env file's `KEY=` says. The text of a fault never holds a secret.
type Env struct {
	lookup func(string) (string, bool)
	faults []error
}

// NewEnv reads through lookup; os.LookupEnv is the usual one.
func NewEnv(lookup func(string) (string, bool)) *Env {
	return &Env{lookup: lookup}
}

// MapEnv reads from a map, for tests.
func MapEnv(values map[string]string) *Env {
	return NewEnv(func(key string) (string, bool) {
		value, ok := values[key]
		return value, ok
	})
}

// Err returns every fault met so far, or nil.
func (e *Env) Err() error { return errors.Join(e.faults...) }

// Fault adds a fault of the caller's own to those that Err returns.
func (e *Env) Fault(format string, args ...any) {
	e.faults = append(e.faults, fmt.Errorf(format, args...))
}

// String returns the variable, or otherwise when it is not set.
func (e *Env) String(key, otherwise string) string {
	if value, ok := e.lookup(key); ok && value != "" {
		return value
	}
	return otherwise
}

// Required returns the variable; that it is not set is a fault.
func (e *Env) Required(key string) string {
	value := e.String(key, "")
	if value == "" {
		e.Fault("%s is not set: add it to the service's env file", key)
	}
	return value
}

// Secret returns the variable as a Secret of at least minimum bytes; a missing
// or a shorter one is a fault.
func (e *Env) Secret(key string, minimum int) Secret {
	value := e.Required(key)
	if value != "" && len(value) < minimum {
		e.Fault("%s has %d bytes: make it at least %d bytes long", key, len(value), minimum)
	}
	return NewSecret(value)
}

// Credential returns the Secret in the file name of $CREDENTIALS_DIRECTORY, where
// systemd keeps what LoadCredential= gives to one service alone. Without such a
// file, it is the variable key.
func (e *Env) Credential(name, key string, minimum int) Secret {
	dir := e.String("CREDENTIALS_DIRECTORY", "")
	if dir == "" {
		return e.Secret(key, minimum)
	}
	content, err := os.ReadFile(filepath.Join(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.Secret(key, minimum)
	case err != nil:
		e.Fault("the credential %s cannot be read: %w", name, err)
		return Secret{}
	}
	value := strings.TrimSpace(string(content))
	if len(value) < minimum {
		e.Fault("the credential %s has %d bytes: make it at least %d bytes long", name, len(value), minimum)
	}
	return NewSecret(value)
}

// OptionalSecret returns the variable as a Secret, which is not Set when the
// variable is not.
func (e *Env) OptionalSecret(key string) Secret {
	return NewSecret(e.String(key, ""))
}

// Duration reads a Go duration such as 700ms; a plain 0 is allowed, a negative
// one is a fault.
func (e *Env) Duration(key string, otherwise time.Duration) time.Duration {
	text := e.String(key, "")
	if text == "" {
		return otherwise
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < 0 {
		e.Fault("%s is %q: write a duration such as 700ms or 10s", key, text)
		return otherwise
	}
	return value
}

// Number reads a whole number of at least minimum.
func (e *Env) Number(key string, otherwise, minimum int) int {
	text := e.String(key, "")
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < minimum {
		e.Fault("%s is %q: write a whole number of at least %d", key, text, minimum)
		return otherwise
	}
	return value
}

// URL returns a required http or https address without its trailing slash.
func (e *Env) URL(key string) string {
	text := e.Required(key)
	if text == "" {
		return ""
	}
	return e.httpURL(key, text)
}

// URLs reads a comma-separated list of http or https addresses, which may be
// empty.
func (e *Env) URLs(key string) []string {
	var all []string
	for text := range strings.SplitSeq(e.String(key, ""), ",") {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, e.httpURL(key, text))
		}
	}
	return all
}

// Target is a named address.
type Target struct {
	Name string
	URL  string
}

// Targets reads a comma-separated list of NAME=URL, which may be empty.
func (e *Env) Targets(key string) []Target {
	var all []Target
	for text := range strings.SplitSeq(e.String(key, ""), ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		name, address, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			e.Fault("%s holds %q: write NAME=URL, separated by commas", key, text)
			continue
		}
		all = append(all, Target{Name: name, URL: e.httpURL(key, address)})
	}
	return all
}

func (e *Env) httpURL(key, text string) string {
	address, err := url.Parse(text)
	if err != nil || (address.Scheme != "http" && address.Scheme != "https") || address.Host == "" {
		e.Fault("%s holds %q: write an address such as http://192.0.2.11:8080", key, text)
		return ""
	}
	if address.User != nil {
		e.Fault("%s holds an address with a user or password: leave it out", key)
		return ""
	}
	return strings.TrimRight(text, "/")
}

// Listen returns the address to listen on: the program's own variable, or else
// every address on PORT, or else otherwise.
func (e *Env) Listen(key, otherwise string) string {
	if own := e.String(key, ""); own != "" {
		return own
	}
	port := e.String("PORT", "")
	if port == "" {
		return otherwise
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		e.Fault("PORT is %q: write a number from 1 to 65535", port)
		return otherwise
	}
	return ":" + port
}

// Instance returns the name that this process gives itself: NULLSPACE_INSTANCE,
// or else the name of the host.
func (e *Env) Instance() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return e.String("NULLSPACE_INSTANCE", name)
}
