# reload.sh: whether systemd must read its files again after a switch. A reload is the
# dearest thing in it: a tenth of a second of a host's CPU time, for every generator runs.
# It is left out only where nothing that was changed can be of interest: an env file, a
# service's own configuration, a release, a unit that it has never heard of (FRESH): that it
# reads when it is first asked for it (manager_load_unit_prepare in systemd's manager.c, 247).

# must_reload: judged by what the switch has changed ($changed, $gone) and by who else may
# read that. NeedDaemonReload overlooks new drop-in folders (systemd#31752), so it is only
# asked besides (see set_units). A switch that was cut may have changed things before.
must_reload() {
	[ -z "${journaled-1}$turned_on$turned_off" ] || return 0
	known_generators || return 0
	for i in $changed; do
		entry "$i"
		case $name in
		/etc/systemd/system/*/*) ;;
		/etc/systemd/system/*) ! is_fresh "${name##*/}" || continue ;;
		esac
		systemd_reads "$name" && return 0
	done
	for line in $gone; do
		split "$line"
		case $kind in
		file | link) systemd_reads "$name" && return 0 ;;
		esac
	done
	return 1
}

# is_fresh UNIT
is_fresh() {
	case $NL${FRESH-}$NL in
	*"$NL$1$NL"*) return 0 ;;
	esac
	return 1
}

reload() {
	# Where it does not end, the way back needs another; both are to end before the controller
	# stops waiting.
	if try timeout 45 systemctl daemon-reload; then
		reload_managers
		return
	fi
	[ "$status" = 124 ] && why="it has not ended within 45 s"
	why="systemctl daemon-reload: $why" mend="look at journalctl -b _PID=1 there"
	return 1
}

# systemd_reads PATH: units and their drop-ins wherever they are, for they may be linked;
# systemd's own folders; and what the generators below are made from.
systemd_reads() {
	case $1 in
	*.service | *.socket | *.timer | *.path | *.mount | *.automount | *.swap | *.target | *.slice | *.scope) ;;
	*.service.d/* | *.socket.d/* | *.timer.d/* | *.path.d/* | *.mount.d/* | *.automount.d/* | *.swap.d/* | *.target.d/* | *.slice.d/* | *.scope.d/*) ;;
	*/systemd/* | */containers/* | */environment.d/* | /etc/environment | /etc/fstab | /etc/crypttab | /etc/integritytab | /etc/veritytab) ;;
	/etc/rc.local | /etc/rc.d/* | /etc/rc?.d/* | /etc/init.d/* | /etc/insserv* | /etc/kernel/* | /boot/* | /efi/* | /etc/ssh/* | /etc/netplan/*) ;;
	/etc/cloud/* | /etc/openvpn/* | /etc/default/openvpn | /etc/postgresql/* | /etc/lvm/* | /etc/zfs/* | /etc/exports* | /etc/nfs* | /etc/idmapd* | /etc/default/nfs*) ;;
	/etc/machine-id | /etc/hostname | /etc/locale.conf | /etc/default/locale | /etc/credstore* | /run/* | /usr/lib/* | /lib/* | /usr/local/lib/*) ;;
	*) return 1 ;;
	esac
}

# known_generators: a generator may read anything. Of these it is known what they read.
known_generators() {
	set +f
	set -- /etc/systemd/system*-generators/* /run/systemd/system*-generators/* /usr/local/lib/systemd/system*-generators/* \
		/usr/lib/systemd/system*-generators/* /lib/systemd/system*-generators/*
	set -f
	for f; do
		case ${f##*/} in
		'*' | systemd-* | podman-system-generator | netplan | cloud-init-generator | openvpn-generator | postgresql-generator) ;;
		lvm2-activation-generator | sshd-socket-generator | zfs-mount-generator | nfs-server-generator | rpc-pipefs-generator | snapd*generator) ;;
		*) return 1 ;;
		esac
	done
	return 0
}
