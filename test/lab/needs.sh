#!/bin/sh
# Makes this machine fit for labs, and installs the further Debian packages that are named. Says in one line what it can't mend.
set -eu
cd "$(dirname "$0")/../.."
[ "$(uname -s)" = Linux ] || { echo "needs: labs need Linux, this is $(uname -s)" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "needs: labs need root: run it with sudo" >&2; exit 1; }
command -v apt-get >/dev/null || echo "needs: no Debian or Ubuntu: packages must be installed by hand" >&2
command -v go >/dev/null || { echo "needs: no Go on this machine: https://go.dev/doc/install, at least $(sed -n 's/^go //p' go.mod)" >&2; exit 1; }
exec go run ./test/lab needs "$@"
