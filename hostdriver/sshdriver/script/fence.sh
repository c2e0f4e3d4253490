# fence.sh: what stands before every mutation: one lock a host, one epoch, one claim.
#
# Set by the controller: EPOCH, HOLDER, CLAIMED, TAKEOVER, LOCKWAIT (seconds).

ADVICE_DISK="see whether the filesystem of $D is full or read-only: df $D; df -i $D"

# begin_change: from here on a cut connection does not stop what was begun.
begin_change() {
	trap '' HUP PIPE
	be_root
	state_dirs
	lock
	fence
	bump
	hook_end() { bump; }
}

state_dirs() {
	set --
	for f in generations blobs started wanted releases lists chunks hooks; do
		[ -d "$D/$f" ] || set -- "$@" "$D/$f"
	done
	[ -d "$R" ] || set -- "$@" "$R"
	[ $# = 0 ] && return
	try mkdir -p -- "$@" || die failed "cannot make $D: $why" "$ADVICE_DISK"
	try chmod 0700 -- "$D" "$R" || die failed "cannot close $D to others: $why" "$ADVICE_DISK"
}

# lock: fd 9, which children that may outlive this shell must not get.
lock() {
	true >>"$D/lock" || die failed "cannot write to $D/lock" "$ADVICE_DISK"
	exec 9<>"$D/lock"
	if ! try flock -w "$LOCKWAIT" 9; then
		who=
		read -r who <"$D/lock"
		[ "$status" = 1 ] || die failed "cannot lock: $why" "install util-linux there, which has flock"
		die refused "its lock is held by ${who:-somebody} for more than $LOCKWAIT s" \
			"wait until that has ended; on the host, fuser -v $D/lock names its process"
	fi
	printf '%s\n' "$HOLDER" >"$D/lock"
}

read_epoch() {
	epoch=0 by=
	[ -e "$D/epoch" ] && IFS=$TAB read -r epoch by <"$D/epoch"
	case $epoch in
	'' | *[!0-9]*) die failed "$D/epoch is damaged" "find out what else writes there; then remove it" ;;
	esac
}

check_epoch() {
	read_epoch
	[ "$epoch" -gt "$EPOCH" ] &&
		die refused "it has obeyed epoch $epoch of $by, and this is epoch $EPOCH" \
			"another controller or apply has come after this one: observe again"
	[ "$epoch" = "$EPOCH" ] && [ "$by" ] && [ "$by" != "$HOLDER" ] &&
		die refused "epoch $epoch was used there by $by before" \
			"two have begun at the same moment: observe again, which yields a higher epoch"
	claim=
	[ -e "$D/claim" ] && read -r claim <"$D/claim"
	[ -z "$claim" ] || [ "$claim" = "$HOLDER" ] || [ "$TAKEOVER" = 1 ] ||
		die refused "it belongs to the controller $claim" \
			"let that controller do it, or pass --take-over"
}

# fence: an older epoch, an epoch of somebody else's, a host of another controller's:
# refused before anything is written. A newer epoch is durable before anything is done.
fence() {
	check_epoch
	if [ "$epoch" != "$EPOCH" ] || [ -z "$by" ]; then
		put "$D/epoch" "$EPOCH$TAB$HOLDER" || die failed "$why" "$ADVICE_DISK"
	fi
	if [ "$CLAIMED" = 1 ]; then
		[ "$claim" = "$HOLDER" ] || put "$D/claim" "$HOLDER" || die failed "$why" "$ADVICE_DISK"
	elif [ "$claim" ] && [ "$claim" != "$HOLDER" ]; then
		drop "$D/claim" || die failed "$why" "$ADVICE_DISK"
	fi
}

# bump: readers see by this counter that something was changed while they read.
bump() {
	counter
	printf '%s\n' $((seq + 1)) >"$R/seq"
}

# put FILE TEXT: whole and durable, or as it was before.
put() {
	why=
	if printf '%s\n' "$2" >"$1.new" && try sync -- "$1.new" && try mv -f -- "$1.new" "$1" && try sync -- "${1%/*}"; then
		return 0
	fi
	why_not "$1.new"
	why="cannot write $1${why:+: $why}"
	rm -f -- "$1.new"
	return 1
}

# jot FILE TEXT: whole, or as it was before, but not durable: of what a loss of power ends
# with everything that runs.
jot() {
	why=
	printf '%s\n' "$2" >"$1.new" && try mv -f -- "$1.new" "$1" && return 0
	why_not "$1.new"
	why="cannot write $1${why:+: $why}"
	rm -f -- "$1.new"
	return 1
}

# put_two FILE TEXT FILE TEXT: the same for two, which costs little more. Where there is the
# second, there is the first.
put_two() {
	why=
	if printf '%s\n' "$2" >"$1.new" && printf '%s\n' "$4" >"$3.new" && try sync -- "$1.new" "$3.new" &&
		try mv -f -- "$1.new" "$1" && try mv -f -- "$3.new" "$3" && try sync -- "${1%/*}" "${3%/*}"; then
		return 0
	fi
	why_not "$3.new"
	why="cannot write $1 and $3${why:+: $why}"
	rm -f -- "$1.new" "$3.new"
	return 1
}

# why_not FILE: why the shell itself cannot write it, unless $why tells already.
why_not() {
	[ -z "$why" ] || return 0
	why=$( (printf '%s\n' "$1" >"$1") 2>&1)
	why=${why##*: }
}

# drop FILE: durably gone.
drop() {
	[ -e "$1" ] || return 0
	try rm -f -- "$1" && try sync -- "${1%/*}"
}

# put_record: the step in hand, before its effect; never over one that the controller
# has not seen. Set by the controller: RECORD, OVER.
put_record() {
	[ "$RECORD" ] || return 0
	check_step
	put "$D/step" "$RECORD" || die failed "$why; nothing else was done" "$ADVICE_DISK"
}

# check_step: whose step is in hand, by its epoch. Its record is one line of JSON, in
# whose strings no quote stands alone.
check_step() {
	[ "$RECORD" ] && [ -e "$D/step" ] || return 0
	step=
	read -r step <"$D/step"
	case $step in
	*'"epoch":'*) ;;
	*) return 0 ;;
	esac
	of=${step#*'"epoch":'}
	of=${of%%[!0-9]*}
	case $of in
	"$EPOCH" | "$OVER") return 0 ;;
	esac
	die conflict "a step of epoch $of is in hand there" "another apply began it meanwhile: observe again, and finish or undo it first"
}

# op_obey: nothing but the fence, and how many mutations had begun or ended before.
op_obey() {
	begin_change
	rec obeys "$seq"
	finish
}

op_put_step() {
	begin_change
	put_record
	finish
}

op_clear_step() {
	begin_change
	drop "$D/step" || die failed "cannot remove $D/step: $why" "$ADVICE_DISK"
	finish
}

# op_claim: with RELEASE=1 the host forgets whose it is.
op_claim() {
	begin_change
	if [ "$RELEASE" = 1 ]; then
		drop "$D/claim" || die failed "cannot remove $D/claim: $why" "$ADVICE_DISK"
	elif [ "$claim" != "$HOLDER" ] || [ ! -e "$D/claim" ]; then
		put "$D/claim" "$HOLDER" || die failed "$why" "$ADVICE_DISK"
	fi
	finish
}
