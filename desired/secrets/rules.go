package secrets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"

	"github.com/evenkeel/evenkeel/desired"
)

// Rules are what a new SOPS file is to be: its keys, which of its values stay plain,
// and how it is laid out.
type Rules struct {
	// File is the .sops.yaml that they are from; "" where there is none.
	File   string
	config config.Config
	stores config.StoresConfig
}

// ErrNoRecipients is that nobody says to whom a file is to be encrypted.
var ErrNoRecipients = errors.New("nobody says to whom it is to be encrypted")

// RulesFor are those that sops would go by for a file: the creation rules of the
// .sops.yaml that SOPS_CONFIG names, or else the first one in the working directory and
// above it, where the file lies below; and where there is none, or the file lies
// elsewhere, in the file's own folder and above that. Recipients (age1…, or SSH public
// keys) take the place of a rule's keys, as those in SOPS_AGE_RECIPIENTS do.
func RulesFor(file string, recipients []string, getenv func(string) string) (Rules, error) {
	r := Rules{stores: *config.NewStoresConfig()}
	file, err := filepath.Abs(file)
	if err != nil {
		return r, err
	}
	if len(recipients) == 0 && getenv("SOPS_AGE_RECIPIENTS") != "" {
		recipients = strings.Split(getenv("SOPS_AGE_RECIPIENTS"), ",")
	}
	if r.File = configFor(file, getenv); r.File != "" {
		stores, err := config.LoadStoresConfig(r.File)
		if err != nil {
			return r, fmt.Errorf("cannot use %s: %w", r.File, err)
		}
		r.stores = *stores
		found, err := config.LoadCreationRuleForFile(r.File, file, nil)
		switch {
		case err != nil && len(recipients) == 0:
			return r, fmt.Errorf("cannot use %s for %s: %w", r.File, filepath.Base(file), err)
		case err == nil && found != nil:
			r.config = *found
		}
	}
	if len(recipients) > 0 {
		group, err := groupOf(recipients)
		if err != nil {
			return r, err
		}
		r.config.KeyGroups, r.config.ShamirThreshold = []sops.KeyGroup{group}, 0
	}
	if len(r.config.KeyGroups) == 0 || slices.ContainsFunc(r.config.KeyGroups, func(g sops.KeyGroup) bool { return len(g) == 0 }) {
		return r, ErrNoRecipients
	}
	return r, nil
}

// configFor finds the .sops.yaml that holds for file, an absolute path.
func configFor(file string, getenv func(string) string) string {
	if named := getenv("SOPS_CONFIG"); named != "" {
		return named
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, file); err == nil && filepath.IsLocal(rel) {
			if found, err := config.LookupConfigFile(filepath.Join(wd, "any")); err == nil {
				return found.Path
			}
		}
	}
	found, _ := config.LookupConfigFile(file)
	return found.Path
}

func groupOf(recipients []string) (sops.KeyGroup, error) {
	var group sops.KeyGroup
	for _, text := range recipients {
		key, err := sopsage.MasterKeyFromRecipient(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%s is no recipient: age1…, or an SSH public key", quoteRecipient(text))
		}
		group = append(group, key)
	}
	return group, nil
}

// quoteRecipient shows what somebody gave for a recipient, unless it is a private key.
func quoteRecipient(text string) string {
	if strings.Contains(strings.ToUpper(text), "SECRET-KEY") || strings.Contains(text, "PRIVATE KEY") {
		return "a private key"
	}
	return fmt.Sprintf("%q", text)
}

// metadata is a new file's, as sops makes it.
func (r Rules) metadata(format desired.SOPSFormat) sops.Metadata {
	c := r.config
	m := sops.Metadata{KeyGroups: c.KeyGroups, ShamirThreshold: c.ShamirThreshold, Version: writtenBy}
	if format == desired.SOPSBinary {
		return m // it is one value, which is always encrypted
	}
	m.UnencryptedSuffix, m.EncryptedSuffix = c.UnencryptedSuffix, c.EncryptedSuffix
	m.UnencryptedRegex, m.EncryptedRegex = c.UnencryptedRegex, c.EncryptedRegex
	m.UnencryptedCommentRegex, m.EncryptedCommentRegex = c.UnencryptedCommentRegex, c.EncryptedCommentRegex
	m.MACOnlyEncrypted = c.MACOnlyEncrypted
	if m.UnencryptedSuffix+m.EncryptedSuffix+m.UnencryptedRegex+m.EncryptedRegex+m.UnencryptedCommentRegex+m.EncryptedCommentRegex == "" {
		m.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	return m
}

// Names tells whether these are the keys that the rules name.
func (r Rules) Names(list []Recipient) bool {
	key := func(a Recipient) string { return fmt.Sprint(a.Group) + a.Kind + a.Key }
	set := func(list []Recipient) []string {
		var keys []string
		for _, a := range list {
			keys = append(keys, key(a))
		}
		slices.Sort(keys)
		return keys
	}
	return slices.Equal(set(recipientsIn(r.config.KeyGroups)), set(list))
}
