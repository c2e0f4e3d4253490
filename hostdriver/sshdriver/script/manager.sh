# manager.sh: units of users. One is named USER~UNIT; the systemd of that user (its manager)
# has it as UNIT. Not even root is let in there, so systemctl is run as the user: it reaches
# its manager by a socket of its own, and needs no D-Bus.

user= ctl=systemctl ask=systemctl
unset DBUS_SESSION_BUS_ADDRESS

# manager UNIT: $ctl is then how to ask the systemd that it belongs to, a word a line; $bare
# its name there; $user and $uid whose that is, "" where it is the host's own; $ask what a
# person would type. Where nobody can be asked, $why and $mend tell.
manager() {
	bare=${1#*~}
	case $1 in
	*~*) manager_of "${1%%~*}" ;;
	*) user= ctl=systemctl ask=systemctl ;;
	esac
}

manager_of() {
	[ "$1" = "$user" ] && [ "$ctl" != false ] && return 0
	user=$1 ctl=false ask="systemctl --user --machine=$1@"
	can_ask || return 1
	account "$1" || {
		why="there is no user $1" mend="declare it under users of the service, or make it there"
		return 1
	}
	XDG_RUNTIME_DIR=/run/user/$uid
	export XDG_RUNTIME_DIR
	ctl="setpriv$NL--reuid=$uid$NL--regid=$gid$NL--clear-groups$NL--${NL}systemctl$NL--user"
}

# can_ask: whether the host has what it takes.
can_ask() {
	lacks=
	command -v setpriv >/dev/null || lacks="setpriv, which util-linux has"
	command -v loginctl >/dev/null || lacks="loginctl, which systemd-logind comes with"
	[ -z "$lacks" ] && return 0
	why="the host has no $lacks" mend="install it there"
	return 1
}

# account USER: its $uid and $gid.
account() {
	uid= gid=
	while IFS=: read -r login shadow uid gid rest; do
		[ "$login" = "$1" ] && return 0
	done </etc/passwd
	uid= gid=
	login=$(getent passwd -- "$1") || return 1
	login=${login#*:*:}
	uid=${login%%:*}
	login=${login#*:}
	gid=${login%%:*}
	[ "$uid" ]
}

# is_up: whether the manager of $user runs. One that has ended may leave its socket behind
# (systemd 257, or a kill), which nobody listens on.
is_up() {
	[ "$ctl" != false ] && [ -S "$XDG_RUNTIME_DIR/systemd/private" ] &&
		grep -q -e " $XDG_RUNTIME_DIR/systemd/private\$" /proc/net/unix
}

lingers() {
	[ -e "/var/lib/systemd/linger/$user" ]
}

# each_of UNITS WORD…: systemctl WORD… for units, each asked of the systemd it belongs to.
each_of() {
	several=$1 hosts=
	shift
	for one in $several; do
		case $one in
		*~*) manager "$one" && try $ctl "$@" -- "$bare" || return 1 ;;
		*) hosts="$hosts$NL$one" ;;
		esac
	done
	[ -z "$hosts" ] || try systemctl "$@" -- $hosts
}

# show_each UNIT…: prints what systemctl shows of them, in their order; each systemd is
# asked once. It runs in a shell of its own.
show_each() {
	n=0 askers=
	for unit; do
		n=$((n + 1)) whose='~'
		case $unit in
		*~*) whose=${unit%%~*}~ ;;
		esac
		case "$askers$NL" in
		*"$NL$whose$NL"*) ;;
		*) askers="$askers$NL$whose" ;;
		esac
	done
	for whose in $askers; do
		part= places= i=0
		for unit; do
			i=$((i + 1))
			case $unit in
			"$whose"*) ;;
			*~*) continue ;;
			*) [ "$whose" = '~' ] || continue ;;
			esac
			part="$part$NL${unit#*~}" places="$places$NL$i"
		done
		manager "${whose#'~'}x"
		show_of $part || unheard $part || {
			printf '%s\n' "$shown"
			return 1
		}
		rest=$shown$NL$NL
		for i in $places; do
			eval "block$i=\${rest%%\"\$NL\$NL\"*}"
			rest=${rest#*"$NL$NL"}
		done
	done
	i=0
	while [ "$i" -lt "$n" ]; do
		i=$((i + 1))
		eval "printf '%s\n\n' \"\$block$i\""
	done
}

# unheard UNIT…: what is shown of units whose manager does not answer.
unheard() {
	[ "$user" ] || return 1
	shown=
	for unit; do
		shown="$shown${shown:+$NL$NL}Id=$unit${NL}LoadState=unheard${NL}UnitFileState=${NL}ActiveState=inactive${NL}SubState=dead"
	done
}
