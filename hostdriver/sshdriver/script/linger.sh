# linger.sh: the managers of users run from boot on, and without a login, as long as the
# generation on disk has units of theirs. That a user's did not before is noted in
# $D/lingers, so that it is switched off again with the last of these units.

# linger_on: for all users whose units the generation has.
linger_on() {
	cared=$NL
	i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		case $kind$name in
		unit*~*) ;;
		*) continue ;;
		esac
		case $cared in
		*"$NL${name%%~*}$NL"*) continue ;;
		esac
		cared="$cared${name%%~*}$NL"
		manager "$name" && keep_up || return 1
	done
	return 0
}

keep_up() {
	if ! lingers; then
		mend=$ADVICE_DISK
		[ -d "$D/lingers" ] || try mkdir -p -- "$D/lingers" || return 1
		put "$D/lingers/$user" "$user" || return 1
		try loginctl enable-linger -- "$user" || {
			why="loginctl enable-linger $user: $why" mend="does systemd-logind run there?"
			return 1
		}
	fi
	is_up && return 0
	try timeout 45 systemctl start -- "user@$uid.service" && is_up && return 0
	why="the manager of user $user does not start: $why"
	mend="see systemctl status user@$uid.service there; on Debian and Ubuntu it needs the package libpam-systemd"
	return 1
}

# linger_off: for users of whose units none is left.
linger_off() {
	for line in $gone; do
		split "$line"
		case $kind$name in
		unit*~*) ;;
		*) continue ;;
		esac
		name=${name%%~*}
		case $keys in
		*"${NL}unit$TAB$name~"*) continue ;;
		esac
		[ -e "$D/lingers/$name" ] || continue
		# It may be off already. loginctl does nothing for a user that is gone, nor where
		# systemd-logind does not answer; but all that there is to it is this file, at the next boot.
		loginctl disable-linger -- "$name" >/dev/null 2>&1
		[ ! -e "/var/lib/systemd/linger/$name" ] || try rm -f -- "/var/lib/systemd/linger/$name" || {
			why="cannot end that user $name lingers: $why" mend=$ADVICE_DISK
			return 1
		}
		drop "$D/lingers/$name" || return 1
	done
	return 0
}

# reload_managers: of all users whose units either generation has.
reload_managers() {
	cared=$NL
	for line in $keys $others; do
		case $line in
		unit"$TAB"*~*) ;;
		*) continue ;;
		esac
		line=${line#*"$TAB"}
		case $cared in
		*"$NL${line%%~*}$NL"*) continue ;;
		esac
		cared="$cared${line%%~*}$NL"
		manager "$line" && is_up || continue
		try timeout 45 $ctl daemon-reload || {
			why="$ask daemon-reload: $why" mend="look at journalctl -b _UID=$uid there"
			return 1
		}
	done
	return 0
}
