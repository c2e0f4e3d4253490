package nullspace

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/stores"

	"github.com/evenkeel/evenkeel/desired/secrets"
	"github.com/evenkeel/evenkeel/test/seal"
)

// reseal makes the example's age key anew and encrypts its secrets for it:
//
//	go test ./test/nullspace -run TestSecretsOpenWithTheExampleKey -reseal
var reseal = flag.Bool("reseal", false, "make the age key and the encrypted files of examples/nullspace anew")

const (
	repo    = "../../examples/nullspace"
	keyFile = repo + "/example.agekey"
)

// oneValue stands for the name of a variable where a file is one value.
const oneValue = "data"

// sealed are the encrypted files of the example and the one variable in each.
// Those with the same variable hold the same value.
var sealed = map[string]string{
	"services/nullspace-auth/auth.secrets.key":       oneValue,
	"services/nullspace-gateway/gateway.secrets.env": "METRICS_AUTH_TOKEN",
	"services/nullspace-ops/ops.secrets.env":         "METRICS_AUTH_TOKEN",
}

func TestSecretsOpenWithTheExampleKey(t *testing.T) {
	if *reseal {
		sealAll(t)
	}
	t.Setenv(sopsage.SopsAgeKeyFileEnv, keyFile)
	values := map[string]string{}
	for file, key := range sealed {
		opened := unseal(t, filepath.Join(repo, file))
		value := opened[key]
		if len(opened) != 1 || len(value) < 32 {
			t.Errorf("%s holds %d variables; %s has %d bytes", file, len(opened), key, len(value))
		}
		if before, ok := values[key]; ok && before != value {
			t.Errorf("%s: %s differs from the one elsewhere", file, key)
		}
		values[key] = value
	}
}

// Every file that .sops.yaml would have encrypted must be encrypted, and no
// value of one may stand anywhere else in the repo.
func TestNoSecretLiesOpen(t *testing.T) {
	t.Setenv(sopsage.SopsAgeKeyFileEnv, keyFile)
	var values []string
	for file := range sealed {
		for _, value := range unseal(t, filepath.Join(repo, file)) {
			values = append(values, value)
		}
	}
	err := filepath.WalkDir(repo, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if entry.IsDir() && entry.Name() == "dist" {
				return fs.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(repo, path)
		if _, known := sealed[name]; strings.Contains(name, ".secrets.") && !known {
			t.Errorf("%s is not in the list of sealed files", name)
		}
		for _, value := range values {
			if bytes.Contains(content, []byte(value)) {
				t.Errorf("%s shows a secret", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// unseal opens one SOPS file, checks its authentication code and returns its
// variables, or its one value.
func unseal(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".env") {
		plain, err := secrets.NewDecrypter(secrets.Options{IdentityFile: keyFile}).Decrypt(path, content)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{oneValue: string(plain)}
	}
	branches, metadata, err := stores.ExtractMetadata(branchesOf(string(content)), stores.MetadataOpts{Flatten: stores.MetadataFlattenFull})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	tree := sops.Tree{Branches: branches, Metadata: metadata}
	key, err := metadata.GetDataKey()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Decrypt(key, cipher)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	want, err := cipher.Decrypt(metadata.MessageAuthenticationCode, key, metadata.LastModified.Format(time.RFC3339))
	if err != nil || want != mac {
		t.Fatalf("%s: its authentication code does not match: %v", path, err)
	}
	values := map[string]string{}
	for _, item := range tree.Branches[0] {
		if name, ok := item.Key.(string); ok {
			values[name] = fmt.Sprint(item.Value)
		}
	}
	return values
}

// branchesOf reads dotenv lines as SOPS does.
func branchesOf(text string) sops.TreeBranches {
	var branch sops.TreeBranch
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if key, value, ok := strings.Cut(line, "="); ok {
			branch = append(branch, sops.TreeItem{Key: key, Value: strings.ReplaceAll(value, `\n`, "\n")})
		}
	}
	return sops.TreeBranches{branch}
}

func sealAll(t *testing.T) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipient := identity.Recipient().String()
	write(t, keyFile, 0o600, "# EXAMPLE KEY: everybody has it. It opens the example's secrets and must guard nothing else.\n"+
		"# Make your own with age-keygen, and keep it out of git.\n"+
		"# public key: "+recipient+"\n"+identity.String()+"\n")
	write(t, filepath.Join(repo, ".sops.yaml"), 0o644, "# Whom `sops edit` encrypts for; here, the example's key.\ncreation_rules:\n"+
		"  - path_regex: \\.secrets\\.(env|key)$\n    age: "+recipient+"\n")
	values := map[string]string{}
	for file, key := range sealed {
		if values[key] == "" {
			random := make([]byte, 32)
			if _, err := rand.Read(random); err != nil {
				t.Fatal(err)
			}
			values[key] = hex.EncodeToString(random)
		}
		path := filepath.Join(repo, file)
		if key == oneValue {
			rules, err := secrets.RulesFor(path, []string{recipient}, os.Getenv)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := secrets.NewDocument(path, []byte(values[key]), rules)
			if err != nil {
				t.Fatal(err)
			}
			text, err := doc.Seal()
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, 0o644, string(text))
			continue
		}
		text, err := seal.Env(key+"="+values[key]+"\n", recipient)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, 0o644, text)
	}
}

func write(t *testing.T, path string, mode fs.FileMode, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// The files named above are all there are, and each service names its own.
func TestEverySealedFileIsNamedByItsService(t *testing.T) {
	for file, key := range sealed {
		service, err := os.ReadFile(filepath.Join(repo, filepath.Dir(file), "service.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(service), filepath.Base(file)) || key != oneValue && !strings.Contains(string(service), key) {
			t.Errorf("the service.yaml beside %s does not name it and its %s", file, key)
		}
	}
	names := make([]string, 0, len(sealed))
	for file := range sealed {
		names = append(names, file)
	}
	found, err := filepath.Glob(filepath.Join(repo, "services/*/*.secrets.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if name, _ := filepath.Rel(repo, path); !slices.Contains(names, name) {
			t.Errorf("%s is not known to this test", name)
		}
	}
	if len(found) != len(names) {
		t.Errorf("%d sealed files are there, want %d", len(found), len(names))
	}
}
