# journal.sh: what a unit's processes have logged since it was started, this time.
#
# Set before: ID, its invocation; HEAD and TAIL, bytes. All of it where it is shorter than
# HEAD; else the first HEAD bytes, a newline, and the last TAIL.

PATH=$PATH:/usr/local/bin:/usr/bin:/bin
LC_ALL=C SYSTEMD_COLORS=0
export PATH LC_ALL SYSTEMD_COLORS
command -v journalctl >/dev/null || exit 127
logged() { journalctl -q --no-pager -o cat "$@" _SYSTEMD_INVOCATION_ID="$ID" 2>/dev/null; }
logged -n 1 >/dev/null || exit 3
size=$(logged | head -c "$HEAD" | wc -c)
logged | head -c "$HEAD"
[ "$size" -lt "$HEAD" ] || {
	echo
	logged -n 1000 | tail -c "$TAIL"
}
