package gate

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/net/http/httpguts"
)

// maxToken caps a token's file.
const maxToken = 16 << 10

// readToken reads a bearer token from a file of the controller's, each time anew, for
// tokens are rotated. Its errors hold nothing of what is in the file.
func readToken(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", mend("write the token there, readable for the user that runs evenkeel only", "tokenFile %s is not there", name)
	case err != nil:
		return "", mend("let the user that runs evenkeel read it", "cannot read tokenFile: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", mend("write the token into a file", "tokenFile %s is not a file", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", mend("let the user that runs evenkeel read it", "cannot read tokenFile: %w", err)
	}
	token := string(bytes.TrimSpace(text))
	if token == "" || len(text) > maxToken || !httpguts.ValidHeaderFieldValue(token) {
		return "", mend("write the token there, and nothing else", "tokenFile %s does not hold one token", name)
	}
	return token, nil
}
