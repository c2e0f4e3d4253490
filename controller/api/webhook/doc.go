// Package webhook tells a genuine "something was pushed" from everything else that
// arrives at the webhook's address: it checks the sender's signature over the raw body
// before a byte of it is parsed, refuses what was seen before, and reads which
// repository and branch a push is about.
//
// It holds no secret and does no I/O; a hook never says what to do, only that it is
// worth fetching now. One file a sender: github.go, gitlab.go, gitea.go, generic.go.
//
// Start reading at webhook.go, then signature.go and replay.go.
package webhook
