# frame.sh: how a request answers. Everything said to the controller goes through
# fd 3 as records: a line "NONCE TYPE…", then a body up to the next such line. All
# other output of this shell goes to stderr, so that no tool can speak in our name.
#
# Set by the controller before: NONCE, D (state dir), R (run dir), PATH.

unset ENV BASH_ENV CDPATH POSIXLY_CORRECT BLOCKSIZE BLOCK_SIZE DF_BLOCK_SIZE TIME_STYLE TAR_OPTIONS TMPDIR
unset SYSTEMD_EDITOR SYSTEMD_LOG_LEVEL SYSTEMCTL_FORCE_BUS
LC_ALL=C LANG=C TZ=UTC QUOTING_STYLE=c SYSTEMD_COLORS=0 SYSTEMD_PAGER=
export LC_ALL LANG TZ PATH QUOTING_STYLE SYSTEMD_COLORS SYSTEMD_PAGER
umask 077
set -f
TAB='	'
NL='
'
IFS=$NL
records=0
exec 3>&1 1>&2

# rec WORD…: begins a record. Its body is what is then written to fd 3.
rec() {
	records=$((records + 1))
	IFS=' '
	printf '\n%s %s\n' "$NONCE" "$*" >&3
	IFS=$NL
}

# finish: the end mark. A reply without it counts as never heard.
finish() {
	hook_end
	rec end $((records + 1))
	exit 0
}

# die KIND WHAT MEND: ends the request with an error of that kind (hostdriver.ErrorKind).
die() {
	rec error "$1"
	printf '%s\n' "$2" >&3
	rec mend
	printf '%s\n' "$3" >&3
	finish
}

# hook_end is redefined by whoever must tidy up before a request ends.
hook_end() { :; }

# counter reads how many mutations have begun or ended since boot, into $seq.
counter() {
	seq=0
	[ -r "$R/seq" ] && read -r seq <"$R/seq"
	case $seq in
	'' | *[!0-9]*) seq=0 ;;
	esac
}

# try COMMAND…: runs it; what it said, on either stream, is then in $why.
try() {
	why=$("$@" 2>&1) && return 0
	status=$?
	why=${why:-"$1 ended with status $status"}
	return "$status"
}

# be_root: all of evenkeel's own records, and /proc/PID of other users, need root.
be_root() {
	while IFS="$TAB " read -r key uid euid rest; do
		[ "$key" = Uid: ] && break
	done </proc/self/status
	[ "${euid:-x}" = 0 ] && return
	die become "logged in as user id ${euid:-unknown}, which is not root" \
		"log in as root, or set become: true for a user who may use sudo"
}
