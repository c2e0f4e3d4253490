# settings.sh: what is read at boot, or by nobody until it is asked to, takes effect when it
# was written: users, directories, kernel parameters, the journal. Disturbs nobody.
#
# Set by the controller, or nothing: RENEW (lines: paths whose files are as they should be, and
# the host is not as they say).

# apply_settings: of the files that the switch has changed, and those to be renewed. On a way
# back nothing may stop for it.
apply_settings() {
	renew_journal=
	for i in $changed; do
		entry "$i"
		[ "$kind" != file ] || setting "$name" || [ "$lenient" ] || return 1
	done
	for name in ${RENEW-}; do
		setting "$name" || [ "$lenient" ] || return 1
	done
	for line in $gone; do
		split "$line"
		case $name in
		/etc/systemd/journald.conf | /etc/systemd/journald.conf.d/*.conf) renew_journal=1 ;;
		esac
	done
	[ "$renew_journal" ] || return 0
	# Streams of services stay open over it (systemd-journald.service(8)).
	try systemctl restart systemd-journald.service && try journalctl --flush || [ "$lenient" ] || {
		why="cannot restart the journal: $why" mend="correct what is new in /etc/systemd/journald.conf.d"
		return 1
	}
}

setting() {
	case $1 in
	/etc/sysusers.d/*.conf) try systemd-sysusers "$1" ;;
	/etc/tmpfiles.d/*.conf) try systemd-tmpfiles --create "$1" ;;
	/etc/sysctl.d/*.conf) set_kernel "$1" ;;
	/etc/systemd/journald.conf | /etc/systemd/journald.conf.d/*.conf) renew_journal=1 ;;
	*) return 0 ;;
	esac && return 0
	why="$1 cannot be applied: $why" mend="correct the file"
	return 1
}

set_kernel() {
	for f in /usr/lib/systemd/systemd-sysctl /lib/systemd/systemd-sysctl; do
		[ ! -x "$f" ] || { try "$f" --strict "$1" && return 0 || return 1; }
	done
	try sysctl -q -p "$1"
}
