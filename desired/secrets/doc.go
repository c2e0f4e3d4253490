// Package secrets holds the Secret type, which never prints what it holds, the
// Decrypter that opens SOPS files in the controller, and the Document that a person
// changes and seals again.
//
// The SOPS library itself reads, verifies and writes the files, so that every format it
// knows is understood and sops opens what is written here. Data keys are unwrapped here,
// with the age identities that were configured or, as sops users expect, found in
// SOPS_AGE_KEY_FILE, SOPS_AGE_KEY, SOPS_AGE_SSH_PRIVATE_KEY_FILE or the user's
// sops/age/keys.txt. Nothing is put into the environment or written to a file. A cloud's
// key service, Vault or PGP is asked only where that was allowed (Options.KeyServices),
// for a file itself names whom it would have asked.
//
// Start reading at decrypter.go for reading, at document.go for writing.
package secrets
