package desired

import "time"

// SecretSpec is a value that rotates: it is replaced over the fleet with no moment at
// which somebody refuses what somebody else sends. Its values stand in env files of
// services (SOPS files, mostly), under Key the one that is to be used and under Previous
// the one before it. While there is one before, what a host is given of the two depends on
// what the processes of the fleet have: see Form.
type SecretSpec struct {
	Name      string          `yaml:"name" jsonschema:"required"`                    // for evenkeel secret rotate NAME
	Key       string          `yaml:"key"`                                           // the variable that holds the value, such as METRICS_AUTH_TOKEN
	Previous  string          `yaml:"previous"`                                      // the variable that holds the value before it, such as METRICS_AUTH_TOKEN_PREVIOUS
	Separator string          `yaml:"separator"`                                     // instead of previous: key is a list of both, the one to be used first, with this between them
	Verifiers []SecretUseSpec `yaml:"verifiers"`                                     // services that accept it; while it rotates they accept both values
	Signers   []SecretUseSpec `yaml:"signers"`                                       // services that send it, or sign with it: they use a new value once every verifier accepts it
	Keep      *Duration       `yaml:"keep"`                                          // how long both values are accepted after every process has what it needs; required where no signer is in the fleet
	Generate  *GenerateSpec   `yaml:"generate"`                                      // how a new value is made; left out: a person writes it
	EveryDays int             `yaml:"everyDays" jsonschema:"minimum=1,maximum=3650"` // how many days old the value may get; left out: any age
	Windows   Windows         `yaml:"windows"`                                       // when evenkeel secret rotate --due may begin a rotation; none: always
	Automatic bool            `yaml:"automatic"`                                     // evenkeel secret rotate --due replaces it once it is due; otherwise a person does
}

// SecretUseSpec is a service's part in a secret. A service may be verifier and signer.
type SecretUseSpec struct {
	Service   string `yaml:"service" jsonschema:"required"` // its name
	Key       string `yaml:"key"`                           // default the secret's
	Previous  string `yaml:"previous"`                      // default the secret's
	Separator string `yaml:"separator"`                     // default the secret's
}

// GenerateSpec is how a new value is made: exactly one of random and command.
type GenerateSpec struct {
	Random   int    `yaml:"random" jsonschema:"minimum=16,maximum=1024"`               // so many random bytes
	Encoding string `yaml:"encoding" jsonschema:"enum=base64url,enum=base64,enum=hex"` // of the random bytes; default base64url
	Command  string `yaml:"command"`                                                   // a line for sh -c where evenkeel secret rotate runs; what it prints, without the newline at its end
}

// RotationsDocument is the file rotations.yaml beside fleet.yaml, which evenkeel secret
// rotate writes.
type RotationsDocument struct {
	APIVersion string        `yaml:"apiVersion" jsonschema:"required,enum=evenkeel/v1"` // evenkeel/v1
	Kind       string        `yaml:"kind" jsonschema:"required,enum=Rotations"`         // Rotations
	Spec       RotationsSpec `yaml:"spec" jsonschema:"required"`                        // what was rotated when
}

// RotationsSpec says when secrets were last replaced.
type RotationsSpec struct {
	Secrets map[string]RotatedSpec `yaml:"secrets"` // by name
}

// RotatedSpec is the last time that a secret was replaced.
type RotatedSpec struct {
	At string `yaml:"at" jsonschema:"required"` // when its value was made, as in RFC 3339
}

// Role is what a service does with a secret.
type Role string

// The roles.
const (
	RoleVerifier Role = "verifier"
	RoleSigner   Role = "signer"
	RoleBoth     Role = "both" // verifies what its like sign
)

// Verifies tells whether an instance must accept what is sent to it.
func (r Role) Verifies() bool { return r != RoleSigner }

// Signs tells whether an instance sends the secret.
func (r Role) Signs() bool { return r != RoleVerifier }

// SecretPart is a service's part in a secret, with every default in place.
type SecretPart struct {
	Service   string
	Role      Role
	Key       string
	Previous  string // "" where Key is a list
	Separator string
}

// Parts are the services' parts in the secret, verifiers first, each service once.
func (s SecretSpec) Parts() []SecretPart {
	var out []SecretPart
	add := func(u SecretUseSpec, role Role) {
		for i := range out {
			if out[i].Service == u.Service && out[i].Role != role {
				out[i].Role = RoleBoth
				return
			}
		}
		p := SecretPart{Service: u.Service, Role: role, Key: or(u.Key, s.Key), Previous: u.Previous, Separator: u.Separator}
		if p.Previous == "" && p.Separator == "" {
			p.Previous, p.Separator = s.Previous, s.Separator
		}
		out = append(out, p)
	}
	for _, u := range s.Verifiers {
		add(u, RoleVerifier)
	}
	for _, u := range s.Signers {
		add(u, RoleSigner)
	}
	return out
}

// KeepFor is how long both values are accepted.
func (s SecretSpec) KeepFor() time.Duration {
	if s.Keep == nil {
		return 0
	}
	return s.Keep.D()
}

// Secret returns the secret of that name.
func (f FleetSpec) Secret(name string) (SecretSpec, bool) {
	for _, s := range f.Secrets {
		if s.Name == name {
			return s, true
		}
	}
	return SecretSpec{}, false
}
