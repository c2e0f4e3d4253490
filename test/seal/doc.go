// Package seal encrypts what tests and the example keep secret in a fleet repo, as the
// sops command does.
package seal
