# Makes a lab's base out of a fresh Debian tree; runs inside it, as root, once. A change here makes a new base.
set -eu

# deploy may sudo without a password, plain may not. The password is locked, the account is not.
for user in deploy plain; do
	useradd --create-home --shell /bin/bash --password '*' "$user"
done
printf 'deploy ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/deploy
chmod 0440 /etc/sudoers.d/deploy
for user in root deploy plain; do
	home=$(getent passwd "$user" | cut -d: -f6)
	install -d -m 0700 -o "$user" -g "$user" "$home/.ssh"
	install -m 0600 -o "$user" -g "$user" /dev/null "$home/.ssh/authorized_keys"
done

# Host keys are each host's own.
rm -f /etc/ssh/ssh_host_*
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\nPasswordAuthentication no\n' >/etc/ssh/sshd_config.d/lab.conf

# A journal that survives a reboot, in little space.
mkdir -p /var/log/journal /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nSystemMaxFileSize=8M\n' >/etc/systemd/journald.conf.d/lab.conf

# The network is set from outside, there is no console, kernel modules are not for hosts to load, and nothing may run at a
# time of its own choosing.
systemctl mask --quiet systemd-networkd.service systemd-networkd.socket systemd-resolved.service \
	getty.target console-getty.service systemd-firstboot.service systemd-modules-load.service e2scrub_reap.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer

apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
: >/etc/machine-id
touch /etc/.updated /var/.updated
