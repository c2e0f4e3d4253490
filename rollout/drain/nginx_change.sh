# nginx_change.sh: has nginx use another content of one file, or the one that is there.
#
# Set before: FILE; OLD and NEW, the digests of the content that must be there and of the
# one to be (the same: nothing is written); content(), which prints the new one; CHECK and
# RELOAD, command lines; TURNS, for how many tenths of a second a reload may take to show.
#
# Exit status: 0 done; 100 the file is another; 101 locked; 102 cannot be written; 103 the
# check failed and the file is as it was; 104 likewise, but the file could not be put back;
# 105 and 106 the same of the reload; 107 the reload does not show. What is printed is why.

umask 077
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
dir=${FILE%/*}/
tmp= kept=

tell() {
	status=$1
	shift
	[ -z "$tmp" ] || rm -f -- "$tmp"
	[ -z "$kept" ] || rm -f -- "$kept"
	printf '%s\n' "$*"
	exit "$status"
}

digest() { sha256sum <"$1" 2>/dev/null | cut -c1-64; }

# run LINE: what it prints is then in $why. It does not get the lock.
run() {
	why=$( (
		exec 9<&-
		eval "$1"
	) </dev/null 2>&1) && return
	why="exit status $?
$why"
	return 1
}

# back STATUS: the file as it was, if it still is as we made it; and the end.
back() {
	if [ "$OLD" != "$NEW" ]; then
		[ "$(digest "$FILE")" = "$NEW" ] && mv -f -- "$kept" "$FILE" || tell $(($1 + 1)) "$why"
		kept=
		sync -- "$dir"
	fi
	tell "$1" "$why"
}

write() {
	rm -f -- "$dir".evenkeel-nginx.* # of one that was killed
	tmp=$(mktemp -- "$dir.evenkeel-nginx.XXXXXX" 2>&1) || {
		why=$tmp tmp=
		tell 102 "$why"
	}
	kept=$tmp.old
	why=$({
		content >"$tmp" && cp --attributes-only --preserve=all -- "$FILE" "$tmp" && touch -- "$tmp" &&
			cp --preserve=all -- "$FILE" "$kept" && sync -- "$tmp" "$kept"
	} 2>&1) || tell 102 "$why"
	[ "$(digest "$tmp")" = "$NEW" ] || tell 102 "what arrived is not what was sent"
	why=$(mv -f -- "$tmp" "$FILE" 2>&1) || tell 102 "$why"
	tmp=
	sync -- "$dir"
}

# workers: PARENT/PID of each worker of nginx that has not been told to end.
workers() {
	for line in $(grep -lzx 'nginx: worker [p]rocess' /proc/[0-9]*/cmdline 2>/dev/null); do
		pid=${line#/proc/}
		pid=${pid%/cmdline}
		while read -r key value rest; do
			[ "$key" = PPid: ] && printf '%s/%s ' "$value" "$pid" && break
		done 2>/dev/null <"/proc/$pid/status"
	done
}

# confirm: a master that reloads starts new workers and then has the old ones end; one
# that cannot use the new configuration only says so in its error log. Where no workers
# are to be seen, there is nothing to wait for.
confirm() {
	[ -n "$before" ] || return 0
	turn=0
	while [ "$turn" -lt "$TURNS" ]; do
		now=$(workers) fresh= stale=
		for w in $now; do
			case " $before" in *" $w "*) ;; *) fresh=${w%/*} ;; esac
		done
		for w in $now; do
			case $w in "$fresh"/*) ;; *) continue ;; esac
			case " $before" in *" $w "*) stale=$w ;; esac
		done
		[ -n "$fresh" ] && [ -z "$stale" ] && return
		sleep 0.1
		turn=$((turn + 1))
	done
	return 1
}

[ -d "$dir" ] || tell 102 "there is no directory $dir"
exec 9<"$dir"
flock -w 20 9 || tell 101 "its directory is locked"
[ -f "$FILE" ] && [ ! -L "$FILE" ] && [ "$(digest "$FILE")" = "$OLD" ] || tell 100 "it was changed meanwhile"
[ "$OLD" = "$NEW" ] || write
run "$CHECK" || back 103
before=$(workers)
run "$RELOAD" || back 105
confirm || tell 107 "there is no new worker"
tell 0
