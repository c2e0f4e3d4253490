# Reads the journal with the arguments that are given (_UID=~USER stands for the number of that
# user, which is told beside the host's time), until it ends or this end of the
# connection is closed: a journalctl that follows would not notice that.
op_journal() {
	exec 3<&0
	users=
	n=$#
	while [ "$n" -gt 0 ]; do
		n=$((n - 1)) arg=$1
		shift
		case $arg in
		_UID=~*)
			uid=$(id -u -- "${arg#*~}" 2>/dev/null) && users="$users $uid=${arg#*~}"
			arg=_UID=${uid:-none}
			;;
		esac
		set -- "$@" "$arg"
	done
	printf '\n%s begin %s%s\n' "$NONCE" "$(date +%s)" "$users"
	command -v journalctl >/dev/null || { echo 'there is no journalctl' >&2; exit 127; }
	LC_ALL=C SYSTEMD_COLORS=0 journalctl "$@" 3<&- </dev/null &
	READER=$!
	{ cat >/dev/null 2>&1; kill "$READER"; } <&3 3<&- >/dev/null 2>&1 &
	wait "$READER"
	exit
}
