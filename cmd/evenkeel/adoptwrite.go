package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/adopt"
	"github.com/evenkeel/evenkeel/desired/secrets"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// write brings what was adopted into the folder. Nothing is written unless all of it can
// be: no file is overwritten.
func (ad *adoption) write(ctx context.Context, surveyor hostdriver.Surveyor, repo *adopt.Repo) error {
	files := maps.Clone(ad.files)
	maps.Copy(files, repo.Files)
	for _, s := range repo.Services {
		files[s.Dir()+"/service.yaml"] = s.YAML(nil)
	}
	for _, f := range repo.Fetches {
		data, err := ad.program(ctx, surveyor, f)
		if err != nil {
			return err
		}
		files[f.Into] = data
	}
	if len(repo.Services) == 0 {
		return nil
	}
	names := slices.Concat(sortedNames(files), sortedNames(repo.Secrets))
	for _, name := range names {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("cannot write %q: it would lie outside of %s", name, ad.out)
		}
		if _, err := os.Lstat(ad.at(name)); !errors.Is(err, fs.ErrNotExist) {
			return mendable("move it away, or adopt with --unit what is not there yet", "nothing was written: %s is there already, and is never overwritten", ad.at(name))
		}
	}
	sealed, err := ad.seal(repo.Secrets)
	if err != nil {
		return err
	}
	maps.Copy(files, sealed)
	for _, name := range sortedNames(files) {
		ad.written = append(ad.written, name)
		if err := writeNew(ad.at(name), files[name]); err != nil {
			return mendable("it is half written: remove what is new in "+ad.out+" before you try again", "cannot write the fleet repo: %w", err)
		}
	}
	if ad.inventory != "" {
		if info, err := os.Stat(ad.inventory); err == nil && info.Mode()&0o111 != 0 {
			if err := os.Chmod(ad.at("inventory/"+filepath.Base(ad.inventory)), 0o755); err != nil {
				return fmt.Errorf("cannot write the fleet repo: %w", err)
			}
		}
	}
	for _, s := range repo.Services {
		for _, t := range s.Trees {
			ad.tree(ctx, surveyor, s, t)
		}
	}
	return nil
}

func (ad *adoption) at(name string) string { return filepath.Join(ad.out, filepath.FromSlash(name)) }

func (ad *adoption) hostNamed(name string) inventory.Host {
	h, _ := hostNamed(inventory.Inventory{Hosts: ad.hosts}, name)
	return h
}

// program fetches one file whole, and sees that it is the one that was observed.
func (ad *adoption) program(ctx context.Context, surveyor hostdriver.Surveyor, f adopt.Fetch) ([]byte, error) {
	var b bytes.Buffer
	if err := surveyor.Fetch(ctx, ad.hostNamed(f.Host), hostdriver.FetchQuery{Path: f.Path, Max: desired.MaxSource}, &b); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b.Bytes()); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, mendable("say it again", "nothing was written: %s of %s changed while it was read", f.Path, f.Host)
	}
	if ad.secrets.InFile(b.Bytes()) {
		return nil, mendable("leave its unit away with --unit, or take the secret out of it", "nothing was written: %s of %s holds what looks like a secret", f.Path, f.Host)
	}
	return b.Bytes(), nil
}

// tree fetches a program behind a symlink into a file beside the services. Where it
// cannot, the service is adopted all the same, and says so.
func (ad *adoption) tree(ctx context.Context, surveyor hostdriver.Surveyor, s *adopt.Service, t adopt.Tree) {
	words := t.Link + " leads to " + t.Target + ", and is left alone; service.yaml tells how to have evenkeel bring it"
	if !ad.artifacts {
		s.Notes = append(s.Notes, words+", once its bytes are in "+t.Source)
		return
	}
	if err := ad.fetchTree(ctx, surveyor, t); err != nil {
		s.Notes = append(s.Notes, words+", once its bytes are in "+t.Source+": they could not be fetched ("+err.Error()+")")
		return
	}
	ad.written = append(ad.written, t.Source)
	s.Notes = append(s.Notes, words+"; its bytes, as "+t.Host+" has them, are in "+t.Source)
}

func (ad *adoption) fetchTree(ctx context.Context, surveyor hostdriver.Surveyor, t adopt.Tree) (err error) {
	file := ad.at(t.Source)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = ad.withoutSecrets(file, t.Folder)
		}
		if err != nil {
			_ = os.Remove(file)
		}
	}()
	q := hostdriver.FetchQuery{Path: t.Target, Folder: t.Folder, Max: ad.maxArtifact}
	if !t.Folder {
		return surveyor.Fetch(ctx, ad.hostNamed(t.Host), q, f)
	}
	z, err := zstd.NewWriter(f)
	if err != nil {
		return err
	}
	read, write := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := desired.CheckBundle(read)
		_, _ = io.Copy(io.Discard, read)
		checked <- err
	}()
	err = surveyor.Fetch(ctx, ad.hostNamed(t.Host), q, io.MultiWriter(z, write))
	_ = write.CloseWithError(err)
	bad := <-checked
	if err == nil {
		err = bad
	}
	return errors.Join(err, z.Close())
}

// configuration are names of files in which people keep secrets.
var configuration = regexp.MustCompile(`(?i)(?:^|/)(?:[^/]*\.)?(?:env|ini|conf|config|cfg|cnf|ya?ml|json|toml|properties|key|pem|p12|netrc|pgpass|npmrc|htpasswd|credentials)$|(?:^|/)\.env[^/]*$|(?:^|/)id_[a-z0-9]+$`)

// libraries are folders of others' code, whose tests have keys that are none.
var libraries = regexp.MustCompile(`(?:^|/)(?:node_modules|site-packages|dist-packages|vendor|gems)/`)

// withoutSecrets refuses what was fetched if something in it looks like a secret: it would
// stand in plain text in the repo.
func (ad *adoption) withoutSecrets(file string, folder bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if !folder {
		data, err := io.ReadAll(io.LimitReader(f, desired.MaxSource))
		if err == nil && ad.secrets.InFile(data) {
			err = errors.New("it holds what looks like a secret")
		}
		return err
	}
	z, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer z.Close()
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !configuration.MatchString(h.Name) || libraries.MatchString(h.Name) {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(in, 1<<20))
		if err != nil {
			return err
		}
		if ad.secrets.InFile(data) {
			return fmt.Errorf("%s in it holds what looks like a secret", strings.TrimPrefix(h.Name, "./"))
		}
	}
}

// rewrite replaces a file that this run has written.
func (ad *adoption) rewrite(name string, data []byte) error {
	if !slices.Contains(ad.written, name) {
		return fmt.Errorf("%s is not this run's to change", name)
	}
	if err := replaceFile(ad.at(name), data); err != nil {
		return fmt.Errorf("cannot write the fleet repo: %w", err)
	}
	return nil
}

// giveUp takes a service out again that evenkeel does not take as it is.
func (ad *adoption) giveUp(repo *adopt.Repo, i int, f desired.Fault) error {
	s := repo.Services[i]
	repo.Services = slices.Delete(repo.Services, i, i+1)
	for _, name := range ad.written {
		vars := strings.HasPrefix(name, "inventory/host_vars/") && path.Base(name) == s.Name+".yaml"
		if strings.HasPrefix(name, s.Dir()+"/") || name == "inventory/service-"+s.Name+".yaml" || vars || slices.ContainsFunc(s.Trees, func(t adopt.Tree) bool { return t.Source == name }) {
			if err := os.Remove(ad.at(name)); err != nil {
				return fmt.Errorf("cannot take service %s out again: %w", s.Name, err)
			}
		}
	}
	for _, h := range s.Hosts {
		for _, u := range s.Units {
			ad.report.Alone = append(ad.report.Alone, adopt.Foreign{Host: h, What: u, Reason: f.Message})
		}
	}
	return nil
}

// seal encrypts what is secret.
func (ad *adoption) seal(plain map[string]hostdriver.Content) (map[string][]byte, error) {
	out := map[string][]byte{}
	if len(plain) == 0 {
		return out, nil
	}
	recipients, err := ad.recipientsFor(sortedNames(plain)[0])
	if err != nil {
		return nil, err
	}
	for _, name := range sortedNames(plain) {
		doc, err := ad.newSecret(ad.at(name), plain[name].Bytes(), recipients)
		if err != nil {
			return nil, err
		}
		if out[name], err = doc.Seal(); err != nil {
			return nil, err
		}
	}
	if _, err := os.Lstat(ad.at(".sops.yaml")); errors.Is(err, fs.ErrNotExist) && len(recipients) > 0 {
		out[".sops.yaml"] = []byte(fmt.Sprintf("# To whom evenkeel secret (and sops) encrypt new files.\ncreation_rules:\n  - age: %q\n", strings.Join(recipients, ",")))
	}
	return out, nil
}

// recipientsFor are those that were named; none where a .sops.yaml names some; else that of
// a key which is made.
func (ad *adoption) recipientsFor(name string) ([]string, error) {
	if len(ad.recipients) > 0 {
		return ad.recipients, nil
	}
	if _, err := secrets.RulesFor(ad.at(name), nil, ad.getenv); err == nil {
		return nil, nil
	}
	file := ad.ageKey
	if file == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, mendable("name it with --age-key, or a key that you have with --age-recipient", "cannot find a place for an age key: %w", err)
		}
		file = filepath.Join(dir, "evenkeel", ad.rev.Fleet.Name+".agekey")
	}
	recipient, isNew, err := ageKey(file)
	if err != nil {
		return nil, err
	}
	ad.report.AgeKey, ad.report.NewKey = file, isNew
	if ad.settings.Secrets.AgeIdentity == "" {
		ad.settings.Secrets.AgeIdentity = file
	}
	return []string{recipient}, nil
}

// ageKey is the recipient of the key in file, which is made where there is none.
func ageKey(file string) (recipient string, isNew bool, err error) {
	data, err := os.ReadFile(file)
	if err == nil {
		ids, err := age.ParseIdentities(bytes.NewReader(data))
		if err == nil && len(ids) > 0 {
			if id, ok := ids[0].(*age.X25519Identity); ok {
				return id.Recipient().String(), false, nil
			}
		}
		return "", false, mendable("name another file with --age-key", "%s is there, and holds no age key", file)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, mendable("name another file with --age-key", "cannot read the age key: %w", err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", false, fmt.Errorf("cannot make a key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", false, mendable("name another file with --age-key", "cannot make a key: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", false, mendable("name another file with --age-key", "cannot make a key: %w", err)
	}
	_, err = fmt.Fprintf(f, "# created: %s\n# public key: %s\n%s\n", time.Now().Format(time.RFC3339), id.Recipient(), id)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", false, fmt.Errorf("cannot make a key: %w", err)
	}
	return id.Recipient().String(), true, nil
}
