// Package sshdriver reaches hosts over SSH.
//
// A Pool keeps one connection for each host. It finds out how to reach a Target
// (target.go) from the operator's Options, the inventory and ssh_config(5), in that
// order (login.go, config.go, jump.go), dials it once for all who ask, through its
// jump hosts if it has any, and dials it again when the connection has ended, with
// pauses that grow (pool.go, dial.go). The host must prove with a key or certificate in
// known_hosts that it is the one meant (hostkeys.go, knownhosts.go), before anything
// about us is sent to it; then keys and certificates from files and an agent are
// offered to it (auth.go, credentials.go, identity.go).
//
// A Conn runs commands to their end (Exec) or as long as they are wanted (Start), a few
// at once, and reaches sockets from the host's side (Dial). No call outlives its
// context, however silent the host is. Each error is a *hostdriver.Error whose kind
// tells whether something may have been started (Unknown), whether a person must act
// (Unauthorized, HostKey, Become) or whether time mends it (Unreachable).
//
// The package stores no passwords or passphrases and asks for none; encrypted keys are
// used through an agent. It learns no host keys by itself. Nothing that a host says is
// trusted: output is capped, and what of it gets into an error is made printable.
//
// A Driver (driver.go) speaks to hosts over these connections. A request is one script
// on the standard input of a shell, a reply a sequence of records that nothing on the
// host can forge (protocol.go, script.go, protocol_exchange.go). The shell is the
// request's own, or one that a connection keeps for requests that follow each other
// (shell.go, shellkeeper.go). The scripts are in
// script/, each beginning with what it does and what it is given: they need a POSIX
// shell, coreutils, util-linux' flock, find and xargs, tar for unpacked releases, and
// systemd. A reading is understood in observe_*.go, ops are made in apply_*.go. What
// evenkeel keeps on a host is in /var/lib/evenkeel, for root alone:
//
//	epoch, claim, lock   who may change the host, see fence.sh
//	generations/N/       manifest; links to its blobs; found: what it displaced
//	current              link to the generation on disk
//	switching            "FROM TO", from before a switch's first write until its end
//	blobs/, releases/    contents by digest; what is known of unpacked artifacts
//	lists/, chunks/      what was unpacked of each; the digests of its chunks (chunk.go)
//	started/, wanted/    what units run with, or were about to be started with
//	step                 the step in hand, as the controller wrote it
//
// Start reading at pool.go, then conn.go and exec.go; for what is said, at driver.go,
// protocol.go and script/observe.sh.
package sshdriver
