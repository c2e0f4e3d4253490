package seal

import (
	"errors"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
)

// Env encrypts an env file to an age recipient.
func Env(plain, recipient string) (string, error) {
	store := dotenv.NewStore(&config.DotenvStoreConfig{})
	branches, err := store.LoadPlainFile([]byte(plain))
	if err != nil {
		return "", err
	}
	master, err := sopsage.MasterKeyFromRecipient(recipient)
	if err != nil {
		return "", err
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{KeyGroups: []sops.KeyGroup{{master}}, UnencryptedSuffix: sops.DefaultUnencryptedSuffix,
		LastModified: time.Now().UTC(), Version: "3.13.3"}}
	key, faults := tree.GenerateDataKey()
	if len(faults) > 0 {
		return "", errors.Join(faults...)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(key, cipher)
	if err != nil {
		return "", err
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return "", err
	}
	out, err := store.EmitEncryptedFile(tree)
	return string(out), err
}
