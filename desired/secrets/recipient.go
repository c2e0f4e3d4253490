package secrets

import "github.com/getsops/sops/v3"

// Age is the Kind of age's recipients.
const Age = ageType

// Recipient is a key to which a SOPS file is encrypted.
type Recipient struct {
	Key   string `json:"key"`  // such as age1…, or an ARN
	Kind  string `json:"kind"` // as SOPS has it: age, kms, pgp …
	Group int    `json:"-"`    // of key groups, from 0
}

// Recipients are the keys that a SOPS file is encrypted to, in its order. The error is
// an *Error.
func Recipients(name string, data []byte) ([]Recipient, error) {
	tree, err := load(name, data)
	if err != nil {
		return nil, err
	}
	return recipientsIn(tree.Metadata.KeyGroups), nil
}

func recipientsIn(groups []sops.KeyGroup) []Recipient {
	out := []Recipient{}
	for i, group := range groups {
		for _, key := range group {
			out = append(out, Recipient{Key: key.ToString(), Kind: key.TypeToIdentifier(), Group: i})
		}
	}
	return out
}
