# hook.sh: a command of the fleet repo in what was staged, remembered by what became of it.
# $D/hooks/MARK is one line: "hook", begun or done, the service, the hook's name, who ran it.
#
# Set by the controller: MARK, STATE (service, tab, name), GEN, KEY and RELEASE (of the
# release it runs in, or ""), ONCE, RETRY, ELSEWHERE, LINE (with newlines), RUNAS (user or
# ""), TIMEOUT (seconds), CAP (bytes of output), exports() which sets the environment.

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
	[ $# -le "$MARKS" ] || for old in $(ls -t -- "$@" | tail -n +$((MARKS + 1))); do
		rm -f -- "$old"
	done
}

# hook_run: its exit status is in $status. Of much output the beginning and the end are kept;
# what it leaves running may hold the pipe open, and must hold neither the reply nor the lock.
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
	trap - HUP PIPE
	exec 3>&- 9>&-
	cd -- "$place" || exit 126
	HOME=$home USER=${RUNAS:-root} LOGNAME=${RUNAS:-root}
	EVENKEEL_RELEASE=$RELEASE
	export HOME USER LOGNAME EVENKEEL_RELEASE
	unset TZ QUOTING_STYLE SYSTEMD_COLORS SYSTEMD_PAGER
	exports
	umask 022
	printf '%s\n' "$LINE" | "$@" /bin/sh -c 'eval "$(cat)"'
)

# hook_journal: what it said stands in the host's journal, too: journalctl -t evenkeel-hook.
hook_journal() {
	command -v systemd-cat >/dev/null 2>&1 || return 0
	{
		hook_said
		printf '\n%s: exit status %s\n' "$STATE" "$status"
	} 2>/dev/null | tr "$TAB" ' ' | timeout 5 systemd-cat -t evenkeel-hook 3>&- 9>&- 2>/dev/null
}

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
