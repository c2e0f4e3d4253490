# reserve.sh: room that is set aside before anything is switched, so that a step can be
# taken back although what it brought has filled the disk.

# keep_reserve: allocated, not only promised.
keep_reserve() {
	[ ! -s "$D/reserve" ] || return 0
	[ ! -e "$D/reserve.new" ] || rm -f -- "$D/reserve.new"
	fallocate -l 1048576 -- "$D/reserve.new" 2>/dev/null ||
		try dd if=/dev/urandom of="$D/reserve.new" bs=65536 count=16 status=none && try mv -f -- "$D/reserve.new" "$D/reserve" && return 0
	rm -f -- "$D/reserve.new"
	return 1
}

# make_room GENERATION: for the way back from it. Where there is none, what was started with
# that generation is stopped first: it may be what fills the disk, and it is to be restarted
# anyway.
make_room() {
	if dd if=/dev/urandom of="$D/room" bs=65536 count=4 status=none 2>/dev/null && sync -- "$D/room" 2>/dev/null; then
		rm -f -- "$D/room"
		return 0
	fi
	rm -f -- "$D/room"
	[ -e "$D/reserve" ] || return 0
	set +f
	set -- "$1" "$D"/started/* "$D"/wanted/*
	set -f
	of=$1
	shift
	for f; do
		[ -e "$f" ] && IFS=$TAB read -r a b <"$f" && [ "$b" = "$of" ] || continue
		manager "${f##*/}" && timeout 30 $ctl --job-mode=fail --no-ask-password stop -- "$bare"
	done
	rm -f -- "$D/reserve"
	return 0
}
