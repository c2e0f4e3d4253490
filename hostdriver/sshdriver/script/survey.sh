# survey.sh: the host's own units, by name alone, and one file or folder as it is. Nothing
# is written.
#
# Set by the controller: of op_fetch WHAT (a path), FOLDER (1: as a tar).

op_survey() {
	be_root
	set --
	for f in /etc/systemd/system /etc/containers/systemd; do
		[ ! -d "$f" ] || set -- "$@" "$f"
	done
	rec entries
	# Of the target of a symlink no newline may come: such names are left out.
	[ $# = 0 ] || find "$@" -mindepth 1 -maxdepth 2 ! -name "*$NL*" ! -lname "*$NL*" -printf '%y\t%p\t%l\n' 2>/dev/null | head -c 2097152 >&3
	rec loaded
	systemctl list-units --all --plain --no-legend --no-pager --full 2>/dev/null | head -c 2097152 >&3
	finish
}

# op_fetch: a line "NONCE begin", then the bytes alone; the end is the shell's, with its
# status. No symlink is followed, on the way or at its end: who may write to a folder there
# would choose what root reads.
op_fetch() {
	be_root
	printf '\n%s begin\n' "$NONCE" >&3
	if [ "$FOLDER" = 1 ]; then
		fetch_in "$WHAT" && exec tar --create --format=pax --sort=name --numeric-owner --owner=0 --group=0 --file=- . >&3 3>&- </dev/null
	else
		fetch_in "${WHAT%/*}" && exec dd if="./${WHAT##*/}" iflag=nofollow bs=65536 status=none >&3 3>&- </dev/null
	fi
	exit 1
}

# fetch_in DIR: goes there.
fetch_in() {
	cd -P -- "${1:-/}" || return
	[ "$(pwd -P)" = "${1:-/}" ] && return
	echo "$WHAT is reached through a symlink" >&2
	return 1
}
