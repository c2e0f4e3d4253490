# hook.sh: a command of the fleet repo in what was staged, remembered by what became of it.
# $D/hooks/MARK is one line: "hook", begun or done, the service, the hook's name, who ran it.
#
# Set by the controller: MARK, STATE (service, tab, name), GEN, KEY and RELEASE (of the
# release it runs in, or ""), ONCE, RETRY, ELSEWHERE, LINE (with newlines), RUNAS (user or
# ""), TIMEOUT (seconds), CAP (bytes of output), exports() which sets the environment, SECRET
# (names in it, whose values stay out of the journal).

MARKS=100 # of one hook that its host or the fleet runs once; the oldest go

op_hook() {
	begin_change
	mark=$D/hooks/$MARK said=
	if [ -e "$mark" ]; then
		IFS=$TAB read -r a said b <"$mark"
	fi
	if [ "$said" = done ]; then
		rec ran no
		finish
	fi
	if [ "$ELSEWHERE" = 1 ]; then
		remember done
		rec ran no
		finish
	fi
	# It may run without whoever has begun it: its shell was killed, and its unit was not.
	hook_unit=evenkeel-hook-$MARK.service
	case $(systemctl show -p ActiveState --value -- "$hook_unit" 2>/dev/null) in
	active | activating | deactivating) die refused "it runs there still, in $hook_unit" "wait until it has ended: systemctl status $hook_unit" ;;
	esac
	if [ "$said" = begun ] && [ "$ONCE$RETRY" = 10 ]; then
		die failed "it was begun there before, and cut: what it has done is not known" \
			"find out. If it is done: sed -i 's/begun/done/' $mark; if not: rm $mark; if it may always be run again, say retry: true"
	fi
	hook_place
	hook_user
	[ "$ONCE" = 0 ] || remember begun
	hook_run
	if [ "$status" = 0 ]; then
		[ -z "$KEY" ] || keep_changed
		remember done
	elif [ "$ONCE" = 1 ] && [ "$status" -lt 128 ] && [ "$status" != 124 ]; then
		drop "$mark" || die failed "cannot remove $mark: $why" "$ADVICE_DISK"
	fi
	hook_journal
	rec ran yes
	rec output
	hook_output >&3
	rec exit "$status"
	finish
}

# hook_place: the folder it runs in.
hook_place() {
	place=/
	[ "$RELEASE" ] || return 0
	place=$RELEASE
	[ -d "$place" ] || place=${RELEASE%/*}
	[ -e "$RELEASE" ] && [ -d "$place" ] || die failed "the release $RELEASE is not there" "stage it again"
}

# hook_user: who runs it may be a user that the staged generation brings.
hook_user() {
	home=/root gid=
	[ "$RUNAS" ] || return 0
	MANIFEST=
	[ ! -f "$D/generations/$GEN/manifest" ] || MANIFEST=$(cat -- "$D/generations/$GEN/manifest")
	owners "$RUNAS" || die failed "$why" "$mend"
	line=$(getent passwd -- "$RUNAS") || die failed "there is no user $RUNAS" "make it, or name another"
	line=${line#*:*:*:}
	gid=${line%%:*}
	home=${line#*:*:}
	home=${home%%:*}
}

# remember STATE: durably, before what follows.
remember() {
	put "$mark" "hook$TAB$1$TAB$STATE$TAB$HOLDER" || die failed "$why" "$ADVICE_DISK"
	[ "$1" = done ] || return 0
	set +f
	set -- $(grep -lF -- "$TAB$STATE$TAB" "$D"/hooks/"${MARK%%.*}".* 2>/dev/null)
	set -f
	[ $# -le "$MARKS" ] || for old in $(QUOTING_STYLE=literal ls -t -- "$@" | tail -n +$((MARKS + 1))); do
		rm -f -- "$old"
	done
}

# hook_run: its exit status is in $status. Of much output the beginning and the end are kept.
# What it leaves running is ended with it: in a unit of its own that is all, else its process
# group. What escapes may hold the pipe open, and must hold neither the reply nor the lock.
hook_run() {
	set -- timeout -k 5 "$TIMEOUT"
	[ -z "$RUNAS" ] || set -- "$@" setpriv --reuid="$RUNAS" --regid="$gid" --init-groups --
	rm -f -- "$R/hook" "$R/hook.head" "$R/hook.tail" "$R/hook.done"
	try mkfifo -- "$R/hook" || die failed "cannot make $R/hook: $why" "is $R full there?"
	{
		(ulimit -f $((CAP / 512)) && exec cat >"$R/hook.head")
		tail -c "$CAP" >"$R/hook.tail"
		true >"$R/hook.done"
	} <"$R/hook" >/dev/null 2>&1 3>&- 9>&- &
	hook_line "$@" >"$R/hook" 2>&1
	status=$?
	turn=0
	while [ ! -e "$R/hook.done" ] && [ "$turn" -lt 40 ]; do
		[ "$turn" -lt 20 ] && sleep 0.005 || sleep 0.05
		turn=$((turn + 1))
	done
}

hook_line() (
	exec 3>&- 9>&-
	cd -- "$place" || exit 126
	HOME=$home USER=${RUNAS:-root} LOGNAME=${RUNAS:-root}
	EVENKEEL_RELEASE=$RELEASE
	export HOME USER LOGNAME EVENKEEL_RELEASE
	unset TZ QUOTING_STYLE SYSTEMD_COLORS SYSTEMD_PAGER
	exports
	umask 022
	set -- "$@" /bin/sh -c 'eval "$(cat)"'
	if [ "$(systemd-run --quiet --wait --pipe --collect /bin/echo can </dev/null 2>/dev/null)" = can ]; then
		hook_in_unit "$@"
	else
		hook_in_group "$@"
	fi
)

# hook_in_unit: the environment, too, goes by standard input, for everybody on the host may
# read a unit's settings and systemd-run's arguments. The status is the command's own word: a
# unit that was stopped has none, and one that could not be made has not begun.
hook_in_unit() {
	rm -f -- "$R/hook.status"
	{
		export -p
		printf '%s\n' "$LINE"
	} | systemd-run --quiet --wait --pipe --collect --unit="$hook_unit" --description="evenkeel: a hook of the fleet repo" \
		-p KillMode=control-group -p TimeoutStopSec=5 -p IgnoreSIGPIPE=no /bin/sh -c 'to=$1; shift; echo begun >"$to"; cd -- "$1" || { echo 126 >"$to"; exit; }; shift; "$@"; echo $? >"$to"' sh "$R/hook.status" "$place" "$@"
	status=126
	[ ! -s "$R/hook.status" ] || read -r status <"$R/hook.status"
	rm -f -- "$R/hook.status"
	[ "$status" != begun ] || status=137
	exit "$status"
}

# hook_in_group: a session of its own, where there is setsid, so that its group is known.
hook_in_group() {
	! command -v setsid >/dev/null 2>&1 || set -- setsid "$@"
	printf '%s\n' "$LINE" | {
		exec 4<&0
		(trap - HUP PIPE && exec "$@" <&4 4<&-) &
		group=$!
		wait "$group"
		status=$?
		kill -KILL "-$group" 2>/dev/null
		exit "$status"
	}
}

# hook_journal: what it said stands in the host's journal, too (journalctl -t evenkeel-hook),
# without the secrets of its environment.
hook_journal() {
	command -v systemd-cat >/dev/null 2>&1 || return 0
	{
		hook_said | hook_redacted
		printf '\n%s: exit status %s\n' "$STATE" "$status"
	} 2>/dev/null | tr "$TAB" ' ' | timeout 5 systemd-cat -t evenkeel-hook 3>&- 9>&- 2>/dev/null
}

hook_redacted() (
	exports
	IFS=$NL
	set --
	for _name in $SECRET; do
		eval "_value=\$$_name"
		for _part in $_value; do
			[ "${#_part}" -lt 4 ] || set -- "$@" "$_part"
		done
	done
	while IFS= read -r _line || [ "$_line" ]; do
		for _part; do
			_clean=
			while :; do
				case $_line in
				*"$_part"*) _clean=$_clean${_line%%"$_part"*}'[redacted]' _line=${_line#*"$_part"} ;;
				*) break ;;
				esac
			done
			_line=$_clean$_line
		done
		printf '%s\n' "$_line"
	done
)

hook_said() {
	if [ -s "$R/hook.tail" ]; then
		cat -- "$R/hook.tail"
	else
		head -c "$CAP" -- "$R/hook.head" 2>/dev/null
	fi
}

hook_output() {
	hook_said
	rm -f -- "$R/hook" "$R/hook.head" "$R/hook.tail" "$R/hook.done"
}

# keep_changed: what it has made of the release is the release from now on, durably.
keep_changed() {
	[ -f "$D/releases/$KEY" ] || return 0
	IFS=$TAB read -r a sum form path <"$D/releases/$KEY"
	[ "$path" = "$RELEASE" ] || return 0
	if [ "$form" = tar ]; then
		why=$(cd "$RELEASE" && find . ! -type d -print0 2>&1 >"$D/lists/$KEY.new") && try mv -f -- "$D/lists/$KEY.new" "$D/lists/$KEY" &&
			try sync -f -- "$RELEASE" || die failed "cannot list the release $RELEASE: $why" "$ADVICE_DISK"
	fi
	release_record "$KEY" "$sum" - "$form" - - "$RELEASE"
	put "$D/releases/$KEY" "$record" || die failed "$why" "$ADVICE_DISK"
}
