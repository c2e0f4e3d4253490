// Command auth signs short-lived tokens and verifies them. Anyone who reaches
// it may ask for one: logins are no part of the example, so keep it on a
// private network. It reads:
//
//	CREDENTIALS_DIRECTORY      where systemd keeps its credentials; signing-key there is the key that signs, at least 16 bytes
//	AUTH_SIGNING_KEY           the same, where there is no such credential
//	AUTH_SIGNING_KEY_PREVIOUS  a second key whose signatures are still good, while the first is being rolled out
//	AUTH_LISTEN                where it listens; else :PORT, else :7103
//	AUTH_TOKEN_TTL             how long a token lives; 15m
//	AUTH_GRACE                 how long a stop may take; 10s; with 0, SIGTERM kills at once
//	NULLSPACE_INSTANCE         the name it answers with; the host's name by default
package main
