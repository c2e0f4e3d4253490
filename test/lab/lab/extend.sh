# Adds packages to a copy of a lab's plain base; runs inside it, as root, once: SHELL PACKAGE…. A change here makes new bases.
set -eu
shell=$1
shift

# Nothing is started in an image.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get -q -o Acquire::Languages=none update
apt-get -q -o DPkg::Options::=--force-unsafe-io install --yes --no-install-recommends "$@"
rm /usr/sbin/policy-rc.d

case $shell in
busybox) ln -sf busybox /bin/sh ;;
esac

apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
: >/etc/machine-id
