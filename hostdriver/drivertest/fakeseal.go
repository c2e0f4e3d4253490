package drivertest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// ForgetKey has the host lose the key of its credentials: what it has encrypted so far, it
// opens no more.
func (h *FakeHost) ForgetKey() {
	h.fleet.mu.Lock()
	defer h.fleet.mu.Unlock()
	h.key++
}

// CannotEncrypt has the host's systemd be one that encrypts no credentials.
func (h *FakeHost) CannotEncrypt() {
	h.fleet.mu.Lock()
	defer h.fleet.mu.Unlock()
	h.sealless = true
}

// seal encrypts as a host does, if not so well: each time to something else, which tells
// neither value nor digest, and opens under its name and with the key of the moment alone.
func (h *FakeHost) seal(op hostdriver.Seal) (hostdriver.Result, error) {
	if h.sealless {
		return hostdriver.Result{}, failure(hostdriver.Failed, "encrypted: off does without", "there is no systemd-creds to encrypt credentials with")
	}
	var res hostdriver.Result
	for _, it := range op.Items {
		h.sealings++
		text := fmt.Sprintf("sealed %s %s %d %s %s\n", it.Name, h.keyName(), h.sealings, sealTag(it.Name, h.keyName(), fmt.Sprint(h.sealings), it.Content), scrambled(it.Content.Bytes()))
		res.Sealed = append(res.Sealed, hostdriver.NewContent([]byte(text)))
	}
	return res, nil
}

// keyName names the key of the moment, which no other host has.
func (h *FakeHost) keyName() string { return fmt.Sprintf("%s/%d", h.name, h.key) }

// sealTag tells what was tampered with.
func sealTag(name, key, n string, value hostdriver.Content) string {
	return hostdriver.SealDigest(name+" "+key+" "+n, value)
}

func scrambled(b []byte) string {
	out := bytes.Clone(b)
	for i := range out {
		out[i] ^= 0x5a
	}
	return hex.EncodeToString(out)
}

// opened compares what an encrypted file opens to with what is meant.
func (h *FakeHost) opened(st *hostdriver.PathState, content hostdriver.Content, q hostdriver.SealQuery, salt string) {
	c := content
	st.Content = &c
	f := strings.Fields(string(content.Bytes()))
	if len(f) == 5 {
		f = append(f, "") // of nothing
	}
	st.Seal, st.SealWhy = hostdriver.SealUnreadable, "it was encrypted elsewhere, or as another credential"
	if h.sealless || len(f) != 6 || f[0] != "sealed" || f[1] != q.Name || f[2] != h.keyName() {
		return
	}
	plain, err := hex.DecodeString(f[5])
	for i := range plain {
		plain[i] ^= 0x5a
	}
	value := hostdriver.NewContent(plain)
	if err != nil || f[4] != sealTag(f[1], f[2], f[3], value) {
		return
	}
	st.SealWhy = ""
	st.Seal = hostdriver.SealDiffers
	if hostdriver.SealDigest(salt, value) == q.Digest {
		st.Seal = hostdriver.SealSame
	}
}
