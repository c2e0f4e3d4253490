# Reads the journal with the arguments that are given, until it ends or this end of the
# connection is closed: a journalctl that follows would not notice that.
op_journal() {
	exec 3<&0
	printf '\n%s begin %s\n' "$NONCE" "$(date +%s)"
	command -v journalctl >/dev/null || { echo 'there is no journalctl' >&2; exit 127; }
	LC_ALL=C SYSTEMD_COLORS=0 journalctl "$@" 3<&- </dev/null &
	READER=$!
	{ cat >/dev/null 2>&1; kill "$READER"; } <&3 3<&- >/dev/null 2>&1 &
	wait "$READER"
	exit
}
