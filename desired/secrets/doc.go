// Package secrets holds the Secret type, which never prints what it holds, and the
// Decrypter that opens SOPS files with age keys in the controller.
//
// The SOPS library itself reads and verifies the files, so that every format it
// writes is understood; only the data key is unwrapped here, with the identities
// that were configured or, as sops users expect, found in SOPS_AGE_KEY_FILE,
// SOPS_AGE_KEY, SOPS_AGE_SSH_PRIVATE_KEY_FILE or the user's sops/age/keys.txt.
// Nothing is put into the environment, written to a file, or asked of a cloud's
// key service: a file that only such a service can open is an error that says so.
//
// Start reading at decrypter.go.
package secrets
