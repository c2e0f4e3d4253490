# run.sh: a command line of the fleet repo. It comes on standard input, for it may hold
# secrets, and so does its environment.
#
# Set by the controller: LINE (with newlines), RUNAS (user or ""), TIMEOUT (seconds),
# CAP (bytes of output), exports() which sets the environment.

op_run() {
	begin_change
	home=/root
	set -- timeout -k 5 "$TIMEOUT"
	if [ "$RUNAS" ]; then
		line=$(getent passwd -- "$RUNAS") || die failed "there is no user $RUNAS" "make it, or name another"
		line=${line#*:*:*:}
		home=${line#*:*:}
		home=${home%%:*}
		set -- "$@" setpriv --reuid="$RUNAS" --regid="${line%%:*}" --init-groups --
	fi
	rm -f -- "$R/run" "$R/run.out" "$R/run.done"
	try mkfifo -- "$R/run" || die failed "cannot make $R/run: $why" "is /run full there?"
	# What it leaves running may hold its output open; that must hold neither the reply nor
	# the lock. Unlike head, cat passes on at once what it has read; its file is limited,
	# in blocks of 512 bytes, and the rest thrown away.
	{
		(ulimit -f $((CAP / 512)) && exec cat >"$R/run.out")
		cat
		true >"$R/run.done"
	} <"$R/run" >/dev/null 2>&1 3>&- 9>&- &
	run_line "$@" >"$R/run" 2>&1
	status=$?
	turn=0
	while [ ! -e "$R/run.done" ] && [ "$turn" -lt 40 ]; do
		[ "$turn" -lt 20 ] && sleep 0.005 || sleep 0.05
		turn=$((turn + 1))
	done
	rec output
	head -c "$CAP" -- "$R/run.out" >&3
	rm -f -- "$R/run" "$R/run.out"
	rec exit "$status"
	finish
}

run_line() (
	trap - HUP PIPE
	exec 3>&- 9>&-
	cd /
	HOME=$home USER=${RUNAS:-root} LOGNAME=${RUNAS:-root}
	export HOME USER LOGNAME
	unset TZ QUOTING_STYLE SYSTEMD_COLORS SYSTEMD_PAGER
	exports
	printf '%s\n' "$LINE" | "$@" /bin/sh -c 'eval "$(cat)"'
)
